//! What `config` prints.
//!
//! The document can be loaded again: `$` is doubled so that it is not taken for a variable. What was read from
//! elsewhere (content of secrets and of configs that come from variables, label files) is left out.

use std::collections::BTreeMap;

mod json;
mod text;
mod tree;

use serde::Serialize;

use turnout_yaml::Node;

use super::model::{Extras, FileObject, Network, Project, Service, Volume};
pub(super) use json::{go_escapes, node_json};
use tree::{Map, Tree, natural};

/// In which language a project is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// YAML, as go-yaml writes it.
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

/// Prints a document that was not typed, keys sorted, `$` as written. `normalised`: whether what is implied was made
/// explicit in it.
///
/// # Errors
///
/// [`RenderError::Write`].
pub fn render_model(root: &Node, format: Format, normalised: bool) -> Result<String, RenderError> {
    match format {
        Format::Yaml => Ok(text::print(&Tree::of_node(root), 2)),
        Format::Json => {
            let value = json::document_json(root, normalised).map_err(RenderError::Write)?;
            json::pretty(&value).map_err(RenderError::Write)
        }
    }
}

/// Prints any mapping as YAML, indented by four, as go-yaml does when nobody says otherwise.
///
/// # Errors
///
/// [`RenderError::Write`].
pub fn yaml_table<T: Serialize>(value: &T) -> Result<String, RenderError> {
    let tree = Tree::of(value).map_err(|error| RenderError::Write(error.to_string()))?;
    Ok(text::print(&tree, 4))
}

fn json(project: Project) -> Result<String, RenderError> {
    let Project { name, services, networks, volumes, secrets, configs, extras, .. } = project;
    let keys = |service: &Service| service.build.iter().any(|build| build.ssh.iter().any(|key| !key.path.is_empty()));
    if let Some((service, _)) = services.iter().find(|(_, service)| keys(service)) {
        return Err(RenderError::SshKeyInJson { service: service.clone() });
    }
    let extensions = extras.own.iter().map(|(key, node)| Ok((key.clone(), node_json(node)?)));
    let extensions = extensions.collect::<Result<_, String>>().map_err(RenderError::Write)?;
    let document = JsonDocument { configs, name, networks, secrets, services, volumes, extensions };
    json::pretty(&document).map_err(RenderError::Write)
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
    let fail = |error: tree::Fault| RenderError::Write(error.to_string());
    let Project { name, services, networks, volumes, secrets, configs, models, extras, .. } = project;
    let mut entries = vec![("name".to_owned(), Tree::Text(name.clone()))];
    if name.is_empty() {
        entries.clear();
    }
    entries.push(("services".to_owned(), Tree::of(services).map_err(fail)?));
    for (key, section) in [
        ("networks", Tree::of(networks)),
        ("volumes", Tree::of(volumes)),
        ("secrets", Tree::of(secrets)),
        ("configs", Tree::of(configs)),
        ("models", Tree::of(models)),
    ] {
        let section = section.map_err(fail)?;
        if !section.is_empty_map() {
            entries.push((key.to_owned(), section));
        }
    }
    let mut document = Tree::Map(Map { entries, section: true });
    add_extras(&mut document, extras);
    tidy_yaml(&mut document);
    Ok(text::print(&document, 2))
}

/// Puts `x-*` keys behind the fixed keys of their sections.
fn add_extras(tree: &mut Tree, extras: &Extras) {
    match tree {
        Tree::Map(map) => {
            for (key, inside) in &extras.inside {
                if let Some((_, value)) = map.entries.iter_mut().find(|(name, _)| name == key) {
                    add_extras(value, inside);
                }
            }
            if map.section {
                let mut own: Vec<_> = extras.own.iter().map(|(key, node)| (key.clone(), Tree::of_node(node))).collect();
                own.sort_by(|(a, _), (b, _)| natural(a, b));
                map.entries.extend(own);
            }
        }
        Tree::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                if let Some(inside) = extras.inside.get(&index.to_string()) {
                    add_extras(item, inside);
                }
            }
        }
        _ => {}
    }
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
        service.pre_start.iter_mut().for_each(|step| step.spec.label_file.clear());
    }
    printable
}

/// YAML leaves out sections that JSON prints empty, and writes some values otherwise.
fn tidy_yaml(document: &mut Tree) {
    for service in document.get_mut("services").into_iter().flat_map(Tree::values_mut) {
        tidy_service(service);
        // They are in the form of Compose 5, which keeps the format of env files.
        service.get_mut("pre_start").into_iter().flat_map(Tree::items_mut).for_each(tidy_container);
    }
    for network in document.get_mut("networks").into_iter().flat_map(Tree::values_mut) {
        network.drop_if(&["ipam"], Tree::is_empty_map);
    }
}

fn tidy_service(service: &mut Tree) {
    tidy_container(service);
    for file in service.get_mut("env_file").into_iter().flat_map(Tree::items_mut) {
        file.drop_if(&["format"], |_| true);
    }
}

/// A service, or a step of its `pre_start`.
fn tidy_container(service: &mut Tree) {
    service.drop_if(&["command", "entrypoint"], Tree::is_null);
    for hooks in ["post_start", "pre_stop"] {
        for hook in service.get_mut(hooks).into_iter().flat_map(Tree::items_mut) {
            hook.drop_if(&["command"], Tree::is_null);
        }
    }
    if let Some(deploy) = service.get_mut("deploy") {
        deploy.drop_if(&["resources", "placement"], Tree::is_empty_map);
    }
    let develop = service.get_mut("develop").and_then(|develop| develop.get_mut("watch"));
    for watch in develop.into_iter().flat_map(Tree::items_mut) {
        if let Some(exec) = watch.get_mut("exec") {
            exec.drop_if(&["command"], Tree::is_null);
        }
        watch.drop_if(&["exec"], Tree::is_empty_map);
    }
    for list in service.get_mut("blkio_config").into_iter().flat_map(Tree::values_mut) {
        list.items_mut().for_each(lowercase_keys);
    }
    service.get_mut("ulimits").into_iter().flat_map(Tree::values_mut).for_each(both_limits);
    if let Some(build) = service.get_mut("build") {
        build.get_mut("ulimits").into_iter().flat_map(Tree::values_mut).for_each(both_limits);
        build.get_mut("ssh").into_iter().flat_map(Tree::items_mut).for_each(ssh_key);
    }
}

/// A pair of limits is written whole, and without extensions.
fn both_limits(limit: &mut Tree) {
    let Tree::Map(map) = limit else { return };
    let of = |key: &str| map.entries.iter().find(|(name, _)| name == key).map_or(Tree::Int(0), |(_, v)| v.clone());
    let entries = ["soft", "hard"].map(|key| (key.to_owned(), of(key))).to_vec();
    map.entries = entries;
}

/// `id: path` as one text. The loader does not read it back; it is what Compose prints.
fn ssh_key(key: &mut Tree) {
    if let Tree::Text(text) = key
        && let Some((id, path)) = text.split_once('=')
    {
        *text = format!("{id}: {path}");
    }
}

fn lowercase_keys(node: &mut Tree) {
    if let Tree::Map(map) = node {
        map.entries.iter_mut().for_each(|(key, _)| key.make_ascii_lowercase());
    }
}
