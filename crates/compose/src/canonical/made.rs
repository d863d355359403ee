//! Values made of a short form; every part stands where the short form stood.

use turnout_yaml::{Entry, Map, Node, Pos, Value};

/// A mapping made of a short form; every part stands where the short form stood.
pub(super) fn map_at(pos: &Pos, entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), entry_at(pos, value))).collect())
}

pub(super) fn entry_at(pos: &Pos, value: Value) -> Entry {
    Entry { key_pos: pos.clone(), node: Node::new(value, pos.clone()) }
}

pub(super) fn text(value: impl Into<String>) -> Value {
    Value::Str(value.into())
}

/// Sets `key` unless it is there.
pub(super) fn set_default(map: &mut Map, pos: &Pos, key: &str, value: Value) {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), entry_at(pos, value));
    }
}
