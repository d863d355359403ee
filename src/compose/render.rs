//! What `config` prints.
//!
//! The document can be loaded again: `$` is doubled so that it is not taken for a variable. What was read from
//! elsewhere (content of secrets and of configs that come from variables, label files) is left out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_yaml::Value as Yaml;

use super::model::{FileObject, Network, Project, Service, Volume};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// YAML.
    #[default]
    Yaml,
    /// JSON, indented by two.
    Json,
}

/// A project that has no form in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Compose 2.40 has no JSON for these, so nothing could read what would be printed.
    #[error("services.{service}.build.ssh: a key with a path has no JSON form (print YAML instead)")]
    SshKeyInJson {
        /// Service that is built with the key.
        service: String,
    },
    /// The document could not be written.
    #[error("the project cannot be printed: {0}")]
    Write(String),
}

/// Prints the project. `escape_dollars` is false only for a document whose variables were never replaced.
///
/// # Errors
///
/// [`RenderError`].
pub fn render(project: &Project, format: Format, escape_dollars: bool) -> Result<String, RenderError> {
    let project = printable(project);
    let text = match format {
        Format::Json => json(project)?,
        Format::Yaml => yaml(&project)?,
    };
    Ok(if escape_dollars { text.replace('$', "$$") } else { text })
}

fn json(project: Project) -> Result<String, RenderError> {
    let Project { name, services, networks, volumes, secrets, configs, extensions, .. } = project;
    let keys = |service: &Service| service.build.iter().any(|build| build.ssh.iter().any(|key| !key.path.is_empty()));
    if let Some((service, _)) = services.iter().find(|(_, service)| keys(service)) {
        return Err(RenderError::SshKeyInJson { service: service.clone() });
    }
    let document = JsonDocument { configs, name, networks, secrets, services, volumes, extensions };
    let text = serde_json::to_string_pretty(&document).map_err(|error| RenderError::Write(error.to_string()))?;
    Ok(go_escapes(&text))
}

/// Sections in the order of their names, as the real thing prints them. Models it prints in YAML only.
#[derive(Serialize)]
struct JsonDocument {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    configs: BTreeMap<String, FileObject>,
    name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    networks: BTreeMap<String, Option<Network>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<String, FileObject>,
    services: BTreeMap<String, Service>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, Option<Volume>>,
    #[serde(flatten)]
    extensions: BTreeMap<String, serde_json::Value>,
}

fn yaml(project: &Project) -> Result<String, RenderError> {
    let fail = |error: serde_yaml::Error| RenderError::Write(error.to_string());
    let mut document = serde_yaml::to_value(project).map_err(fail)?;
    tidy_yaml(&mut document);
    serde_yaml::to_string(&document).map_err(fail)
}

fn printable(project: &Project) -> Project {
    let mut printable = project.clone();
    for secret in printable.secrets.values_mut() {
        secret.content.clear();
    }
    for config in printable.configs.values_mut().filter(|config| !config.environment.is_empty()) {
        config.content.clear();
    }
    for service in printable.services.values_mut() {
        service.label_file.clear();
    }
    printable
}

/// YAML leaves out sections that JSON prints empty, and writes what JSON capitalises in small letters.
fn tidy_yaml(document: &mut Yaml) {
    each_of(document, "services", |service| {
        drop_if(service, &["command", "entrypoint"], Yaml::is_null);
        for hooks in ["post_start", "pre_stop"] {
            items(service.get_mut(hooks), |hook| drop_if(hook, &["command"], Yaml::is_null));
        }
        if let Some(deploy) = service.get_mut("deploy") {
            drop_if(deploy, &["resources", "placement"], is_empty);
        }
        items(service.get_mut("develop").and_then(|develop| develop.get_mut("watch")), |watch| {
            if let Some(exec) = watch.get_mut("exec") {
                drop_if(exec, &["command"], Yaml::is_null);
            }
            drop_if(watch, &["exec"], is_empty);
        });
        if let Some(Yaml::Mapping(blkio)) = service.get_mut("blkio_config") {
            for list in blkio.values_mut() {
                items(Some(list), lowercase_keys);
            }
        }
    });
    each_of(document, "networks", |network| drop_if(network, &["ipam"], is_empty));
}

fn each_of(document: &mut Yaml, section: &str, change: impl Fn(&mut Yaml)) {
    if let Some(Yaml::Mapping(children)) = document.get_mut(section) {
        children.values_mut().for_each(change);
    }
}

fn items(list: Option<&mut Yaml>, change: impl Fn(&mut Yaml)) {
    if let Some(Yaml::Sequence(items)) = list {
        items.iter_mut().for_each(change);
    }
}

fn drop_if(node: &mut Yaml, keys: &[&str], dropped: fn(&Yaml) -> bool) {
    if let Yaml::Mapping(map) = node {
        map.retain(|key, value| !(key.as_str().is_some_and(|key| keys.contains(&key)) && dropped(value)));
    }
}

fn is_empty(node: &Yaml) -> bool {
    node.as_mapping().is_some_and(serde_yaml::Mapping::is_empty)
}

fn lowercase_keys(node: &mut Yaml) {
    if let Yaml::Mapping(map) = node {
        let lower = |key: Yaml| key.as_str().map(str::to_lowercase).map_or(key, Yaml::from);
        *map = std::mem::take(map).into_iter().map(|(key, value)| (lower(key), value)).collect();
    }
}

/// Go's encoder writes these characters as escapes, wherever they stand in a text.
pub(super) fn go_escapes(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}
