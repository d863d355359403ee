//! Writes out what a model means without saying it: the default network, dependencies implied by links and shared
//! namespaces, names of resources.

use std::collections::BTreeMap;

use super::defaults::insert;
use crate::{error::LoadError, lexical::clean, merge, merge_unique, schema, tree_size::size};
use turnout_yaml::{Map, Node, Pos, Value};

/// Values, and bytes of text, that `pre_start` steps may take over from their services, in all.
const MAX_COPIED: (usize, usize) = (500_000, 64 << 20);

/// Makes implicit networks, dependencies and names explicit, in place.
pub(super) fn apply(root: &mut Node, project: &str, environment: &BTreeMap<String, String>) -> Result<(), LoadError> {
    networks(root);
    let pos = root.pos.clone();
    let mut copied = (0, 0);
    let Some(sections) = root.as_map_mut() else { return Ok(()) };
    if let Some(services) = sections.get_mut("services").and_then(|entry| entry.node.as_map_mut()) {
        for (name, entry) in services {
            let pos = entry.node.pos.clone();
            if let Some(map) = entry.node.as_map_mut() {
                service(map, &pos, environment);
                pre_start(map, &pos, &format!("services.{name}"), &mut copied)?;
            }
        }
    }
    for section in ["networks", "volumes", "configs", "secrets"] {
        if let Some(resources) = sections.get_mut(section).and_then(|entry| entry.node.as_map_mut()) {
            names(resources, &pos, project);
        }
    }
    Ok(())
}

/// A service that says nothing about networks is on the default one, which then exists.
fn networks(root: &mut Node) {
    let pos = root.pos.clone();
    let Some(sections) = root.as_map_mut() else { return };
    let mut default_used = false;
    if let Some(services) = sections.get_mut("services").and_then(|entry| entry.node.as_map_mut()) {
        for entry in services.values_mut() {
            let pos = entry.node.pos.clone();
            let Some(service) = entry.node.as_map_mut() else { continue };
            if service.contains_key("provider") || service.contains_key("network_mode") {
                continue;
            }
            let own = service.get("networks").and_then(|entry| entry.node.as_map());
            match own {
                Some(own) if !own.is_empty() => default_used |= own.contains_key("default"),
                _ => {
                    let mut map = Map::new();
                    insert(&mut map, &pos, "default", Value::Null);
                    insert(service, &pos, "networks", Value::Map(map));
                    default_used = true;
                }
            }
        }
    }
    if !default_used {
        return;
    }
    if !sections.get("networks").is_some_and(|entry| matches!(entry.node.value, Value::Map(_))) {
        insert(sections, &pos, "networks", Value::Map(Map::new()));
    }
    if let Some(networks) = sections.get_mut("networks").and_then(|entry| entry.node.as_map_mut())
        && !networks.contains_key("default")
    {
        insert(networks, &pos, "default", Value::Null);
    }
}

fn service(map: &mut Map, pos: &Pos, environment: &BTreeMap<String, String>) {
    if text(map, "pull_policy") == Some("if_not_present") {
        insert(map, pos, "pull_policy", Value::Str("missing".to_owned()));
    }
    if let Some(build) = map.get_mut("build").and_then(|entry| entry.node.as_map_mut()) {
        if absent(build, "context") {
            insert(build, pos, "context", Value::Str(".".to_owned()));
        }
        if absent(build, "dockerfile") && absent(build, "dockerfile_inline") {
            insert(build, pos, "dockerfile", Value::Str("Dockerfile".to_owned()));
        }
        if let Some(args) = build.get_mut("args") {
            variables(&mut args.node, environment, false);
        }
    }
    if let Some(entry) = map.get_mut("environment") {
        variables(&mut entry.node, environment, true);
    }
    if let Some(Value::Seq(mounts)) = map.get_mut("volumes").map(|entry| &mut entry.node.value) {
        for mount in mounts {
            if let Some(Value::Str(target)) =
                mount.as_map_mut().and_then(|mount| mount.get_mut("target")).map(|entry| &mut entry.node.value)
            {
                *target = clean(target);
            }
        }
    }
    dependencies(map, pos);
}

/// A step has what the container of its service has and it does not say itself; collections are completed. Not volumes:
/// the mounts of the service, anonymous ones among them, come from its container (compose-go 2.16,
/// `loader.resolvePreStartHooks`).
fn pre_start(map: &mut Map, pos: &Pos, path: &str, copied: &mut (usize, usize)) -> Result<(), LoadError> {
    let mut base = Map::new();
    for (key, entry) in map.iter().filter(|(key, _)| *key != "volumes" && schema::is_of_containers(key)) {
        base.insert(key.clone(), entry.clone());
    }
    let Some(Value::Seq(steps)) = map.get_mut("pre_start").map(|entry| &mut entry.node.value) else { return Ok(()) };
    let base = Node::new(Value::Map(base), pos.clone());
    let (values, bytes) = size(&base);
    for (index, step) in steps.iter_mut().enumerate() {
        *copied = (copied.0.saturating_add(values), copied.1.saturating_add(bytes));
        if copied.0 > MAX_COPIED.0 || copied.1 > MAX_COPIED.1 {
            let message = format!(
                "the steps of all services take over more than {} values or {} bytes from them",
                MAX_COPIED.0, MAX_COPIED.1
            );
            return Err(LoadError::at(format!("{path}.pre_start[{index}]"), step, message).hint("write fewer steps"));
        }
        let base = base.clone();
        let own = std::mem::replace(step, Node::new(Value::Null, pos.clone()));
        let here = |error: LoadError| error.path(format!("{path}.pre_start[{index}]"));
        let mut merged = merge::inherit(base, own).map_err(here)?;
        merge_unique::enforce_of_service(&mut merged).map_err(here)?;
        *step = merged;
    }
    Ok(())
}

/// Gives variables without a value the one of the project; those that have none there either are kept on request.
fn variables(node: &mut Node, environment: &BTreeMap<String, String>, keep: bool) {
    match &mut node.value {
        Value::Map(map) => map.retain(|key, entry| {
            if !entry.node.is_null() {
                return true;
            }
            match environment.get(key) {
                Some(value) => {
                    entry.node.value = Value::Str(value.clone());
                    true
                }
                None => keep,
            }
        }),
        Value::Seq(lines) => lines.retain_mut(|line| {
            let Value::Str(text) = &mut line.value else { return true };
            if text.contains('=') {
                return true;
            }
            match environment.get(text) {
                Some(value) => {
                    *text = format!("{text}={value}");
                    true
                }
                None => keep,
            }
        }),
        _ => {}
    }
}

/// Links, shared namespaces and shared volumes need the other container first.
fn dependencies(map: &mut Map, pos: &Pos) {
    let mut implied: Vec<(String, bool)> = Vec::new();
    for link in texts(map, "links") {
        let mut parts = link.split(':');
        // `service:alias`; anything with more colons is taken as a name, as Compose does.
        let name = match (parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(_), None) => name,
            _ => link,
        };
        implied.push((name.to_owned(), true));
    }
    for namespace in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(name) = text(map, namespace).and_then(|mode| mode.strip_prefix("service:")) {
            implied.push((name.to_owned(), true));
        }
    }
    for source in texts(map, "volumes_from").filter(|source| !source.starts_with("container:")) {
        let name = source.split(':').next().unwrap_or(source);
        implied.push((name.to_owned(), false));
    }
    if implied.is_empty() {
        return;
    }
    if !map.get("depends_on").is_some_and(|entry| matches!(entry.node.value, Value::Map(_))) {
        insert(map, pos, "depends_on", Value::Map(Map::new()));
    }
    let Some(edges) = map.get_mut("depends_on").and_then(|entry| entry.node.as_map_mut()) else { return };
    for (name, restart) in implied {
        if edges.contains_key(&name) {
            continue;
        }
        let mut edge = Map::new();
        insert(&mut edge, pos, "condition", Value::Str("service_started".to_owned()));
        insert(&mut edge, pos, "restart", Value::Bool(restart));
        insert(&mut edge, pos, "required", Value::Bool(true));
        insert(edges, pos, &name, Value::Map(edge));
    }
}

/// A resource without a name has `PROJECT_KEY`; an external one is named as its key.
fn names(resources: &mut Map, pos: &Pos, project: &str) {
    for (key, entry) in resources {
        if !matches!(entry.node.value, Value::Map(_)) {
            entry.node.value = Value::Map(Map::new());
        }
        let Some(resource) = entry.node.as_map_mut() else { continue };
        if !absent(resource, "name") {
            continue;
        }
        let external = resource.get("external").is_some_and(|entry| match &entry.node.value {
            Value::Bool(external) => *external,
            // The texts that Go's ParseBool takes for true.
            Value::Str(text) => matches!(text.as_str(), "1" | "t" | "T" | "TRUE" | "true" | "True"),
            _ => false,
        });
        let name = if external { key.clone() } else { format!("{project}_{key}") };
        insert(resource, pos, "name", Value::Str(name));
    }
}

fn absent(map: &Map, key: &str) -> bool {
    map.get(key).is_none_or(|entry| entry.node.is_null())
}

fn text<'a>(map: &'a Map, key: &str) -> Option<&'a str> {
    map.get(key)?.node.as_str()
}

fn texts<'a>(map: &'a Map, key: &str) -> impl Iterator<Item = &'a str> {
    map.get(key).and_then(|entry| entry.node.as_seq()).unwrap_or_default().iter().filter_map(Node::as_str)
}
