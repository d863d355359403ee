//! Forms of values in the JSON Schema that several keys have.

use serde_json::{Value, json};

/// A text that a pattern of ECMA-262 finds.
pub(super) fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// One such text, or a list of them.
pub(super) fn texts(pattern: &str) -> Value {
    json!({ "anyOf": [text(pattern), { "type": "array", "items": text(pattern) }] })
}

/// An absolute path without `..`.
pub(super) fn path() -> Value {
    json!({ "type": "string", "pattern": r"^/(?!(.*/)?\.\.(/|$))" })
}
