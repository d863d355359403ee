//! The JSON Schema of repos.yaml, draft 2020-12, for editors. It refuses nothing that the reader takes.

use serde_json::{Map, Value, json};

use crate::{
    config::repos::{
        AUTO, OFF,
        keys::{Default, KEYS, Key},
        kind::{Kind, Rule, TIMES},
        mounted_words,
    },
    switch::{Class, said},
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

/// What stands under `switch:`. Names of services are the project's, so they are checked when that is read.
fn blue_green() -> Value {
    let words = |words: &[&str]| json!({ "enum": words });
    let duration = || json!({ "anyOf": [text(DURATION), { "enum": [0, "0"] }] });
    let classes: Vec<&str> = Class::ALL.iter().map(|class| class.word()).collect();
    let protocol = words(&["http", "ws", "h2c", "http2", "grpc", "https", "tls", "tcp"]);
    let page = json!({ "type": "string", "pattern": r"^/\S*$" });
    let health = json!({ "anyOf": [page, {
        "type": "object",
        "properties": { "path": page, "timeout": duration() },
        "additionalProperties": false,
    }] });
    let order = words(&["start-first", "stop-first"]);
    let by_port = json!({ "anyOf": [protocol, { "type": "object", "additionalProperties": protocol }] });
    let service = json!({ "anyOf": [words(&classes), {
        "type": "object",
        "properties": { "class": words(&classes), "order": order, "health": health, "protocol": by_port, "expendable": { "type": "boolean" } },
        "additionalProperties": false,
    }] });
    let texts = json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] });
    let tls = json!({ "anyOf": [words(&["acme", "auto"]), {
        "type": "object",
        "properties": { "certificate": { "type": "string" }, "key": { "type": "string" } },
        "required": ["certificate", "key"],
        "additionalProperties": false,
    }] });
    let networks = json!({ "type": "array", "items": { "type": "string" } });
    let route = json!({
        "type": "object",
        "properties": {
            "listen": { "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 65535 }, { "type": "string" }] },
            "hosts": texts, "path": page, "strip_path": { "type": "boolean" }, "to": { "type": "string" },
            "protocol": protocol, "tls": tls, "proxied_by": networks, "proxy_protocol": words(&["v1", "v2"]),
            "redirect": words(&["https"]), "hsts": text("^[0-9]+[a-z0-9]*$"), "trusted": networks,
        },
        "required": ["listen", "to"],
        "additionalProperties": false,
    });
    let colour = text("^[a-z0-9_-]+$");
    json!({ "anyOf": [words(&[AUTO, OFF]), {
        "type": "object",
        "properties": {
            "by": words(&["deploy", "color"]),
            "colors": { "type": "array", "items": colour, "minItems": 2, "maxItems": 2 },
            "routes": { "type": "array", "items": route },
            "trusted": networks,
            "protocol": by_port,
            "health": health,
            "services": { "type": "object", "additionalProperties": service },
            "order": order,
            "bake": duration(),
            "on_failure": words(&["rollback", "pause"]),
            "promote": { "type": "string", "pattern": "^(auto|manual|after [0-9].*)$" },
            "promote_deadline": duration(),
            "drain": duration(),
            "keep": duration(),
            "fallback": { "type": "array", "items": page },
            "analysis": analysis(),
            "preview": preview(),
            "mirror": text("^([1-9][0-9]?|100) ?%$"),
            "pins": pins(),
            "steps": steps(),
            "sticky": words(&["cookie", "address"]),
            "adapter": adapter(),
        },
        "additionalProperties": false,
    }] })
}

/// When the answers of a new colour count as a failure.
fn analysis() -> Value {
    let page = text("^/[!-~]*$");
    let number = |most: u64| json!({ "type": "integer", "minimum": 1, "maximum": most });
    json!({ "anyOf": [{ "enum": ["on", "off"] }, { "type": "boolean" }, {
        "type": "object",
        "properties": {
            "min_requests": number(said::MOST_REQUESTS),
            "errors": text(r"^ *([0-9]{1,2}(\.[0-9]{1,2})?|100(\.0{1,2})?) *%$"),
            "times_before": number(said::MOST_TIMES),
            "p50": text(DURATION),
            "p99": text(DURATION),
            "looks": number(said::MOST_LOOKS),
            "prometheus": measures(&measure(&["url", "query"], json!({
                "url": text(r"^https?://[^/@?#\\\s]+(/[^@?#\\\s]*)?$"),
                "query": { "type": "string", "minLength": 1 },
                "fail_above": { "type": "number" },
                "fail_below": { "type": "number" },
            }))),
            "command": measures(&measure(&["run"], json!({
                "run": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 64 },
            }))),
            "page": json!({ "anyOf": [page, measures(&measure(&["path"], json!({ "path": page, "to": { "type": "string" } })))] }),
            "unknowns": number(said::MOST_LOOKS),
            "on_unknown": { "enum": ["pause", "fail", "go_on"] },
        },
        "additionalProperties": false,
    }] })
}

/// Something that is asked of a colour: its own keys, and how often and how long.
fn measure(required: &[&str], mut properties: Value) -> Value {
    if let Some(properties) = properties.as_object_mut() {
        properties.extend(["every", "timeout"].map(|key| (key.to_owned(), text(DURATION))));
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// One of them, or several.
fn measures(one: &Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "items": one, "maxItems": 8 }] })
}

/// How a next colour is reached while it waits.
fn preview() -> Value {
    let host = text(r"^[^*/: ]+$");
    let listen = json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 65535 }, { "type": "string" }] });
    json!({ "anyOf": [host, {
        "type": "object",
        "properties": { "host": host, "listen": listen, "cookie": { "type": "boolean" }, "to": { "type": "string" } },
        "minProperties": 1,
        "additionalProperties": false,
    }] })
}

/// Requests that go to a next colour while it waits.
fn pins() -> Value {
    let name = text(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$");
    let value = text(r#"^[^\s",;\\]{1,128}$"#);
    let pin = |by: &str| {
        json!({
            "type": "object",
            "properties": { by: name, "value": value },
            "required": [by, "value"],
            "additionalProperties": false,
        })
    };
    json!({ "type": "array", "minItems": 1, "maxItems": 16, "items": { "anyOf": [pin("header"), pin("cookie")] } })
}

/// The shares of the requests that a next colour gets before it gets all of them.
fn steps() -> Value {
    let step = json!({
        "type": "object",
        "properties": { "weight": { "type": "integer", "minimum": 1, "maximum": 99 }, "for": text(DURATION) },
        "required": ["weight"],
        "additionalProperties": false,
    });
    json!({ "type": "array", "minItems": 1, "maxItems": 16, "items": step })
}

/// A proxy of the user's own: one program, with where it is asked and what it calls the places that lead to the stack.
fn adapter() -> Value {
    let word = text(r"^[A-Za-z0-9._-]{1,100}$");
    let names = |place: &Value| json!({ "anyOf": [place, { "type": "object", "additionalProperties": place, "minProperties": 1 }] });
    let program = |name: &str, required: &[&str], properties: Value| {
        json!({
            "type": "object",
            "properties": { name: {
                "type": "object", "properties": properties, "required": required, "additionalProperties": false,
            } },
            "required": [name],
            "additionalProperties": false,
        })
    };
    let file = path();
    json!({ "anyOf": [
        program("haproxy", &["backend", "socket"], json!({ "backend": names(&word), "socket": file, "table": word, "state": file })),
        program("nginx", &["upstream", "file", "answers"], json!({
            "upstream": names(&word), "file": file, "answers": { "type": "string" }, "pid": file,
        })),
        program("caddy", &["id"], json!({ "id": names(&json!({ "type": "string" })), "admin": { "type": "string" } })),
        program("traefik", &["service", "file"], json!({ "service": names(&word), "file": file })),
    ] })
}

fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn texts(pattern: &str) -> Value {
    json!({ "anyOf": [text(pattern), { "type": "array", "items": text(pattern) }] })
}

fn path() -> Value {
    json!({ "type": "string", "pattern": r"^/(?!(.*/)?\.\.(/|$))" })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_under_switch_has_the_keys_of_its_reader() {
        let schema = blue_green();
        let names = |at: &str| {
            let found = schema.pointer(at).and_then(Value::as_object).unwrap_or_else(|| panic!("nothing at {at}"));
            found.keys().cloned().collect::<std::collections::BTreeSet<_>>()
        };
        for (at, keys) in [
            ("/anyOf/1/properties", said::KEYS),
            ("/anyOf/1/properties/routes/items/properties", said::ROUTE_KEYS),
            ("/anyOf/1/properties/services/additionalProperties/anyOf/1/properties", said::SERVICE_KEYS),
        ] {
            assert_eq!(names(at), keys.iter().map(|key| (*key).to_owned()).collect(), "{at}");
        }
    }
}
