//! `ps` and `ls`: what runs, as the real command prints it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
};

use super::{
    args::{LsArgs, PsArgs},
    session::{Session, now},
    template::{Data, Listing},
};
use bollard::models::{ContainerSummary, PortSummary};
use serde::Serialize;
use turnout_compose::labels;
use turnout_report::table::{shortened, span, table};

/// Longest command that a table shows, in characters.
const COMMAND_WIDTH: usize = 20;
/// Longest volume name that is shown.
const MOUNT_WIDTH: usize = 15;

/// What `ps` prints.
const CONTAINERS: Listing<'static> = Listing {
    columns: &[
        ("Name", "NAME"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("Service", "SERVICE"),
        ("RunningFor", "CREATED"),
        ("Status", "STATUS"),
        ("Ports", "PORTS"),
    ],
    titles: &[
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("Project", "PROJECT"),
        ("Service", "SERVICE"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Size", "SIZE"),
        ("Labels", "LABELS"),
    ],
    minimum: 10,
};

pub(super) async fn ps(session: &Session, args: &PsArgs) -> anyhow::Result<u8> {
    let subject = session.subject_with(&args.services)?;
    let mut statuses = args.status.clone();
    match args.filter.as_deref().map(|filter| filter.split_once('=')) {
        None => {}
        Some(Some(("status", status))) => statuses.push(status.to_owned()),
        Some(Some((other, _))) => anyhow::bail!("unknown filter {other} (known: status)"),
        Some(None) => anyhow::bail!("arguments to --filter should be in form KEY=VAL"),
    }
    let engine = session.engine().await?;
    let mut rows: Vec<Row> =
        engine.list_project(&subject.name).await?.into_iter().map(|c| Row::new(c, args.no_trunc)).collect();
    rows.retain(|row| {
        let live =
            args.all || !statuses.is_empty() || matches!(row.state.as_str(), "running" | "paused" | "restarting");
        let status = statuses.is_empty() || statuses.contains(&row.state);
        let named = args.services.is_empty() || args.services.contains(&row.service);
        let orphan = subject.project.as_ref().is_some_and(|project| !project.services.contains_key(&row.service));
        live && status && named && (args.orphans || !orphan)
    });
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = io::stdout().lock();
    if args.quiet {
        for row in &rows {
            writeln!(out, "{}", row.full_id)?;
        }
    } else if args.services_only {
        let names: BTreeSet<&str> = rows.iter().map(|row| row.service.as_str()).collect();
        for name in names {
            writeln!(out, "{name}")?;
        }
    } else if args.format == "json" {
        for row in &rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
    } else {
        let data = |row: Row| Ok(Data::of(&row)?.with_labels(row.own_labels));
        let rows = rows.into_iter().map(data).collect::<serde_json::Result<Vec<_>>>()?;
        out.write_all(CONTAINERS.print(&args.format, &rows)?.as_bytes())?;
    }
    Ok(0)
}

pub(super) async fn ls(session: &Session, args: &LsArgs) -> anyhow::Result<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Project {
        name: String,
        status: String,
        config_files: String,
    }
    let mut wanted = Vec::new();
    for filter in &args.filter {
        match filter.split_once('=') {
            // As Docker's filters: what it says literally, or as a regular expression.
            Some(("name", name)) => wanted.push((name, regex::Regex::new(name).ok())),
            _ => anyhow::bail!("--filter {filter}: only name=… is known"),
        }
    }
    let engine = session.engine().await?;
    let mut projects = Vec::new();
    for project in engine.projects().await? {
        let live = project.states.keys().any(|state| matches!(state.as_str(), "running" | "paused" | "restarting"));
        let named = wanted.is_empty()
            || wanted.iter().any(|(name, pattern)| {
                project.name == *name || pattern.as_ref().is_some_and(|pattern| pattern.is_match(&project.name))
            });
        if !named || !(args.all || live) {
            continue;
        }
        let states = project.states.iter().filter(|(state, _)| args.all || is_listed(state));
        projects.push(Project {
            name: project.name.clone(),
            status: states.map(|(state, count)| format!("{state}({count})")).collect::<Vec<_>>().join(", "),
            config_files: project.config_files.join(","),
        });
    }
    let mut out = io::stdout().lock();
    if args.quiet {
        for project in projects {
            writeln!(out, "{}", project.name)?;
        }
    } else if args.format == "json" {
        writeln!(out, "{}", serde_json::to_string(&projects)?)?;
    } else {
        let rows: Vec<Vec<String>> = projects.into_iter().map(|p| vec![p.name, p.status, p.config_files]).collect();
        out.write_all(table(&["NAME", "STATUS", "CONFIG FILES"], &rows, 20, 3).as_bytes())?;
    }
    Ok(0)
}

fn is_listed(state: &str) -> bool {
    matches!(state, "running" | "paused" | "restarting")
}

/// One container, in the words and the field order of the real `ps --format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    command: String,
    created_at: String,
    exit_code: i64,
    health: String,
    #[serde(rename = "ID")]
    id: String,
    image: String,
    labels: String,
    local_volumes: String,
    mounts: String,
    name: String,
    names: String,
    networks: String,
    ports: String,
    project: String,
    publishers: Vec<Publisher>,
    running_for: String,
    service: String,
    size: String,
    state: String,
    status: String,
    #[serde(skip)]
    full_id: String,
    #[serde(skip)]
    own_labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "PascalCase")]
struct Publisher {
    #[serde(rename = "URL")]
    url: String,
    target_port: u16,
    published_port: u16,
    protocol: String,
}

impl Row {
    fn new(summary: ContainerSummary, whole: bool) -> Row {
        let full_id = summary.id.unwrap_or_default();
        let labels_map: BTreeMap<String, String> = summary.labels.unwrap_or_default().into_iter().collect();
        let label = |name: &str| labels_map.get(name).cloned().unwrap_or_default();
        let command = summary.command.unwrap_or_default();
        let created = summary.created.unwrap_or_default();
        let status = summary.status.unwrap_or_default();
        let names = summary.names.unwrap_or_default();
        let own = names.iter().find(|n| !n.trim_start_matches('/').contains('/')).or(names.first());
        let name = own.map(|n| n.trim_start_matches('/').to_owned()).unwrap_or_default();
        let mounts = summary.mounts.unwrap_or_default();
        let ports = summary.ports.unwrap_or_default();
        let mut publishers: Vec<Publisher> = ports.iter().map(publisher).collect();
        publishers.sort_by(|a, b| (a.target_port, &a.protocol, &a.url).cmp(&(b.target_port, &b.protocol, &b.url)));
        let mut networks: Vec<String> =
            summary.network_settings.and_then(|s| s.networks).unwrap_or_default().into_keys().collect();
        networks.sort();
        let cut = |text: &str, most: usize| if whole { text.to_owned() } else { shortened(text, most) };
        let mounted = mounts.iter().map(|m| {
            let text = m.name.as_deref().filter(|n| !n.is_empty()).or(m.source.as_deref()).unwrap_or_default();
            cut(text, MOUNT_WIDTH)
        });
        Row {
            command: format!("\"{}\"", cut(&command, COMMAND_WIDTH).replace('\\', "\\\\").replace('"', "\\\"")),
            created_at: created_at(created),
            exit_code: exit_code(&status),
            health: health(&status).to_owned(),
            id: if whole { full_id.clone() } else { full_id.chars().take(12).collect() },
            image: summary.image.unwrap_or_default(),
            labels: labels_map.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","),
            local_volumes: mounts.iter().filter(|m| m.driver.as_deref() == Some("local")).count().to_string(),
            mounts: mounted.collect::<Vec<_>>().join(","),
            names: name.clone(),
            name,
            networks: networks.join(","),
            ports: displayed(&ports),
            project: label(labels::PROJECT),
            publishers,
            running_for: format!("{} ago", span(now().saturating_sub(created))),
            service: label(labels::SERVICE),
            size: "0B".to_owned(),
            state: summary.state.map(|s| s.to_string()).unwrap_or_default(),
            status,
            full_id,
            own_labels: labels_map,
        }
    }
}

fn publisher(port: &PortSummary) -> Publisher {
    Publisher {
        url: port.ip.clone().unwrap_or_default(),
        target_port: port.private_port,
        published_port: port.public_port.unwrap_or_default(),
        protocol: port.typ.map(|t| t.to_string()).unwrap_or_default(),
    }
}

/// Ports in words, in the order of the Docker command line: first those that have the same number outside as inside, or
/// none, where neighbours become a range; then the others, one by one.
pub(super) fn displayed(ports: &[PortSummary]) -> String {
    let mut all: Vec<Publisher> = ports.iter().map(publisher).collect();
    all.sort_by(|a, b| {
        let key = |p: &Publisher| (p.target_port, p.url.clone(), p.published_port, p.protocol.clone());
        key(a).cmp(&key(b))
    });
    let mut texts = Vec::new();
    let mut elsewhere = Vec::new();
    // Address and protocol with the range that is open; in the order of their first ports.
    let mut groups: Vec<(Publisher, u16)> = Vec::new();
    for port in all {
        if !port.url.is_empty() && port.published_port != port.target_port {
            elsewhere.push(format!(
                "{}:{}->{}/{}",
                bracketed(&port.url),
                port.published_port,
                port.target_port,
                port.protocol
            ));
            continue;
        }
        let open = groups.iter_mut().find(|(first, _)| first.url == port.url && first.protocol == port.protocol);
        match open {
            None => {
                let last = port.target_port;
                groups.push((port, last));
            }
            Some((_, last)) if last.checked_add(1) == Some(port.target_port) => *last = port.target_port,
            Some(open) => {
                texts.push(ranged(&open.0, open.1));
                let last = port.target_port;
                *open = (port, last);
            }
        }
    }
    texts.extend(groups.iter().map(|(first, last)| ranged(first, *last)));
    texts.extend(elsewhere);
    texts.join(", ")
}

fn ranged(first: &Publisher, last: u16) -> String {
    let range = match first.target_port == last {
        true => last.to_string(),
        false => format!("{}-{last}", first.target_port),
    };
    match first.url.as_str() {
        "" => format!("{range}/{}", first.protocol),
        url => format!("{}:{range}->{range}/{}", bracketed(url), first.protocol),
    }
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

fn created_at(seconds: i64) -> String {
    let Ok(time) = time::OffsetDateTime::from_unix_timestamp(seconds) else { return String::new() };
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second] +0000 UTC");
    time.format(format).unwrap_or_default()
}

/// `Exited (3) 5 seconds ago`.
fn exit_code(status: &str) -> i64 {
    let inside = status.strip_prefix("Exited (").and_then(|rest| rest.split_once(')'));
    inside.and_then(|(code, _)| code.parse().ok()).unwrap_or_default()
}

fn health(status: &str) -> &'static str {
    if status.ends_with("(healthy)") {
        "healthy"
    } else if status.ends_with("(unhealthy)") {
        "unhealthy"
    } else if status.ends_with("(health: starting)") {
        "starting"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::PortSummaryTypeEnum as Type;

    use super::*;

    #[test]
    fn ports_are_shown_as_dockers() {
        let port = |ip: Option<&str>, private_port, public_port| PortSummary {
            ip: ip.map(str::to_owned),
            private_port,
            public_port,
            typ: Some(Type::TCP),
        };
        for (ports, text) in [
            (vec![port(None, 80, None)], "80/tcp"),
            (
                vec![port(Some("0.0.0.0"), 80, Some(8080)), port(Some("::"), 80, Some(8080))],
                "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
            ),
            (
                vec![port(Some("127.0.0.1"), 81, Some(8081)), port(Some("127.0.0.1"), 80, Some(8080))],
                "127.0.0.1:8080->80/tcp, 127.0.0.1:8081->81/tcp",
            ),
            (
                vec![
                    port(None, 90, None),
                    port(Some("127.0.0.1"), 80, Some(8080)),
                    port(Some("127.0.0.1"), 7791, Some(7791)),
                    port(Some("127.0.0.1"), 7790, Some(7790)),
                    port(None, 91, None),
                    port(None, 93, None),
                ],
                "90-91/tcp, 93/tcp, 127.0.0.1:7790-7791->7790-7791/tcp, 127.0.0.1:8080->80/tcp",
            ),
        ] {
            assert_eq!(displayed(&ports), text);
        }
    }

    #[test]
    fn states_are_read_from_the_words() {
        assert_eq!(exit_code("Exited (137) 2 seconds ago"), 137);
        assert_eq!(exit_code("Up 2 seconds"), 0);
        assert_eq!(health("Up 7 seconds (healthy)"), "healthy");
        assert_eq!(created_at(1_795_327_387), "2026-11-22 06:03:07 +0000 UTC");
    }
}
