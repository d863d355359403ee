//! What a template prints: values that keep the order of their fields, as Go's structs do.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};

/// A value that templates can reach.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Data {
    #[default]
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Data>),
    Record(Record),
}

/// Named values in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Record {
    /// Names and values.
    pub fields: Vec<(String, Data)>,
    /// What `.Label "name"` looks up; not printed.
    pub labels: BTreeMap<String, String>,
}

impl Data {
    /// Any value that has a JSON form.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn of(value: &impl Serialize) -> serde_json::Result<Data> {
        serde_json::from_str(&serde_json::to_string(value)?)
    }

    /// The same with labels to look up.
    pub(crate) fn with_labels(self, labels: BTreeMap<String, String>) -> Data {
        match self {
            Data::Record(record) => Data::Record(Record { labels, ..record }),
            other => other,
        }
    }

    /// A field of a record.
    pub(super) fn get(&self, name: &str) -> Option<&Data> {
        let Data::Record(record) = self else { return None };
        record.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// As Go's `%v`; nothing for what is not there.
    pub(super) fn plain(&self) -> String {
        let joined = |values: &mut dyn Iterator<Item = &Data>| values.map(Data::plain).collect::<Vec<_>>().join(" ");
        match self {
            Data::Null => String::new(),
            Data::Bool(flag) => flag.to_string(),
            Data::Number(number) => number.to_string(),
            Data::Text(text) => text.clone(),
            Data::List(items) => format!("[{}]", joined(&mut items.iter())),
            Data::Record(record) => format!("{{{}}}", joined(&mut record.fields.iter().map(|(_, value)| value))),
        }
    }

    /// Whether `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Data::Null => false,
            Data::Bool(flag) => *flag,
            Data::Number(number) => *number != 0,
            Data::Text(text) => !text.is_empty(),
            Data::List(items) => !items.is_empty(),
            Data::Record(_) => true,
        }
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Data::Null => serializer.serialize_unit(),
            Data::Bool(flag) => serializer.serialize_bool(*flag),
            Data::Number(number) => serializer.serialize_i64(*number),
            Data::Text(text) => serializer.serialize_str(text),
            Data::List(items) => items.serialize(serializer),
            Data::Record(record) => {
                let mut map = serializer.serialize_map(Some(record.fields.len()))?;
                for (name, value) in &record.fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without fractions")
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Data, E> {
        Ok(Data::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Data, E> {
        Ok(Data::Number(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Data, E> {
        i64::try_from(number).map(Data::Number).map_err(E::custom)
    }

    fn visit_str<E>(self, text: &str) -> Result<Data, E> {
        Ok(Data::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Data, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Data::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = map.next_entry()? {
            fields.push(entry);
        }
        Ok(Data::Record(Record { fields, labels: BTreeMap::new() }))
    }
}
