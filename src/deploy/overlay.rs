//! A dev or prod file that is meant to be laid over a base file, as Docker's documentation has it. turnout takes the dev
//! or prod file alone unless `compose_files` says otherwise, so this is told, with the line to write. Pure.

use std::collections::BTreeSet;

use super::stack::{self, Stack};
use crate::yaml::{self, Limits, Map, Value};

/// Compose files are small; a larger one is simply not compared.
const LIMITS: Limits =
    Limits { max_bytes: 4 << 20, max_depth: 64, max_nodes: 200_000, max_text: 16 << 20, refuse_apparent_cycles: false };

/// The base file that the choice by DEBUG leaves out, if there is one.
pub fn left_out(stack: &Stack, configured: &[String], present: &BTreeSet<String>) -> Option<&'static str> {
    let by_debug = configured.is_empty() && stack.files.first().is_some_and(|file| stack::is_choice(file));
    by_debug.then(|| stack::STANDARD.iter().copied().find(|name| present.contains(*name))).flatten()
}

/// What to write so that both files count.
pub fn line(base: &str, stack: &Stack) -> String {
    format!(
        "if {files} is to be laid over {base}, write `compose_files: [{base}, {files}]` for this repository in repos.yaml \
         (DEBUG then no longer chooses the file)",
        files = stack.files.join(", ")
    )
}

/// What the base file has that the chosen file lacks, in words. `None` where the chosen file says all of it itself: it
/// is complete then. A base file that cannot be read counts as having more.
pub fn missing(base: &str, chosen: &str) -> Option<String> {
    let (Some(base), Some(chosen)) = (parsed(base), parsed(chosen)) else {
        return Some("what it says is not in force".to_owned());
    };
    let empty = Map::default();
    let services = |map: &Map| below(map, "services").cloned().unwrap_or_default();
    let (ours, theirs) = (services(&chosen), services(&base));
    let absent: Vec<&str> = theirs.keys().filter(|name| !ours.contains_key(*name)).map(String::as_str).collect();
    if !absent.is_empty() {
        return Some(format!("its services {} are not deployed", absent.join(", ")));
    }
    theirs.keys().find_map(|name| {
        let own = below(&ours, name).unwrap_or(&empty);
        let keys = below(&theirs, name)?.keys().filter(|key| !own.contains_key(*key));
        let keys: Vec<&str> = keys.map(String::as_str).collect();
        (!keys.is_empty()).then(|| format!("its {} of service {name} do not count", keys.join(", ")))
    })
}

fn parsed(text: &str) -> Option<Map> {
    let root = yaml::parse(text, "", &LIMITS).ok()?.into_iter().next()?;
    match root.value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}

fn below<'m>(map: &'m Map, key: &str) -> Option<&'m Map> {
    match &map.get(key)?.node.value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_says_less_is_told_of() {
        let base = "services:\n  web:\n    image: a\n    ports: ['80']\n  db: {image: b}\n";
        let table = [
            ("services:\n  web: {image: a, ports: []}\n", Some("services db")),
            ("services:\n  web: {image: a}\n  db: {image: b}\n", Some("ports of service web")),
            ("services:\n  web: {image: c, ports: []}\n  db: {image: b}\n  more: {image: d}\n", None),
        ];
        for (chosen, expected) in table {
            let found = missing(base, chosen);
            assert_eq!(found.is_some(), expected.is_some(), "{chosen}: {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{chosen}");
        }
        assert!(missing("services: [", "services: {}").is_some());
    }
}
