//! What is wrong with, or odd about, a Compose project.

use std::{collections::BTreeSet, fmt};

use turnout_report::{is_secret_name, redact::MASK};
use turnout_yaml::{Node, Pos, Value, YamlError};

/// A project that cannot be loaded: where, what, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// Attribute path such as `services.web.ports[0]`; empty when the mistake belongs to no attribute.
    pub path: String,
    /// File, line and column, when known.
    pub pos: Option<Pos>,
    /// What is wrong and, where there is more than one way, what to write instead.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// Something odd that does not prevent the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Attribute path; may be empty.
    pub path: String,
    /// File, line and column, when known.
    pub pos: Option<Pos>,
    /// What is odd, and what is made of it.
    pub message: String,
    /// What would be better.
    pub hint: Option<String>,
}

impl LoadError {
    /// An error that belongs to no attribute.
    pub fn new(message: impl Into<String>) -> LoadError {
        LoadError { path: String::new(), pos: None, message: message.into(), hint: None }
    }

    /// An error at an attribute. Where the attribute's name says that its value is secret, `[redacted]` stands in the
    /// message wherever the value did.
    pub fn at(path: impl Into<String>, node: &Node, message: impl Into<String>) -> LoadError {
        let (path, mut message) = (path.into(), message.into());
        if is_secret_at(&path, node) {
            message = without_value(message, node);
        }
        LoadError { path, pos: Some(node.pos.clone()), message, hint: None }
    }

    /// The same error with what would be right.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> LoadError {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with an attribute path.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> LoadError {
        self.path = path.into();
        self
    }

    /// The same error with a place.
    #[must_use]
    pub fn pos(mut self, pos: Pos) -> LoadError {
        self.pos = Some(pos);
        self
    }
}

impl Warning {
    /// A warning that belongs to no attribute.
    pub fn new(message: impl Into<String>) -> Warning {
        Warning { path: String::new(), pos: None, message: message.into(), hint: None }
    }

    /// A warning at an attribute.
    pub fn at(path: impl Into<String>, pos: &Pos, message: impl Into<String>) -> Warning {
        Warning { path: path.into(), pos: Some(pos.clone()), message: message.into(), hint: None }
    }
}

/// Whether the value at this path is taken for a secret: any part of the path has a name that says so, or the entry of a
/// list (`- DB_PASSWORD=x`) has.
pub(super) fn is_secret_at(path: &str, node: &Node) -> bool {
    let assigned = || node.as_str().and_then(|text| text.split_once(['=', ':'])).map(|(name, _)| name.trim());
    path.split(['.', '[', ']']).any(is_secret_name) || path.ends_with(']') && assigned().is_some_and(is_secret_name)
}

fn without_value(message: String, node: &Node) -> String {
    let shown = match &node.value {
        Value::Str(text) => text.clone(),
        Value::Int(_) | Value::Uint(_) | Value::Float(_) => node.value.go_text(),
        _ => return message,
    };
    let quoted = format!("{shown:?}");
    // In quotes that escape first: it is the longer one.
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    let forms = [inner, shown.as_str()];
    forms.iter().filter(|form| !form.is_empty()).fold(message, |message, form| message.replace(form, MASK))
}

impl From<YamlError> for LoadError {
    fn from(error: YamlError) -> LoadError {
        LoadError { path: String::new(), pos: Some(error.pos), message: error.message, hint: error.hint }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.path, self.pos.as_ref(), &self.message, self.hint.as_deref())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.path, self.pos.as_ref(), &self.message, self.hint.as_deref())
    }
}

impl std::error::Error for LoadError {}

/// Different warnings of one project; nobody reads more.
const MOST_WARNINGS: usize = 1000;

/// Keeps a warning. A short text may name a million variables that are not set.
pub(super) fn keep(warnings: &mut Vec<Warning>, warning: Warning) {
    if warnings.len() > 10 * MOST_WARNINGS {
        *warnings = distinct(std::mem::take(warnings));
    }
    warnings.push(warning);
}

/// Each warning once, as the same text is often met on several ways; of very many the first, and that there are more.
pub(super) fn distinct(mut warnings: Vec<Warning>) -> Vec<Warning> {
    let mut seen = BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.message.clone()));
    if warnings.len() > MOST_WARNINGS {
        warnings.truncate(MOST_WARNINGS);
        warnings.push(Warning::new(format!("there are more than {MOST_WARNINGS} warnings, the others are left out")));
    }
    warnings
}

/// `compose.yaml:12:5: services.web.ports[0]: message (hint)`
fn write(f: &mut fmt::Formatter<'_>, path: &str, pos: Option<&Pos>, message: &str, hint: Option<&str>) -> fmt::Result {
    if let Some(pos) = pos {
        write!(f, "{pos}: ")?;
    }
    if !path.is_empty() {
        write!(f, "{}: ", shortened(path))?;
    }
    f.write_str(&shortened(message))?;
    match hint {
        Some(hint) => write!(f, " ({})", shortened(hint)),
        None => Ok(()),
    }
}

/// Keys and values of any length are repeated in messages; nobody reads past the first thousand characters.
fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    const MOST: usize = 1000;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use turnout_yaml::{Limits, parse};

    use super::*;

    #[test]
    fn values_of_secret_names_are_not_quoted() {
        for (path, value, message, expected) in [
            (
                "services.a.environment.DB_PASSWORD",
                "'a\"b'",
                r#"must be x, not 'a"b' "a\"b""#,
                "must be x, not '[redacted]' \"[redacted]\"",
            ),
            ("services.a.build.args.API_KEY[0]", "12345", "must be text, not 12345", "must be text, not [redacted]"),
            ("x.environment[3]", "'PIN=x: 1'", "odd: PIN=x: 1", "odd: [redacted]"),
            ("services.a.image", "'a b'", "must be x, not 'a b'", "must be x, not 'a b'"),
            ("x.PASSWORD", "''", "must not be empty", "must not be empty"),
        ] {
            let node = parse(value, "f", &Limits::default()).unwrap().remove(0);
            assert_eq!(LoadError::at(path, &node, message).message, expected, "{path}");
        }
    }
}
