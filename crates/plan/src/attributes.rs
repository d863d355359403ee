//! What changed, in words: a digest per attribute, kept on the container under turnout's own label.
//!
//! `config-hash` says only *that* a service changed. The label [`LABEL`] holds one short keyed digest per attribute, and
//! one per environment variable, so that the next plan can say `environment APP_MODE changed`. The digests are too
//! short to recover a value from, and keyed by project and service so that equal values do not show as equal.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use turnout_compose::model::Service;

/// Label under which the engine stores [`fingerprint`] at creation. Not part of `config-hash`.
pub const LABEL: &str = "dev.turnout.attributes";
/// Upper bound of the label's text in bytes: above it, variables are not told apart.
const MAX_BYTES: usize = 4096;
/// Hex digits kept: of an attribute, and of a variable, where fewer remember less of a secret.
const ATTRIBUTE_DIGITS: usize = 8;
const VARIABLE_DIGITS: usize = 6;
/// Attributes whose change replaces no container; `config-hash` leaves them out too.
const IGNORED: &[&str] = &["build", "pull_policy", "scale", "depends_on", "profiles", "env_file"];

/// The text to store: compact JSON, attribute name to digest, and `environment` to a map of variable to digest.
/// Always shorter than 4 KiB.
pub fn fingerprint(project: &str, name: &str, service: &Service) -> String {
    let Ok(Value::Object(mut attributes)) = serde_json::to_value(service) else { return "{}".to_owned() };
    for ignored in IGNORED {
        attributes.remove(*ignored);
    }
    if let Some(Value::Object(deploy)) = attributes.get_mut("deploy") {
        deploy.remove("replicas");
    }
    let key = format!("{project}\0{name}");
    let whole: BTreeMap<String, Value> = attributes
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(attribute, value)| {
            (attribute.clone(), digest(&key, attribute, &value.to_string(), ATTRIBUTE_DIGITS).into())
        })
        .collect();
    let mut detailed = whole.clone();
    if let Some(Value::Object(variables)) = attributes.get("environment") {
        let variables: serde_json::Map<String, Value> = variables
            .iter()
            .map(|(variable, value)| {
                (variable.clone(), digest(&key, variable, &value.to_string(), VARIABLE_DIGITS).into())
            })
            .collect();
        detailed.insert("environment".to_owned(), Value::Object(variables));
    }
    [detailed, whole]
        .iter()
        .filter_map(|map| serde_json::to_string(map).ok())
        .find(|text| text.len() < MAX_BYTES)
        .unwrap_or_else(|| "{}".to_owned())
}

/// What differs between two fingerprints, in words, at most twelve entries. Empty when either is unreadable or nothing
/// differs; the caller then falls back on the hashes.
pub fn difference(old: &str, new: &str) -> Vec<String> {
    let (Some(old), Some(new)) = (read(old), read(new)) else { return Vec::new() };
    let mut words = Vec::new();
    for attribute in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        match (old.get(attribute), new.get(attribute)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(Value::Object(a)), Some(Value::Object(b))) => each(&mut words, attribute, a, b),
            (None, Some(Value::Object(b))) => each(&mut words, attribute, &serde_json::Map::new(), b),
            (Some(Value::Object(a)), None) => each(&mut words, attribute, a, &serde_json::Map::new()),
            (None, _) => words.push(format!("{attribute} added")),
            (_, None) => words.push(format!("{attribute} removed")),
            _ => words.push(format!("{attribute} changed")),
        }
    }
    const MOST: usize = 12;
    if words.len() > MOST {
        let more = words.len() - MOST;
        words.truncate(MOST);
        words.push(format!("{more} more"));
    }
    words
}

fn each(
    words: &mut Vec<String>,
    attribute: &str,
    old: &serde_json::Map<String, Value>,
    new: &serde_json::Map<String, Value>,
) {
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        match (old.get(key), new.get(key)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(_), Some(_)) => words.push(format!("{attribute} {key} changed")),
            (None, _) => words.push(format!("{attribute} {key} added")),
            (_, None) => words.push(format!("{attribute} {key} removed")),
        }
    }
}

/// The label comes from a container that anybody may have made: bounded, and only an object counts.
fn read(text: &str) -> Option<BTreeMap<String, Value>> {
    if text.len() > MAX_BYTES { None } else { serde_json::from_str(text).ok() }
}

fn digest(key: &str, what: &str, value: &str, digits: usize) -> String {
    // HMAC takes keys of any length, so this cannot fail; an empty digest would only cost words.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(what.as_bytes());
    mac.update(&[0]);
    mac.update(value.as_bytes());
    let mut text = hex::encode(mac.finalize().into_bytes());
    text.truncate(digits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(environment: &[(&str, &str)]) -> Service {
        Service {
            image: "shop".to_owned(),
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect(),
            ..Service::default()
        }
    }

    #[test]
    fn variables_are_named() {
        let old = fingerprint("p", "web", &service(&[("KEEP", "1"), ("GONE", "1"), ("APP_MODE", "a")]));
        let mut changed = service(&[("KEEP", "1"), ("NEW", "1"), ("APP_MODE", "b")]);
        changed.image = "shop:2".to_owned();
        changed.hostname = "h".to_owned();
        let new = fingerprint("p", "web", &changed);
        assert_eq!(
            difference(&old, &new),
            [
                "environment APP_MODE changed",
                "environment GONE removed",
                "environment NEW added",
                "hostname added",
                "image changed"
            ]
        );
        assert!(difference(&old, &old).is_empty());
        // The way back: what was there alone is said to be gone, the whole environment variable by variable.
        assert_eq!(
            difference(&new, &fingerprint("p", "web", &service(&[]))),
            [
                "environment APP_MODE removed",
                "environment KEEP removed",
                "environment NEW removed",
                "hostname removed",
                "image changed"
            ]
        );
    }

    #[test]
    fn of_many_differences_twelve_are_named_and_the_others_counted() {
        let none = fingerprint("p", "web", &service(&[]));
        for (variables, expected) in [(11, None), (12, None), (13, Some("1 more")), (30, Some("18 more"))] {
            let names: Vec<String> = (0..variables).map(|n| format!("V{n:02}")).collect();
            let many = service(&names.iter().map(|name| (name.as_str(), "x")).collect::<Vec<_>>());
            let mut words = difference(&none, &fingerprint("p", "web", &many));
            assert_eq!(words.pop_if(|last| last.ends_with("more")).as_deref(), expected, "{variables}");
            assert_eq!(words.len(), variables.min(12));
            assert_eq!(words.last().unwrap(), &format!("environment V{:02} added", variables.min(12) - 1));
        }
    }

    #[test]
    fn what_replaces_nothing_is_not_remembered() {
        let mut other = service(&[]);
        other.scale = Some(3);
        other.pull_policy = "always".to_owned();
        other.profiles = vec!["x".to_owned()];
        assert_eq!(fingerprint("p", "web", &service(&[])), fingerprint("p", "web", &other));
    }

    #[test]
    fn digests_are_short_keyed_and_free_of_values() {
        let service = service(&[("PASSWORD", "hunter2")]);
        let one = fingerprint("p", "web", &service);
        assert!(!one.contains("hunter2"));
        assert_ne!(one, fingerprint("p", "api", &service), "equal values must not show as equal across services");
        let map: BTreeMap<String, Value> = serde_json::from_str(&one).unwrap();
        assert_eq!(map["environment"]["PASSWORD"].as_str().unwrap().len(), 6);
        assert_eq!(map["image"].as_str().unwrap().len(), 8);
    }

    #[test]
    fn the_label_stays_small() {
        let names: Vec<String> = (0..1000).map(|n| format!("A_RATHER_LONG_VARIABLE_NAME_{n}")).collect();
        let big = service(&names.iter().map(|n| (n.as_str(), "x")).collect::<Vec<_>>());
        let text = fingerprint("p", "web", &big);
        assert!(text.len() < 4096);
        assert_eq!(difference(&text, &fingerprint("p", "web", &service(&[("A", "1")]))), ["environment changed"]);
    }

    /// Byte by byte over the bound: whatever length comes out, it is below it, and what is below it is told apart.
    #[test]
    fn the_label_is_shorter_than_its_bound_by_a_byte_at_least() {
        let lengths: BTreeSet<usize> = (0..100)
            .map(|more| fingerprint("p", "web", &service(&[(&"N".repeat(MAX_BYTES - 100 + more), "x")])).len())
            .collect();
        assert!(lengths.iter().all(|length| *length < MAX_BYTES), "{lengths:?}");
        assert!(lengths.contains(&(MAX_BYTES - 1)), "{lengths:?}");
    }

    #[test]
    fn rubbish_on_a_container_is_no_news() {
        for rubbish in ["", "[]", "{", "3", &"x".repeat(10_000)] {
            assert!(difference(rubbish, "{\"image\":\"a\"}").is_empty(), "{rubbish:.20}");
        }
    }

    #[test]
    fn a_label_beyond_its_bound_is_not_read() {
        let padded = |length: usize| format!("{{{}}}", " ".repeat(length - 2));
        for (length, expected) in [(100, 1), (MAX_BYTES, 1), (MAX_BYTES + 1, 0), (2 * MAX_BYTES, 0)] {
            assert_eq!(difference(&padded(length), "{\"image\":\"a\"}").len(), expected, "{length}");
        }
    }
}
