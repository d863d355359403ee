//! Readers of single values: a YAML node in, a typed value or a noted mistake out.

use std::{path::PathBuf, time::Duration};

use super::choice::Choice;
use crate::{
    config::{
        mistake::{Mistake, Place},
        units,
    },
    report::nearest,
    yaml::{Entry, Map, Node, Pos, Value},
};

/// Collects mistakes while values are read.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
}

impl Notes {
    /// Notes a mistake without a hint.
    pub(super) fn wrong(&mut self, pos: &Pos, path: &str, message: impl Into<String>) {
        self.mistakes.push(Mistake::new(Place::At(pos.clone()), path, message));
    }

    /// Notes a mistake and what to do.
    pub(super) fn wrong_hint(&mut self, pos: &Pos, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.mistakes.push(Mistake::new(Place::At(pos.clone()), path, message).hint(hint));
    }

    /// Notes something odd.
    pub(super) fn odd(&mut self, pos: &Pos, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.warnings.push(Mistake::new(Place::At(pos.clone()), path, message).hint(hint));
    }

    /// Notes every key of `map` that is not in `known`. `synonyms` maps what other tools call it to our name.
    pub(super) fn unknown_keys(&mut self, map: &Map, path: &str, known: &[&str], synonyms: &[(&str, &str)]) {
        for (key, entry) in map {
            if known.contains(&key.as_str()) {
                continue;
            }
            let synonym = synonyms.iter().find(|(other, _)| other.eq_ignore_ascii_case(key)).map(|(_, ours)| *ours);
            let hint = match synonym.or_else(|| nearest(key, known.iter().copied())) {
                Some(ours) => format!("did you mean `{ours}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            self.wrong_hint(&entry.key_pos, &join(path, key), "unknown key", hint);
        }
    }

    /// Text that is not empty.
    pub(super) fn text(&mut self, entry: &Entry, path: &str) -> Option<String> {
        match &entry.node.value {
            Value::Str(text) if text.trim().is_empty() => {
                self.wrong(&entry.node.pos, path, "is empty");
                None
            }
            Value::Str(text) if text.chars().any(char::is_control) => {
                self.wrong(&entry.node.pos, path, "contains a control character");
                None
            }
            Value::Str(text) => Some(text.clone()),
            other => {
                self.wrong_hint(
                    &entry.node.pos,
                    path,
                    format!("is {}, a text is needed", kind(other)),
                    "put it between quotes if that is meant",
                );
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, entry: &Entry, path: &str) -> Option<bool> {
        match &entry.node.value {
            Value::Bool(value) => Some(*value),
            other => {
                self.wrong(&entry.node.pos, path, format!("is {}, true or false is needed", kind(other)));
                None
            }
        }
    }

    /// A whole number from 0 to `most`.
    pub(super) fn count(&mut self, entry: &Entry, path: &str, most: usize) -> Option<usize> {
        let number = match &entry.node.value {
            Value::Int(number) => usize::try_from(*number).ok(),
            Value::Uint(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        let found = number.filter(|number| *number <= most);
        if found.is_none() {
            self.wrong(&entry.node.pos, path, format!("must be a whole number from 0 to {most}"));
        }
        found
    }

    /// A size such as `1GiB`.
    pub(super) fn size(&mut self, entry: &Entry, path: &str) -> Option<u64> {
        let text = match &entry.node.value {
            Value::Str(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            Value::Uint(number) => number.to_string(),
            other => {
                let message = format!("is {}, a size is needed", kind(other));
                self.wrong_hint(&entry.node.pos, path, message, "write it like 500MB or 1GiB");
                return None;
            }
        };
        units::bytes(&text).map_err(|message| self.wrong(&entry.node.pos, path, message)).ok()
    }

    /// A duration such as `90s`.
    pub(super) fn duration(&mut self, entry: &Entry, path: &str) -> Option<Duration> {
        let text = match &entry.node.value {
            Value::Str(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            other => {
                let message = format!("is {}, a duration is needed", kind(other));
                self.wrong_hint(&entry.node.pos, path, message, "write it like 90s, 5m or 1h30m");
                return None;
            }
        };
        units::duration(&text).map_err(|message| self.wrong(&entry.node.pos, path, message)).ok()
    }

    /// One text or a list of texts.
    pub(super) fn texts(&mut self, entry: &Entry, path: &str) -> Option<Vec<(String, Pos)>> {
        match &entry.node.value {
            Value::Str(_) => self.text(entry, path).map(|text| vec![(text, entry.node.pos.clone())]),
            Value::Seq(items) => {
                let mut texts = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let item = Entry { key_pos: item.pos.clone(), node: item.clone() };
                    if let Some(text) = self.text(&item, &format!("{path}[{index}]")) {
                        texts.push((text, item.node.pos));
                    }
                }
                Some(texts)
            }
            other => {
                self.wrong(&entry.node.pos, path, format!("is {}, a text or a list of texts is needed", kind(other)));
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Choice>(&mut self, entry: &Entry, path: &str) -> Option<T> {
        let text = self.text(entry, path)?;
        let found = T::of(&text);
        if found.is_none() {
            let all = T::WORDS.iter().map(|(word, _)| *word);
            let hint = match nearest(&text, all.clone()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("one of: {}", all.collect::<Vec<_>>().join(", ")),
            };
            self.wrong_hint(&entry.node.pos, path, format!("`{text}` is not known here"), hint);
        }
        found
    }

    /// An absolute path without `..`.
    pub(super) fn absolute(&mut self, entry: &Entry, path: &str) -> Option<PathBuf> {
        let text = self.text(entry, path)?;
        let hint = if text.starts_with('~') {
            "`~` is not expanded here; write the whole path"
        } else if !text.starts_with('/') {
            "write the whole path, for instance /srv/shop"
        } else if text.split('/').any(|part| part == "..") {
            "write the path without `..`"
        } else {
            return Some(PathBuf::from(text));
        };
        self.wrong_hint(&entry.node.pos, path, format!("`{text}` is not an absolute path"), hint);
        None
    }

    /// The mapping that a node is; `None`, and a note, where it is none.
    pub(super) fn map<'n>(&mut self, node: &'n Node, path: &str, needed: &str) -> Option<&'n Map> {
        match &node.value {
            Value::Map(map) => Some(map),
            other => {
                self.wrong(&node.pos, path, format!("is {}, {needed} is needed", kind(other)));
                None
            }
        }
    }
}

/// A value's kind in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::Uint(_) | Value::Float(_) => "a number",
        Value::Str(_) => "a text",
        Value::Seq(_) => "a list",
        Value::Map(_) => "a mapping",
        Value::Time(_) => "a date",
    }
}

/// The path of a key below another.
pub(super) fn join(path: &str, key: &str) -> String {
    // Keys come from a file that somebody edited: keep what is shown on one line and short.
    let key: String = key.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect();
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
