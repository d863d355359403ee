//! What to do about a value or key that the tables refuse.

use super::rule::{Kinds, Object};
use turnout_yaml::Value;

/// More keys than this are not listed.
const MAX_LISTED: usize = 16;

/// What would make a value one of the kinds wanted; `None` where the error says it all.
pub(super) fn right_type(value: &Value, wanted: Kinds, path: &str) -> Option<String> {
    let text = || value.go_text();
    let scalar = matches!(value, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Str(_));
    let number = matches!(value, Value::Int(_) | Value::Uint(_) | Value::Float(_));
    if wanted.has(Kinds::STRING) && number && is_duration(path) {
        return Some("write it with a unit, for example 30s or 1m30s".to_owned());
    }
    // Texts are let through where a variable may stand, and are cast later.
    if wanted.has(Kinds::BOOL.or(Kinds::STRING)) && number {
        return Some("write true or false".to_owned());
    }
    if wanted.has(Kinds::INTEGER.or(Kinds::STRING)) && matches!(value, Value::Float(_)) {
        return Some("write a whole number".to_owned());
    }
    if wanted.has(Kinds::STRING) && scalar {
        return Some(format!("put it in quotes: \"{}\"", text()));
    }
    if wanted.has(Kinds::STRING) && matches!(value, Value::Time(_)) {
        return Some("put it in quotes".to_owned());
    }
    if wanted.has(Kinds::LIST) && scalar {
        return Some(format!("write it as a list: [{}]", text()));
    }
    if wanted.has(Kinds::MAP) && scalar {
        return Some("write attributes below it, each as key: value".to_owned());
    }
    match value {
        Value::Null if wanted.has(Kinds::MAP) => Some("write attributes below it, or remove it".to_owned()),
        Value::Null => Some("give it a value, or remove it".to_owned()),
        Value::Map(_) if wanted.has(Kinds::LIST) => Some("begin every item with a dash".to_owned()),
        Value::Seq(_) if wanted.has(Kinds::MAP) => Some("write key: value, without dashes".to_owned()),
        Value::Map(_) if wanted.has(Kinds::STRING) => {
            Some("write one value, or quote text that begins with {".to_owned())
        }
        Value::Seq(_) => Some("write one value, without brackets and dashes".to_owned()),
        Value::Str(_) if wanted.has(Kinds::BOOL) => Some("write true or false, without quotes".to_owned()),
        Value::Str(_) | Value::Float(_) if wanted.has(Kinds::INTEGER) => {
            Some("write a whole number, without quotes".to_owned())
        }
        _ => None,
    }
}

/// Attributes whose text is a duration.
fn is_duration(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or_default();
    ["interval", "timeout", "start_period", "start_interval", "stop_grace_period", "delay", "monitor", "window"]
        .contains(&last)
}

/// The keys that are allowed where an unknown one stands.
pub(super) fn known_keys(object: &Object) -> String {
    let mut known: Vec<&str> = object.all_fields().map(|(name, _)| *name).collect();
    if known.is_empty() || known.len() > MAX_LISTED {
        return "there is no such attribute here: remove it".to_owned();
    }
    if object.extensions {
        known.push("x-*");
    }
    format!("known here: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_is_answered_by_what_to_write() {
        let map = Kinds::MAP.or(Kinds::NULL);
        for (value, wanted, path, part) in [
            (Value::Int(5), Kinds::STRING, "services.a.hostname", "\"5\""),
            (Value::Bool(true), Kinds::STRING, "services.a.user", "\"true\""),
            (Value::Int(5), Kinds::STRING, "services.a.healthcheck.interval", "30s"),
            (Value::Int(1), Kinds::STRING.or(Kinds::BOOL), "services.a.tty", "true or false"),
            (Value::Float(1.5), Kinds::STRING.or(Kinds::INTEGER), "services.a.scale", "whole number"),
            (Value::Time("2020-01-01T00:00:00Z".into()), Kinds::STRING.or(Kinds::NUMBER), "a", "quotes"),
            (Value::Str("a".into()), Kinds::LIST, "services.a.ports", "[a]"),
            (Value::Str("a".into()), map, "services.a.build", "key: value"),
            (Value::Null, Kinds::MAP, "services.a", "remove it"),
            (Value::Null, Kinds::STRING, "services.a.x", "give it a value"),
            (Value::Seq(Vec::new()), map, "networks", "without dashes"),
            (Value::Seq(Vec::new()), Kinds::STRING, "services.a.image", "one value"),
            (Value::Map(turnout_yaml::Map::new()), Kinds::LIST, "services.a.ports", "dash"),
            (Value::Str("1".into()), Kinds::BOOL, "a", "true or false"),
            (Value::Float(1.5), Kinds::INTEGER, "a", "whole number"),
        ] {
            let hint = right_type(&value, wanted, path).unwrap_or_default();
            assert!(hint.contains(part), "{value:?}: {hint}");
        }
        assert_eq!(right_type(&Value::Bool(true), Kinds::INTEGER, "a"), None);
    }
}
