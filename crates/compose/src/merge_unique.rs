//! Lists whose items have a key: of items with one key the last stays, in the place of the first (compose-go
//! `override/uncity.go`).

use indexmap::IndexMap;

use turnout_yaml::{Node, Value};

use super::error::LoadError;

/// Drops earlier items of equal key from every keyed list.
///
/// # Errors
///
/// An item without the part that is its key.
pub(super) fn enforce(root: &mut Node) -> Result<(), LoadError> {
    walk(root, &mut Vec::new())
}

/// The same in what is like a service, wherever it stands.
///
/// # Errors
///
/// As [`enforce`].
pub(super) fn enforce_of_service(node: &mut Node) -> Result<(), LoadError> {
    walk(node, &mut vec!["services".to_owned(), "it".to_owned()])
}

/// Whether a list at this path is a keyed one: Compose makes these anew, so that they stay lists when they are empty.
pub(super) fn is_keyed(path: &[&str]) -> bool {
    index_at(path).is_some()
}

fn walk(node: &mut Node, path: &mut Vec<String>) -> Result<(), LoadError> {
    match &mut node.value {
        Value::Map(map) => {
            for (key, entry) in map {
                path.push(key.clone());
                walk(&mut entry.node, path)?;
                path.pop();
            }
            Ok(())
        }
        Value::Seq(items) => {
            let parts: Vec<&str> = path.iter().map(String::as_str).collect();
            let Some(index) = index_at(&parts) else { return Ok(()) };
            let mut kept: IndexMap<String, Node> = IndexMap::with_capacity(items.len());
            for (position, item) in std::mem::take(items).into_iter().enumerate() {
                let key = key_of(index, &item).map_err(|(message, hint)| {
                    LoadError::at(format!("{}[{position}]", path.join(".")), &item, message).hint(hint)
                })?;
                kept.insert(key, item);
            }
            *items = kept.into_values().collect();
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What the key of an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    /// Text before `=`.
    KeyValue,
    /// Container path of a mount.
    Volume,
    /// Container path of a device.
    Device,
    Expose,
    /// Host address, published and target port, protocol.
    Port,
    /// Target, or the name below a directory.
    Mount(&'static str),
    EnvFile,
}

fn index_at(path: &[&str]) -> Option<Index> {
    match path {
        ["services", _, rest @ ..] => match rest {
            ["annotations" | "cap_add" | "cap_drop" | "dns" | "dns_opt" | "dns_search" | "environment" | "labels"]
            | ["links" | "profiles" | "sysctls" | "tmpfs"]
            | ["build", "args" | "additional_contexts" | "platform" | "tags" | "labels"]
            | ["deploy", "labels"]
            | ["networks", _, "aliases" | "link_local_ips"] => Some(Index::KeyValue),
            ["devices"] => Some(Index::Device),
            ["volumes"] => Some(Index::Volume),
            ["configs"] => Some(Index::Mount("")),
            ["secrets"] => Some(Index::Mount("/run/secrets")),
            ["env_file"] => Some(Index::EnvFile),
            ["expose"] => Some(Index::Expose),
            ["ports"] => Some(Index::Port),
            _ => None,
        },
        ["networks", _, "labels"] | ["networks", _, "ipam", "options"] => Some(Index::KeyValue),
        _ => None,
    }
}

type Fault = (String, &'static str);

fn key_of(index: Index, item: &Node) -> Result<String, Fault> {
    let unexpected = |hint| Err((format!("must not be {}", item.value.kind()), hint));
    let text_of = |key: &str| item.get(key).and_then(Node::as_str).map(str::to_owned);
    match (index, &item.value) {
        (Index::KeyValue, Value::Str(text)) => {
            Ok(text.split_once('=').map_or(text.as_str(), |(key, _)| key).to_owned())
        }
        (Index::KeyValue, _) => unexpected("every item must be a string; quote it"),
        (Index::Volume, Value::Str(text)) => volume_target(text),
        (Index::Volume | Index::Device, Value::Map(_)) => {
            text_of("target").ok_or_else(|| ("is missing a mount target".into(), "add target: /path/in/container"))
        }
        (Index::Device, Value::Str(text)) => Ok(text.split(':').nth(1).unwrap_or(text).to_owned()),
        (Index::Expose, Value::Str(text)) => Ok(text.clone()),
        (Index::Expose, Value::Int(port)) => Ok(port.to_string()),
        (Index::Expose, _) => unexpected("every item must be a port such as \"8080\""),
        (Index::Port, Value::Int(port)) => Ok(port.to_string()),
        (Index::Port, Value::Str(text)) => Ok(text.clone()),
        (Index::Port, Value::Map(_)) => {
            // A number and the same number in quotes are different keys to Compose.
            let part = |key: &str, default: &str| match item.get(key).map(|node| &node.value) {
                None => default.to_owned(),
                Some(Value::Int(number)) => format!("{number}#"),
                Some(other) => other.go_text(),
            };
            if item.get("target").is_none() {
                return Err(("is missing a target port".into(), "add target: PORT"));
            }
            let (host, protocol) = (part("host_ip", "0.0.0.0"), part("protocol", "tcp"));
            Ok(format!("{host}:{}:{}/{protocol}", part("published", "-"), part("target", "")))
        }
        (Index::Mount(directory), Value::Str(name)) => Ok(format!("{directory}/{name}")),
        (Index::Mount(directory), Value::Map(_)) => match item.get("target") {
            Some(_) => text_of("target").ok_or_else(|| ("target must be a string".into(), "write a path or name")),
            None => Ok(format!("{directory}/{}", text_of("source").unwrap_or_default())),
        },
        (Index::Mount(_), _) => unexpected("every item must be a name or a mapping with source"),
        (Index::EnvFile, Value::Str(text)) => Ok(text.clone()),
        (Index::EnvFile, Value::Map(_)) => {
            text_of("path").ok_or_else(|| ("environment path attribute is missing".into(), "add path: FILE"))
        }
        // Other types are the schema's to refuse.
        _ => Ok(String::new()),
    }
}

/// The container path of a short mount.
fn volume_target(spec: &str) -> Result<String, Fault> {
    if spec.is_empty() {
        return Err(("invalid empty volume spec".into(), "write [SOURCE:]TARGET[:OPTIONS]"));
    }
    if spec.len() <= 2 {
        return Ok(spec.to_owned());
    }
    let mut fields = vec![String::new()];
    let mut substitutions = 0_u32;
    let mut chars = spec.chars().peekable();
    while let Some(char) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        if char == '$' && chars.peek() == Some(&'{') {
            substitutions += 1;
        } else if char == '}' && substitutions > 0 {
            substitutions -= 1;
        }
        let drive = field.len() == 1 && field.starts_with(|c: char| c.is_alphabetic());
        if char == ':' && substitutions == 0 && !drive {
            fields.push(String::new());
        } else {
            field.push(char);
        }
    }
    if fields.len() > 1 && fields.iter().take(3).any(String::is_empty) {
        return Err((format!("invalid spec: {spec}: empty section between colons"), "write [SOURCE:]TARGET[:OPTIONS]"));
    }
    Ok(fields.into_iter().take(2).next_back().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::same;
    use turnout_yaml::{Limits, parse};

    fn service(text: &str) -> Node {
        parse(&format!("services: {{a: {{{text}}}}}"), "f", &Limits::default()).unwrap().remove(0)
    }

    #[test]
    fn later_items_replace_earlier_ones_of_the_same_key() {
        for (given, want) in [
            ("environment: [A=1, B=1, A=2]", "environment: [A=2, B=1]"),
            ("expose: [80, '80', 81]", "expose: ['80', 81]"),
            ("ports: ['8000:80', '8001:80', '8000:80']", "ports: ['8000:80', '8001:80']"),
            ("volumes: ['aa:/x', 'bb:/y', 'cc:/x:ro']", "volumes: ['cc:/x:ro', 'bb:/y']"),
            ("volumes: ['aa:/x', {type: bind, target: /x}]", "volumes: [{type: bind, target: /x}]"),
            ("devices: ['/a:/x', '/b:/x', /c]", "devices: ['/b:/x', /c]"),
            ("secrets: [s, {source: t, target: /run/secrets/s}]", "secrets: [{source: t, target: /run/secrets/s}]"),
            ("configs: [s, {source: s}]", "configs: [{source: s}]"),
            ("env_file: [a, {path: a, required: false}]", "env_file: [{path: a, required: false}]"),
            ("security_opt: [a, a]", "security_opt: [a, a]"),
            (
                "ports: [{target: 80, published: '1'}, {target: 80, published: '1', protocol: tcp}]",
                "ports: [{target: 80, published: '1', protocol: tcp}]",
            ),
        ] {
            let mut got = service(given);
            enforce(&mut got).unwrap();
            assert!(same(&got, &service(want)), "{given}: {got:#?}");
        }
    }

    #[test]
    fn items_without_their_key_are_refused_at_their_place() {
        for (given, path) in [
            ("environment: [1]", "services.a.environment[0]"),
            ("volumes: [{type: bind}]", "services.a.volumes[0]"),
            ("ports: [{published: 1}]", "services.a.ports[0]"),
            ("volumes: ['aa::b']", "services.a.volumes[0]"),
        ] {
            assert_eq!(enforce(&mut service(given)).unwrap_err().path, path);
        }
    }
}
