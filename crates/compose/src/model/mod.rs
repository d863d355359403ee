//! The typed Compose project: what a load produces, what planning, hashing and translation read.
//!
//! Field order inside every struct is the serialisation order of Compose 2.40 (compose-go 2.9.1), because
//! `config-hash` is a digest over exactly that JSON (`compose::hash`). Do not reorder, and do not replace a
//! struct by a map. Values are canonical: short forms are expanded, paths absolute, names resolved.

pub mod build;
pub mod deploy;
pub mod duration;
pub(crate) mod entries;
pub mod extras;
pub mod graph;
pub mod mount;
pub mod pre_start;
pub mod resource;
pub mod scalar;
pub mod service;
pub mod size;

pub use build::*;
pub use deploy::*;
pub use duration::*;
pub use extras::*;
pub use graph::*;
pub use mount::*;
pub use pre_start::*;
pub use resource::*;
pub use scalar::*;
pub use service::*;
pub use size::*;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Deserializer, Serialize, de};

use turnout_files::Reach;

/// A loaded project: every reference resolved, only active services in [`Project::services`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Project {
    /// Compose project name, already valid (`[a-z0-9][a-z0-9_-]*`).
    pub name: String,
    /// Active services by name.
    pub services: BTreeMap<String, Service>,
    /// Networks that active services use, by Compose key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, Option<Network>>,
    /// Volumes that active services use, by Compose key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Option<Volume>>,
    /// Secrets that active services use, by Compose key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, FileObject>,
    /// Configs that active services use, by Compose key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configs: BTreeMap<String, FileObject>,
    /// AI models, by Compose key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Model>,
    /// Top-level `x-*` keys; printed by `config`, never sent anywhere.
    #[serde(flatten, deserialize_with = "only_extensions")]
    pub extensions: BTreeMap<String, serde_json::Value>,
    /// `x-*` keys of everything below; printed by `config` in YAML.
    #[serde(skip)]
    pub extras: Extras,
    /// Services whose profiles are inactive. Their containers are not orphans' equals: see planning.
    #[serde(skip)]
    pub disabled_services: BTreeMap<String, Service>,
    /// The project directory, that relative paths count from; absolute.
    #[serde(skip)]
    pub working_dir: PathBuf,
    /// Compose files in the order given, absolute (`-` for standard input).
    #[serde(skip)]
    pub config_files: Vec<String>,
    /// `--env-file` values as given, only when given; become a label.
    #[serde(skip)]
    pub env_files: Vec<String>,
    /// Profiles that are active.
    #[serde(skip)]
    pub profiles: Vec<String>,
    /// Configured name of the repository that is deployed; becomes a label. `turnout compose` has one with `--repo` only.
    #[serde(skip)]
    pub repository: Option<String>,
    /// From where its files may be read.
    #[serde(skip)]
    pub reach: Reach,
    /// The environment that interpolation saw (process over `.env`); build args without a value read it.
    #[serde(skip)]
    pub environment: BTreeMap<String, String>,
    /// Network keys by service: there its containers get no aliases, neither the service's name nor the container's nor
    /// those of the attachment. Turnout's own, never in a file, a hash or what is printed: Compose has no words for it, and
    /// two colours of a stack that share a network need it, for one alias in both answers for both. The engine itself
    /// makes a container's name resolvable in every network that is not its default one, its short ID too, and from
    /// version 25.0 on its `hostname`: none of that can be taken away.
    #[serde(skip)]
    pub nameless: BTreeMap<String, BTreeSet<String>>,
    /// Services of the project that another plan brings up: their containers are no orphans, and what they wait for is
    /// waited for. Turnout's own, like [`Project::nameless`]: Compose brings up a project at once, or what one names and all
    /// that it depends on.
    #[serde(skip)]
    pub set_aside: BTreeMap<String, Service>,
    /// Volumes without a name, by service, that containers of another project have, whose successors this project's are: those mount
    /// them at the same places. Turnout's own, like [`Project::nameless`]: Compose hands them on within a project only.
    #[serde(skip)]
    pub brought: BTreeMap<String, Vec<Brought>>,
}

/// A volume without a name that a container takes over from one of another project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// The container's number within its service.
    pub number: u32,
    /// The engine's name of the volume.
    pub volume: String,
    /// Where it is mounted.
    pub target: String,
    /// Whether the container may write there.
    pub writable: bool,
}

impl Project {
    /// Whether containers of a service have no aliases in a network, by its key.
    pub fn is_nameless(&self, service: &str, network: &str) -> bool {
        self.nameless.get(service).is_some_and(|networks| networks.contains(network))
    }
}

/// Refuses what is neither a field nor an extension: `deny_unknown_fields` does not work beside `flatten`.
fn only_extensions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, serde_json::Value>, D::Error> {
    let rest = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
    match rest.keys().find(|key| !key.starts_with("x-")) {
        Some(key) => Err(de::Error::custom(format!("unknown field `{key}`"))),
        None => Ok(rest),
    }
}
