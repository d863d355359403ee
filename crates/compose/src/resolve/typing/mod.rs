//! The canonical document becomes the typed model, section by section.

mod build;
mod deploy;
mod fields;
mod resource;
mod service;

use std::collections::BTreeMap;

pub(in crate::resolve) use fields::EXTENSIONS;
use fields::Fields;

use crate::{
    error::{LoadError, Warning},
    model::{Extras, Project},
    render::node_json,
};
use turnout_files::Reach;
use turnout_yaml::Node;

/// Types a canonical, named document. What the caller knows better (name, directories, profiles) is left empty.
///
/// # Errors
///
/// A value that does not have its attribute's type, with attribute path and place.
pub(super) fn project(root: &Node, warnings: &mut Vec<Warning>) -> Result<Project, LoadError> {
    let fields = Fields::root(root)?;
    Ok(Project {
        name: String::new(),
        services: fields.table("services", |node, path| service::service(node, path, warnings))?,
        networks: fields.table("networks", resource::or_default(resource::network))?,
        volumes: fields.table("volumes", resource::or_default(resource::volume))?,
        secrets: fields.table("secrets", resource::secret)?,
        configs: fields.table("configs", resource::config)?,
        models: fields.table("models", resource::model)?,
        extensions: extensions(root),
        extras: Extras::of(root),
        disabled_services: BTreeMap::new(),
        working_dir: std::path::PathBuf::new(),
        config_files: Vec::new(),
        env_files: Vec::new(),
        profiles: Vec::new(),
        repository: None,
        reach: Reach::Anywhere,
        environment: BTreeMap::new(),
        nameless: BTreeMap::new(),
        set_aside: BTreeMap::new(),
        brought: BTreeMap::new(),
    })
}

fn extensions(root: &Node) -> BTreeMap<String, serde_json::Value> {
    let entries = root.as_map().into_iter().flatten().filter(|(key, _)| key.starts_with("x-"));
    // What JSON does not have is refused where it is printed.
    entries.map(|(key, entry)| (key.clone(), node_json(&entry.node).unwrap_or_default())).collect()
}
