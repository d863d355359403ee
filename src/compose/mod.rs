//! The Compose specification: tree, dotenv, interpolate, merge, resolve, type, hash. Pure over a file reader.

pub mod dockerignore;
pub mod error;
pub mod hash;
pub mod labels;
pub mod load;
pub mod model;
pub mod source;
