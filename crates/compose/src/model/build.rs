//! The `build` section: how an image is built.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

/// The `build` section: from what an image is built and how. Short forms are written out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// What the build may read: a directory (absolute), or the address of a Git repository or an archive.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub context: String,
    /// Dockerfile, relative to the context or absolute.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dockerfile: String,
    /// The text of a Dockerfile, in place of a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dockerfile_inline: String,
    /// Permissions beyond the usual that the build asks of BuildKit, such as `network.host`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entitlements: Vec<String>,
    /// Build arguments; `None` reads the project environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, Option<String>>,
    /// Provenance attestation: `true`, `false` or its parameters, as BuildKit takes them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provenance: String,
    /// Attestation of what the image contains (a software bill of materials): `true`, `false` or its parameters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sbom: String,
    /// SSH agents or keys that `RUN --mount=type=ssh` may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<SshKey>,
    /// Labels that the image gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Caches that the build may read: images, or entries such as `type=registry,ref=…`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_from: Vec<String>,
    /// Where the build writes its cache, in the same form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_to: Vec<String>,
    /// Build every step anew, whatever the cache has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub no_cache: bool,
    /// Stages that the cache is ignored for (Compose 5).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_cache_filter: Vec<String>,
    /// Further contexts by the name that `FROM` and `COPY --from` know them by: directories, addresses, images,
    /// services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub additional_contexts: BTreeMap<String, String>,
    /// Ask the registry for the base images even if they are here.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pull: bool,
    /// Host names that `RUN` finds besides those that DNS knows, with their addresses.
    #[serde(default, skip_serializing_if = "is_default")]
    pub extra_hosts: ExtraHosts,
    /// How build containers are kept apart. Only Windows has a choice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub isolation: String,
    /// Network that `RUN` has: `host`, `none`, or a name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// The stage of the Dockerfile to build up to; empty = the last one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Secrets that `RUN --mount=type=secret` may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<FileReference>,
    /// Size of `/dev/shm` in build containers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shm_size: Bytes,
    /// Names that the image gets besides its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Limits of processes that `RUN` starts, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Platforms to build for, such as `linux/arm64`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Run build steps with all privileges.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
}
