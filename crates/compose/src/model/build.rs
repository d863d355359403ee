//! How an image is built.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

/// `build` section, canonical.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Directory, Git or HTTP address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub context: String,
    /// Dockerfile, relative to the context or absolute.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dockerfile: String,
    /// Dockerfile text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dockerfile_inline: String,
    /// Entitlements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entitlements: Vec<String>,
    /// Build arguments; `None` reads the project environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, Option<String>>,
    /// Provenance attestation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provenance: String,
    /// SBOM attestation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sbom: String,
    /// SSH agents or keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<SshKey>,
    /// Image labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Cache sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_from: Vec<String>,
    /// Cache targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_to: Vec<String>,
    /// Ignore the cache.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_cache: bool,
    /// Stages that the cache is ignored for (Compose 5).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_cache_filter: Vec<String>,
    /// Named contexts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub additional_contexts: BTreeMap<String, String>,
    /// Always pull base images.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pull: bool,
    /// Lines for /etc/hosts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub extra_hosts: ExtraHosts,
    /// Isolation (Windows).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub isolation: String,
    /// Network of RUN.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// Stage.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Secrets of RUN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<FileReference>,
    /// Size of /dev/shm.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shm_size: Bytes,
    /// Further tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Ulimits of RUN.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Platforms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Privileged RUN.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
}
