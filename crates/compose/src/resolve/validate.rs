//! Checks on a model that its types cannot express.

use core::net::IpAddr;

use crate::error::LoadError;
use turnout_yaml::{Node, Value};

/// Checks a canonical model.
///
/// # Errors
///
/// The first mistake found, with attribute path and place.
pub fn check(root: &Node) -> Result<(), LoadError> {
    for (name, node) in children(root, "services") {
        service(node, &format!("services.{name}"))?;
    }
    for (name, node) in children(root, "volumes") {
        external_alone(node, &format!("volumes.{name}"))?;
    }
    for (name, node) in children(root, "configs") {
        one_source(node, &["file", "environment", "content"], &format!("configs.{name}"))?;
    }
    for (name, node) in children(root, "secrets") {
        one_source(node, &["file", "environment"], &format!("secrets.{name}"))?;
    }
    Ok(())
}

fn service(node: &Node, path: &str) -> Result<(), LoadError> {
    for (index, port) in items(node, &["ports"]) {
        let Some(ip) = port.get("host_ip") else { continue };
        let text = ip.as_str().unwrap_or_default();
        if text.parse::<IpAddr>().is_err() {
            let here = format!("{path}.ports[{index}].host_ip");
            return Err(LoadError::at(here, ip, format!("invalid ip address: '{text}'"))
                .hint("write an address such as 127.0.0.1"));
        }
    }
    for (index, rule) in items(node, &["develop", "watch"]) {
        if let Some(watched) = rule.get("path").filter(|watched| watched.as_str() == Some("")) {
            return Err(LoadError::at(format!("{path}.develop.watch[{index}].path"), watched, "value can't be blank"));
        }
    }
    for keys in [&["deploy", "resources", "reservations", "devices"][..], &["gpus"]] {
        for (index, request) in items(node, keys) {
            if request.get("count").is_some() && request.get("device_ids").is_some() {
                let here = format!("{path}.{}[{index}]", keys.join("."));
                let message = "'count' and 'device_ids' exclude each other";
                return Err(LoadError::at(here, request, message).hint("keep one of them"));
            }
        }
    }
    Ok(())
}

fn external_alone(node: &Node, path: &str) -> Result<(), LoadError> {
    let Some(map) = node.as_map() else { return Ok(()) };
    if !matches!(node.get("external").map(|external| &external.value), Some(Value::Bool(true))) {
        return Ok(());
    }
    match map.iter().find(|(key, _)| !matches!(key.as_str(), "name" | "external") && !key.starts_with("x-")) {
        Some((key, entry)) => {
            let message = format!("conflicting parameters 'external' and '{key}' specified");
            let error = LoadError::new(message).path(path).pos(entry.key_pos.clone());
            Err(error.hint("an external volume is used as it is found; only its name can be given"))
        }
        None => Ok(()),
    }
}

fn one_source(node: &Node, sources: &[&str], path: &str) -> Result<(), LoadError> {
    let Some(map) = node.as_map() else { return Ok(()) };
    let count = sources.iter().filter(|key| map.contains_key(**key)).count();
    if count > 1 {
        let message = format!("{} attributes are mutually exclusive", sources.join("|"));
        return Err(LoadError::at(path, node, message).hint("keep one of them"));
    }
    if count == 0 && !map.contains_key("driver") && !map.contains_key("external") {
        return Err(LoadError::at(path, node, format!("one of {} must be set", sources.join("|")))
            .hint("say where its content comes from, or write external: true"));
    }
    Ok(())
}

fn children<'a>(root: &'a Node, section: &str) -> impl Iterator<Item = (&'a String, &'a Node)> {
    root.get(section).and_then(Node::as_map).into_iter().flatten().map(|(name, entry)| (name, &entry.node))
}

fn items<'a>(node: &'a Node, keys: &[&str]) -> impl Iterator<Item = (usize, &'a Node)> {
    keys.iter().try_fold(node, |node, key| node.get(key)).and_then(Node::as_seq).unwrap_or_default().iter().enumerate()
}
