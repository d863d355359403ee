//! JSON as Go's encoder writes it: indented by two, numbers without an exponent as long as they are of a usual size.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::merge_unique;
use turnout_yaml::{Node, Value};

/// Indented JSON of a value.
///
/// # Errors
///
/// A value that JSON does not have.
pub(super) fn pretty<T: Serialize>(value: &T) -> Result<String, String> {
    let mut json = Vec::new();
    let formatter = GoNumbers(PrettyFormatter::new());
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut json, formatter))
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8(json).map_err(|error| error.to_string())?;
    Ok(go_escapes(&text))
}

/// Go's encoder writes these characters as escapes, wherever they stand in a text.
pub(crate) fn go_escapes(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A number as Go's encoder writes it.
fn go_number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    if size < 1.0 { text } else { text.replace('e', "e+") }
}

/// Indents, and writes numbers as Go does.
struct GoNumbers<'a>(PrettyFormatter<'a>);

impl Formatter for GoNumbers<'_> {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(go_number(value).as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// A value as JSON. Empty lists become null: Compose loses them on the way.
///
/// # Errors
///
/// A number that JSON does not have, such as infinity.
pub(crate) fn node_json(node: &Node) -> Result<serde_json::Value, String> {
    node_json_at(node, &mut Vec::new(), &|_| false)
}

/// As [`node_json`], for a whole document: its keyed lists stay lists when they are empty, but for the variables that
/// normalising goes through.
pub(super) fn document_json(root: &Node, normalised: bool) -> Result<serde_json::Value, String> {
    let stays = |path: &[&str]| {
        let anew = matches!(path, ["services", _, "environment"] | ["services", _, "build", "args"]);
        merge_unique::is_keyed(path) && !(normalised && anew)
    };
    node_json_at(root, &mut Vec::new(), &stays)
}

/// `stays`: whether an empty list at a path stays one.
fn node_json_at<'a>(
    node: &'a Node,
    path: &mut Vec<&'a str>,
    stays: &dyn Fn(&[&str]) -> bool,
) -> Result<serde_json::Value, String> {
    use serde_json::Value as Json;
    Ok(match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Uint(value) => Json::from(*value),
        Value::Float(value) if !value.is_finite() => {
            return Err(format!("{}: {} has no JSON form", node.pos, node.value.go_text()));
        }
        Value::Float(value) => Json::from(*value),
        Value::Str(value) => Json::String(value.clone()),
        // A date alone is midnight, as Go reads it.
        Value::Time(value) if value.len() == 10 => Json::String(format!("{value}T00:00:00Z")),
        Value::Time(value) => Json::String(value.clone()),
        Value::Seq(items) if items.is_empty() && !stays(path) => Json::Null,
        Value::Seq(items) => {
            path.push("[]");
            let list = items.iter().map(|item| node_json_at(item, path, stays)).collect::<Result<_, _>>();
            path.pop();
            Json::Array(list?)
        }
        Value::Map(map) => {
            let mut object = serde_json::Map::new();
            for (key, entry) in map {
                path.push(key);
                let value = node_json_at(&entry.node, path, stays);
                path.pop();
                object.insert(key.clone(), value?);
            }
            Json::Object(object)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_those_of_go() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (0.1, "0.1"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-10, "1.5e-10"),
            (1e20, "100000000000000000000"),
            (12_345_678_901_234_567_890.0, "12345678901234567000"),
            (1e21, "1e+21"),
            (-1.7e308, "-1.7e+308"),
        ] {
            assert_eq!(go_number(value), text);
        }
    }

    #[test]
    fn empty_lists_stay_where_they_are_keyed() {
        let text = "services: {a: {ports: [], command: [], x-l: [], environment: []}}\nx-services: {b: {ports: []}}\n";
        let root = turnout_yaml::parse(text, "f", &turnout_yaml::Limits::default()).unwrap().remove(0);
        for (normalised, environment) in [(true, "null"), (false, "[]")] {
            let own = format!(r#"{{"command":null,"environment":{environment},"ports":[],"x-l":null}}"#);
            assert_eq!(
                serde_json::to_string(&document_json(&root, normalised).unwrap()).unwrap(),
                format!(r#"{{"services":{{"a":{own}}},"x-services":{{"b":{{"ports":null}}}}}}"#)
            );
        }
    }
}
