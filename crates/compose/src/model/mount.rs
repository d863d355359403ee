//! What a service mounts: volumes and the host's paths, secrets and configs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

/// One mount.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub r#type: String,
    /// Host path, volume key or image; empty = anonymous.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Container path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Read-only.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Consistency; ignored by Linux engines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    /// Bind options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<BindOptions>,
    /// Volume options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeOptions>,
    /// Tmpfs options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<TmpfsOptions>,
    /// Image mount options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageOptions>,
}

/// Options of a bind mount.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindOptions {
    /// `z` or `Z`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selinux: String,
    /// Propagation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Create a missing host path.
    #[serde(default, skip_serializing_if = "is_default")]
    pub create_host_path: bool,
    /// Recursive mode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recursive: String,
}

/// Options of a volume mount.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeOptions {
    /// Labels of an anonymous volume.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Do not copy image content.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nocopy: bool,
    /// Path inside the volume.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// Options of a tmpfs mount.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TmpfsOptions {
    /// Size.
    #[serde(default, skip_serializing_if = "is_default")]
    pub size: Bytes,
    /// Mode.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: u32,
}

/// Options of an image mount.
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
    /// Compose key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Path or name in the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Owner.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gid: String,
    /// Mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
}
