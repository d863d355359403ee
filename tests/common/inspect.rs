//! What the engine says of a container, raw, and compared between two tools that made it.

use std::{collections::BTreeMap, process::Command};

use serde_json::{Map, Value};

use super::docker;

/// The engine's own words about a container: the client library drops what it does not know.
pub fn raw(id: &str) -> Value {
    let output = Command::new("docker").args(["inspect", id]).output().expect("the docker command");
    let mut list: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    list.remove(0)
}

/// All containers of a project by name.
pub fn project(name: &str) -> BTreeMap<String, Value> {
    let containers = docker::containers(name).into_iter().filter_map(|c| c.id);
    containers.map(|id| raw(&id)).map(|found| (found["Name"].as_str().unwrap().to_owned(), found)).collect()
}

/// Expects that two tools made the same containers of one project, one after the other.
#[track_caller]
pub fn assert_same(theirs: &BTreeMap<String, Value>, ours: &BTreeMap<String, Value>) {
    assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    for (name, theirs) in theirs {
        let (theirs, ours) = (parts(theirs), parts(&ours[name]));
        for (part, theirs) in theirs {
            let ours = &ours[part];
            let Some(keys) = theirs.as_object() else {
                assert_eq!(normal(&theirs), normal(ours), "{name}: {part}");
                continue;
            };
            for key in keys.keys().chain(ours.as_object().unwrap().keys()) {
                assert_eq!(normal(&theirs[key]), normal(&ours[key]), "{name}: {part}.{key}");
            }
        }
    }
}

/// What a tool asked for, without what the engine chose.
fn parts(container: &Value) -> BTreeMap<&'static str, Value> {
    let mut networks = container["NetworkSettings"]["Networks"].clone();
    for endpoint in networks.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        let endpoint = endpoint.as_object_mut().unwrap();
        // One that was asked for begins as tests write it; the engine's own are random, or made of the address.
        if !endpoint["MacAddress"].as_str().is_some_and(|address| address.starts_with("02:00:5e")) {
            endpoint.remove("MacAddress");
        }
        let addresses =
            ["IPAddress", "IPPrefixLen", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway"];
        for chosen in ["NetworkID", "EndpointID"].into_iter().chain(addresses) {
            endpoint.remove(chosen);
        }
    }
    BTreeMap::from([
        ("Config", container["Config"].clone()),
        ("HostConfig", container["HostConfig"].clone()),
        ("Mounts", container["Mounts"].clone()),
        ("Networks", networks),
    ])
}

/// A value without what differs by nature: identities, order of sets, and labels that 2.40 does not know.
fn normal(value: &Value) -> Value {
    let hexadecimal = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    match value {
        Value::String(text) if text.starts_with("container:") => "container:*".into(),
        Value::String(text) if text.len() >= 12 && hexadecimal(text) => "id".into(),
        Value::String(text) => match text.split_once(':') {
            Some((id, rest)) if id.len() == 64 && hexadecimal(id) => format!("id:{rest}").into(),
            // Anonymous volumes lie in a directory of their name.
            _ => text
                .split('/')
                .map(|part| if part.len() == 64 { "id" } else { part })
                .collect::<Vec<_>>()
                .join("/")
                .into(),
        },
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(normal).collect();
            items.sort_by_key(ToString::to_string);
            if items.is_empty() { Value::Null } else { items.into() }
        }
        Value::Object(entries) => {
            // The label of mounted images is Compose 5's; 2.40 has none, and with it not their replacement.
            let own = [turnout::plan::attributes::LABEL, turnout::compose::labels::IMAGE_VOLUMES];
            let skip = |key: &str| own.contains(&key) || key == "com.docker.compose.depends_on";
            let kept: Map<String, Value> =
                entries.iter().filter(|(key, _)| !skip(key)).map(|(key, value)| (key.clone(), normal(value))).collect();
            if kept.is_empty() { Value::Null } else { kept.into() }
        }
        other => other.clone(),
    }
}
