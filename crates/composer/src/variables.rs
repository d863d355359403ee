//! `config --variables`: which variables a project reads, and what they fall back to.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Serialize;
use turnout_compose::interpolate::closing;
use turnout_yaml::{Node, Value};

/// Nested deeper than this, and further along a line, a template is not looked into.
const MAX_DEPTH: usize = 500;

/// One mention: `$$`, `$NAME`, `${NAME…}`, or a `${` that is none of them.
const MENTION: &str = r"\$(?:(?P<escaped>\$)|(?P<named>[_A-Za-z][_A-Za-z0-9]*)|\{(?:(?P<braced>[_A-Za-z][_A-Za-z0-9]*(?::?[-+?](.*))?)\}|(?P<invalid>)))";

/// What is said about one variable.
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
    match Regex::new(MENTION) {
        Ok(mention) => of_node(document, &mention),
        // It is a constant; the test beside it would fail first.
        Err(_) => BTreeMap::new(),
    }
}

fn of_node(node: &Node, mention: &Regex) -> BTreeMap<String, Variable> {
    let mut found = BTreeMap::new();
    match &node.value {
        // Of several mentions the last counts: in a text, and in a list.
        Value::Str(text) => {
            let mut mentions = Vec::new();
            of_text(text, mention, &mut mentions, 0);
            found.extend(mentions);
        }
        Value::Seq(items) => items.iter().for_each(|item| found.extend(of_node(item, mention))),
        // In a mapping any; one that says something is of more use.
        Value::Map(map) => {
            for entry in map.values() {
                for (name, variable) in of_node(&entry.node, mention) {
                    let known = found.entry(name).or_insert_with(Variable::default);
                    if *known == Variable::default() {
                        *known = variable;
                    }
                }
            }
        }
        _ => {}
    }
    found
}

/// Mentions in the order in which Compose meets them: as its expression takes as much as it can of a line, what
/// follows a variable in braces comes before it.
fn of_text(text: &str, mention: &Regex, found: &mut Vec<(String, Variable)>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    for groups in mention.captures_iter(text) {
        let group = |name: &str| groups.name(name).map_or("", |group| group.as_str());
        if !group("escaped").is_empty() {
            continue;
        }
        let mut inside = group("named");
        if inside.is_empty() {
            inside = group("braced");
            let whole = groups.get(0).map_or("", |all| all.as_str());
            if let Some((body, after)) = whole
                .get(2..)
                .and_then(|rest| closing(rest).and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?))))
            {
                inside = body;
                of_text(after, mention, found, depth + 1);
            }
        }
        let letters = inside.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (name, rest) = inside.split_at_checked(letters).unwrap_or((inside, ""));
        let operator = rest.strip_prefix(':').unwrap_or(rest);
        let value = operator.get(1..).unwrap_or_default().to_owned();
        let mut variable = Variable::default();
        match operator.chars().next() {
            Some('-') => variable.default = value.clone(),
            Some('+') => variable.alternate = value.clone(),
            Some('?') => variable.required = true,
            _ => {}
        }
        let nested = !variable.required;
        found.push((name.to_owned(), variable));
        if nested {
            of_text(&value, mention, found, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in these texts: `name=default`, `name?` where required, `name+alternate`.
    fn shown(text: &str) -> String {
        let found = variables(&turnout_yaml::parse(text, "f", &turnout_yaml::Limits::default()).unwrap().remove(0));
        let show = found.iter().map(|(name, Variable { required, default, alternate })| {
            match (required, default, alternate) {
                (true, ..) => format!("{name}?"),
                (_, default, alternate) if alternate.is_empty() => format!("{name}={default}"),
                (_, _, alternate) => format!("{name}+{alternate}"),
            }
        });
        show.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn mentions_are_found_with_what_they_say() {
        for (text, expected) in [
            (r#"{"image": "${IMG:-busy}:${TAG?need}"}"#, "IMG=busy TAG?"),
            (r#"["${A} $B ${C:+alt} ${D-x${E:-y}} $$F $"]"#, "A= B= C+alt D=x${E:-y} E=y"),
            // What cannot be read as a variable is listed without a name, a lone `$` is not.
            (r#"["${1} $} a${}"]"#, "="),
            // Of several mentions the last in a list, in a text the first in braces or the last without.
            (r#"["${A:-one}", "${A:-two}", "$A"]"#, "A="),
            (r#"["${A:-one} ${A:-two}", "$B ${B:-x}", "${C:-x} $C"]"#, "A=one B=x C="),
            // In a mapping the one that says something.
            (r#"{"a": "$A", "b": "${A:-x}", "c": "$A"}"#, "A=x"),
            // What is required is not looked into, and an expression ends with its line.
            (r#"["${A?b ${B}}", "${C:-x\ny}"]"#, "= A?"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert!(shown(&format!("[\"{}\"]", "${A}".repeat(5000))).starts_with("A="));
    }
}
