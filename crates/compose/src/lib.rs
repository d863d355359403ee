//! The Compose specification: tree, dotenv, interpolate, merge, resolve, type, hash. Pure over a file reader.

pub mod canonical;
mod cast;
mod document;
pub mod dotenv;
mod entries;
pub mod error;
mod extends;
pub mod hash;
mod include;
pub mod interpolate;
mod interpolate_tree;
pub mod labels;
mod lexical;
pub mod load;
mod merge;
mod merge_reset;
mod merge_rules;
mod merge_unique;
pub mod model;
mod name;
pub mod reference;
pub mod remote;
pub mod render;
pub mod resolve;
pub mod schema;
mod select_files;
pub mod source;
