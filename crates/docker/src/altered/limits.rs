//! What `docker update` changes: limits and the restart policy.

use bollard::models::{HostConfig, RestartPolicy, RestartPolicyNameEnum, SystemInfo};

use super::difference::Difference;

/// Compares, in the order of `docker update`'s flags.
pub(super) fn limits(wanted: &HostConfig, found: &HostConfig) -> Vec<Difference> {
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
}
