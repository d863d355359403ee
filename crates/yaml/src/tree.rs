//! The tree: nodes with their value, their place in the file and their directive.

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
    /// What stands there, typed.
    pub value: Value,
    /// Where it stood in its file.
    pub pos: Pos,
    /// `!reset` or `!override`, if tagged so.
    pub directive: Option<Directive>,
}

/// A YAML value, scalars typed by the YAML 1.2 core schema with the additions of Go's yaml.v3.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`, in the three spellings of each that the core schema has; `yes` and `on` are text.
    Bool(bool),
    /// An integer that fits 64 bits with a sign.
    Int(i64),
    /// An integer from 2^63 on, below 2^64.
    Uint(u64),
    /// A floating-point number.
    Float(f64),
    /// Whatever stands in quotes, and bare what is of no other type.
    Str(String),
    /// A date or time, normalised to RFC 3339. Compose refuses these outside `x-*` keys.
    Time(String),
    /// The items of a sequence, in the order written.
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
    /// The text that Go's `%v` gives, which is what Compose prints for scalars in environments and labels.
    pub fn go_text(&self) -> String {
        match self {
            Value::Null => "<nil>".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Int(n) => n.to_string(),
            Value::Uint(n) => n.to_string(),
            Value::Float(n) => go_float(*n),
            Value::Str(s) | Value::Time(s) => s.clone(),
            Value::Seq(items) => {
                format!("[{}]", items.iter().map(|item| item.value.go_text()).collect::<Vec<_>>().join(" "))
            }
            Value::Map(map) => {
                let mut pairs: Vec<_> = map.iter().map(|(k, e)| format!("{k}:{}", e.node.value.go_text())).collect();
                pairs.sort();
                format!("map[{}]", pairs.join(" "))
            }
        }
    }

    /// What a person calls this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Uint(_) | Value::Float(_) => "a number",
            Value::Str(_) => "a string",
            Value::Time(_) => "a date or time",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Shortest text of a number; with an exponent below 1e-4 and from 1e6 on.
fn go_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number == 0.0 || (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// A mapping with string keys.
pub type Map = IndexMap<String, Entry>;

/// A value in a mapping, with the place of its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key stood.
    pub key_pos: Pos,
    /// What stands under the key.
    pub node: Node,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_like_go() {
        for (number, want) in [
            (1.5, "1.5"),
            (1000.0, "1000"),
            (1e10, "1e+10"),
            (123456.0, "123456"),
            (1e6, "1e+06"),
            (123456789.0, "1.23456789e+08"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.0, "0"),
            (-0.5, "-0.5"),
        ] {
            assert_eq!(Value::Float(number).go_text(), want);
        }
    }
}
