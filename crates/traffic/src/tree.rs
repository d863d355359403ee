//! JSON as it stands in the text, keys that stand there twice included: `serde_json::Value` keeps the last one and says
//! nothing.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::bounds;

/// A value of JSON, within the bounds of what is read.
#[derive(Debug)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    /// A whole number that is not negative.
    Whole(u64),
    /// Any other number.
    Number,
    Text(String),
    List(Vec<Tree>),
    /// In the order of the text.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// What it is, for errors.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Tree::Null => "null",
            Tree::Bool(_) => "true or false",
            Tree::Whole(_) => "a number",
            Tree::Number => "a number that is negative, broken or too large",
            Tree::Text(_) => "a text",
            Tree::List(_) => "a list",
            Tree::Map(_) => "an object",
        }
    }
}

/// Reads a whole text, of at most [`bounds::VALUES`] values. serde_json bounds the depth; the caller has bounded the bytes.
pub(crate) fn parsed(text: &[u8]) -> Result<Tree, String> {
    let left = Cell::new(bounds::VALUES);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let tree = Any(&left).deserialize(&mut reader).and_then(|tree| reader.end().map(|()| tree));
    tree.map_err(|error| format!("is not JSON as it is written here: {error}"))
}

/// Any value, counted.
#[derive(Clone, Copy)]
struct Any<'c>(&'c Cell<usize>);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        let Some(left) = self.0.get().checked_sub(1) else {
            return Err(D::Error::custom(format_args!("more than {} values", bounds::VALUES)));
        };
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Whole(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(u64::try_from(number).map_or(Tree::Number, Tree::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element_seed(self)? {
            list.push(entry);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key()? {
            map.push((key, entries.next_value_seed(self)?));
        }
        Ok(Tree::Map(map))
    }
}
