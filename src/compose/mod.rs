//! The Compose specification: tree, dotenv, interpolate, merge, resolve, type, hash. Pure over a file reader.

pub mod canonical;
mod cast;
pub mod dotenv;
pub mod error;
pub mod hash;
pub mod labels;
pub mod interpolate;
mod interpolate_tree;
mod lexical;
pub mod load;
mod merge;
mod merge_reset;
mod merge_rules;
mod merge_unique;
pub mod model;
pub mod render;
pub mod resolve;
pub mod schema;
pub mod source;
