//! Types the `build` section, and what it shares with services.

use std::collections::BTreeMap;

use super::fields::{EXTENSIONS, Fields, expected, text};
use crate::{
    error::LoadError,
    model::{Build, FileMode, FileReference, SshKey, Ulimit},
};
use turnout_yaml::{Node, Value};

pub(super) fn build(f: Fields<'_>) -> Result<Build, LoadError> {
    Ok(Build {
        context: f.text("context")?,
        dockerfile: f.text("dockerfile")?,
        dockerfile_inline: f.text("dockerfile_inline")?,
        entitlements: f.texts("entitlements")?,
        args: f.variables("args", true)?,
        provenance: f.text("provenance")?,
        sbom: f.text("sbom")?,
        ssh: ssh(&f)?,
        labels: f.mapping("labels")?,
        cache_from: f.texts_or_one("cache_from")?,
        cache_to: f.texts_or_one("cache_to")?,
        no_cache: f.flag("no_cache")?,
        no_cache_filter: f.texts_or_one("no_cache_filter")?,
        additional_contexts: additional_contexts(&f)?,
        pull: f.flag("pull")?,
        extra_hosts: f.extra_hosts("extra_hosts")?,
        isolation: f.text("isolation")?,
        network: f.text("network")?,
        target: f.text("target")?,
        secrets: f.sections("secrets", file_reference)?,
        shm_size: f.bytes("shm_size")?,
        tags: f.texts_or_one("tags")?,
        ulimits: ulimits(&f)?,
        platforms: f.texts_or_one("platforms")?,
        privileged: f.flag("privileged")?,
    })
}

/// A context is a path or an address, never a number.
fn additional_contexts(f: &Fields<'_>) -> Result<BTreeMap<String, String>, LoadError> {
    let mut contexts = f.table("additional_contexts", |node, path| match &node.value {
        Value::Str(value) => Ok(value.clone()),
        _ => Err(expected("a string", node, &path)),
    })?;
    let extensions: Vec<(String, String)> = contexts.extract_if(.., |name, _| name.starts_with("x-")).collect();
    if !extensions.is_empty() {
        let pairs = extensions.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>();
        contexts.insert(EXTENSIONS.to_owned(), format!("map[{}]", pairs.join(" ")));
    }
    Ok(contexts)
}

/// In the order written: Compose's own order changes from run to run.
fn ssh(f: &Fields<'_>) -> Result<Vec<SshKey>, LoadError> {
    let Some((node, path)) = f.get("ssh") else { return Ok(Vec::new()) };
    let Some(map) = node.as_map() else { return Err(expected("a mapping", node, &path)) };
    map.iter()
        .map(|(id, entry)| Ok(SshKey { id: id.clone(), path: text(&entry.node, format!("{path}.{id}"))? }))
        .collect()
}

pub(super) fn file_reference(f: Fields<'_>) -> Result<FileReference, LoadError> {
    Ok(FileReference {
        source: f.text("source")?,
        target: f.text("target")?,
        uid: f.text("uid")?,
        gid: f.text("gid")?,
        mode: f.get("mode").map(|(node, path)| file_mode(node, path)).transpose()?,
    })
}

fn file_mode(node: &Node, path: String) -> Result<FileMode, LoadError> {
    match &node.value {
        Value::Int(mode) => Ok(FileMode(*mode)),
        Value::Str(digits) => i64::from_str_radix(digits, 8).map(FileMode).map_err(|_| {
            LoadError::at(path, node, format!("invalid file mode '{digits}'")).hint("write octal digits, such as 0440")
        }),
        _ => Err(expected("octal digits", node, &path)),
    }
}

pub(super) fn ulimits(f: &Fields<'_>) -> Result<BTreeMap<String, Ulimit>, LoadError> {
    let mut limits = f.table("ulimits", ulimit)?;
    let all = limits.len();
    limits.retain(|name, _| !name.starts_with("x-"));
    if limits.len() < all {
        limits.insert(EXTENSIONS.to_owned(), Ulimit::default());
    }
    Ok(limits)
}

fn ulimit(node: &Node, path: String) -> Result<Ulimit, LoadError> {
    match &node.value {
        Value::Int(single) => Ok(Ulimit { single: *single, soft: 0, hard: 0 }),
        _ => {
            let f = Fields::new(node, path)?;
            // Texts became numbers where Compose makes them ones, which is not below `build`: there it crashes on them.
            let whole = |node: &Node, path: String| match &node.value {
                Value::Int(value) => Ok(*value),
                Value::Str(_) => Err(expected("an integer", node, &path).hint("write it without quotes")),
                // It crashes on these, too.
                _ => Err(expected("an integer", node, &path).hint("write it without a fraction or exponent")),
            };
            let limit = |key| f.get(key).map_or(Ok(0), |(node, path)| whole(node, path));
            Ok(Ulimit { single: 0, soft: limit("soft")?, hard: limit("hard")? })
        }
    }
}
