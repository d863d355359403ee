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
    /// Notes for the OCI runtime that starts the container; left out by engines before 24.0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whether `turnout compose up` shows what its containers say; none = yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach: Option<bool>,
    /// How to build its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// What `turnout compose up --watch` does when files change. A deployment does nothing with it, but it is part of
    /// the hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub develop: Option<Develop>,
    /// How much it may read from and write to block devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blkio_config: Option<Blkio>,
    /// Kernel capabilities that it gets beyond the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Kernel capabilities that it does without; `ALL` is all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// The cgroup that the container's own is made in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cgroup_parent: String,
    /// Cgroup namespace: `host` or `private`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cgroup: String,
    /// Processors it may use, on Windows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_count: i64,
    /// Share of the processors it may use, in per cent, on Windows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_percent: GoF32,
    /// Length of a period of the CFS scheduler, in microseconds; the quota is per period.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_period: i64,
    /// Time of a processor that it may use in each period, in microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_quota: i64,
    /// Length of a period of the real-time scheduler, in microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_rt_period: i64,
    /// Time that it may use in each real-time period, in microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_rt_runtime: i64,
    /// Processors it may use, in parts of one: `0.5`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpus: GoF32,
    /// The processors it may run on: `0-3` or `0,2`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cpuset: String,
    /// Its weight against other containers where processors are short; 1024 is usual.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu_shares: i64,
    /// Overrides CMD; `None` = the image's, `Some([])` = cleared.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Configs that appear in it as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configs: Vec<FileReference>,
    /// The name of its container, in place of `PROJECT-SERVICE-NUMBER`. There can only be one container then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container_name: String,
    /// Credentials of a managed account; on Windows only, so it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_spec: Option<CredentialSpec>,
    /// Services it waits for, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub depends_on: BTreeMap<String, Dependency>,
    /// How many containers, with which resources; and what a Swarm would want to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<Deploy>,
    /// Devices it may make and use, as rules of the kernel: `c 1:3 mr`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_cgroup_rules: Vec<String>,
    /// Devices of the host that it may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceMapping>,
    /// Addresses of the name servers that it asks in place of the host's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Options of its resolver, as in resolv.conf(5): `ndots:2`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_opt: Vec<String>,
    /// Domains that it tries short names in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// Legacy top-level dockerfile; refused by the schema.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dockerfile: String,
    /// Its NIS domain, which is part of the full host name.
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
    /// Containers of other projects that it reaches by a name, `container[:alias]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_links: Vec<String>,
    /// Host names that it finds besides those that DNS knows, with their addresses.
    #[serde(default, skip_serializing_if = "is_default")]
    pub extra_hosts: ExtraHosts,
    /// Groups that its user is in beyond those of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// GPUs that it may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<DeviceRequest>,
    /// The host name that it sees of itself; empty = the start of its ID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// How it is found out whether it works; none = as the image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Image reference as written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Whether a small init runs first in it, which passes signals on and buries dead processes; none = as the engine
    /// is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// Whose shared memory and semaphores it sees: `shareable`, `service:NAME`, `container:NAME`, `host`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ipc: String,
    /// How it is kept apart. Only Windows has a choice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub isolation: String,
    /// Labels that the user wrote; those of Compose and of turnout come on top.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Files with further labels, absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label_file: Vec<String>,
    /// Services that it reaches by another name, `service[:alias]`. They are started before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Where what it says goes; none = as the engine is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Legacy; refused by the schema.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_driver: String,
    /// Legacy; refused by the schema.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub log_opt: BTreeMap<String, String>,
    /// Most memory it may use, in bytes; beyond it, it is killed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mem_limit: Bytes,
    /// Memory that it is pressed back to where the host runs short, in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mem_reservation: Bytes,
    /// Memory plus swap; -1 = unlimited.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memswap_limit: Bytes,
    /// How readily its memory goes to swap, from 0 to 100.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mem_swappiness: Bytes,
    /// Hardware address on its primary network.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// AI models that it uses, by Compose key; refused, as nothing here runs them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Option<ServiceModel>>,
    /// Legacy; refused by the schema.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub net: String,
    /// Whose network it shares in place of networks of its own: `host`, `none`, `service:NAME`, `container:NAME`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network_mode: String,
    /// Networks it is attached to, by Compose key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, Option<Attachment>>,
    /// Never kill it where memory runs out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub oom_kill_disable: bool,
    /// How likely the kernel is to kill it where memory runs out, from -1000 (never) to 1000.
    #[serde(default, skip_serializing_if = "is_default")]
    pub oom_score_adj: i64,
    /// Whose processes it sees: `host`, `service:NAME`, `container:NAME`; empty = its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pid: String,
    /// Most processes and threads it may have; -1 = no bound.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pids_limit: i64,
    /// The platform of its image, `os/arch[/variant]`; empty = the engine's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// Ports of it that the host listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// It may do almost all that root on the host may.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Pull policy as written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pull_policy: String,
    /// It cannot write to its root file system; mounts have rules of their own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Restart policy as written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub restart: String,
    /// The program that starts the container, by the name that the engine knows: `runc`, `nvidia`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    /// How many containers it has; none = one, or as `deploy` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<i64>,
    /// Secrets that appear in it as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<FileReference>,
    /// How SELinux, AppArmor, seccomp and the like treat it: `no-new-privileges:true`, `seccomp:FILE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// Size of `/dev/shm` in it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shm_size: Bytes,
    /// Keep its standard input open, also while nobody is attached.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stdin_open: bool,
    /// Time between stop signal and KILL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<Duration>,
    /// The signal that asks it to end; empty = as the image says, or TERM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Options of the storage of its root file system, such as `size`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: BTreeMap<String, String>,
    /// Settings of the kernel in its namespaces: `net.core.somaxconn`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Paths with a file system in memory, `path[:options]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<String>,
    /// Give it a terminal; its two outputs are one then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tty: bool,
    /// Limits of its processes, by name: `nofile`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Let it talk to the engine, with the user's credentials (`turnout compose` only; a deployment refuses it).
    #[serde(default, skip_serializing_if = "is_default")]
    pub use_api_socket: bool,
    /// The user, and group, that it runs as: `name`, `uid`, `uid:gid`; empty = the image's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Whose user IDs it has: `host` turns a mapping of the engine off.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub userns_mode: String,
    /// Whose host name it has: `host`; empty = its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uts: String,
    /// Legacy; refused by the schema.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub volume_driver: String,
    /// Volumes, host paths and the like that appear in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Mount>,
    /// Services (or `container:NAME`) whose mounts it has as well, `source[:ro]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// The directory that it starts in; empty = the image's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Containers that run to their end before the first container of the service starts (Compose 5.3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_start: Vec<PreStart>,
    /// Commands that run in its containers after each was started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_start: Vec<Hook>,
    /// Commands that run in its containers before each is stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_stop: Vec<Hook>,
}

/// How much a container may read from and write to block devices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blkio {
    /// Its weight against other containers, from 10 to 1000; 0 = none given.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight: u16,
    /// Weights for single devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weight_device: Vec<WeightDevice>,
    /// Most bytes a second that it reads from a device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_read_bps: Vec<ThrottleDevice>,
    /// Most reads a second from a device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_read_iops: Vec<ThrottleDevice>,
    /// Most bytes a second that it writes to a device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_write_bps: Vec<ThrottleDevice>,
    /// Most writes a second to a device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_write_iops: Vec<ThrottleDevice>,
}

/// Device and weight. Capitalised JSON keys, as Go prints them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightDevice {
    /// The device: `/dev/sda`.
    #[serde(rename = "Path", default)]
    pub path: String,
    /// The weight on it, from 10 to 1000.
    #[serde(rename = "Weight", default)]
    pub weight: u16,
}

/// Device and rate. Capitalised JSON keys, as Go prints them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottleDevice {
    /// The device: `/dev/sda`.
    #[serde(rename = "Path", default)]
    pub path: String,
    /// The most, in bytes or operations a second.
    #[serde(rename = "Rate", default)]
    pub rate: Bytes,
}

/// Credentials of a managed account, on Windows; one of three places.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialSpec {
    /// The config that holds them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config: String,
    /// The file that holds them, in a folder of the engine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The value of the Windows registry that holds them.
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
    /// The path on the host, or a name of the Container Device Interface: `vendor.com/class=name`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The path in the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// What it may do with it: `r`ead, `w`rite, `m`ake such devices.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub permissions: String,
}

/// Another service that this one takes over, as written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extends {
    /// The file that it is in; empty = this one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Its name there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
}

/// How it is found out whether a container works.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Healthcheck {
    /// The command, with `CMD` (a program), `CMD-SHELL` (a line for the shell) or `NONE` in front.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// A check that takes longer counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Time from the end of one check to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Failed checks in a row after which it is unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    /// Time after the start in which failed checks do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
    /// Time between checks while it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Duration>,
    /// No check, although the image has one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disable: bool,
}

/// Where what a container says goes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// What takes it, such as `json-file` or `journald`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// What the driver is told, by its own keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// The variables by which a service learns of a model; empty = names made of its key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceModel {
    /// The variable with the address to ask.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint_var: String,
    /// The variable with the model's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model_var: String,
}

/// What a service is in one network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Names by which others in the network find it, besides its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What the network's driver is told of this attachment, by its own keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// The network with the highest is the way out; needs engine 28.0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gw_priority: i64,
    /// Name of the interface in the container; needs engine 28.1.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface_name: String,
    /// A fixed IPv4 address in the network; empty = any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ipv4_address: String,
    /// A fixed IPv6 address in the network; empty = any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ipv6_address: String,
    /// Further addresses, that are valid on the link only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
    /// Hardware address in this network.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// Order of the attachments; the highest is the primary one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i64,
}

/// A port of the container, and where the host listens for it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// What it is for; for readers only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `ingress` or `host`; one host makes no difference between them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// The address of the host that listens; empty = all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
    /// The port in the container.
    #[serde(default, skip_serializing_if = "is_default")]
    pub target: u32,
    /// The port of the host, or a range to pick one from; empty = any that is free.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub published: String,
    /// `tcp`, `udp` or `sctp`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// What is spoken over it, such as `http`; not told to the engine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app_protocol: String,
}

/// What is done when files of the service change, while it is being worked on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Develop {
    /// One rule for each place that is watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<Watch>,
}

/// A place that is watched, and what a change there leads to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// The file or directory, absolute.
    #[serde(default)]
    pub path: String,
    /// `rebuild`, `restart`, `sync`, `sync+restart` or `sync+exec`.
    #[serde(default)]
    pub action: String,
    /// Where changed files are copied to in the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// The command of `sync+exec`; always printed.
    #[serde(default)]
    pub exec: Hook,
    /// Files that count, as patterns; none = all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Files that do not count, as patterns of .dockerignore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Copy what differs when the watching begins, too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub initial_sync: bool,
}

/// A command run in the container at a point of its life.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// The program and its arguments.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// The user that it runs as; empty = the container's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// It may do almost all that root on the host may.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// The directory that it starts in; empty = the container's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Variables beyond the container's own; one without a value is taken away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, Option<String>>,
}

/// What creates a service that is not a container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The program: a plugin of Docker by its short name, or one on the path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub r#type: String,
    /// What it is told, by its own keys; each may have several values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Vec<String>>,
}
