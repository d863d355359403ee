//! The JSON Schema of repos.yaml, draft 2020-12, for editors. It refuses nothing that the reader takes.

use serde_json::{Map, Value, json};

use super::{
    forms::{path, text, texts},
    switch_schema::blue_green,
};
use crate::config::repos::{
    keys::{Default, KEYS, Key},
    kind::{Kind, Rule, TIMES},
    mounted_words,
};

/// Durations as `report::units` reads them.
const DURATION: &str = "^ *([0-9]+(ms|s|m|h|d))+ *$";
/// Sizes as `report::units` reads them.
const SIZE: &str = "^ *[0-9]+ *([bB]|[kK]|[mM]|[gG]|[kKmMgG][iI]?[bB])? *$";

/// Names of repositories.
const NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$";

/// The JSON Schema of `repos.yaml`, made of the same declarations as its reader, for editors.
pub fn repos_schema() -> Value {
    let entry = entry(|_| true, &["path"]);
    let defaults = entry_of(&entry_properties(Key::is_shared), &[]);
    let names = json!({ "pattern": NAME });
    let repository = json!({ "$ref": "#/$defs/repository" });
    let entries = json!({ "type": ["object", "null"], "propertyNames": names, "additionalProperties": repository });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "repos.yaml: the repositories that turnout deploys",
        "type": ["object", "null"],
        "properties": {
            "self": {
                "description": "Names of the deployer's own repository: its pushes are never acted on.",
                "default": crate::config::repos::DEFAULT_SELF,
                "$ref": "#/$defs/names",
            },
            "defaults": {
                "description": "What holds for every repository that does not say otherwise.",
                "$ref": "#/$defs/defaults",
            },
        },
        "if": { "type": "object", "required": ["repos"] },
        "then": {
            "properties": { "self": true, "defaults": true, "repos": entries },
            "additionalProperties": false,
        },
        "else": {
            "properties": { "self": true, "defaults": true },
            "propertyNames": names,
            "additionalProperties": repository,
        },
        "$defs": {
            "repository": {
                "description": "The path of the working tree, or a mapping.",
                "anyOf": [path(), entry],
            },
            "defaults": defaults,
            "names": texts(r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$"),
        },
    })
}

fn entry(which: fn(&Key) -> bool, needed: &[&str]) -> Value {
    entry_of(&entry_properties(which), needed)
}

fn entry_of(properties: &Map<String, Value>, needed: &[&str]) -> Value {
    let both = KEYS.iter().filter_map(|key| Some((key.name, key.or?)));
    let both = both.filter(|(one, other)| properties.contains_key(*one) && properties.contains_key(*other));
    let not_both: Vec<Value> = both.map(|(one, other)| json!({ "not": { "required": [one, other] } })).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": false,
    });
    if let (Some(schema), false) = (schema.as_object_mut(), not_both.is_empty()) {
        schema.insert("allOf".to_owned(), Value::Array(not_both));
    }
    schema
}

fn entry_properties(which: fn(&Key) -> bool) -> Map<String, Value> {
    let keys = KEYS.iter().filter(|key| which(key));
    keys.map(|key| (key.name.to_owned(), property(key))).collect()
}

fn property(key: &Key) -> Value {
    let mut help = key.help.to_owned();
    if let Default::Words(words) = key.default {
        help.push_str(&format!(" Default: {words}."));
    }
    if let Kind::Word(words) = key.kind {
        let words = words.iter().map(|(word, meaning)| format!("\n{word}: {meaning}"));
        help.extend(words);
    }
    let mut schema = of_kind(&key.kind);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), help.into());
        if let Some(value) = default(key) {
            schema.insert("default".to_owned(), value);
        }
    }
    schema
}

/// The default as a value of JSON.
fn default(key: &Key) -> Option<Value> {
    let text = key.default.value()?;
    Some(match key.kind {
        Kind::Switch | Kind::Count { .. } => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        _ => Value::String(text),
    })
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Path => path(),
        Kind::Text(rule) => text(rule.pattern),
        Kind::Texts { rule: Rule { pattern, .. }, needed } => {
            let mut schema = texts(pattern);
            if needed.is_some()
                && let Some(list) = schema.pointer_mut("/anyOf/1").and_then(Value::as_object_mut)
            {
                list.insert("minItems".to_owned(), 1.into());
            }
            schema
        }
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Size => json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, text(SIZE)] }),
        Kind::Count { most } => json!({ "type": "integer", "minimum": 0, "maximum": most }),
        Kind::Word(words) => json!({ "enum": words.iter().map(|(word, _)| *word).collect::<Vec<_>>() }),
        Kind::Variable => text("^[A-Za-z_][A-Za-z0-9_]*$"),
        Kind::Times => times(),
        Kind::BlueGreen => blue_green(),
        Kind::MountedChange => {
            let word = text(&mounted_words());
            json!({ "anyOf": [word, { "type": "object", "additionalProperties": word }] })
        }
    }
}

fn times() -> Value {
    let of = |zero: bool| {
        let mut forms = vec![text(DURATION)];
        if zero {
            forms.push(json!({ "enum": [0, "0"] }));
        }
        json!({ "anyOf": forms })
    };
    let properties: Map<String, Value> = TIMES
        .iter()
        .map(|time| {
            let mut schema = of(time.zero);
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("description".to_owned(), time.help.into());
            }
            (time.name.to_owned(), schema)
        })
        .collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}
