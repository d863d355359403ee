//! The loader against recorded outputs of a real `docker compose config`, in this process: the project's own cases
//! (`tests/compose-cases`, whose README has the rules of comparison), and those that others published.

use std::{fs, path::Path};

use serde_json::Value;
use turnout::compose::{
    load::load,
    render::{Format, render},
    source::DiskFiles,
};

use crate::{
    cases_support::{request, untoken},
    compose_cases::{self, Case},
};

#[test]
fn every_recorded_project_loads_or_fails_as_recorded() {
    let (mut total, mut faults) = (0, Vec::new());
    for Case { name, directory } in compose_cases::all() {
        total += 1;
        if let Err(fault) = check(&directory) {
            faults.push(format!("{name}: {fault}"));
        }
    }
    println!("{} of {total} cases agree", total - faults.len());
    assert!(faults.is_empty(), "{} of {total} differ:\n{}", faults.len(), faults.join("\n"));
}

fn check(case: &Path) -> Result<(), String> {
    let meta: Value = serde_json::from_str(&fs::read_to_string(case.join("case.json")).unwrap()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    // Without a project name the oracle's directory was called `proj`.
    let directory = scratch.path().canonicalize().unwrap().join("proj");
    copy(&case.join("project"), &directory);
    let request = request(&meta, &directory);
    let loaded = load(&request, &DiskFiles::default()).map_err(|error| error.to_string());
    let loaded = loaded.and_then(|it| render(&it.project, Format::Json, true).map_err(|error| error.to_string()));
    match (meta["expect"].as_str(), loaded) {
        (Some("error"), Err(error)) if error.is_empty() => Err("an error without a message".into()),
        (Some("error"), Err(_)) => Ok(()),
        // The oracle is 2.40, which does not know what is taken over from Compose 5.
        (Some("error"), Ok(_)) if since_compose_5(case) => Ok(()),
        (Some("error"), Ok(_)) => Err("accepted what the oracle refuses".into()),
        (_, Err(error)) => Err(format!("refused: {error}")),
        (_, Ok(text)) => {
            let want: Value = serde_json::from_str(&fs::read_to_string(case.join("expected.json")).unwrap()).unwrap();
            let want = untoken_all(want, &directory);
            let got: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
            difference(&want, &got, "").map_or(Ok(()), Err)
        }
    }
}

/// Whether the oracle refused nothing but `pre_start`.
fn since_compose_5(case: &Path) -> bool {
    let error = fs::read_to_string(case.join("expected-error.txt")).unwrap_or_default();
    error.contains("additional properties 'pre_start' not allowed")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else if kind.is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn untoken_all(value: Value, directory: &Path) -> Value {
    match value {
        Value::String(text) => Value::String(untoken(&text, directory)),
        Value::Array(items) => items.into_iter().map(|item| untoken_all(item, directory)).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(key, item)| (untoken(&key, directory), untoken_all(item, directory))).collect()
        }
        other => other,
    }
}

/// The first place where two documents say different things.
fn difference(want: &Value, got: &Value, path: &str) -> Option<String> {
    match (want, got) {
        (Value::Object(want), Value::Object(got)) => {
            let unexpected = got.keys().find(|key| !want.contains_key(*key));
            if let Some(key) = unexpected {
                return Some(format!("{path}.{key} is unexpected: {}", got[key]));
            }
            want.iter().find_map(|(key, value)| match got.get(key) {
                None => Some(format!("{path}.{key} is missing")),
                Some(other) => difference(value, other, &format!("{path}.{key}")),
            })
        }
        (Value::Array(want), Value::Array(got)) if want.len() == got.len() => {
            want.iter().zip(got).enumerate().find_map(|(i, (want, got))| difference(want, got, &format!("{path}[{i}]")))
        }
        (Value::Number(want_number), Value::Number(got_number)) if want_number.as_f64() == got_number.as_f64() => None,
        _ if want == got => None,
        _ => Some(format!("{path}: wants {want}, got {got}")),
    }
}
