//! Top-level networks, volumes, secrets and configs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

/// A network that services are attached to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its name in the engine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What carries it, such as `bridge` or `macvlan`; empty = the engine's choice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// What the driver is told, by its own keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// Where its addresses come from; always printed.
    #[serde(default)]
    pub ipam: Ipam,
    /// It must be there already; it is never made or removed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// Containers in it reach one another and nothing outside.
    #[serde(default, skip_serializing_if = "is_default")]
    pub internal: bool,
    /// Containers that no Swarm service owns may join it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attachable: bool,
    /// Labels that the user wrote; those of Compose come on top.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether it has IPv4 addresses; none = the engine's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    /// Whether it has IPv6 addresses; none = the engine's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_ipv6: Option<bool>,
}

/// Where the addresses of a network come from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ipam {
    /// What hands them out; empty = the engine itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The ranges that they are taken from; none = the engine picks one that is free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<IpamPool>,
}

/// One range of addresses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpamPool {
    /// The range, as `172.28.0.0/16`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subnet: String,
    /// The address in it by which containers reach the outside.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// The part of it that containers get addresses from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ip_range: String,
    /// Addresses in it that no container gets, by the name of the host that has each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aux_addresses: BTreeMap<String, String>,
}

/// A volume: storage that outlives the containers that mount it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Its name in the engine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What stores it, such as `local`; empty = the engine's choice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// What the driver is told, by its own keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// It must be there already; it is never made or removed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// Labels that the user wrote; those of Compose come on top.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A secret or config: content that services mount as a file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileObject {
    /// Its name with the project in front, unless the file gives one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The file that holds it, absolute.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The variable that holds it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub environment: String,
    /// Inline content (configs), or what the variable held.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// It lies in a Swarm, which one host has not: refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    /// Labels of the Swarm object: not used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What stores it in a Swarm: refused on one host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// What that driver is told: not used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// What fills in a template in a Swarm: refused on one host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template_driver: String,
}

/// An AI model that services may use. Read and printed; a service that uses one is refused.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name, where the file gives one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Which model: the reference of its artifact, such as `ai/smollm2`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Context size in tokens.
    #[serde(default, skip_serializing_if = "is_default")]
    pub context_size: i64,
    /// Flags of the runtime.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runtime_flags: Vec<String>,
}
