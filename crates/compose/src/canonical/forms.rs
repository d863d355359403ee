//! Which attributes have a short form in the Compose specification, and how each is written out.

use super::{
    made::{entry_at, map_at, set_default, text},
    port, volume,
};
use crate::error::{LoadError, Warning};
use turnout_yaml::{Map, Node, Value};

/// Every short form of a service. `ports`: as for the whole document.
pub(super) fn service(node: &mut Node, path: &str, lenient: bool, ports: &mut usize) -> Result<(), LoadError> {
    let Some(map) = node.as_map_mut() else { return Ok(()) };
    for (key, entry) in map {
        let here = format!("{path}.{key}");
        let node = &mut entry.node;
        match key.as_str() {
            "build" => build(node, &here, lenient)?,
            "depends_on" => depends_on(node, &here)?,
            "env_file" => env_file(node),
            "label_file" => text_to_list(node),
            "dns" => dns(node),
            "extends" => text_to_map(node, "service"),
            "gpus" => gpus(node),
            "networks" | "models" => list_to_map(node),
            "volumes" => each(node, &here, |item, path| volume::expand(item, path, lenient))?,
            "devices" => each(node, &here, |item, path| device(item, path, lenient))?,
            "secrets" | "configs" => each(node, &here, |item, _| {
                text_to_map(item, "source");
                Ok(())
            })?,
            "ports" => port::expand(node, &here, lenient, ports)?,
            "ulimits" => ulimits(node, &here)?,
            "develop" => watch(node),
            // Each step is a container like that of a service.
            "pre_start" => each(node, &here, |item, path| service(item, path, lenient, ports))?,
            _ => {}
        }
    }
    Ok(())
}

fn build(node: &mut Node, path: &str, lenient: bool) -> Result<(), LoadError> {
    text_to_map(node, "context");
    let Some(map) = node.as_map_mut() else {
        return Err(LoadError::at(
            path,
            node,
            format!("invalid build: must be a string or mapping, not {}", node.value.kind()),
        ));
    };
    for (key, entry) in map {
        let here = format!("{path}.{key}");
        let node = &mut entry.node;
        match key.as_str() {
            "secrets" => each(node, &here, |item, _| {
                text_to_map(item, "source");
                Ok(())
            })?,
            "provenance" | "sbom" => {
                if let Value::Bool(value) = node.value {
                    node.value = text(value.to_string());
                }
            }
            "additional_contexts" => key_values(node, &here, lenient)?,
            "ssh" => ssh(node, &here)?,
            "ulimits" => ulimits(node, &here)?,
            _ => {}
        }
    }
    Ok(())
}

/// A resource whose former `external: {name: x}` becomes `external: true` and `name: x`.
pub(super) fn external(node: &mut Node, path: &str, warnings: &mut Vec<Warning>) -> Result<(), LoadError> {
    let Some(resource) = node.as_map_mut() else { return Ok(()) };
    let Some(external) = resource.get_mut("external") else { return Ok(()) };
    let Value::Map(former) = &mut external.node.value else { return Ok(()) };
    let former_name = former.shift_remove("name");
    external.node.value = Value::Bool(true);
    let Some(former_name) = former_name else { return Ok(()) };
    let message = "external.name is deprecated. Please set name and external: true";
    warnings.push(Warning::at(path, &former_name.key_pos, message));
    match resource.get("name") {
        Some(name) if name.node.value != former_name.node.value => {
            Err(LoadError::at(path, &former_name.node, "name and external.name conflict").hint("only use name"))
        }
        Some(_) => Ok(()),
        None => {
            resource.insert("name".to_owned(), former_name);
            Ok(())
        }
    }
}

/// `text` becomes `{key: text}`.
pub(super) fn text_to_map(node: &mut Node, key: &'static str) {
    if let Value::Str(value) = &mut node.value {
        let value = std::mem::take(value);
        node.value = map_at(&node.pos, [(key, text(value))]);
    }
}

fn text_to_list(node: &mut Node) {
    if let Value::Str(value) = &mut node.value {
        let item = Node::new(text(std::mem::take(value)), node.pos.clone());
        node.value = Value::Seq(vec![item]);
    }
}

fn each(
    node: &mut Node,
    path: &str,
    mut change: impl FnMut(&mut Node, &str) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    if let Value::Seq(items) = &mut node.value {
        for (index, item) in items.iter_mut().enumerate() {
            change(item, &format!("{path}[{index}]"))?;
        }
    }
    Ok(())
}

/// `[a, b]` becomes `{a: null, b: null}`.
fn list_to_map(node: &mut Node) {
    if let Value::Seq(items) = &node.value {
        let names = items.iter().filter_map(|item| Some((item.as_str()?.to_owned(), entry_at(&item.pos, Value::Null))));
        node.value = Value::Map(names.collect());
    }
}

fn depends_on(node: &mut Node, path: &str) -> Result<(), LoadError> {
    if let Value::Seq(items) = &node.value {
        let edges = items
            .iter()
            .filter_map(|item| Some((item.as_str()?.to_owned(), entry_at(&item.pos, Value::Map(Map::new())))));
        node.value = Value::Map(edges.collect());
    }
    let Value::Map(map) = &mut node.value else {
        return Err(LoadError::at(path, node, format!("must be a list or mapping, not {}", node.value.kind())));
    };
    for (name, entry) in map {
        let pos = entry.node.pos.clone();
        let Some(dependency) = entry.node.as_map_mut() else {
            return Err(LoadError::new("must be a mapping").path(format!("{path}.{name}")).pos(pos));
        };
        set_default(dependency, &pos, "condition", text("service_started"));
        set_default(dependency, &pos, "required", Value::Bool(true));
    }
    Ok(())
}

fn env_file(node: &mut Node) {
    text_to_list(node);
    if let Value::Seq(items) = &mut node.value {
        for item in items {
            text_to_map(item, "path");
            let pos = item.pos.clone();
            if let Some(map) = item.as_map_mut() {
                set_default(map, &pos, "required", Value::Bool(true));
            }
        }
    }
}

fn dns(node: &mut Node) {
    text_to_list(node);
    if let Value::Seq(items) = &mut node.value {
        items.retain(|item| !item.is_null() && item.as_str() != Some(""));
    }
}

fn gpus(node: &mut Node) {
    if node.as_str().is_some() {
        let all = map_at(&node.pos, [("count", text("all"))]);
        node.value = Value::Seq(vec![Node::new(all, node.pos.clone())]);
    }
}

fn device(node: &mut Node, path: &str, lenient: bool) -> Result<(), LoadError> {
    let Some(spec) = node.as_str() else { return Ok(()) };
    let parts: Vec<&str> = spec.split(':').collect();
    let (source, target, permissions) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, target] => (*source, *target, "rwm"),
        [source, target, permissions] => (*source, *target, *permissions),
        _ if lenient => ("", "", "rwm"),
        _ => {
            return Err(LoadError::at(path, node, format!("confusing device '{spec}'"))
                .hint("use the long form with source, target and permissions"));
        }
    };
    let target = if target.is_empty() { source } else { target };
    let long = [("source", text(source)), ("target", text(target)), ("permissions", text(permissions))];
    node.value = map_at(&node.pos, long);
    Ok(())
}

fn key_values(node: &mut Node, path: &str, lenient: bool) -> Result<(), LoadError> {
    let Value::Seq(items) = &node.value else { return Ok(()) };
    let mut map = Map::new();
    for (index, item) in items.iter().enumerate() {
        let line = item.as_str().unwrap_or_default();
        match line.split_once('=') {
            Some((key, value)) => map.insert(key.to_owned(), entry_at(&item.pos, text(value))),
            None if lenient => return Ok(()),
            None => {
                let message = format!("invalid value '{line}', expected key=value");
                return Err(LoadError::at(format!("{path}[{index}]"), item, message));
            }
        };
    }
    node.value = Value::Map(map);
    Ok(())
}

fn ssh(node: &mut Node, path: &str) -> Result<(), LoadError> {
    let Value::Seq(items) = &node.value else { return Ok(()) };
    let mut map = Map::new();
    for (index, item) in items.iter().enumerate() {
        let line = item.as_str().unwrap_or_default();
        let (id, value) = match line.split_once('=') {
            Some((id, path)) => (id, text(path)),
            None if line == "default" => (line, Value::Null),
            None => {
                let error = LoadError::at(format!("{path}[{index}]"), item, format!("invalid ssh key '{line}'"));
                return Err(error.hint("use default, or id=path of a key or agent socket"));
            }
        };
        map.insert(id.to_owned(), entry_at(&item.pos, value));
    }
    node.value = Value::Map(map);
    Ok(())
}

fn ulimits(node: &mut Node, path: &str) -> Result<(), LoadError> {
    let Some(map) = node.as_map() else { return Ok(()) };
    match map.iter().find(|(_, entry)| !matches!(entry.node.value, Value::Map(_) | Value::Int(_))) {
        Some((name, entry)) => {
            let message = format!("must be an integer, or soft and hard, not {}", entry.node.value.kind());
            Err(LoadError::at(format!("{path}.{name}"), &entry.node, message))
        }
        None => Ok(()),
    }
}

fn watch(node: &mut Node) {
    let Some(Value::Seq(rules)) =
        node.as_map_mut().and_then(|map| map.get_mut("watch")).map(|entry| &mut entry.node.value)
    else {
        return;
    };
    for rule in rules {
        for key in ["ignore", "include"] {
            if let Some(entry) = rule.as_map_mut().and_then(|map| map.get_mut(key)) {
                text_to_list(&mut entry.node);
            }
        }
    }
}
