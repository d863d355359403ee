//! The part of the JSON Schema that stands under `switch:`, from the declarations of its keys. Names of services are the project's,
//! so they are checked when that is read.

use serde_json::{Map, Value, json};

use super::forms::{path, text};
use crate::{
    config::repos::{AUTO, OFF},
    switch::{
        Class, Protocol,
        said::keys::{ANALYSIS_KEYS, Form, KEYS, Key, ROUTE_KEYS, SERVICE_KEYS},
    },
};

/// Durations as Compose has them, not negative; `compose::model::Duration`.
const DURATION: &str = r"^(\+?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w))+))$";
/// As many measures, pins and steps are taken as this.
const MOST_MEASURES: u64 = 8;
const MOST_PINS: u64 = 16;
const MOST_STEPS: u64 = 16;

/// What stands under `switch:`.
pub(super) fn blue_green() -> Value {
    json!({ "anyOf": [{ "enum": [AUTO, OFF] }, declared(KEYS, &[])] })
}

/// A mapping of declared keys.
fn declared(keys: &[Key], required: &[&str]) -> Value {
    let properties = keys.iter().map(|key| {
        let mut schema = of_form(key.form);
        if let Some(schema) = schema.as_object_mut() {
            let told = format!("{} Default: {}.", key.help, key.default);
            schema.insert("description".to_owned(), told.into());
        }
        (key.name.to_owned(), schema)
    });
    mapping(properties.collect(), required)
}

/// A mapping. A key without a value is as if it were not there, where it need not be.
fn mapping(properties: Map<String, Value>, required: &[&str]) -> Value {
    let properties = properties.into_iter().map(|(name, schema)| {
        let schema = if required.contains(&name.as_str()) { schema } else { or_nothing(schema) };
        (name, schema)
    });
    let properties: Map<String, Value> = properties.collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn or_nothing(mut schema: Value) -> Value {
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let mut either = json!({ "anyOf": [schema, { "type": "null" }] });
    if let (Some(either), Some(description)) = (either.as_object_mut(), description) {
        either.insert("description".to_owned(), description);
    }
    either
}

/// Some keys with their schemas, written as JSON.
fn written(properties: &Value, required: &[&str]) -> Value {
    mapping(properties.as_object().cloned().unwrap_or_default(), required)
}

fn list_of(items: &Value, most: u64) -> Value {
    json!({ "type": "array", "minItems": 1, "maxItems": most, "items": items })
}

fn of_form(form: Form) -> Value {
    let duration = || text(DURATION);
    let page = || text(r"^/\S*$");
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    match form {
        Form::Word(words) => json!({ "enum": words }),
        Form::Flag => json!({ "type": "boolean" }),
        Form::Duration => duration(),
        Form::Age => json!({ "anyOf": [duration(), text("^[0-9]+[dy]$")] }),
        Form::Number { most } => json!({ "type": "integer", "minimum": 1, "maximum": most }),
        Form::Share => text(r"^\s*(0?[0-9]{1,2}(\.[0-9]{0,2})?|100(\.0{0,2})?)\s*%$"),
        Form::Page => page(),
        Form::Pages => json!({ "type": "array", "items": page() }),
        Form::Texts => texts(),
        Form::Colours => {
            json!({ "type": "array", "items": text("^[a-z0-9_-]+$"), "minItems": 2, "maxItems": 2 })
        }
        Form::Listen => listen(),
        Form::Target => json!({ "type": "string" }),
        Form::Tls => {
            let files = json!({ "certificate": { "type": "string" }, "key": { "type": "string" } });
            json!({ "anyOf": [{ "enum": ["acme", "auto"] }, written(&files, &["certificate", "key"])] })
        }
        Form::Protocol => protocol(),
        Form::Protocols => {
            json!({ "anyOf": [protocol(), { "type": "object", "additionalProperties": protocol() }] })
        }
        Form::Health => {
            json!({ "anyOf": [page(), written(&json!({ "path": page(), "timeout": duration() }), &[])] })
        }
        Form::Routes => json!({ "type": "array", "items": declared(ROUTE_KEYS, &["listen", "to"]) }),
        Form::Services => {
            let class: Vec<&str> = Class::ALL.iter().map(|class| class.word()).collect();
            let service = json!({ "anyOf": [{ "enum": class }, declared(SERVICE_KEYS, &[])] });
            json!({ "type": "object", "additionalProperties": service })
        }
        Form::Promote => text(&format!(r"^(auto|manual|after \s*{}\s*)$", DURATION.trim_matches(['^', '$']))),
        Form::Analysis => {
            json!({ "anyOf": [{ "enum": ["on", "off"] }, { "type": "boolean" }, declared(ANALYSIS_KEYS, &[])] })
        }
        Form::Prometheus => measures(measure(
            json!({
                "url": text(r"^https?://[^/@?#\\\s]+(/[^?#\\\s]*)?$"),
                "query": { "type": "string", "minLength": 1 },
                "fail_above": { "type": "number" },
                "fail_below": { "type": "number" },
            }),
            &["url", "query"],
        )),
        Form::Command => {
            let run = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 64 });
            measures(measure(json!({ "run": run }), &["run"]))
        }
        Form::AskedPage => {
            let page = text("^/[!-~]*$");
            let whole = measure(json!({ "path": page, "to": { "type": "string" } }), &["path"]);
            measures(json!({ "anyOf": [page, whole] }))
        }
        Form::Preview => {
            let host = text(r"^[^*/: ]+$");
            let parts = json!({ "host": host, "listen": listen(), "cookie": { "type": "boolean" }, "to": { "type": "string" } });
            let mut parts = written(&parts, &[]);
            if let Some(parts) = parts.as_object_mut() {
                parts.insert("minProperties".to_owned(), 1.into());
            }
            json!({ "anyOf": [host, parts] })
        }
        Form::Mirror => text(r"^\s*\+?0*([1-9][0-9]?|100)\s*%$"),
        Form::Pins => list_of(&pin(), MOST_PINS),
        Form::Steps => {
            let weight = json!({ "type": "integer", "minimum": 1, "maximum": 99 });
            list_of(&written(&json!({ "weight": weight, "for": duration() }), &["weight"]), MOST_STEPS)
        }
        Form::Adapter => adapter(),
    }
}

fn protocol() -> Value {
    json!({ "enum": Protocol::WORDS })
}

fn listen() -> Value {
    json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 65535 }, { "type": "string" }] })
}

/// Something that is asked of a colour: its own keys, and how often and how long.
fn measure(mut properties: Value, required: &[&str]) -> Value {
    if let Some(properties) = properties.as_object_mut() {
        properties.extend(["every", "timeout"].map(|key| (key.to_owned(), text(DURATION))));
    }
    written(&properties, required)
}

/// One of them, or several.
fn measures(one: Value) -> Value {
    let several = json!({ "type": "array", "items": one, "maxItems": MOST_MEASURES });
    json!({ "anyOf": [one, several] })
}

/// Requests that go to a next colour while it waits: by a header or by a cookie.
fn pin() -> Value {
    let name = text(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$");
    let value = text(r#"^[^\s",;\\]{1,128}$"#);
    let mut pin = written(&json!({ "header": name, "cookie": name, "value": value }), &["value"]);
    if let Some(pin) = pin.as_object_mut() {
        pin.insert("anyOf".to_owned(), json!([{ "required": ["header"] }, { "required": ["cookie"] }]));
    }
    pin
}

/// A proxy of the user's own: one program, with where it is asked and what it calls the places that lead to the stack.
fn adapter() -> Value {
    let word = text(r"^[A-Za-z0-9._-]{1,100}$");
    let any = json!({ "type": "string" });
    let names = |place: &Value| json!({ "anyOf": [place, { "type": "object", "additionalProperties": place, "minProperties": 1 }] });
    let haproxy = json!({ "backend": names(&word), "socket": path(), "table": word, "state": path() });
    let nginx = json!({ "upstream": names(&word), "file": path(), "answers": any, "pid": path() });
    let caddy = json!({ "id": names(&any), "admin": any });
    let traefik = json!({ "service": names(&word), "file": path() });
    let mut programs = written(
        &json!({
            "haproxy": written(&haproxy, &["backend", "socket"]),
            "nginx": written(&nginx, &["upstream", "file", "answers"]),
            "caddy": written(&caddy, &["id"]),
            "traefik": written(&traefik, &["service", "file"]),
        }),
        &[],
    );
    if let Some(programs) = programs.as_object_mut() {
        programs.insert("minProperties".to_owned(), 1.into());
    }
    programs
}
