//! A YAML tree that remembers where everything stood. Pure; bounded in size, depth and alias expansion.
//!
//! Shared by `repos.yaml` and the Compose loader.

mod alias_paths;
mod builder;
mod error;
mod grammar;
mod limits;
mod parse;
mod reader;
mod scalar;
mod scan;
mod scan_scalar;
mod token;
mod tree;

pub use error::YamlError;
pub use limits::Limits;
pub use parse::parse;
pub use scalar::reads_as_text;
pub use tree::{Directive, Entry, Map, Node, Pos, Value};
