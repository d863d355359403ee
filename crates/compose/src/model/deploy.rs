//! The `deploy` section and the resources it asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

/// The `deploy` section. Written for Swarm; on one host its replicas, resources and restart policy count, as for
/// Compose. What is marked as not used is only printed and hashed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// `replicated`, `global` or a job; one host makes no difference between them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// How many containers the service has; must agree with `scale` where both are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// Labels of the Swarm service, not of its containers: not used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How a new version takes the place of the old one. Compose and a deployment in place do nothing with it;
    /// blue/green reads its order, times and what a failure asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_config: Option<UpdateConfig>,
    /// How Swarm takes an update back: not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_config: Option<UpdateConfig>,
    /// What a container may use at most, and what is kept for it; always printed.
    #[serde(default)]
    pub resources: Resources,
    /// When a container that ended is started again; wins over `restart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// On which nodes Swarm puts containers: not used; always printed.
    #[serde(default)]
    pub placement: Placement,
    /// How Swarm makes the service reachable (`vip`, `dnsrr`): not used.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint_mode: String,
}

/// How the containers of a service are replaced, forwards or back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateConfig {
    /// Containers replaced at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u64>,
    /// Pause between one group and the next.
    #[serde(default, skip_serializing_if = "is_default")]
    pub delay: Duration,
    /// What happens if a new one fails: `pause`, `continue` or `rollback`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure_action: String,
    /// How long a new one is watched for failure.
    #[serde(default, skip_serializing_if = "is_default")]
    pub monitor: Duration,
    /// Share of new ones that may fail, from 0 to 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_failure_ratio: GoF32,
    /// `stop-first` or `start-first`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order: String,
}

/// What a container may use at most, and what is kept for it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// No more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Resource>,
    /// At least this. On one host only memory and devices are told to the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservations: Option<Resource>,
}

/// An amount of each resource.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Processors, in parts of one: `0.5`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpus: GoF32,
    /// Memory in bytes; 0: not said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory: Bytes,
    /// Processes and threads; 0: not said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pids: i64,
    /// Devices such as GPUs. Reserved only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceRequest>,
    /// Amounts that the operator of a Swarm has declared: not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generic_resources: Vec<GenericResource>,
}

/// Devices that a driver finds by what they can do, such as GPUs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRequest {
    /// What they must be capable of, such as `gpu`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// The driver that finds them, such as `nvidia`; empty = whichever can.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// How many; -1 = all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub count: DeviceCount,
    /// Which, by the driver's own IDs; in place of a count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_ids: Vec<String>,
    /// What the driver is told besides, by its own keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// When a container that ended is started again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartPolicy {
    /// `none`, `on-failure` or `any`; words of `restart` are taken as well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Pause before the start, which only Swarm keeps: not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// Starts before it is given up; none = no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u64>,
    /// Time after which Swarm takes a start for a success: not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
}

/// On which nodes of a Swarm containers may run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Conditions that a node must meet, such as `node.labels.disktype==ssd`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// How containers are spread over the nodes that meet them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferences: Vec<PlacementPreference>,
    /// Most containers of the service on one node; 0 = no bound.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_replicas_per_node: u64,
}

/// A wish of how to spread containers over nodes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacementPreference {
    /// Evenly over the values of this label of nodes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub spread: String,
}

/// A resource that the operator of a Swarm has declared.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenericResource {
    /// A number of them; there is no other kind.
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
    /// How many of them.
    #[serde(default)]
    pub value: i64,
}
