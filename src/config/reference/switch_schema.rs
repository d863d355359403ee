//! The part of the JSON Schema that stands under `switch:`, from the declarations of its keys. Names of services are the project's,
//! so they are checked when that is read.

use serde_json::{Map, Value, json};

use super::forms::{path, text};
use crate::{
    config::repos::{AUTO, OFF},
    switch::{
        Class, Protocol,
        said::{
            keys::{ANALYSIS_KEYS, Form, KEYS, Key, ROUTE_KEYS, SERVICE_KEYS},
            parts::{self, LONGEST_PIN, MOST_MEASURES, MOST_PINS, MOST_STEPS, Part},
        },
    },
};

/// Durations as Compose has them, not negative; `compose::model::Duration`.
const DURATION: &str = r"^(\+?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w))+))$";
/// What stands under `switch:`.
pub(super) fn blue_green() -> Value {
    json!({ "anyOf": [{ "enum": [AUTO, OFF] }, declared(KEYS, &[])] })
}

/// A mapping of declared keys.
fn declared(keys: &[Key], required: &[&str]) -> Value {
    let told = |key: &Key| described(of_form(key.form), format!("{} Default: {}.", key.help, key.default));
    mapping(keys.iter().map(|key| (key.name.to_owned(), told(key))).collect(), required)
}

/// A mapping of declared parts.
fn made_of(parts: &[Part]) -> Value {
    let required: Vec<&str> = parts.iter().filter(|part| part.required).map(|part| part.name).collect();
    let told = |part: &Part| described(of_form(part.form), part.help.to_owned());
    mapping(parts.iter().map(|part| (part.name.to_owned(), told(part))).collect(), &required)
}

fn described(mut schema: Value, help: String) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), help.into());
    }
    schema
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

fn list_of(items: &Value, most: usize) -> Value {
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
            json!({ "anyOf": [{ "enum": ["acme", "auto"] }, made_of(parts::TLS_FILES)] })
        }
        Form::Protocol => protocol(),
        Form::Protocols => {
            json!({ "anyOf": [protocol(), { "type": "object", "additionalProperties": protocol() }] })
        }
        Form::Health => {
            json!({ "anyOf": [page(), made_of(parts::HEALTH)] })
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
        Form::Prometheus => measures(&measure(parts::PROMETHEUS)),
        Form::Command => measures(&measure(parts::COMMAND)),
        Form::AskedPage => measures(&json!({ "anyOf": [of_form(Form::AsciiPage), measure(parts::ASKED_PAGE)] })),
        Form::Preview => json!({ "anyOf": [of_form(Form::Host), not_empty(made_of(parts::PREVIEW))] }),
        Form::Mirror => text(r"^\s*\+?0*([1-9][0-9]?|100)\s*%$"),
        Form::Pins => list_of(&pin(), MOST_PINS),
        Form::Steps => list_of(&made_of(parts::STEP), MOST_STEPS),
        Form::Adapter => {
            let programs = parts::ADAPTERS.iter().map(|(name, parts)| ((*name).to_owned(), made_of(parts)));
            not_empty(mapping(programs.collect(), &[]))
        }
        Form::Text => json!({ "type": "string", "minLength": 1 }),
        Form::File => path(),
        Form::Decimal => json!({ "type": "number" }),
        Form::Weight => json!({ "type": "integer", "minimum": 1, "maximum": 99 }),
        Form::Host => text(r"^[^*/: ]+$"),
        Form::Token => text(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"),
        Form::PinValue => text(&format!(r#"^[^\s",;\\]{{1,{LONGEST_PIN}}}$"#)),
        Form::Origin => text(r"^https?://[^/@?#\\\s]+(/[^?#\\\s]*)?$"),
        Form::AsciiPage => text("^/[!-~]*$"),
        Form::Arguments => json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 64 }),
        Form::AdapterWord => text(r"^[A-Za-z0-9._-]{1,100}$"),
        Form::Words => one_or_for_each(&of_form(Form::AdapterWord)),
        Form::Names => one_or_for_each(&json!({ "type": "string" })),
    }
}

fn protocol() -> Value {
    json!({ "enum": Protocol::WORDS })
}

fn listen() -> Value {
    json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 65535 }, { "type": "string" }] })
}

/// Something that is asked of a colour: its own parts, and how often and how long.
fn measure(own: &[Part]) -> Value {
    made_of(&[own, parts::MEASURED].concat())
}

/// One of them, or several.
fn measures(one: &Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "items": one, "maxItems": MOST_MEASURES }] })
}

/// Requests that go to a next colour while it waits: by a header or by a cookie.
fn pin() -> Value {
    let mut pin = made_of(parts::PIN);
    if let Some(pin) = pin.as_object_mut() {
        pin.insert("anyOf".to_owned(), json!([{ "required": ["header"] }, { "required": ["cookie"] }]));
    }
    pin
}

/// What a proxy of the user's own calls a place that leads to the stack, or one for each target.
fn one_or_for_each(place: &Value) -> Value {
    json!({ "anyOf": [place, { "type": "object", "additionalProperties": place, "minProperties": 1 }] })
}

fn not_empty(mut mapping: Value) -> Value {
    if let Some(mapping) = mapping.as_object_mut() {
        mapping.insert("minProperties".to_owned(), 1.into());
    }
    mapping
}
