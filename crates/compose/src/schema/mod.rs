//! Which keys exist, and of which type their values are.
//!
//! The tables beside this file say what the Compose specification (as of compose-go 2.9.1) allows, and `pre_start` of
//! compose-go 2.16; this file reads them. A document is checked after each merge, before short forms are expanded, so
//! both forms are described.

mod build;
mod deploy;
mod hint;
mod resource;
mod rule;
mod service;
mod shared;

use std::collections::BTreeMap;

use rule::{Kinds, Object, Rule};

use super::error::LoadError;
use turnout_report::nearest;
use turnout_yaml::{Entry, Map, Node, Value};

/// Checks a merged document against the tables; the first mistake in document order is reported.
///
/// # Errors
///
/// An unknown or missing key, a value of the wrong type, outside its range, or repeated where it must be unique.
pub fn check(root: &Node) -> Result<(), LoadError> {
    check_rule(root, &resource::ROOT, "")
}

/// Whether an attribute is one of any container, which a `pre_start` step has like a service.
pub(super) fn is_of_containers(key: &str) -> bool {
    service::CONTAINER.fields.iter().any(|(name, _)| *name == key)
}

fn check_rule(node: &Node, rule: &Rule, path: &str) -> Result<(), LoadError> {
    let kinds = rule.kinds();
    if !kinds.admit(&node.value) {
        return Err(wrong_type(node, kinds, path));
    }
    match rule {
        Rule::Scalar(_) => Ok(()),
        Rule::Enum(allowed) => check_enum(node, allowed, path),
        Rule::Pattern { matches, example } => match node.as_str() {
            Some(text) if !matches(text) => {
                Err(LoadError::at(path, node, format!("'{text}' is not a valid value")).hint(*example))
            }
            _ => Ok(()),
        },
        Rule::Range { least, most } => check_range(node, *least, *most, path),
        Rule::List { item, unique } => check_list(node, item, *unique, path),
        Rule::Object(object) => node.as_map().map_or(Ok(()), |map| check_object(node, map, object, path)),
        Rule::Named { name, value, strict } => match node.as_map() {
            Some(map) => check_named(map, *name, value, *strict, path),
            None => Ok(()),
        },
        Rule::Either(rules) => match rules.iter().find(|rule| rule.kinds().admit(&node.value)) {
            Some(rule) => check_rule(node, rule, path),
            None => Ok(()),
        },
    }
}

fn check_enum(node: &Node, allowed: &[&str], path: &str) -> Result<(), LoadError> {
    match node.as_str() {
        Some(text) if !allowed.contains(&text) => {
            let hint = nearest(text, allowed.iter().copied()).map(|near| format!("did you mean '{near}'?"));
            let message = format!("value must be one of '{}', not '{text}'", allowed.join("', '"));
            Err(LoadError { hint, ..LoadError::at(path, node, message) })
        }
        _ => Ok(()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounds are small; a huge value stays huge")]
fn check_range(node: &Node, least: i64, most: i64, path: &str) -> Result<(), LoadError> {
    let number = match node.value {
        Value::Int(number) => number as f64,
        Value::Uint(number) => number as f64,
        Value::Float(number) => number,
        _ => return Ok(()),
    };
    if number < least as f64 {
        let message = format!("must be greater than or equal to {least}, not {}", node.value.go_text());
        return Err(LoadError::at(path, node, message));
    }
    if most < i64::MAX && number > most as f64 {
        let message = format!("must be less than or equal to {most}, not {}", node.value.go_text());
        return Err(LoadError::at(path, node, message));
    }
    Ok(())
}

fn check_list(node: &Node, item: &Rule, unique: bool, path: &str) -> Result<(), LoadError> {
    let Some(items) = node.as_seq() else { return Ok(()) };
    for (index, node) in items.iter().enumerate() {
        check_rule(node, item, &format!("{path}[{index}]"))?;
    }
    if !unique {
        return Ok(());
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    // Text that reads as a number equals that number when the number comes later, not the other way round.
    let mut texts: BTreeMap<String, usize> = BTreeMap::new();
    for (index, node) in items.iter().enumerate() {
        let mut key = String::new();
        fingerprint(node, &mut key);
        let number = matches!(node.value, Value::Int(_) | Value::Uint(_) | Value::Float(_));
        let as_text = if number { texts.get(&key).copied() } else { None };
        if let Some(number) = node.as_str().and_then(numeric) {
            texts.insert(number, index);
        }
        if let Some(first) = seen.insert(key, index).or(as_text) {
            let message = format!("items at {first} and {index} are equal");
            return Err(LoadError::at(format!("{path}[{index}]"), node, message)
                .hint("remove one of them; a base file and its override may both name it"));
        }
    }
    Ok(())
}

fn check_object(node: &Node, map: &Map, object: &Object, path: &str) -> Result<(), LoadError> {
    for (key, entry) in map {
        let here = join(path, key);
        match object.all_fields().find(|(name, _)| name == key) {
            Some((_, rule)) => check_rule(&entry.node, rule, &here)?,
            None if object.open || (object.extensions && key.starts_with("x-")) => {}
            None => return Err(unknown_key(key, entry, object, here)),
        }
    }
    match object.required.iter().find(|name| !map.contains_key(**name)) {
        Some(name) => Err(missing(name, node, object, path)),
        None => Ok(()),
    }
}

fn check_named(map: &Map, name: fn(&str) -> bool, value: &Rule, strict: bool, path: &str) -> Result<(), LoadError> {
    for (key, entry) in map {
        let here = join(path, key);
        if name(key) {
            check_rule(&entry.node, value, &here)?;
        } else if strict {
            let error = LoadError::new(format!("'{key}' is not a valid name")).path(here).pos(entry.key_pos.clone());
            return Err(error.hint("names consist of letters, digits, '.', '_' and '-'"));
        }
    }
    Ok(())
}

fn wrong_type(node: &Node, wanted: Kinds, path: &str) -> LoadError {
    let names = wanted.names();
    let article = if names.starts_with('i') { "an" } else { "a" };
    let error = LoadError::at(path, node, format!("must be {article} {names}, not {}", node.value.kind()));
    LoadError { hint: hint::right_type(&node.value, wanted, path), ..error }
}

fn missing(name: &str, node: &Node, object: &Object, path: &str) -> LoadError {
    let rule = object.all_fields().find(|(field, _)| *field == name).map(|(_, rule)| rule);
    let value = if let Some(Rule::Enum(allowed)) = rule { allowed.join(", or ") } else { "...".to_owned() };
    LoadError::at(path, node, format!("missing property '{name}'")).hint(format!("add {name}: {value}"))
}

fn unknown_key(key: &str, entry: &Entry, object: &Object, path: String) -> LoadError {
    if let Some((_, instead)) = LATER.iter().find(|(later, _)| is_at(&path, later)) {
        let message =
            format!("'{key}' came with Compose 5 and is not supported: this is the specification of Compose 2.40");
        return LoadError::new(message).path(path).pos(entry.key_pos.clone()).hint(*instead);
    }
    let known = object.all_fields().map(|(name, _)| *name);
    let hint = match nearest(key, known) {
        Some(near) => format!("did you mean '{near}'?"),
        None => hint::known_keys(object),
    };
    let message = format!("unknown key: additional properties '{key}' not allowed");
    LoadError::new(message).path(path).pos(entry.key_pos.clone()).hint(hint)
}

/// Attributes that later versions of the specification added (compose-go 2.13.0), and what to do instead.
const LATER: [(&str, &str); 1] = [(
    "jobs",
    "write the job as a service: with a profile and `run` for one by hand, with a timer of the host for a schedule",
)];

/// Whether a path is the pattern's; `*` is any one key.
fn is_at(path: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return path == pattern };
    path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(|name| !name.is_empty())
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Text as the fingerprint of the number that it reads as.
fn numeric(text: &str) -> Option<String> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok().map(|number| number.to_string()),
        None => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number.to_string()),
    }
}

/// Text equal for equal values: maps regardless of order, numbers by value.
fn fingerprint(node: &Node, out: &mut String) {
    use std::fmt::Write;
    // Writing into a String cannot fail.
    let _ = match &node.value {
        Value::Null => write!(out, "null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::Uint(value) => write!(out, "{value}"),
        Value::Float(value) => write!(out, "{value}"),
        Value::Str(value) => write!(out, "{value:?}"),
        Value::Time(value) => write!(out, "time {value:?}"),
        Value::Seq(items) => {
            out.push('[');
            for item in items {
                fingerprint(item, out);
                out.push(',');
            }
            write!(out, "]")
        }
        Value::Map(map) => {
            let mut entries: Vec<(&String, &Entry)> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (key, entry) in entries {
                let _ = write!(out, "{key:?}:");
                fingerprint(&entry.node, out);
                out.push(',');
            }
            write!(out, "}}")
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use turnout_yaml::{Limits, parse};

    fn outcome(text: &str) -> Result<(), String> {
        let documents = parse(text, "compose.yaml", &Limits::default()).unwrap();
        check(documents.first().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn valid_documents_pass() {
        for text in [
            "services: {a: {image: x, x-any: [1, {}], ports: [80, '81:81', {target: 82}]}}\nx-top: 1",
            "services: {a: {environment: {A: 1, B: null, C: true}, command: null, deploy: null}}",
            "services: {a: {environment: [A, B=1], ulimits: {nofile: 1, nproc: {soft: 1, hard: 2}}}}",
            "networks: {n: null, o: {external: {name: x}}}\nvolumes: {v: }",
            "services: {a: {container_name: ab, pull_policy: every_1d12h, cpu_count: 1.0}}",
            "name: n\nversion: '3'\ninclude: [a, {path: [b]}]",
        ] {
            assert_eq!(outcome(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn mistakes_name_attribute_place_and_remedy() {
        for (text, expected) in [
            (
                "services:\n  a:\n    imgae: x",
                "compose.yaml:3:5: services.a.imgae: unknown key: additional properties 'imgae' not allowed (did you mean 'image'?)",
            ),
            (
                "services: {a: {foo: 1}}",
                "compose.yaml:1:16: services.a.foo: unknown key: additional properties 'foo' not allowed (there is no such attribute here: remove it)",
            ),
            (
                "jobs: {a: {image: x}}",
                "compose.yaml:1:1: jobs: 'jobs' came with Compose 5 and is not supported: this is the specification of Compose 2.40 (write the job as a service: with a profile and `run` for one by hand, with a timer of the host for a schedule)",
            ),
            (
                "services: {a: {image: [x]}}",
                "compose.yaml:1:23: services.a.image: must be a string, not a list (write one value, without brackets and dashes)",
            ),
            (
                "services: {a: {tty: 1}}",
                "compose.yaml:1:21: services.a.tty: must be a boolean or string, not a number (write true or false)",
            ),
            (
                "services: {a: null}",
                "compose.yaml:1:15: services.a: must be a mapping, not null (write attributes below it, or remove it)",
            ),
            (
                "services: {a: {cap_add: [X, Y, X]}}",
                "compose.yaml:1:32: services.a.cap_add[2]: items at 0 and 2 are equal (remove one of them; a base file and its override may both name it)",
            ),
            (
                "services: {a: {cgroup: hots}}",
                "compose.yaml:1:24: services.a.cgroup: value must be one of 'host', 'private', not 'hots' (did you mean 'host'?)",
            ),
            (
                "services: {a: {oom_score_adj: 1001}}",
                "compose.yaml:1:31: services.a.oom_score_adj: must be less than or equal to 1000, not 1001",
            ),
            (
                "services: {a: {devices: [{target: /x}]}}",
                "compose.yaml:1:26: services.a.devices[0]: missing property 'source' (add source: ...)",
            ),
            (
                "services: {a b: {}}",
                "compose.yaml:1:12: services.a b: 'a b' is not a valid name (names consist of letters, digits, '.', '_' and '-')",
            ),
            (
                "services: {a: {container_name: a}}",
                "compose.yaml:1:32: services.a.container_name: 'a' is not a valid value (a letter or digit, then one or more of letters, digits, '_', '.', '-')",
            ),
        ] {
            assert_eq!(outcome(text), Err(expected.to_owned()), "{text}");
        }
    }
}
