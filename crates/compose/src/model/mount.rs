//! What a service mounts: volumes and the host's paths, secrets and configs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

/// Something of the host, of a volume or of an image that appears at a path in the container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub r#type: String,
    /// Host path, volume key or image; empty = anonymous.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Where it appears in the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// The container cannot write there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Consistency; ignored by Linux engines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    /// Further rules where `type` is `bind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<BindOptions>,
    /// Further rules where `type` is `volume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeOptions>,
    /// Further rules where `type` is `tmpfs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<TmpfsOptions>,
    /// Further rules where `type` is `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageOptions>,
}

/// Rules of a mount of a host path.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindOptions {
    /// How SELinux labels the host path: `z` shares it with other containers, `Z` keeps it to this one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selinux: String,
    /// Whether mounts made below it later are seen on the other side: `rprivate`, `rslave`, `rshared`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Make a directory of the host path where there is nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub create_host_path: bool,
    /// What becomes of mounts below the host path: `enabled`, `disabled`, `writable` or `readonly`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recursive: String,
}

/// Rules of a mount of a volume.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeOptions {
    /// Labels of an anonymous volume.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Leave an empty volume empty: do not fill it with what the image has at that path.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nocopy: bool,
    /// Path inside the volume.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// Rules of a file system in memory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TmpfsOptions {
    /// How much it may hold, in bytes; 0 = half of the memory, as Linux has it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub size: Bytes,
    /// Permission bits of its top.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: u32,
}

/// Rules of a mount of an image.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageOptions {
    /// Path inside the image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// A secret or config mounted into a service.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileReference {
    /// Which one: its key below `secrets` or `configs`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Path in the container; a secret without a path lies in `/run/secrets`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Number of the user that owns the file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Number of the group that owns the file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gid: String,
    /// Permission bits of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
}
