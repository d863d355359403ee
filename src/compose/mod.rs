//! The Compose specification: tree, dotenv, interpolate, merge, resolve, type, hash. Pure over a file reader.

pub mod dockerignore;
pub mod model;
