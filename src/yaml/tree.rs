//! The tree itself.

use std::sync::Arc;

use indexmap::IndexMap;

/// Where a node stood: file, line and column, both counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pos {
    /// File name as the user knows it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// A Compose merge directive carried by a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// `!reset`: remove the key.
    Reset,
    /// `!override`: take this value without merging.
    Override,
}

/// A node: value, place, directive.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stood.
    pub pos: Pos,
    /// `!reset` or `!override`, if tagged so.
    pub directive: Option<Directive>,
}

/// A YAML value, scalars typed by the YAML 1.2 core schema with the additions of Go's yaml.v3.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Str(String),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping, in the order written.
    Map(Map),
}

/// A mapping with string keys.
pub type Map = IndexMap<String, Entry>;

/// A value in a mapping, with the place of its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key stood.
    pub key_pos: Pos,
    /// The value.
    pub node: Node,
}
