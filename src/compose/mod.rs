//! The Compose specification: tree, dotenv, interpolate, merge, resolve, type, hash. Pure over a file reader.

mod cast;
pub mod dotenv;
pub mod dockerignore;
pub mod error;
pub mod interpolate;
mod interpolate_tree;
mod lexical;
pub mod load;
pub mod hash;
pub mod labels;
mod merge;
mod merge_reset;
mod merge_rules;
mod merge_unique;
pub mod model;
pub mod schema;
pub mod source;
