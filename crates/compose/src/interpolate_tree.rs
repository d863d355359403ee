//! Interpolates a whole document: every text value, never a key. Then each value gets the type of its attribute.

use turnout_report::redact::MASK;
use turnout_yaml::{Map, Node, Value};

use super::{
    cast,
    error::{LoadError, Warning, is_secret_at, keep},
    interpolate::{Lookup, TemplateError, Work, substitute},
};

/// Bytes that all substitutions of one project may yield together.
const MAX_TOTAL: usize = 64 << 20;

/// Replaces variables in every text of `root`, in place. `total`: bytes that came of it in the project so far.
///
/// # Errors
///
/// The first text that cannot be interpolated or does not fit its attribute's type, with path and place.
pub(super) fn interpolate(
    root: &mut Node,
    lookup: &Lookup<'_>,
    total: &mut usize,
    warnings: &mut Vec<Warning>,
) -> Result<(), LoadError> {
    let mut walk = Walk {
        lookup,
        warnings,
        pattern: Vec::new(),
        shown: String::new(),
        total,
        work: Work::default(),
        failed: None,
    };
    let result = walk.node(root);
    let failed = walk.failed.take();
    result.map_err(|error| match failed {
        // An alias brings the text of an anchor elsewhere to where it is a secret.
        Some(failed) if stands_secret(root, &failed.text, &mut String::new()) => {
            LoadError { message: failed.message, ..error }
        }
        _ => error,
    })
}

/// A text that was refused at a path that does not speak of a secret.
struct Failed {
    text: String,
    /// What the error says where nothing of the text may be told.
    message: String,
}

/// Whether the text stands somewhere where it is taken for a secret.
fn stands_secret(node: &Node, text: &str, path: &mut String) -> bool {
    let length = path.len();
    let mut step = |part: &str, node: &Node| {
        path.push_str(part);
        let found = stands_secret(node, text, path);
        path.truncate(length);
        found
    };
    match &node.value {
        Value::Str(other) => other == text && is_secret_at(path, node),
        Value::Map(map) => map.iter().any(|(key, entry)| step(&format!(".{key}"), &entry.node)),
        Value::Seq(items) => items.iter().any(|item| step("[]", item)),
        _ => false,
    }
}

/// As [`interpolate`], for a single value that stands at the top-level key `key`.
///
/// # Errors
///
/// As [`interpolate`].
pub(super) fn interpolate_at(
    key: &str,
    node: &mut Node,
    lookup: &Lookup<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(), LoadError> {
    let mut walk = Walk {
        lookup,
        warnings,
        pattern: Vec::new(),
        shown: String::new(),
        total: &mut 0,
        work: Work::default(),
        failed: None,
    };
    walk.step(key, key, node)
}

struct Walk<'a> {
    lookup: &'a Lookup<'a>,
    warnings: &'a mut Vec<Warning>,
    /// Keys on the way; `[]` for a list position.
    pattern: Vec<String>,
    shown: String,
    total: &'a mut usize,
    work: Work,
    failed: Option<Failed>,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node) -> Result<(), LoadError> {
        match &mut node.value {
            Value::Str(_) => self.text(node),
            Value::Map(map) => self.map(map),
            Value::Seq(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.step("[]", &format!("[{index}]"), item)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn map(&mut self, map: &mut Map) -> Result<(), LoadError> {
        for (key, entry) in map {
            let shown = if self.shown.is_empty() { key.clone() } else { format!(".{key}") };
            self.step(key, &shown, &mut entry.node)?;
        }
        Ok(())
    }

    fn step(&mut self, key: &str, shown: &str, node: &mut Node) -> Result<(), LoadError> {
        let length = self.shown.len();
        self.shown.push_str(shown);
        self.pattern.push(key.to_owned());
        self.node(node)?;
        self.pattern.pop();
        self.shown.truncate(length);
        Ok(())
    }

    fn text(&mut self, node: &mut Node) -> Result<(), LoadError> {
        let Value::Str(text) = &node.value else { return Ok(()) };
        let (warnings, shown) = (&mut *self.warnings, &self.shown);
        let mut unset = |name: &str| {
            let message = format!("The {name:?} variable is not set. Defaulting to a blank string.");
            keep(warnings, Warning::at(shown.clone(), &node.pos, message));
        };
        let result = substitute(text, self.lookup, &mut unset, &mut self.work);
        let text = match result {
            Ok(text) => text,
            Err(error) => return Err(self.refused(node, error)),
        };
        *self.total = self.total.saturating_add(text.len());
        if *self.total > MAX_TOTAL {
            return Err(LoadError::at(
                self.shown.clone(),
                node,
                format!("interpolated texts exceed {MAX_TOTAL} bytes"),
            )
            .hint("refer to long variables fewer times"));
        }
        let pattern: Vec<&str> = self.pattern.iter().map(String::as_str).collect();
        let Some(wanted) = cast::cast_at(&pattern) else {
            node.value = Value::Str(text);
            return Ok(());
        };
        match cast::apply(wanted, &text) {
            Ok((value, odd)) => {
                if let Some(message) = odd {
                    keep(self.warnings, Warning::at(self.shown.clone(), &node.pos, message));
                }
                node.value = value;
                Ok(())
            }
            Err(right) => {
                let secret = is_secret_at(&self.shown, node);
                let quoted = if secret { MASK.to_owned() } else { format!("{text:?}") };
                let message = format!("failed to cast to expected type: {quoted}");
                Err(LoadError::at(self.shown.clone(), node, message).hint(format!("it must be {right}")))
            }
        }
    }

    fn refused(&mut self, node: &Node, error: TemplateError) -> LoadError {
        let hint = match &error {
            TemplateError::Invalid(_) => "write ${NAME}, or escape any $ that is meant literally with another $".into(),
            TemplateError::Required { name, .. } => format!("set {name} in the environment or in the .env file"),
            TemplateError::TooDeep | TemplateError::TooLong => "simplify the text".into(),
            TemplateError::TooMuch => "refer to long variables fewer times".into(),
        };
        let message = match &error {
            TemplateError::Invalid(_) => error.to_string(),
            _ => format!("error while interpolating: {error}"),
        };
        let unquoted = match error.of_secret() {
            invalid @ TemplateError::Invalid(_) => invalid.to_string(),
            other => format!("error while interpolating: {other}"),
        };
        if is_secret_at(&self.shown, node) {
            return LoadError::at(self.shown.clone(), node, unquoted).hint(hint);
        }
        if let Value::Str(text) = &node.value {
            self.failed = Some(Failed { text: text.clone(), message: unquoted });
        }
        LoadError::at(self.shown.clone(), node, message).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use turnout_yaml::{Limits, parse};

    fn run(text: &str) -> Result<(Node, Vec<Warning>), LoadError> {
        let mut root = parse(text, "compose.yaml", &Limits::default()).unwrap().remove(0);
        let mut warnings = Vec::new();
        let lookup = |name: &str| (name == "N").then(|| "3".to_owned());
        interpolate(&mut root, &lookup, &mut 0, &mut warnings)?;
        Ok((root, warnings))
    }

    #[test]
    fn values_are_replaced_and_typed_and_keys_are_not() {
        let (root, warnings) =
            run("services:\n  a: {scale: \"$N\", image: \"i:$N\", tty: 'yes', environment: {$N: \"$U\"}}\n").unwrap();
        let a = root.get("services").unwrap().get("a").unwrap();
        assert_eq!(a.get("scale").unwrap().value, Value::Int(3));
        assert_eq!(a.get("image").unwrap().as_str(), Some("i:3"));
        assert_eq!(a.get("tty").unwrap().value, Value::Bool(true));
        assert_eq!(a.get("environment").unwrap().get("$N").unwrap().as_str(), Some(""));
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn errors_at_secrets_quote_nothing() {
        let service = "services:\n  a:\n    environment:\n";
        for (text, part) in [
            (
                "      DB_PASSWORD: |-\n        Wq7Z-s3cret${\n",
                "DB_PASSWORD: invalid interpolation format: [redacted] (",
            ),
            ("      DB_PASSWORD: \"Wq7Z\\x2ds3cret${\"\n", "invalid interpolation format: [redacted]"),
            ("      ? DB_PASSWORD\n      : Wq7Z-s3cret${\n", "invalid interpolation format: [redacted]"),
            ("      - DB_PASSWORD=Wq7Z-s3cret${\n", "environment[0]: invalid interpolation format: [redacted]"),
            (
                "      DB_PASSWORD: ${NOPE?Wq7Z-s3cret}\n",
                "required variable NOPE is missing a value: [redacted] (set NOPE",
            ),
            (
                "      DB_PASSWORD: x${NOPE:-${MORE:?Wq7Z-s3cret}}\n",
                "required variable MORE is missing a value: [redacted]",
            ),
            ("      MODE: &m Wq7Z-s3cret${\n      DB_PASSWORD: *m\n", "MODE: invalid interpolation format: [redacted]"),
            (
                "      MODE: &m Wq7Z-s3cret${\n    x-auth: [{password: *m}]\n",
                "MODE: invalid interpolation format: [redacted]",
            ),
            (
                "      MODE: x\n    ulimits: {my_key: Wq7Z-s3cret}\n",
                "my_key: failed to cast to expected type: [redacted]",
            ),
        ] {
            let error = run(&format!("{service}{text}")).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("Wq7Z"), "{text}: {error}");
        }
        // What is no secret is quoted, and a message at another path is told.
        let error = run(&format!("{service}      MODE: Wq7Z${{\n      DB_PASSWORD: other\n")).unwrap_err().to_string();
        assert!(error.contains("Wq7Z${"), "{error}");
    }

    #[test]
    fn the_texts_of_a_project_have_a_bound_together() {
        for (before, fits) in [(0, true), (MAX_TOTAL - 3, true), (MAX_TOTAL - 2, false), (2 * MAX_TOTAL, false)] {
            let mut root = parse("a: [x, yz]\n", "compose.yaml", &Limits::default()).unwrap().remove(0);
            let (mut total, mut warnings) = (before, Vec::new());
            match interpolate(&mut root, &|_| None, &mut total, &mut warnings) {
                Ok(()) => assert!(fits && total == before + 3, "{before}"),
                Err(error) => {
                    assert!(!fits && error.to_string().contains(": interpolated texts exceed"), "{error}")
                }
            }
        }
    }

    #[test]
    fn a_value_by_itself_is_told_of_by_its_key() {
        let one = |text: &str| {
            let mut node = parse(text, "compose.yaml", &Limits::default()).unwrap().remove(0);
            let mut warnings = Vec::new();
            let lookup = |name: &str| (name == "N").then(|| "shop".to_owned());
            interpolate_at("name", &mut node, &lookup, &mut warnings).map(|()| (node, warnings.len()))
        };
        let (node, warnings) = one("my-$N$U\n").unwrap();
        assert_eq!((node.as_str(), warnings), (Some("my-shop"), 1));
        let error = one("\"${N\"\n").unwrap_err().to_string();
        assert!(error.contains("name: invalid interpolation format: ${N"), "{error}");
    }

    #[test]
    fn errors_name_attribute_and_place() {
        for (text, part) in [
            (
                "services:\n  a:\n    ports:\n      - \"${X\"\n",
                "compose.yaml:4:9: services.a.ports[0]: invalid interpolation",
            ),
            (
                "services:\n  a: {image: \"${X:?tell me}\"}\n",
                "services.a.image: error while interpolating: required variable X is missing a value: tell me (set X",
            ),
            (
                "services:\n  a: {scale: many}\n",
                "services.a.scale: failed to cast to expected type: \"many\" (it must be a whole number",
            ),
        ] {
            let error = run(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
