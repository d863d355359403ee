//! `config --variables`: which variables a project reads, and what they fall back to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::yaml::{Node, Value};

/// Nested deeper than this, a template is not looked into.
const MAX_DEPTH: usize = 32;

/// What is said about one variable; the first mention that says something counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Variable {
    /// `${V:?…}`.
    pub required: bool,
    /// `${V:-…}`.
    pub default: String,
    /// `${V:+…}`.
    pub alternate: String,
}

/// A variable as `--format yaml` prints it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PrintedVariable {
    name: String,
    defaultvalue: String,
    presencevalue: String,
    required: bool,
}

/// A variable as `--format json` prints it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VariableInJson<'a> {
    name: &'a str,
    default_value: &'a str,
    presence_value: &'a str,
    required: bool,
}

impl Variable {
    /// The form in JSON.
    pub(super) fn in_json<'a>(&'a self, name: &'a str) -> VariableInJson<'a> {
        let Variable { required, default, alternate } = self;
        VariableInJson { name, default_value: default, presence_value: alternate, required: *required }
    }

    /// The printed form.
    pub(super) fn printed(&self, name: &str) -> PrintedVariable {
        let Variable { required, default, alternate } = self;
        PrintedVariable {
            name: name.to_owned(),
            defaultvalue: default.clone(),
            presencevalue: alternate.clone(),
            required: *required,
        }
    }
}

/// Variables in all texts of a document.
pub(super) fn variables(document: &Node) -> BTreeMap<String, Variable> {
    let mut found = BTreeMap::new();
    walk(document, &mut found);
    found
}

fn walk(node: &Node, found: &mut BTreeMap<String, Variable>) {
    match &node.value {
        Value::Str(text) => template(text, found, 0),
        Value::Seq(items) => items.iter().for_each(|item| walk(item, found)),
        Value::Map(map) => map.values().for_each(|entry| walk(&entry.node, found)),
        _ => {}
    }
}

fn template(text: &str, found: &mut BTreeMap<String, Variable>, depth: usize) {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let braced = rest.strip_prefix('{');
        let body = braced.unwrap_or(rest);
        let name: &str = name_of(body);
        let unreadable = braced.is_some()
            && closing(body).is_none_or(|_| {
                let after = body.get(name.len()..).unwrap_or_default();
                let operator = after.strip_prefix(':').unwrap_or(after);
                !(after.starts_with('}') || operator.starts_with(['-', '+', '?']))
            });
        if name.is_empty() || unreadable {
            // Compose lists what it cannot read under no name.
            found.entry(String::new()).or_default();
            continue;
        }
        let mut variable = Variable::default();
        rest = body.get(name.len()..).unwrap_or_default();
        if braced.is_some() {
            let end = closing(rest).unwrap_or(rest.len());
            let (inside, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            rest = after;
            let inside = inside.strip_prefix(':').unwrap_or(inside);
            let value = inside.get(1..).unwrap_or_default();
            match inside.chars().next() {
                Some('-') => variable.default = value.to_owned(),
                Some('+') => variable.alternate = value.to_owned(),
                Some('?') => variable.required = true,
                _ => {}
            }
            if depth < MAX_DEPTH {
                template(value, found, depth + 1);
            }
        }
        let known = found.entry(name.to_owned()).or_default();
        if *known == Variable::default() {
            *known = variable;
        }
    }
}

fn name_of(text: &str) -> &str {
    let letters = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    match text.bytes().next() {
        Some(b) if b.is_ascii_digit() => "",
        _ => text.get(..letters).unwrap_or_default(),
    }
}

/// Offset of the `}` that closes; braces inside are counted.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_found_with_what_they_say() {
        let text = r#"{"image": "${IMG:-busy}:${TAG?need}", "list": ["${A} $B ${C:+alt} ${D-x${E:-y}} $$F ${1} $", "${A:-two}"]}"#;
        let found = variables(&crate::yaml::parse(text, "f", &crate::yaml::Limits::default()).unwrap().remove(0));
        let show: Vec<String> =
            found.iter().map(|(name, v)| format!("{name} {} {:?} {:?}", v.required, v.default, v.alternate)).collect();
        assert_eq!(
            show,
            [
                // What cannot be read as a variable is listed without a name.
                " false \"\" \"\"",
                "A false \"two\" \"\"",
                "B false \"\" \"\"",
                "C false \"\" \"alt\"",
                "D false \"x${E:-y}\" \"\"",
                "E false \"y\" \"\"",
                "IMG false \"busy\" \"\"",
                "TAG true \"\" \"\"",
            ]
        );
    }
}
