//! The canonical document becomes the model.

mod build;
mod deploy;
mod fields;
mod resource;
mod service;

use std::collections::BTreeMap;

use fields::Fields;

use crate::{
    compose::{
        error::{LoadError, Warning},
        model::{Extras, Project},
    },
    yaml::{Node, Value},
};

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
        networks: fields.table("networks", |node, path| resource::network(node, path).map(Some))?,
        volumes: fields.table("volumes", |node, path| resource::volume(node, path).map(Some))?,
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
        environment: BTreeMap::new(),
    })
}

fn extensions(root: &Node) -> BTreeMap<String, serde_json::Value> {
    let entries = root.as_map().into_iter().flatten().filter(|(key, _)| key.starts_with("x-"));
    entries.map(|(key, entry)| (key.clone(), json(&entry.node))).collect()
}

/// An extension as JSON. Empty lists become null: Compose loses them on the way.
fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        // Go prints whole numbers without a fraction.
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Json::from(*value as i64),
        Value::Float(value) => Json::from(*value),
        Value::Str(value) => Json::String(value.clone()),
        // A date alone is midnight, as Go reads it.
        Value::Time(value) if value.len() == 10 => Json::String(format!("{value}T00:00:00Z")),
        Value::Time(value) => Json::String(value.clone()),
        Value::Seq(items) if items.is_empty() => Json::Null,
        Value::Seq(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(map) => Json::Object(map.iter().map(|(key, entry)| (key.clone(), json(&entry.node))).collect()),
    }
}
