//! The `deploy` section and the resources it asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

/// `deploy` section.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// Mode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// Swarm labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Update policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_config: Option<UpdateConfig>,
    /// Rollback policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_config: Option<UpdateConfig>,
    /// Limits and reservations; always printed.
    #[serde(default)]
    pub resources: Resources,
    /// Restart policy; wins over `restart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Placement; always printed.
    #[serde(default)]
    pub placement: Placement,
    /// Endpoint mode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint_mode: String,
}

/// Swarm update policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateConfig {
    /// Tasks at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u64>,
    /// Delay.
    #[serde(default, skip_serializing_if = "is_default")]
    pub delay: Duration,
    /// On failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure_action: String,
    /// Monitoring time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub monitor: Duration,
    /// Tolerated failures.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_failure_ratio: GoF32,
    /// Order.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order: String,
}

/// Limits and reservations.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Resource>,
    /// Reservations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservations: Option<Resource>,
}

/// One set of resources.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// CPUs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpus: GoF32,
    /// Memory.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory: Bytes,
    /// PIDs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pids: i64,
    /// Devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceRequest>,
    /// Swarm generic resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
}

/// A request for devices such as GPUs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRequest {
    /// Capabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Count; -1 = all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub count: DeviceCount,
    /// Device IDs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_ids: Vec<String>,
    /// Options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Swarm restart policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartPolicy {
    /// Condition.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// Attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    /// Window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
}

/// Swarm placement.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Constraints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Preferences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferences: Vec<PlacementPreference>,
    /// Replicas per node.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_replicas_per_node: u64,
}

/// Swarm placement preference.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacementPreference {
    /// Spread over this label.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub spread: String,
}

/// A user-defined swarm resource.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenericResource {
    /// A countable resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discrete_resource_spec: Option<DiscreteResource>,
}

/// How many of a kind.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscreteResource {
    /// Kind, such as `SSD`.
    #[serde(default)]
    pub kind: String,
    /// Count.
    #[serde(default)]
    pub value: i64,
}
