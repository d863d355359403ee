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
    /// Text. Integers between 2^63 and 2^64 are kept as their digits.
    Str(String),
    /// A date or time, normalised to RFC 3339. Compose refuses these outside `x-*` keys.
    Time(String),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping, in the order written.
    Map(Map),
}

impl Node {
    /// An undirected node.
    pub fn new(value: Value, pos: Pos) -> Node {
        Node { value, pos, directive: None }
    }

    /// The mapping, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(map) = &self.value { Some(map) } else { None }
    }

    /// The mapping for change, if this is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Value::Map(map) = &mut self.value { Some(map) } else { None }
    }

    /// The items, if this is a sequence.
    pub fn as_seq(&self) -> Option<&[Node]> {
        if let Value::Seq(items) = &self.value { Some(items) } else { None }
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(text) = &self.value { Some(text) } else { None }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The value under `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key).map(|entry| &entry.node)
    }
}

impl Pos {
    /// A place in a file.
    pub fn new(file: Arc<str>, line: u32, column: u32) -> Pos {
        Pos { file, line, column }
    }
}

impl std::fmt::Display for Pos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Value {
    /// What a person calls this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Str(_) => "a string",
            Value::Time(_) => "a date or time",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
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
