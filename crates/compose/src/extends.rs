//! `extends`: a service takes over the attributes of another one, of this file or of another, and its own are merged
//! over them (Compose specification, `extends`).

use std::path::Path;

use turnout_yaml::{Map, Node, Value};

use super::{
    document::{Use, load_file},
    error::LoadError,
    lexical, merge,
    merge_reset::Resets,
    resolve,
    session::{Scope, Session},
};

/// Services that extend one another, at most.
const MAX_CHAIN: usize = 100;

/// Resolves every `extends` of a document of `file`.
///
/// # Errors
///
/// A missing service or file, or a circle.
pub(super) fn apply(
    session: &mut Session<'_>,
    scope: &Scope,
    document: &mut Node,
    file: &str,
    resets: &Resets,
) -> Result<(), LoadError> {
    let Some(entry) = document.as_map_mut().and_then(|map| map.get_mut("services")) else { return Ok(()) };
    let pos = entry.node.pos.clone();
    let Value::Map(services) = &mut entry.node.value else {
        let message = format!("must be a mapping, not {}", entry.node.value.kind());
        return Err(LoadError::new(message).path("services").pos(pos).hint("write services: {name: {...}}"));
    };
    let names: Vec<String> = services.keys().cloned().collect();
    for name in names {
        settle(session, scope, &name, services, file, resets, &mut Vec::new())?;
    }
    Ok(())
}

/// Replaces `services[name]` by itself over what it extends.
fn settle(
    session: &mut Session<'_>,
    scope: &Scope,
    name: &str,
    services: &mut Map,
    file: &str,
    resets: &Resets,
    chain: &mut Vec<(String, String)>,
) -> Result<(), LoadError> {
    let path = format!("services.{name}");
    let Some(service) = services.get(name).map(|entry| &entry.node).filter(|node| !node.is_null()) else {
        return Ok(());
    };
    if service.as_map().is_none() {
        return Err(LoadError::at(path, service, format!("must be a mapping, not {}", service.value.kind())));
    }
    let Some(extends) = service.get("extends") else { return Ok(()) };
    let target = Target::read(&format!("{path}.extends"), extends)?;
    let pos = extends.pos.clone();
    let missing = |message: String| {
        let hint = "name a service of this file; one of another file, included or not, needs file: beside service:";
        Err(LoadError::new(message).path(format!("{path}.extends")).pos(pos.clone()).hint(hint))
    };

    let mark = (target.file.clone().unwrap_or_else(|| file.to_owned()), name.to_owned());
    if chain.contains(&mark) || chain.len() >= MAX_CHAIN {
        let way = chain.iter().map(|(file, service)| format!("{service} in {}", session.shown(file)));
        let way = way.chain([format!("{} in {}", mark.1, session.shown(&mark.0))]).collect::<Vec<_>>().join(" -> ");
        let message = if chain.contains(&mark) { "circular reference" } else { "too long a chain" };
        return Err(LoadError::new(format!("{message}: {way}"))
            .path(format!("{path}.extends"))
            .pos(pos)
            .hint("remove one of these extends"));
    }

    let mut base = if let Some(other) = &target.file {
        let (mut others, other_resets) = load_base(session, scope, other).map_err(|error| {
            if error.pos.is_some() { error } else { error.path(format!("{path}.extends.file")).pos(pos.clone()) }
        })?;
        if !others.contains_key(&target.service) {
            return missing(format!(
                "cannot extend service {name:?}: service {:?} not found in {other}",
                target.service
            ));
        }
        chain.push(mark);
        settle(session, scope, &target.service, &mut others, file, &other_resets, chain)?;
        chain.pop();
        others.swap_remove(&target.service)
    } else {
        if !services.contains_key(&target.service) {
            return missing(format!("cannot extend service {name:?}: service {:?} not found", target.service));
        }
        chain.push(mark);
        settle(session, scope, &target.service, services, file, resets, chain)?;
        chain.pop();
        services.get(&target.service).cloned()
    };
    let Some(entry) = services.get_mut(name) else { return Ok(()) };
    // What extends nothing keeps saying so, as in Compose.
    let Some(base) = base.as_mut().map(|entry| &mut entry.node).filter(|node| !node.is_null()) else { return Ok(()) };
    if base.as_map().is_none() {
        return Err(LoadError::at(format!("services.{}", target.service), base, "must be a mapping"));
    }
    session.count_copy(base)?;
    resets.apply(base, &["services", name]);
    let placeholder = Node::new(Value::Null, pos);
    let base = std::mem::replace(base, placeholder.clone());
    let over = std::mem::replace(&mut entry.node, placeholder);
    entry.node = merge::extend(name, base, over)?;
    if let Some(map) = entry.node.as_map_mut() {
        map.shift_remove("extends");
    }
    Ok(())
}

struct Target {
    service: String,
    file: Option<String>,
}

impl Target {
    fn read(path: &str, node: &Node) -> Result<Target, LoadError> {
        if let Value::Str(service) = &node.value {
            return Ok(Target { service: service.clone(), file: None });
        }
        let Some(service) = node.get("service").and_then(Node::as_str) else {
            return Err(
                LoadError::at(path, node, "service is required").hint("write extends: {service: NAME, file: FILE}")
            );
        };
        let file = match node.get("file") {
            None => None,
            Some(file) => match &file.value {
                Value::Null => None,
                Value::Str(text) => Some(text.clone()),
                other => {
                    let message = format!("must be a string, not {}", other.kind());
                    return Err(LoadError::at(format!("{path}.file"), file, message));
                }
            },
        };
        Ok(Target { service: service.to_owned(), file })
    }
}

/// Services of a file that is only extended from; its paths are made relative to the extending file's directory.
fn load_base(session: &mut Session<'_>, scope: &Scope, file: &str) -> Result<(Map, Resets), LoadError> {
    let (local, working_dir) = match session.fetched(file)? {
        Some(fetched) => fetched,
        None => {
            let local = lexical::join(&scope.loader_dir, file);
            let directory = if session.is_dir(&local) { local.clone() } else { lexical::dir(&local) };
            (local, lexical::relative(&scope.loader_dir, &directory))
        }
    };
    let base_scope = Scope { working_dir, loader_dir: lexical::dir(&local), environment: scope.environment.clone() };
    let empty = Node::new(Value::Map(Map::new()), turnout_yaml::Pos::new(session.shown(&local).into(), 1, 1));
    let (mut root, resets) = load_file(session, &base_scope, &local, empty, &[], Use::ExtendsBase)?;
    let Some(services) = root.get("services") else {
        return Err(LoadError::at("", &root, "this file is extended from but has no services section")
            .hint("name a file with services:"));
    };
    if services.as_map().is_none() {
        return Err(LoadError::at("services", services, "must be a mapping"));
    }
    resolve::paths::resolve(&mut root, Path::new(&base_scope.working_dir), session.home, session.files)?;
    let services = root.as_map_mut().and_then(|map| map.swap_remove("services")).map(|entry| entry.node.value);
    match services {
        Some(Value::Map(services)) => Ok((services, resets)),
        _ => Ok((Map::new(), resets)),
    }
}
