//! What was found in a body, asked for by path, in the kinds of values that forges send.

use super::{
    Refusal,
    event::shown,
    json_found::{Found, Path, Scanned, Value},
};

/// The wanted values of a body, as far as it has arrived.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'b> {
    wanted: &'b [Path],
    found: &'b [Option<Found>],
}

impl<'b> Fields<'b> {
    /// Those of what was read.
    pub fn of(scanned: &'b Scanned) -> Fields<'b> {
        Fields { wanted: &scanned.wanted, found: &scanned.found }
    }

    /// Whether all of what stands there was read.
    pub fn is_complete(&self, path: Path) -> bool {
        self.at(path).is_some_and(|found| found.complete)
    }

    /// A text. `null` counts as missing.
    ///
    /// # Errors
    /// 400 where it is no text, too long, or stands there twice.
    pub fn text(&self, path: Path) -> Result<Option<&'b str>, Refusal> {
        match self.value(path)? {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(unexpected(path)),
        }
    }

    /// A text that is not empty.
    ///
    /// # Errors
    /// As [`Fields::text`].
    pub fn filled(&self, path: Path) -> Result<Option<&'b str>, Refusal> {
        Ok(self.text(path)?.filter(|text| !text.is_empty()))
    }

    /// `true` or `false`; missing is `false`.
    ///
    /// # Errors
    /// 400 where it is neither, or stands there twice.
    pub fn flag(&self, path: Path) -> Result<bool, Refusal> {
        match self.value(path)? {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(unexpected(path)),
        }
    }

    /// Whether an object stands there.
    ///
    /// # Errors
    /// 400 where something else does, or it stands there twice.
    pub fn object(&self, path: Path) -> Result<bool, Refusal> {
        match self.value(path)? {
            None => Ok(false),
            Some(Value::Object) => Ok(true),
            Some(_) => Err(unexpected(path)),
        }
    }

    /// A commit's full id, in lower case. Nothing shorter is taken: it would be up to the remote which commit is meant.
    ///
    /// # Errors
    /// As [`Fields::text`], and 400 where it is no full id.
    pub fn commit(&self, path: Path) -> Result<Option<String>, Refusal> {
        match self.text(path)? {
            None => Ok(None),
            Some(id) if is_commit(id) => Ok(Some(id.to_ascii_lowercase())),
            Some(_) => Err(Refusal::malformed("a commit is not a full hexadecimal id")),
        }
    }

    /// The first of these that names somebody, fit to be shown. Nothing depends on who it was, so a value of another shape
    /// counts as missing.
    pub fn person(&self, paths: &[Path]) -> Option<String> {
        paths.iter().find_map(|path| self.filled(path).ok().flatten().map(shown))
    }

    /// A text that names something to people (a workflow, a title), fit to be shown.
    ///
    /// # Errors
    /// As [`Fields::text`].
    pub fn label(&self, path: Path) -> Result<Option<String>, Refusal> {
        Ok(self.filled(path)?.map(shown))
    }

    fn at(&self, path: Path) -> Option<&'b Found> {
        let place = self.wanted.iter().position(|wanted| *wanted == path)?;
        self.found.get(place)?.as_ref()
    }

    /// What stands at a place; `null` counts as missing.
    fn value(&self, path: Path) -> Result<Option<&'b Value>, Refusal> {
        let name = || path.join(".");
        match self.at(path) {
            None | Some(Found { value: Value::Null, twice: false, .. }) => Ok(None),
            Some(Found { twice: true, .. }) => Err(Refusal::malformed(format!("the JSON has {} twice", name()))),
            Some(Found { value: Value::Long, .. }) => Err(Refusal::malformed(format!("{} is too long", name()))),
            Some(found) => Ok(Some(&found.value)),
        }
    }
}

/// All zeros: what forges send in place of a commit that is not there.
pub fn is_zero(commit: &str) -> bool {
    commit.bytes().all(|byte| byte == b'0')
}

fn unexpected(path: Path) -> Refusal {
    Refusal::malformed(format!("the JSON has an unexpected shape: {}", path.join(".")))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::json::Scanner;

    const AT: Path = &["v"];

    /// What each kind of value makes of a body, or the status of its refusal.
    #[test]
    fn values_are_of_the_kind_that_is_asked_for() {
        let id = "0123456789ABCDEF0123456789abcdef01234567";
        let quoted = format!(r#"{{"v":"{id}"}}"#);
        let long = format!(r#"{{"v":"{}"}}"#, "x".repeat(10_000));
        let told = |value: Result<String, Refusal>| value.unwrap_or_else(|refusal| refusal.status.to_string());
        for (json, text, flag, object, commit) in [
            ("{}", "None", "false", "false", "None"),
            (r#"{"v":null}"#, "None", "false", "false", "None"),
            (r#"{"v":""}"#, r#"Some("")"#, "400", "400", "400"),
            (r#"{"v":"a"}"#, r#"Some("a")"#, "400", "400", "400"),
            (quoted.as_str(), &format!("Some({id:?})"), "400", "400", &format!("Some({:?})", id.to_lowercase())),
            (r#"{"v":true}"#, "400", "true", "400", "400"),
            (r#"{"v":false}"#, "400", "false", "400", "400"),
            (r#"{"v":{}}"#, "400", "400", "true", "400"),
            (r#"{"v":[]}"#, "400", "400", "400", "400"),
            (r#"{"v":1}"#, "400", "400", "400", "400"),
            (long.as_str(), "400", "400", "400", "400"),
            (r#"{"v":"a","v":"a"}"#, "400", "400", "400", "400"),
            (r#"{"v":null,"v":null}"#, "400", "400", "400", "400"),
        ] {
            let mut scanner = Scanner::new(vec![AT]);
            scanner.feed(json.as_bytes());
            let scanned = scanner.finish().unwrap();
            let fields = Fields::of(&scanned);
            let found = [
                told(fields.text(AT).map(|text| format!("{text:?}"))),
                told(fields.flag(AT).map(|flag| flag.to_string())),
                told(fields.object(AT).map(|object| object.to_string())),
                told(fields.commit(AT).map(|commit| format!("{commit:?}"))),
            ];
            assert_eq!(found, [text, flag, object, commit], "{json:.60}");
        }
    }
}
