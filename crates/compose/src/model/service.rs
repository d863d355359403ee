//! One service and the parts that belong to it alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

/// One service, canonical. Its name is the key in [`Project::services`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Profiles that activate the service; empty means always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// OCI annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whether `up` follows its logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<bool>,
    /// How to build its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// Watch rules; never acted on, but part of the hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub develop: Option<Develop>,
    /// Block I/O limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blkio_config: Option<Blkio>,
    /// Capabilities added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Parent cgroup.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cgroup_parent: String,
    /// Cgroup namespace: `host` or `private`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cgroup: String,
    /// CPU count (Windows).
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_count: i64,
    /// CPU percent (Windows).
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_percent: GoF32,
    /// CFS period, microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_period: i64,
    /// CFS quota, microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_quota: i64,
    /// Real-time period, microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_rt_period: i64,
    /// Real-time runtime, microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_rt_runtime: i64,
    /// CPU limit in CPUs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpus: GoF32,
    /// CPUs allowed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cpuset: String,
    /// Relative CPU weight.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_shares: i64,
    /// Overrides CMD; `None` = the image's, `Some([])` = cleared.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Configs mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<FileReference>,
    /// Fixed container name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container_name: String,
    /// Windows credential spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_spec: Option<CredentialSpec>,
    /// Services it waits for, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub depends_on: BTreeMap<String, Dependency>,
    /// Replicas and resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<Deploy>,
    /// Device cgroup rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_cgroup_rules: Vec<String>,
    /// Devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceMapping>,
    /// DNS servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Resolver options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_opt: Vec<String>,
    /// Search domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// Legacy top-level dockerfile; refused by the schema.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dockerfile: String,
    /// NIS domain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// Overrides ENTRYPOINT; `None` = the image's, `Some([])` = cleared.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Provider plugin; refused by the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Variables; `None` unsets the image's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, Option<String>>,
    /// Env files; resolved into `environment` and emptied by a full load.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_file: Vec<EnvFile>,
    /// Ports exposed without publishing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// Always `None` after a load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<Extends>,
    /// Links to foreign containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_links: Vec<String>,
    /// Lines for /etc/hosts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub extra_hosts: ExtraHosts,
    /// Supplementary groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// GPU requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<DeviceRequest>,
    /// Host name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Image reference as written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Run an init process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// IPC namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ipc: String,
    /// Isolation (Windows).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub isolation: String,
    /// User labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Label files, absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label_file: Vec<String>,
    /// Links `service[:alias]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Log driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Legacy; refused by the schema.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_driver: String,
    /// Legacy; refused by the schema.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub log_opt: BTreeMap<String, String>,
    /// Memory limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mem_limit: Bytes,
    /// Soft memory limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mem_reservation: Bytes,
    /// Memory plus swap; -1 = unlimited.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memswap_limit: Bytes,
    /// Swappiness 0..100.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mem_swappiness: Bytes,
    /// MAC address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// AI models used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Option<ServiceModel>>,
    /// Legacy; refused by the schema.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub net: String,
    /// Network mode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network_mode: String,
    /// Networks attached, by Compose key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, Option<Attachment>>,
    /// Disable the OOM killer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub oom_kill_disable: bool,
    /// OOM score adjustment.
    #[serde(default, skip_serializing_if = "is_default")]
    pub oom_score_adj: i64,
    /// PID namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pid: String,
    /// PID limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pids_limit: i64,
    /// Platform `os/arch[/variant]`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// Published ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Privileged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Pull policy as written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pull_policy: String,
    /// Read-only root.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Restart policy as written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub restart: String,
    /// OCI runtime.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    /// Number of containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<i64>,
    /// Secrets mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<FileReference>,
    /// Security options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// Size of /dev/shm.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shm_size: Bytes,
    /// Keep stdin open.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stdin_open: bool,
    /// Time between stop signal and KILL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<Duration>,
    /// Stop signal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Storage driver options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: BTreeMap<String, String>,
    /// Sysctls.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Tmpfs mounts `path[:opts]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<String>,
    /// Allocate a TTY.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tty: bool,
    /// Ulimits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Mount the engine socket.
    #[serde(default, skip_serializing_if = "is_default")]
    pub use_api_socket: bool,
    /// User.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// User namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub userns_mode: String,
    /// UTS namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uts: String,
    /// Legacy; refused by the schema.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub volume_driver: String,
    /// Mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Mount>,
    /// Volumes of other services or containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Containers that run to their end before the first container of the service starts (Compose 5.3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_start: Vec<PreStart>,
    /// Commands after start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_start: Vec<Hook>,
    /// Commands before stop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_stop: Vec<Hook>,
}

/// Block I/O configuration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blkio {
    /// Weight.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight: u16,
    /// Per-device weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weight_device: Vec<WeightDevice>,
    /// Read bytes/s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_read_bps: Vec<ThrottleDevice>,
    /// Read operations/s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_read_iops: Vec<ThrottleDevice>,
    /// Write bytes/s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_write_bps: Vec<ThrottleDevice>,
    /// Write operations/s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_write_iops: Vec<ThrottleDevice>,
}

/// Device and weight. Capitalised JSON keys, as Go prints them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightDevice {
    /// Device path.
    #[serde(rename = "Path", default)]
    pub path: String,
    /// Weight.
    #[serde(rename = "Weight", default)]
    pub weight: u16,
}

/// Device and rate. Capitalised JSON keys, as Go prints them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottleDevice {
    /// Device path.
    #[serde(rename = "Path", default)]
    pub path: String,
    /// Rate per second.
    #[serde(rename = "Rate", default)]
    pub rate: Bytes,
}

/// Windows credential spec.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialSpec {
    /// Config name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config: String,
    /// File.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Registry key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub registry: String,
}

/// One edge of `depends_on`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// `service_started`, `service_healthy` or `service_completed_successfully`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Restart this service when the dependency is recreated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: bool,
    /// Whether its absence or failure is an error.
    #[serde(default)]
    pub required: bool,
}

/// A host device in the container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceMapping {
    /// Host path or CDI name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Container path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// `rwm` subset.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub permissions: String,
}

/// `extends` as written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extends {
    /// File.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
}

/// Health check.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Healthcheck {
    /// `CMD`, `CMD-SHELL` or `NONE` first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Time allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Time between checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Failures before unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    /// Grace at start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
    /// Interval during the grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Duration>,
    /// Disable the image's check.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disable: bool,
}

/// Log driver and options.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// Driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Variables through which a model is announced.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceModel {
    /// Variable of the endpoint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint_var: String,
    /// Variable of the model name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model_var: String,
}

/// One network attachment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// DNS aliases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Endpoint driver options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// Gateway priority.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gw_priority: i64,
    /// Interface name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface_name: String,
    /// Static IPv4.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ipv4_address: String,
    /// Static IPv6.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ipv6_address: String,
    /// Link-local addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
    /// MAC address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// Attachment priority; highest is primary.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i64,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `ingress` or `host`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Host address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
    /// Container port.
    #[serde(default, skip_serializing_if = "is_default")]
    pub target: u32,
    /// Host port or range; empty = random.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub published: String,
    /// `tcp`, `udp` or `sctp`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// Application protocol.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app_protocol: String,
}

/// `develop` section.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Develop {
    /// Watch rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<Watch>,
}

/// One watch rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Path.
    #[serde(default)]
    pub path: String,
    /// Action.
    #[serde(default)]
    pub action: String,
    /// Target.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Command; always printed.
    #[serde(default)]
    pub exec: Hook,
    /// Include patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Ignore patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Sync at start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub initial_sync: bool,
}

/// A command run in the container at a point of its life.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Command.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// User.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Privileged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Working directory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, Option<String>>,
}

/// What creates a service that is not a container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Program or plug-in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub r#type: String,
    /// Options; each may be repeated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Vec<String>>,
}
