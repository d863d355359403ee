//! Settings that somebody changed on a container that is there: `docker update` and `docker network connect` leave its
//! labels, and with them its `config-hash`, as they were.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use bollard::models::{
    ContainerInspectResponse, EndpointIpamConfig, EndpointSettings, HostConfig, RestartPolicy, RestartPolicyNameEnum,
    SystemInfo,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Engine, EngineError, translate};
use crate::{
    compose::model::{Project, Service},
    plan::{Observed, ObservedContainer, RunState},
};

/// Inspections side by side; the daemon answers them from memory.
const INSPECTIONS: usize = 16;

impl Engine {
    /// By container ID: in words, what is set on it otherwise than its service asks for, of all that the engine lets one
    /// change on a container. It says nothing of a container that was made for another configuration, for the answer
    /// then is that configuration.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn altered(
        &self,
        project: &Project,
        observed: &Observed,
    ) -> Result<BTreeMap<String, Vec<String>>, EngineError> {
        let there = |container: &&ObservedContainer| {
            !container.oneoff && !matches!(container.state, RunState::Removing | RunState::Dead)
        };
        let wanted: Vec<(String, Wanted)> = observed
            .containers
            .iter()
            .filter(there)
            .filter_map(|container| {
                let service = project.services.get(&container.service)?;
                Some((container.id.clone(), self.wanted(project, service, container)?))
            })
            .collect();
        let differences: Vec<(String, Vec<Difference>)> = stream::iter(wanted)
            .map(|(id, wanted)| async move {
                // One that is gone by now is altered in nothing.
                let found = self.find_container(&id).await?;
                let differences = found.map(|found| differences(&wanted, &found)).unwrap_or_default();
                Ok::<_, EngineError>((id, differences))
            })
            .buffered(INSPECTIONS)
            .try_collect()
            .await?;
        let mut able = None;
        if differences.iter().flat_map(|(_, all)| all).any(|difference| difference.needs.is_some()) {
            let asked = self.docker().info().await;
            able = Some(asked.map_err(|error| EngineError::api("ask the engine about itself", error))?);
        }
        let told = |difference: Difference| match (difference.needs, &able) {
            // The engine has no such limit on this host: it said so at the creation, and left it out.
            (Some(ability), Some(info)) if !ability(info) => None,
            _ => Some(difference.words),
        };
        Ok(differences
            .into_iter()
            .map(|(id, all)| (id, all.into_iter().filter_map(told).collect::<Vec<_>>()))
            .filter(|(_, words)| !words.is_empty())
            .collect())
    }

    /// What a container was created with; `None` where it could not be created like this at all.
    fn wanted(&self, project: &Project, service: &Service, container: &ObservedContainer) -> Option<Wanted> {
        let profiles: BTreeMap<String, String> =
            translate::profile_files(service).into_iter().map(|file| (file, "{}".to_owned())).collect();
        let spec = translate::container(&translate::Target {
            project,
            name: &container.service,
            service,
            number: container.number.unwrap_or(1),
            container_name: &container.name,
            replaces: None,
            image_id: "",
            config_hash: "",
            own_labels: &[],
            links: &[],
            volumes_from: &[],
            inherited: &[],
            profiles: &profiles,
            proxies: self.proxies(),
            version: self.version(),
        });
        let spec = spec.ok()?;
        let at_creation = spec.body.networking_config.and_then(|config| config.endpoints_config).unwrap_or_default();
        let later = spec.connect.into_iter().map(|endpoint| (endpoint.network, endpoint.settings));
        let mut networks: BTreeMap<String, EndpointSettings> = at_creation.into_iter().chain(later).collect();
        for settings in networks.values_mut() {
            // A container that was renamed by hand keeps the alias of the name it was made under.
            settings.aliases.iter_mut().for_each(|aliases| aliases.retain(|alias| *alias != container.name));
        }
        Some(Wanted { host: spec.body.host_config.unwrap_or_default(), networks })
    }
}

/// What a service asks for, as the engine was told.
#[derive(Debug, Clone, Default)]
struct Wanted {
    host: HostConfig,
    networks: BTreeMap<String, EndpointSettings>,
}

/// One setting that is not as asked for.
#[derive(Debug, Clone)]
struct Difference {
    words: String,
    /// What the engine must be able to do for the difference to mean anything.
    needs: Option<fn(&SystemInfo) -> bool>,
}

impl Difference {
    fn new(what: &str, found: String, wanted: &str) -> Self {
        Self { words: format!("{what} is {found} on the container, configured is {wanted}"), needs: None }
    }
}

/// All that differs, in the order of `docker update`'s flags, then of the networks.
fn differences(wanted: &Wanted, found: &ContainerInspectResponse) -> Vec<Difference> {
    let absent = HostConfig::default();
    let mut differences = limits(&wanted.host, found.host_config.as_ref().unwrap_or(&absent));
    let none = HashMap::new();
    let networks = found.network_settings.as_ref().and_then(|settings| settings.networks.as_ref()).unwrap_or(&none);
    for (name, wanted) in &wanted.networks {
        // One that is not attached at all, the engine's list tells of.
        if let Some(found) = networks.get(name) {
            differences.extend(attachment(name, wanted, found));
        }
    }
    differences
}

fn limits(wanted: &HostConfig, found: &HostConfig) -> Vec<Difference> {
    let mut differences = Vec::new();
    let policies = (policy(wanted.restart_policy.as_ref()), policy(found.restart_policy.as_ref()));
    if policies.0 != policies.1 {
        differences.push(Difference::new("restart policy", policies.1, &policies.0));
    }
    let mut number = |what, (wanted, found): (Option<i64>, Option<i64>), show: fn(i64) -> String, able| {
        // For all of these the engine takes 0, and for the number of processes less than that, as no limit.
        let (wanted, found) = (wanted.unwrap_or(0).max(0), found.unwrap_or(0).max(0));
        if wanted != found {
            let mut difference = Difference::new(what, show(found), &show(wanted));
            difference.needs = (found == 0).then_some(able);
            differences.push(difference);
        }
    };
    let able: [fn(&SystemInfo) -> bool; 6] = [
        |info| info.memory_limit != Some(false),
        |info| info.cpu_cfs_quota != Some(false),
        |info| info.cpu_cfs_period != Some(false),
        |info| info.cpu_shares != Some(false),
        |info| info.pids_limit != Some(false),
        // Of these the engine does not say whether it has them, and leaves them out in silence.
        |_| false,
    ];
    let [memory, quota, period, shares, pids, untold] = able;
    number("memory limit", (wanted.memory, found.memory), size, memory);
    number("memory reservation", (wanted.memory_reservation, found.memory_reservation), size, memory);
    number("CPU limit", (wanted.nano_cpus, found.nano_cpus), cpus, quota);
    number("CPU quota", (wanted.cpu_quota, found.cpu_quota), microseconds, quota);
    number("CPU period", (wanted.cpu_period, found.cpu_period), microseconds, period);
    number("CPU shares", (wanted.cpu_shares, found.cpu_shares), plain, shares);
    number("limit of processes", (wanted.pids_limit, found.pids_limit), plain, pids);
    let realtime = (wanted.cpu_realtime_period, found.cpu_realtime_period);
    number("CPU real-time period", realtime, microseconds, untold);
    let realtime = (wanted.cpu_realtime_runtime, found.cpu_realtime_runtime);
    number("CPU real-time runtime", realtime, microseconds, untold);
    let weight = (wanted.blkio_weight.map(i64::from), found.blkio_weight.map(i64::from));
    number("block I/O weight", weight, plain, untold);
    differences.extend(swap(wanted, found));
    for (what, wanted, found) in [
        ("set of CPUs", &wanted.cpuset_cpus, &found.cpuset_cpus),
        ("set of memory nodes", &wanted.cpuset_mems, &found.cpuset_mems),
    ] {
        let (wanted, found) = (wanted.as_deref().unwrap_or_default(), found.as_deref().unwrap_or_default());
        if wanted != found {
            let shown = |set: &str| if set.is_empty() { "any".to_owned() } else { set.to_owned() };
            let mut difference = Difference::new(what, shown(found), &shown(wanted));
            difference.needs = found.is_empty().then_some(|info| info.cpu_set != Some(false));
            differences.push(difference);
        }
    }
    differences
}

/// Memory and swap together. Where nothing is asked for, the engine makes it twice the memory, and where it cannot limit
/// swap it makes it unlimited, -1.
fn swap(wanted: &HostConfig, found: &HostConfig) -> Option<Difference> {
    let (memory, found) = (wanted.memory.unwrap_or(0), found.memory_swap.unwrap_or(0));
    let asked = wanted.memory_swap.unwrap_or(0);
    let fits = match asked {
        0 if memory == 0 => found <= 0,
        0 => found == 0 || found == memory.saturating_mul(2),
        asked => found == asked,
    };
    if fits {
        return None;
    }
    let asked = if asked == 0 { memory.saturating_mul(2) } else { asked };
    let mut difference = Difference::new("limit of memory and swap", size(found), &size(asked));
    difference.needs = (found <= 0).then_some(|info| info.swap_limit != Some(false));
    Some(difference)
}

fn policy(policy: Option<&RestartPolicy>) -> String {
    use RestartPolicyNameEnum as Name;
    match policy.and_then(|policy| Some((policy.name?, policy.maximum_retry_count.unwrap_or(0)))) {
        None | Some((Name::EMPTY | Name::NO, _)) => "no".to_owned(),
        Some((Name::ON_FAILURE, attempts)) if attempts > 0 => format!("on-failure:{attempts}"),
        Some((name, _)) => name.to_string(),
    }
}

/// In 1024s and exactly, as such limits are written in Compose files.
fn size(bytes: i64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, power)| bytes % (1 << power) == 0) {
        _ if bytes <= 0 => "none".to_owned(),
        Some((unit, power)) => format!("{} {unit}", bytes >> power),
        None => format!("{bytes} bytes"),
    }
}

fn plain(number: i64) -> String {
    if number == 0 { "none".to_owned() } else { number.to_string() }
}

fn microseconds(number: i64) -> String {
    if number == 0 { "none".to_owned() } else { format!("{number} µs") }
}

fn cpus(nano: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
    let cpus = nano as f64 / 1e9;
    if nano == 0 { "none".to_owned() } else { format!("{cpus}") }
}

/// Names and addresses that an attachment was made with. Further names that somebody gave it do no harm.
fn attachment(network: &str, wanted: &EndpointSettings, found: &EndpointSettings) -> Option<Difference> {
    let has = found.aliases.as_deref().unwrap_or_default();
    let missing: Vec<&str> =
        wanted.aliases.iter().flatten().filter(|alias| !has.contains(alias)).map(String::as_str).collect();
    let words = if !missing.is_empty() {
        format!("it was attached to network {network} by hand, without the name {}", missing.join(", "))
    } else {
        let none = EndpointIpamConfig::default();
        let (wanted, found) =
            (wanted.ipam_config.as_ref().unwrap_or(&none), found.ipam_config.as_ref().unwrap_or(&none));
        let pairs = [
            (wanted.ipv4_address.as_deref(), found.ipv4_address.as_deref()),
            (wanted.ipv6_address.as_deref(), found.ipv6_address.as_deref()),
        ];
        let differs = |(wanted, found): &(Option<&str>, Option<&str>)| match (wanted, found) {
            (None, _) => false,
            (Some(wanted), None) => !wanted.is_empty(),
            // One address can be written in several ways.
            (Some(wanted), Some(found)) => match (wanted.parse::<IpAddr>(), found.parse::<IpAddr>()) {
                (Ok(wanted), Ok(found)) => wanted != found,
                _ => wanted != found,
            },
        };
        let (wanted, found) = pairs.into_iter().find(differs)?;
        let (wanted, found) = (wanted.unwrap_or_default(), found.filter(|address| !address.is_empty()));
        match found {
            Some(found) => format!("its address in network {network} is {found}, configured is {wanted}"),
            None => format!("it was attached to network {network} by hand, without the address {wanted}"),
        }
    };
    Some(Difference { words, needs: None })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn words(wanted: Value, found: Value) -> Vec<String> {
        let host = |value: &Value| serde_json::from_value::<HostConfig>(value.clone()).unwrap();
        limits(&host(&wanted), &host(&found)).into_iter().map(|difference| difference.words).collect()
    }

    #[test]
    fn what_the_engine_makes_of_a_request_is_no_difference() {
        for (wanted, found) in [
            (json!({}), json!({"Memory": 0, "MemorySwap": 0, "PidsLimit": null, "RestartPolicy": {"Name": "no"}})),
            (json!({"Memory": 64 << 20}), json!({"Memory": 64 << 20, "MemorySwap": 128 << 20})),
            (json!({"PidsLimit": -1}), json!({"PidsLimit": 0})),
            (json!({"Memory": 64 << 20, "MemorySwap": -1}), json!({"Memory": 64 << 20, "MemorySwap": -1})),
            (
                json!({"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}),
                json!({"RestartPolicy": {"Name": "always"}}),
            ),
            (json!({"RestartPolicy": {"Name": ""}}), json!({})),
        ] {
            assert_eq!(words(wanted.clone(), found.clone()), [""; 0], "{wanted} {found}");
        }
    }

    #[test]
    fn what_was_changed_is_told() {
        for (wanted, found, told) in [
            (
                json!({"RestartPolicy": {"Name": "unless-stopped"}}),
                json!({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}),
                "restart policy is on-failure:3 on the container, configured is unless-stopped",
            ),
            (
                json!({"Memory": 64 << 20}),
                json!({"Memory": 64 << 20, "MemorySwap": -1}),
                "limit of memory and swap is none on the container, configured is 128 MiB",
            ),
            (json!({}), json!({"PidsLimit": 7}), "limit of processes is 7 on the container, configured is none"),
            (json!({"NanoCpus": 500_000_000}), json!({}), "CPU limit is none on the container, configured is 0.5"),
            (
                json!({"CpusetCpus": "0"}),
                json!({"CpusetCpus": "0,1"}),
                "set of CPUs is 0,1 on the container, configured is 0",
            ),
        ] {
            assert_eq!(words(wanted, found), [told]);
        }
    }

    #[test]
    fn names_and_addresses_of_attachments() {
        let settings = |value: Value| serde_json::from_value::<EndpointSettings>(value).unwrap();
        let wanted = settings(
            json!({"Aliases": ["web", "www"], "IPAMConfig": {"IPv4Address": "10.9.0.7", "IPv6Address": "fd00:0::05"}}),
        );
        for (found, told) in [
            (
                json!({"Aliases": ["www", "web", "0123"], "IPAMConfig": {"IPv4Address": "10.9.0.7", "IPv6Address": "fd00::5"}}),
                None,
            ),
            (json!({"Aliases": ["0123"]}), Some("it was attached to network n by hand, without the name web, www")),
            (
                json!({"Aliases": ["web", "www"]}),
                Some("it was attached to network n by hand, without the address 10.9.0.7"),
            ),
            (
                json!({"Aliases": ["web", "www"], "IPAMConfig": {"IPv4Address": "10.9.0.7", "IPv6Address": "fd00::5"}}),
                None,
            ),
            (
                json!({"Aliases": ["web", "www"], "IPAMConfig": {"IPv4Address": "10.9.0.8"}}),
                Some("its address in network n is 10.9.0.8, configured is 10.9.0.7"),
            ),
        ] {
            let words = attachment("n", &wanted, &settings(found)).map(|difference| difference.words);
            assert_eq!(words.as_deref(), told);
        }
    }
}
