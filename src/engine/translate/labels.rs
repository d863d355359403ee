//! The labels by which Compose, and we, recognise objects.

use std::collections::{BTreeMap, HashMap};

use crate::compose::model::{Dependency, Project};

/// Prefix of all Compose labels.
pub const PREFIX: &str = "com.docker.compose.";
/// Version written: the release whose labels and hashes these are.
pub const VERSION: &str = "2.40.3";

/// What makes the labels of one container, besides the user's own.
#[derive(Debug, Clone)]
pub struct ContainerLabels<'a> {
    /// Compose service.
    pub service: &'a str,
    /// Number from 1.
    pub number: u32,
    /// Digest of the service after substitution of container references.
    pub config_hash: &'a str,
    /// ID of the image it is created from.
    pub image_id: &'a str,
    /// Edges of `depends_on`, implicit ones included.
    pub depends_on: &'a BTreeMap<String, Dependency>,
    /// What it replaces (`web-1`, or the `container_name`), if it does.
    pub replaces: Option<&'a str>,
    /// Our own label, as name and value.
    pub own: Option<(&'a str, &'a str)>,
}

/// All labels of a container. Compose's win over the user's.
pub fn container_labels(
    project: &Project,
    user: &BTreeMap<String, String>,
    parts: &ContainerLabels<'_>,
) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = user.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut set = |key: &str, value: String| {
        labels.insert(format!("{PREFIX}{key}"), value);
    };
    let depends_on: Vec<String> =
        parts.depends_on.iter().map(|(name, d)| format!("{name}:{}:{}", d.condition, d.restart)).collect();
    set("project", project.name.clone());
    set("service", parts.service.to_owned());
    set("container-number", parts.number.to_string());
    set("oneoff", "False".to_owned());
    set("config-hash", parts.config_hash.to_owned());
    set("image", parts.image_id.to_owned());
    set("depends_on", depends_on.join(","));
    set("project.working_dir", project.working_dir.to_string_lossy().into_owned());
    set("project.config_files", project.config_files.join(","));
    if !project.env_files.is_empty() {
        set("project.environment_file", project.env_files.join(","));
    }
    set("version", VERSION.to_owned());
    if let Some(replaces) = parts.replaces {
        set("replace", replaces.to_owned());
    }
    if let Some((name, value)) = parts.own {
        labels.insert(name.to_owned(), value.to_owned());
    }
    labels
}

/// All labels of a network.
pub fn network_labels(
    project: &Project,
    key: &str,
    user: &BTreeMap<String, String>,
    hash: &str,
) -> HashMap<String, String> {
    resource_labels(project, "network", key, user, hash)
}

/// All labels of a volume.
pub fn volume_labels(
    project: &Project,
    key: &str,
    user: &BTreeMap<String, String>,
    hash: &str,
) -> HashMap<String, String> {
    resource_labels(project, "volume", key, user, hash)
}

fn resource_labels(
    project: &Project,
    kind: &str,
    key: &str,
    user: &BTreeMap<String, String>,
    hash: &str,
) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = user.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.insert(format!("{PREFIX}project"), project.name.clone());
    labels.insert(format!("{PREFIX}{kind}"), key.to_owned());
    labels.insert(format!("{PREFIX}config-hash"), hash.to_owned());
    labels.insert(format!("{PREFIX}version"), VERSION.to_owned());
    labels
}
