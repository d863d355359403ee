//! Reading one mapping attribute by attribute, with the conversions that Compose makes.

use std::collections::BTreeMap;

use crate::{
    canonical::split_words,
    cast::{self, Cast},
    error::LoadError,
    model::{Bytes, Duration, ExtraHosts, GoF32},
};
use turnout_yaml::{Node, Value};

/// A mapping and the attribute path that leads to it.
pub(super) struct Fields<'a> {
    node: &'a Node,
    path: String,
}

/// Compose collects `x-*` in the user's own mappings like everywhere, under this key, which then counts as one of them.
/// What is printed and hashed would differ without it.
pub(in crate::resolve) const EXTENSIONS: &str = "#extensions";

type Typed<T> = Result<T, LoadError>;

impl<'a> Fields<'a> {
    /// The document itself.
    pub(super) fn root(node: &'a Node) -> Typed<Self> {
        Self::new(node, String::new())
    }

    /// The mapping at `path`.
    pub(super) fn new(node: &'a Node, path: String) -> Typed<Self> {
        match node.value {
            Value::Map(_) => Ok(Self { node, path }),
            _ => Err(expected("a mapping", node, &path)),
        }
    }

    /// The value of an attribute; null counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<(&'a Node, String)> {
        let node = self.node.get(key).filter(|node| !node.is_null())?;
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Some((node, path))
    }

    /// The place of a `null` that was written out.
    pub(super) fn null(&self, key: &str) -> Option<(&'a Node, String)> {
        let node = self.node.get(key).filter(|node| node.is_null())?;
        Some((node, format!("{}.{key}", self.path)))
    }

    fn read<T>(&self, key: &str, read: impl FnOnce(&'a Node, String) -> Typed<T>) -> Typed<Option<T>> {
        self.get(key).map(|(node, path)| read(node, path)).transpose()
    }

    /// Text, empty when absent.
    pub(super) fn text(&self, key: &str) -> Typed<String> {
        Ok(self.read(key, text)?.unwrap_or_default())
    }

    /// A boolean, false when absent.
    pub(super) fn flag(&self, key: &str) -> Typed<bool> {
        Ok(self.optional_flag(key)?.unwrap_or_default())
    }

    /// A boolean; `None` where the key is absent.
    pub(super) fn optional_flag(&self, key: &str) -> Typed<Option<bool>> {
        self.read(key, |node, path| match &node.value {
            Value::Bool(value) => Ok(*value),
            Value::Str(value) => match cast::apply(Cast::Bool, value) {
                Ok((Value::Bool(value), _)) => Ok(value),
                _ => Err(expected("true or false", node, &path)),
            },
            _ => Err(expected("true or false", node, &path)),
        })
    }

    /// A whole number, 0 when absent.
    pub(super) fn integer(&self, key: &str) -> Typed<i64> {
        Ok(self.optional_integer(key)?.unwrap_or_default())
    }

    /// A whole number; `None` where the key is absent.
    pub(super) fn optional_integer(&self, key: &str) -> Typed<Option<i64>> {
        self.read(key, integer)
    }

    /// A whole number that is not negative.
    pub(super) fn unsigned(&self, key: &str) -> Typed<Option<u64>> {
        self.read(key, |node, path| match &node.value {
            Value::Int(value) => u64::try_from(*value).map_err(|_| expected("0 or more", node, &path)),
            Value::Uint(value) => Ok(*value),
            Value::Float(value) if *value < 0.0 => Err(expected("0 or more", node, &path)),
            // What does not fit becomes this number, as Go has it on amd64.
            Value::Float(value) if value.is_nan() || *value >= 18_446_744_073_709_551_616.0 => Ok(1 << 63),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was looked at")]
            Value::Float(value) => Ok(*value as u64),
            _ => Err(expected("a whole number", node, &path)),
        })
    }

    /// The lower 32 bits of a whole number that is not negative, as Compose takes them.
    pub(super) fn low_32_bits(&self, key: &str) -> Typed<u32> {
        #[expect(clippy::cast_possible_truncation, reason = "that is what is wanted")]
        Ok(self.unsigned(key)?.unwrap_or_default() as u32)
    }

    /// The lower 16 bits of a whole number that is not negative, as Compose takes them.
    pub(super) fn low_16_bits(&self, key: &str) -> Typed<u16> {
        #[expect(clippy::cast_possible_truncation, reason = "that is what is wanted")]
        Ok(self.unsigned(key)?.unwrap_or_default() as u16)
    }

    /// A number, 0 when absent.
    pub(super) fn number(&self, key: &str) -> Typed<GoF32> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the attribute has 32 bits")]
        let read = |node: &Node, path: String| match &node.value {
            Value::Int(value) => Ok(GoF32(*value as f32)),
            Value::Uint(value) => Ok(GoF32(*value as f32)),
            Value::Float(value) if value.is_finite() => Ok(GoF32(*value as f32)),
            Value::Str(value) => match cast::apply(Cast::Float, value) {
                Ok((Value::Float(value), _)) => Ok(GoF32(value as f32)),
                _ => Err(expected("a number", node, &path)),
            },
            _ => Err(expected("a number", node, &path)),
        };
        Ok(self.read(key, read)?.unwrap_or_default())
    }

    /// A size, 0 when absent. A number with a fraction, or from 2^63 on, counts as absent, as Compose has it.
    pub(super) fn bytes(&self, key: &str) -> Typed<Bytes> {
        let read = |node: &Node, path: String| match &node.value {
            Value::Int(value) => Ok(Bytes(*value)),
            Value::Str(value) => Bytes::parse(value)
                .map_err(|message| LoadError::at(path, node, message).hint("for example 64m, 1.5g or 1048576")),
            _ => Ok(Bytes::default()),
        };
        Ok(self.read(key, read)?.unwrap_or_default())
    }

    /// A duration as Go writes it (`1m30s`); `None` where the key is absent.
    pub(super) fn duration(&self, key: &str) -> Typed<Option<Duration>> {
        self.read(key, |node, path| {
            Duration::parse(&node.value.go_text())
                .map_err(|message| LoadError::at(path, node, message).hint("give a unit, for example 30s or 1m30s"))
        })
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Typed<Vec<String>> {
        self.list(key, text)
    }

    /// A list of texts, or one text.
    pub(super) fn texts_or_one(&self, key: &str) -> Typed<Vec<String>> {
        match self.get(key) {
            Some((Node { value: Value::Str(value), .. }, _)) => Ok(vec![value.clone()]),
            _ => self.texts(key),
        }
    }

    /// A command: words, or one text that is split; `None` differs from no words.
    pub(super) fn command(&self, key: &str) -> Typed<Option<Vec<String>>> {
        self.read(key, |node, path| match &node.value {
            Value::Str(line) => split_words(line).map_err(|message| {
                LoadError::at(path, node, message).hint("close the quote, or write the command as a list")
            }),
            _ => items(node, path, text),
        })
    }

    /// A mapping of texts, from either form; a key without value has an empty one.
    pub(super) fn mapping(&self, key: &str) -> Typed<BTreeMap<String, String>> {
        let pairs = self.variables(key, false)?;
        Ok(pairs.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
    }

    /// A mapping of texts, from either form, where a key may have no value.
    ///
    /// With `strict`, white space before `=` is refused.
    pub(super) fn variables(&self, key: &str, strict: bool) -> Typed<BTreeMap<String, Option<String>>> {
        let read = |node: &Node, path: String| match &node.value {
            Value::Map(map) => {
                let (extensions, own): (Vec<_>, Vec<_>) = map.iter().partition(|(key, _)| key.starts_with("x-"));
                let mut pairs: BTreeMap<String, Option<String>> = own
                    .into_iter()
                    .map(|(key, entry)| (key.clone(), (!entry.node.is_null()).then(|| entry.node.value.go_text())))
                    .collect();
                if !extensions.is_empty() {
                    let extras = extensions.into_iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
                    pairs.insert(EXTENSIONS.to_owned(), Some(Value::Map(extras).go_text()));
                }
                Ok(pairs)
            }
            Value::Seq(lines) => {
                let mut pairs = BTreeMap::new();
                for (index, line) in lines.iter().enumerate() {
                    let line_text = line.value.go_text();
                    let (key, value) =
                        line_text.split_once('=').map_or((line_text.as_str(), None), |(key, value)| (key, Some(value)));
                    if strict && key.ends_with(char::is_whitespace) {
                        let message = format!("environment variable '{key}' is declared with a trailing space");
                        return Err(LoadError::at(format!("{path}[{index}]"), line, message));
                    }
                    pairs.insert(key.to_owned(), value.map(str::to_owned));
                }
                Ok(pairs)
            }
            _ => Err(expected("a mapping or a list", node, &path)),
        };
        Ok(self.read(key, read)?.unwrap_or_default())
    }

    /// Additional hosts, from either form.
    pub(super) fn extra_hosts(&self, key: &str) -> Typed<ExtraHosts> {
        let read = |node: &Node, path: String| {
            let mut hosts = ExtraHosts::default();
            let fail = |message: String| LoadError::at(path.clone(), node, message).hint("write host=ip");
            match &node.value {
                Value::Map(map) => {
                    for (host, entry) in map {
                        if host.starts_with("x-") {
                            return Err(fail(format!("'{host}' is taken for an extension, it is no host here")));
                        }
                        let ips: Vec<String> = match &entry.node.value {
                            Value::Null => vec![String::new()],
                            Value::Seq(ips) => ips.iter().map(|ip| ip.value.go_text()).collect(),
                            ip => vec![ip.go_text()],
                        };
                        hosts.push(host, ips.iter().map(String::as_str)).map_err(fail)?;
                    }
                }
                Value::Seq(lines) => {
                    for line in lines {
                        hosts.push_line(&line.value.go_text()).map_err(fail)?;
                    }
                }
                _ => return Err(expected("a mapping or a list", node, &path)),
            }
            Ok(hosts)
        };
        Ok(self.read(key, read)?.unwrap_or_default())
    }

    /// A mapping of its own.
    pub(super) fn section<T>(&self, key: &str, read: impl FnOnce(Fields<'a>) -> Typed<T>) -> Typed<Option<T>> {
        self.read(key, |node, path| read(Fields::new(node, path)?))
    }

    /// A list of anything.
    pub(super) fn list<T>(&self, key: &str, read: impl FnMut(&'a Node, String) -> Typed<T>) -> Typed<Vec<T>> {
        Ok(self.read(key, |node, path| items(node, path, read))?.unwrap_or_default())
    }

    /// A list of mappings.
    pub(super) fn sections<T>(&self, key: &str, mut read: impl FnMut(Fields<'a>) -> Typed<T>) -> Typed<Vec<T>> {
        self.list(key, |node, path| read(Fields::new(node, path)?))
    }

    /// A mapping with the user's keys.
    pub(super) fn table<T>(
        &self,
        key: &str,
        mut read: impl FnMut(&'a Node, String) -> Typed<T>,
    ) -> Typed<BTreeMap<String, T>> {
        let table = self.read(key, |node, path| {
            let Some(map) = node.as_map() else { return Err(expected("a mapping", node, &path)) };
            map.iter().map(|(key, entry)| Ok((key.clone(), read(&entry.node, format!("{path}.{key}"))?))).collect()
        })?;
        Ok(table.unwrap_or_default())
    }

    /// A mapping with the user's keys where `x-*` cannot be one: Compose takes it for an extension.
    pub(super) fn strict_table<T>(
        &self,
        key: &str,
        read: impl FnMut(&'a Node, String) -> Typed<T>,
    ) -> Typed<BTreeMap<String, T>> {
        let map = self.node.get(key).and_then(Node::as_map);
        if let Some((name, entry)) = map.into_iter().flatten().find(|(name, _)| name.starts_with("x-")) {
            let error = LoadError::new(format!("'{name}' is taken for an extension, it names nothing here"));
            let path = format!("{}.{key}.{name}", self.path);
            return Err(error.path(path).pos(entry.key_pos.clone()).hint("use a name that does not begin with x-"));
        }
        self.table(key, read)
    }

    /// The same of what a service refers to: all `x-*` together are one reference, [`EXTENSIONS`], which the check of
    /// what fits together refuses.
    pub(super) fn references<T: Default>(
        &self,
        key: &str,
        read: impl FnMut(&'a Node, String) -> Typed<Option<T>>,
    ) -> Typed<BTreeMap<String, Option<T>>> {
        let mut table = self.table(key, read)?;
        let written = table.len();
        table.retain(|name, _| !name.starts_with("x-"));
        if table.len() < written {
            table.insert(EXTENSIONS.to_owned(), Some(T::default()));
        }
        Ok(table)
    }
}

/// Text; a whole number is taken for its digits.
pub(super) fn text(node: &Node, path: String) -> Typed<String> {
    match &node.value {
        Value::Str(value) => Ok(value.clone()),
        Value::Int(value) => Ok(value.to_string()),
        Value::Null => Ok(String::new()),
        _ => Err(expected("a string", node, &path)),
    }
}

/// A whole number; a fraction is cut off, text is read.
pub(super) fn integer(node: &Node, path: String) -> Typed<i64> {
    match &node.value {
        Value::Int(value) => Ok(*value),
        // Go keeps the bits.
        Value::Uint(value) => Ok(value.cast_signed()),
        // What does not fit becomes the least number, as Go has it on amd64.
        Value::Float(value) if value.is_nan() || value.abs() >= 9_223_372_036_854_775_808.0 => Ok(i64::MIN),
        #[expect(clippy::cast_possible_truncation, reason = "Go truncates, too; the range was looked at")]
        Value::Float(value) => Ok(*value as i64),
        Value::Str(value) => match cast::apply(Cast::Int, value) {
            Ok((Value::Int(value), _)) => Ok(value),
            _ => Err(expected("a whole number", node, &path)),
        },
        _ => Err(expected("a whole number", node, &path)),
    }
}

/// An error for a value of another type.
pub(super) fn expected(what: &str, node: &Node, path: &str) -> LoadError {
    let got = match &node.value {
        Value::Str(text) => format!("'{text}'"),
        Value::Int(_) | Value::Uint(_) | Value::Float(_) => node.value.go_text(),
        other => other.kind().to_owned(),
    };
    LoadError::at(path, node, format!("must be {what}, not {got}"))
}

fn items<'a, T>(node: &'a Node, path: String, mut read: impl FnMut(&'a Node, String) -> Typed<T>) -> Typed<Vec<T>> {
    let Some(items) = node.as_seq() else { return Err(expected("a list", node, &path)) };
    items.iter().enumerate().map(|(index, item)| read(item, format!("{path}[{index}]"))).collect()
}
