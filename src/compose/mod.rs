//! The Compose specification: tree, dotenv, interpolate, merge, resolve, type, hash. Pure over a file reader.

mod cast;
mod interpolate_tree;
mod lexical;
mod merge;
mod merge_reset;
mod merge_rules;
mod merge_unique;
pub mod dockerignore;
pub mod dotenv;
pub mod error;
pub mod hash;
pub mod interpolate;
pub mod labels;
pub mod load;
pub mod model;
pub mod schema;
pub mod source;
