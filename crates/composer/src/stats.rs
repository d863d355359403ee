//! `stats` and `volumes`.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use bollard::{
    models::{ContainerCpuStats, ContainerStatsResponse},
    query_parameters::{ListVolumesOptions, StatsOptions},
};
use futures_util::{StreamExt as _, future::join_all};
use serde_json::Value;

use super::{
    args::{StatsArgs, VolumesArgs},
    session::{Session, interrupted},
    template::{Data, Listing},
};
use turnout_compose::labels;
use turnout_docker::{ContainerStatus, Engine, EngineError};

/// Between two prints; the engine itself measures for about a second.
const PAUSE: Duration = Duration::from_millis(500);

const STATS: Listing<'static> = Listing {
    columns: STAT_FIELDS,
    titles: &[
        ("BlockIO", "BLOCK I/O"),
        ("CPUPerc", "CPU %"),
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("MemPerc", "MEM %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("Name", "NAME"),
        ("NetIO", "NET I/O"),
        ("PIDs", "PIDS"),
    ],
    minimum: 10,
};
const STAT_FIELDS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

const VOLUMES: Listing<'static> = Listing {
    columns: &[("Driver", "DRIVER"), ("Name", "VOLUME NAME")],
    titles: &[
        ("Availability", "AVAILABILITY"),
        ("Driver", "DRIVER"),
        ("Group", "GROUP"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Name", "VOLUME NAME"),
        ("Scope", "SCOPE"),
        ("Size", "SIZE"),
        ("Status", "STATUS"),
    ],
    minimum: 10,
};

pub(super) async fn stats(session: &Session, args: &StatsArgs) -> anyhow::Result<u8> {
    let subject = session.subject_with(args.service.as_slice())?;
    let engine = session.engine().await?;
    let stop = interrupted();
    tokio::pin!(stop);
    loop {
        let mut containers = engine.containers(&subject.name, args.all).await?;
        containers.retain(|c| args.service.as_ref().is_none_or(|name| *name == c.service));
        let measured = join_all(containers.iter().map(|c| measure(&engine, c, args.no_trunc)));
        let rows = tokio::select! {
            rows = measured => rows,
            () = &mut stop => return Ok(0),
        };
        let rows = rows.iter().map(Data::of).collect::<serde_json::Result<Vec<_>>>()?;
        let text = STATS.print(&args.format, &rows)?;
        let mut out = io::stdout().lock();
        if !args.no_stream && out.is_terminal() {
            // As Docker does: from the top, each line cleared before it is written.
            write!(out, "\u{1b}[2J\u{1b}[H")?;
        }
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            // The reader has gone.
            return Ok(0);
        }
        drop(out);
        if args.no_stream {
            return Ok(0);
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = &mut stop => return Ok(0),
        }
    }
}

/// What one container uses, as Docker words it; dashes for what is not known.
async fn measure(engine: &Engine, container: &ContainerStatus, whole: bool) -> Value {
    // With `one_shot` there would be no earlier measurement to compare with.
    let options = StatsOptions { stream: false, one_shot: false };
    let mut answers = Box::pin(engine.docker().stats(&container.id, Some(options)));
    let stats = match answers.next().await {
        Some(Ok(stats)) => Some(stats),
        // What does not run uses nothing.
        _ if container.state != "running" => Some(ContainerStatsResponse::default()),
        _ => None,
    };
    row(container, stats.as_ref(), whole)
}

fn row(container: &ContainerStatus, stats: Option<&ContainerStatsResponse>, whole: bool) -> Value {
    let id: String = if whole { container.id.clone() } else { container.id.chars().take(12).collect() };
    let Some(stats) = stats else {
        return serde_json::json!({
            "BlockIO": "--", "CPUPerc": "--", "Container": container.id, "ID": id, "MemPerc": "--", "MemUsage": "-- / --",
            "Name": container.name, "NetIO": "--", "PIDs": "--",
        });
    };
    let memory = stats.memory_stats.as_ref();
    let cache = memory
        .and_then(|m| m.stats.as_ref())
        .map_or(0, |s| s.get("total_inactive_file").or_else(|| s.get("inactive_file")).copied().unwrap_or_default());
    let used = memory.and_then(|m| m.usage).unwrap_or_default();
    let used = if cache < used { used - cache } else { used };
    let limit = memory.and_then(|m| m.limit).unwrap_or_default();
    let networks = stats.networks.iter().flat_map(HashMap::values);
    let (received, sent) = networks.fold((0, 0), |(r, t), network| {
        (r + network.rx_bytes.unwrap_or_default(), t + network.tx_bytes.unwrap_or_default())
    });
    let entries = stats.blkio_stats.as_ref().and_then(|b| b.io_service_bytes_recursive.as_ref());
    let of = |what: &str| -> u64 {
        let fitting = entries.into_iter().flatten();
        let fitting = fitting.filter(|e| e.op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case(what)));
        fitting.filter_map(|e| e.value).sum()
    };
    let pids = stats.pids_stats.as_ref().and_then(|p| p.current).unwrap_or_default();
    serde_json::json!({
        "BlockIO": format!("{} / {}", decimal(of("read")), decimal(of("write"))),
        "CPUPerc": format!("{:.2}%", cpu(stats.cpu_stats.as_ref(), stats.precpu_stats.as_ref())),
        "Container": container.id,
        "ID": id,
        "MemPerc": format!("{:.2}%", share(used, limit)),
        "MemUsage": format!("{} / {}", binary(used), binary(limit)),
        "Name": container.name,
        "NetIO": format!("{} / {}", decimal(received), decimal(sent)),
        "PIDs": pids.to_string(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "two digits are printed")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

/// Share of one processor, in percent, since the measurement before.
fn cpu(now: Option<&ContainerCpuStats>, before: Option<&ContainerCpuStats>) -> f64 {
    let total = |s: Option<&ContainerCpuStats>| {
        s.and_then(|s| s.cpu_usage.as_ref()).and_then(|usage| usage.total_usage).unwrap_or_default()
    };
    let system = |s: Option<&ContainerCpuStats>| s.and_then(|s| s.system_cpu_usage).unwrap_or_default();
    let online = now.and_then(|s| s.online_cpus).filter(|count| *count > 0);
    let listed = now.and_then(|s| s.cpu_usage.as_ref()).and_then(|u| u.percpu_usage.as_ref()).map_or(1, Vec::len);
    let count = online.unwrap_or_else(|| u32::try_from(listed).unwrap_or(1));
    share(total(now).saturating_sub(total(before)), system(now).saturating_sub(system(before))) * f64::from(count)
}

fn scaled(bytes: u64, base: f64, units: &[&str], digits: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "four digits are printed")]
    let mut value = bytes as f64;
    let mut unit = units.first().copied().unwrap_or_default();
    for next in units.iter().skip(1) {
        if value < base {
            break;
        }
        value /= base;
        unit = next;
    }
    // So many significant digits, without trailing zeros.
    let before = if value < 10.0 {
        1
    } else if value < 100.0 {
        2
    } else if value < 1000.0 {
        3
    } else {
        4
    };
    let decimals = digits.saturating_sub(before);
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

fn decimal(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"], 3)
}

fn binary(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4)
}

pub(super) async fn volumes(session: &Session, args: &VolumesArgs) -> anyhow::Result<u8> {
    let subject = session.subject_with(&args.services)?;
    let engine = session.engine().await?;
    let filters = HashMap::from([("label".to_owned(), vec![format!("{}={}", labels::PROJECT, subject.name)])]);
    let listed = engine.docker().list_volumes(Some(ListVolumesOptions { filters: Some(filters) })).await;
    let mut found = listed.map_err(|error| EngineError::api("list volumes", error))?.volumes.unwrap_or_default();
    if !args.services.is_empty() {
        let mut containers = engine.list_project(&subject.name).await?;
        containers.retain(|c| {
            let service = c.labels.as_ref().and_then(|l| l.get(labels::SERVICE));
            let running = c.state.as_ref().is_some_and(|s| matches!(s.to_string().as_str(), "running" | "paused"));
            running && service.is_some_and(|s| args.services.contains(s))
        });
        let mounted: Vec<String> =
            containers.into_iter().flat_map(|c| c.mounts.unwrap_or_default()).filter_map(|m| m.name).collect();
        found.retain(|volume| mounted.contains(&volume.name));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = io::stdout().lock();
    if args.quiet {
        for volume in found {
            writeln!(out, "{}", volume.name)?;
        }
        return Ok(0);
    }
    let rows = found
        .into_iter()
        .map(|volume| {
            let mut own: Vec<String> = volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            own.sort();
            let row = serde_json::json!({
                "Availability": "N/A", "Driver": volume.driver, "Group": "N/A", "Labels": own.join(","),
                "Links": "N/A", "Mountpoint": volume.mountpoint, "Name": volume.name,
                "Scope": volume.scope.map(|s| s.to_string()).unwrap_or_default(), "Size": "N/A", "Status": "N/A",
            });
            Ok(Data::of(&row)?.with_labels(volume.labels.into_iter().collect()))
        })
        .collect::<serde_json::Result<Vec<_>>>()?;
    out.write_all(VOLUMES.print(&args.format, &rows)?.as_bytes())?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_dockers() {
        for (bytes, text) in [(0, "0B"), (876, "876B"), (1_234, "1.23kB"), (45_600_000, "45.6MB")] {
            assert_eq!(decimal(bytes), text);
        }
        for (bytes, text) in [(0, "0B"), (933_888, "912KiB"), (4_123_168_604, "3.84GiB")] {
            assert_eq!(binary(bytes), text);
        }
    }

    #[test]
    fn shares_of_processors_count_from_the_measurement_before() {
        let stats = |total, system| ContainerCpuStats {
            cpu_usage: Some(bollard::models::ContainerCpuUsage { total_usage: Some(total), ..Default::default() }),
            system_cpu_usage: Some(system),
            online_cpus: Some(2),
            ..Default::default()
        };
        let share = cpu(Some(&stats(300, 2_000)), Some(&stats(200, 1_000)));
        assert!((share - 20.0).abs() < 1e-9, "{share}");
        assert!(cpu(None, None).abs() < 1e-9);
    }
}
