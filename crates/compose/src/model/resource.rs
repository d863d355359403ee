//! Top-level networks, volumes, secrets and configs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

/// A network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Engine name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Driver options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// Address management; always printed.
    #[serde(default)]
    pub ipam: Ipam,
    /// Must exist; never created or removed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// No outside route.
    #[serde(default, skip_serializing_if = "is_default")]
    pub internal: bool,
    /// Attachable.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attachable: bool,
    /// User labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    /// IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_ipv6: Option<bool>,
}

/// IP address management.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ipam {
    /// Driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<IpamPool>,
}

/// One address pool.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpamPool {
    /// Subnet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subnet: String,
    /// Gateway.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Range to allocate from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ip_range: String,
    /// Reserved addresses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aux_addresses: BTreeMap<String, String>,
}

/// A named volume.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Engine name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Driver options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// Must exist; never created or removed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// User labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A secret or config.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileObject {
    /// Resolved name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Source file, absolute.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Source variable.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// Inline content (configs), or what the variable held.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// Swarm object; refused by the engine.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Driver options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// Template driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template_driver: String,
}

/// An AI model that services may use.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Resolved name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Model reference.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Context size in tokens.
    #[serde(default, skip_serializing_if = "is_default")]
    pub context_size: i64,
    /// Flags of the runtime.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runtime_flags: Vec<String>,
}
