//! Reads a project's Compose files as Docker Compose does, up to a typed project with the hashes by which Compose tells what is
//! up to date. Files are read through a trait ([`source`]), so all else here is pure.

pub mod canonical;
mod cast;
mod document;
pub mod dotenv;
mod entries;
pub mod error;
mod extends;
mod extensions;
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
mod request;
pub mod resolve;
pub mod schema;
mod select_files;
mod session;
pub mod source;
mod tree_size;
