//! The labels by which Compose, and we, recognise objects. Ours win over the user's.

use std::collections::{BTreeMap, HashMap};

use turnout_compose::{
    labels::{self, COMPOSE_VERSION},
    model::{Project, Service},
};

/// What makes the labels of one container, besides the user's own.
#[derive(Debug, Clone)]
pub struct ContainerLabels<'a> {
    /// The Compose service that it is of.
    pub service: &'a str,
    /// Number from 1.
    pub number: u32,
    /// Digest of the service after substitution of container references.
    pub config_hash: &'a str,
    /// ID of the image it is created from.
    pub image_id: &'a str,
    /// What it replaces (`web-1`, or the `container_name`), if it does.
    pub replaces: Option<&'a str>,
    /// Our own labels, as name and value.
    pub own: &'a [(&'a str, &'a str)],
}

/// All labels of a container.
pub fn container_labels(project: &Project, service: &Service, parts: &ContainerLabels<'_>) -> HashMap<String, String> {
    let mut all = owned(&service.labels);
    let project_labels = labels::project_labels(project, parts.service);
    all.extend(project_labels.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let mut set = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.to_owned());
    };
    set(labels::CONTAINER_NUMBER, &parts.number.to_string());
    set(labels::ONEOFF, "False");
    set(labels::CONFIG_HASH, parts.config_hash);
    set(labels::IMAGE, parts.image_id);
    set(labels::DEPENDS_ON, &labels::depends_on_value(project, service));
    if let Some(replaces) = parts.replaces {
        set(labels::REPLACE, replaces);
    }
    for (name, value) in parts.own {
        set(name, value);
    }
    all
}

/// All labels of a network; `hash` is its `config-hash`.
pub fn network_labels(
    project: &Project,
    key: &str,
    user: &BTreeMap<String, String>,
    hash: &str,
) -> HashMap<String, String> {
    resource_labels(project, labels::NETWORK, key, user, hash)
}

/// All labels of a volume; `hash` is its `config-hash`.
pub fn volume_labels(
    project: &Project,
    key: &str,
    user: &BTreeMap<String, String>,
    hash: &str,
) -> HashMap<String, String> {
    resource_labels(project, labels::VOLUME, key, user, hash)
}

fn resource_labels(
    project: &Project,
    kind: &str,
    key: &str,
    user: &BTreeMap<String, String>,
    hash: &str,
) -> HashMap<String, String> {
    let mut all = owned(user);
    for (name, value) in [
        (labels::PROJECT, project.name.as_str()),
        (kind, key),
        (labels::CONFIG_HASH, hash),
        (labels::VERSION, COMPOSE_VERSION),
    ] {
        all.insert(name.to_owned(), value.to_owned());
    }
    all
}

fn owned(user: &BTreeMap<String, String>) -> HashMap<String, String> {
    user.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
