//! The printed document as a tree, before it becomes YAML or JSON text: made of any value that serde can write, its
//! keys in the order in which they are printed.

use std::{cmp::Ordering, fmt};

use serde::{Serialize, ser};

use crate::model::GoF32;
use turnout_yaml::{Node, Value};

/// A value to print.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Int(i128),
    /// A number with a fraction, or one that is written with an exponent when it is large.
    Float(f64),
    /// Text, quoted where it would be read as something else.
    Text(String),
    /// A date or time, never quoted.
    Time(String),
    List(Vec<Tree>),
    Map(Map),
}

/// A mapping, in the order it is printed.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Map {
    /// In the order in which they are printed.
    pub entries: Vec<(String, Tree)>,
    /// Whether this is a section with fixed keys, which can carry extensions.
    pub section: bool,
}

impl Tree {
    /// Any value as a tree.
    ///
    /// # Errors
    ///
    /// Mapping keys that are no text, and what the value itself refuses.
    pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Tree, Fault> {
        value.serialize(Writer)
    }

    /// A value as it stood in a file.
    pub(super) fn of_node(node: &Node) -> Tree {
        match &node.value {
            Value::Null => Tree::Null,
            Value::Bool(value) => Tree::Bool(*value),
            Value::Int(value) => Tree::Int(i128::from(*value)),
            Value::Uint(value) => Tree::Int(i128::from(*value)),
            Value::Float(value) => Tree::Float(*value),
            Value::Str(value) => Tree::Text(value.clone()),
            Value::Time(value) => Tree::Time(value.clone()),
            Value::Seq(items) => Tree::List(items.iter().map(Tree::of_node).collect()),
            Value::Map(map) => {
                Tree::sorted(map.iter().map(|(key, entry)| (key.clone(), Tree::of_node(&entry.node))).collect())
            }
        }
    }

    /// A mapping with its keys in the order that go-yaml sorts them.
    pub(super) fn sorted(mut entries: Vec<(String, Tree)>) -> Tree {
        entries.sort_by(|(a, _), (b, _)| natural(a, b));
        Tree::Map(Map { entries, section: false })
    }

    /// The value under `key`.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Tree> {
        let Tree::Map(map) = self else { return None };
        map.entries.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The items of a list, or none.
    pub(super) fn items_mut(&mut self) -> impl Iterator<Item = &mut Tree> {
        let items: &mut [Tree] = if let Tree::List(items) = self { items } else { &mut [] };
        items.iter_mut()
    }

    /// The values of a mapping, or none.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Tree> {
        let entries: &mut [(String, Tree)] = if let Tree::Map(map) = self { &mut map.entries } else { &mut [] };
        entries.iter_mut().map(|(_, value)| value)
    }

    /// Removes what `dropped` says from these keys of a mapping.
    pub(super) fn drop_if(&mut self, keys: &[&str], dropped: fn(&Tree) -> bool) {
        if let Tree::Map(map) = self {
            map.entries.retain(|(key, value)| !(keys.contains(&key.as_str()) && dropped(value)));
        }
    }

    /// Whether this is a mapping without entries.
    pub(super) fn is_empty_map(&self) -> bool {
        matches!(self, Tree::Map(map) if map.entries.is_empty())
    }

    /// Whether this is `null`.
    pub(super) fn is_null(&self) -> bool {
        *self == Tree::Null
    }
}

/// The order of go-yaml's keys: runs of digits by their value, letters after other characters unless a number ends
/// there (`a2` before `a10`).
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut digits = false;
    for (at, (x, y)) in a.iter().zip(&b).enumerate() {
        if x == y {
            digits = x.is_numeric();
            continue;
        }
        return match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => x.cmp(y),
            // A letter ends a number, so it is less than a longer number; it is more than any other character.
            (first, second) if first || second => {
                let less = if digits { first } else { second };
                if less { Ordering::Less } else { Ordering::Greater }
            }
            _ => numbers(&a, &b, at).then_with(|| x.cmp(y)),
        };
    }
    a.len().cmp(&b.len())
}

/// Compares the numbers that begin at `at`; leading zeros count only where nothing but zeros came before.
fn numbers(a: &[char], b: &[char], at: usize) -> Ordering {
    let zero = a.get(at) == Some(&'0') || b.get(at) == Some(&'0');
    let before = a.iter().take(at).rev().take_while(|c| c.is_ascii_digit());
    let start: i64 = i64::from(zero && before.into_iter().any(|c| *c != '0'));
    let read = |text: &[char]| {
        let digits = text.iter().skip(at).map_while(|c| c.to_digit(10));
        digits.fold((start, 0_usize), |(value, count), digit| {
            (value.wrapping_mul(10).wrapping_add(i64::from(digit)), count + 1)
        })
    };
    read(a).cmp(&read(b))
}

/// Why a value has no tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl ser::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Fault {
        Fault(message.to_string())
    }
}

/// Writes values as trees.
struct Writer;

/// A list under way.
struct ListWriter(Vec<Tree>);

/// A mapping under way.
struct MapWriter {
    entries: Vec<(String, Tree)>,
    key: String,
    section: bool,
}

fn unsupported<T>(what: &str) -> Result<T, Fault> {
    Err(Fault(format!("{what} has no printed form")))
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<Tree, Fault> { Ok(Tree::Int(i128::from(value))) })*
    };
}

impl ser::Serializer for Writer {
    type Ok = Tree;
    type Error = Fault;
    type SerializeSeq = ListWriter;
    type SerializeTuple = ListWriter;
    type SerializeTupleStruct = ListWriter;
    type SerializeTupleVariant = ser::Impossible<Tree, Fault>;
    type SerializeMap = MapWriter;
    type SerializeStruct = MapWriter;
    type SerializeStructVariant = ser::Impossible<Tree, Fault>;

    integers!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64);
    integers!(serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);

    fn serialize_bool(self, value: bool) -> Result<Tree, Fault> {
        Ok(Tree::Bool(value))
    }

    fn serialize_f32(self, value: f32) -> Result<Tree, Fault> {
        Ok(Tree::Float(f64::from(value)))
    }

    fn serialize_f64(self, value: f64) -> Result<Tree, Fault> {
        Ok(Tree::Float(value))
    }

    fn serialize_char(self, value: char) -> Result<Tree, Fault> {
        Ok(Tree::Text(value.to_string()))
    }

    fn serialize_str(self, value: &str) -> Result<Tree, Fault> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Tree, Fault> {
        unsupported("a text of bytes")
    }

    fn serialize_none(self) -> Result<Tree, Fault> {
        Ok(Tree::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Tree, Fault> {
        Ok(Tree::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Tree, Fault> {
        Ok(Tree::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Tree, Fault> {
        Ok(Tree::Text(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<Tree, Fault> {
        Ok(match (name, value.serialize(self)?) {
            #[expect(clippy::cast_precision_loss, reason = "it was a number of 32 bits")]
            (GoF32::NAME, Tree::Int(whole)) => Tree::Float(whole as f64),
            (_, tree) => tree,
        })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Tree, Fault> {
        unsupported("an enumeration with content")
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<ListWriter, Fault> {
        Ok(ListWriter(Vec::with_capacity(len.unwrap_or_default())))
    }

    fn serialize_tuple(self, len: usize) -> Result<ListWriter, Fault> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<ListWriter, Fault> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Fault> {
        unsupported("an enumeration with content")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<MapWriter, Fault> {
        Ok(MapWriter { entries: Vec::new(), key: String::new(), section: false })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<MapWriter, Fault> {
        Ok(MapWriter { entries: Vec::new(), key: String::new(), section: true })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Fault> {
        unsupported("an enumeration with content")
    }
}

impl ListWriter {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.0.push(Tree::of(value)?);
        Ok(())
    }
}

impl ser::SerializeSeq for ListWriter {
    type Ok = Tree;
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.push(value)
    }

    fn end(self) -> Result<Tree, Fault> {
        Ok(Tree::List(self.0))
    }
}

impl ser::SerializeTuple for ListWriter {
    type Ok = Tree;
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.push(value)
    }

    fn end(self) -> Result<Tree, Fault> {
        Ok(Tree::List(self.0))
    }
}

impl ser::SerializeTupleStruct for ListWriter {
    type Ok = Tree;
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.push(value)
    }

    fn end(self) -> Result<Tree, Fault> {
        Ok(Tree::List(self.0))
    }
}

impl ser::SerializeMap for MapWriter {
    type Ok = Tree;
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        match Tree::of(key)? {
            Tree::Text(key) => {
                self.key = key;
                Ok(())
            }
            _ => unsupported("a key that is no text"),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.entries.push((std::mem::take(&mut self.key), Tree::of(value)?));
        Ok(())
    }

    fn end(self) -> Result<Tree, Fault> {
        Ok(Tree::sorted(self.entries))
    }
}

impl ser::SerializeStruct for MapWriter {
    type Ok = Tree;
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Fault> {
        self.entries.push((key.to_owned(), Tree::of(value)?));
        Ok(())
    }

    fn end(self) -> Result<Tree, Fault> {
        Ok(Tree::Map(Map { entries: self.entries, section: self.section }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_go_yaml_sorts_them() {
        for sorted in [
            &["a", "b", "c"][..],
            &["a1", "a2", "a10", "a10b", "aa"],
            &["a-b", "a_b", "ab"],
            &["A", "B", "a"],
            &["1", "2", "10", "a"],
            &["a1", "a01", "a02"],
            &["", "x"],
            &["a1b", "a1c", "a2"],
        ] {
            let mut keys = sorted.to_vec();
            keys.reverse();
            keys.sort_by(|a, b| natural(a, b));
            assert_eq!(keys, sorted);
        }
    }
}
