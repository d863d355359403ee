//! Reading JSON values into types, every mistake with its path.

use serde_json::{Map, Value};
use turnout_compose::model::Duration;
use turnout_report::{Mistakes, nearest};

use super::keys::Key;

/// Reads, and collects mistakes.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) mistakes: Mistakes,
}

/// A mapping at a path.
pub(super) struct Fields<'v> {
    pub(super) path: String,
    map: &'v Map<String, Value>,
    /// Keys that count as absent, for a mistake about them is told already.
    left_out: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    /// A key's path and value, unless it is absent or null.
    pub(super) fn get(&self, key: &str) -> Option<(String, &'v Value)> {
        let value = self.map.get(key).filter(|value| !value.is_null() && !self.left_out.contains(&key))?;
        Some((below(&self.path, key), value))
    }
}

/// The path of a key.
pub(super) fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What a value is, for messages.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) => format!("`{}`", text.chars().take(60).flat_map(char::escape_debug).collect::<String>()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

/// `20ms`, `5s`.
pub(crate) fn shown_time(millis: u64) -> String {
    match millis % 1_000 {
        0 => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

impl Reading {
    pub(super) fn wrong(&mut self, path: &str, value: &Value, wanted: &str) {
        self.mistakes.add(path, format!("is {}; {wanted} is wanted", kind(value)));
    }

    /// A mapping of known keys; `later` are keys that are known and have no effect yet.
    pub(super) fn fields<'v>(
        &mut self,
        path: &str,
        value: &'v Value,
        keys: &[&str],
        later: &[&str],
    ) -> Option<Fields<'v>> {
        let map = self.map(path, value)?;
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            let message = match later.contains(&key.as_str()) {
                true => "is not there yet; take it out".to_owned(),
                false => match nearest(key, keys.iter().copied()) {
                    Some(near) => format!("unknown key; did you mean `{near}`?"),
                    None => format!("unknown key; known here: {}", keys.join(", ")),
                },
            };
            self.mistakes.add(below(path, key), message);
        }
        Some(Fields { path: path.to_owned(), map, left_out: Vec::new() })
    }

    /// Leaves out what is said in a commit, and is no business of one.
    pub(super) fn of_the_host(&mut self, fields: &mut Fields<'_>, keys: &[Key]) {
        for key in keys.iter().filter(|key| !key.by_commit) {
            if let Some((at, _)) = fields.get(key.name) {
                self.mistakes.add(&at, "is no business of a commit; write it under `switch:` in repos.yaml");
                fields.left_out.push(key.name);
            }
        }
    }

    /// A mapping of names that the user chose.
    pub(super) fn map<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        if value.as_object().is_none() {
            self.wrong(path, value, "a mapping");
        }
        value.as_object()
    }

    pub(super) fn list<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v Vec<Value>> {
        if value.as_array().is_none() {
            self.wrong(path, value, "a list");
        }
        value.as_array()
    }

    pub(super) fn text<'v>(&mut self, path: &str, value: &'v Value) -> Option<&'v str> {
        if value.as_str().is_none() {
            self.wrong(path, value, "a text");
        }
        value.as_str()
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&mut self, path: &str, value: &Value, words: &[(&str, T)]) -> Option<T> {
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(path, value, &format!("one of {}", known.join(", ")));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A duration in Compose's words, `90s` or `24h`; not negative.
    pub(super) fn duration(&mut self, path: &str, value: &Value) -> Option<Duration> {
        let text = value.as_str().filter(|text| !text.starts_with('-'));
        let read = text.and_then(|text| Duration::parse(text).ok());
        if read.is_none() {
            self.wrong(path, value, "a duration such as 90s or 24h");
        }
        read
    }

    pub(super) fn flag(&mut self, path: &str, value: &Value) -> Option<bool> {
        if value.as_bool().is_none() {
            self.wrong(path, value, "true or false");
        }
        value.as_bool()
    }

    pub(super) fn texts(&mut self, path: &str, value: &Value) -> Option<Vec<String>> {
        let list = self.list(path, value)?;
        let texts =
            list.iter().enumerate().map(|(at, item)| self.text(&format!("{path}[{at}]"), item).map(str::to_owned));
        texts.collect()
    }
}
