//! `port`, `top`, `images` and `events`.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write as _},
};

use super::{
    args::{EventsArgs, ImagesArgs, PortArgs, ServicesArgs},
    session::{Session, interrupted, now},
    time::moment,
};
use anyhow::bail;
use bollard::{
    models::{ImageInspect, PortSummary},
    query_parameters::{EventsOptions, TopOptions},
};
use futures_util::{StreamExt as _, future::try_join_all};
use serde::Serialize;
use turnout_compose::labels;
use turnout_docker::EngineError;
use turnout_report::table::{size, span, table};

pub(super) async fn port(session: &Session, args: &PortArgs) -> anyhow::Result<u8> {
    let project = session.project_name()?;
    let engine = session.engine().await?;
    let protocol = args.protocol.as_ref().map(|protocol| protocol.to_lowercase());
    let container = super::exec::running(&engine, &project, &args.service, args.index).await?;
    let listed = engine.list_project(&project).await?.into_iter();
    let own = listed.filter(|summary| summary.id.as_deref() == Some(&container.id));
    let (name, ports) = (container.name, own.flat_map(|summary| summary.ports.unwrap_or_default()).collect::<Vec<_>>());
    // As Compose 5 has it, 0 is none.
    let Some(wanted) = args.private_port.filter(|port| *port != 0) else {
        return listed_ports(ports, protocol.as_deref());
    };
    let protocol = protocol.unwrap_or_else(|| "tcp".to_owned());
    let fits = |p: &&PortSummary| p.private_port == wanted && p.typ.is_some_and(|t| t.to_string() == protocol);
    let Some(port) = ports.iter().find(fits) else {
        let known: Vec<String> = ports
            .iter()
            .map(|p| format!("{}/{}", p.private_port, p.typ.map(|t| t.to_string()).unwrap_or_default()))
            .collect();
        bail!("no port {wanted}/{protocol} for container {name}: {}", known.join(", "));
    };
    writeln!(io::stdout(), "{}", host_address(port))?;
    Ok(0)
}

/// Where a port is reached from outside; what is only exposed has no address and port 0.
fn host_address(port: &PortSummary) -> String {
    let ip = port.ip.clone().unwrap_or_default();
    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
    format!("{ip}:{}", port.public_port.unwrap_or_default())
}

/// `port SERVICE`: all of them, as Compose 5 lists them.
fn listed_ports(mut ports: Vec<PortSummary>, protocol: Option<&str>) -> anyhow::Result<u8> {
    let kind = |port: &PortSummary| port.typ.map(|t| t.to_string()).unwrap_or_default();
    ports.retain(|port| protocol.is_none_or(|protocol| kind(port) == protocol));
    ports.sort_by_key(|port| (port.private_port, kind(port), port.ip.clone(), port.public_port));
    let mut out = io::stdout().lock();
    for port in &ports {
        writeln!(out, "{}/{} -> {}", port.private_port, kind(port), host_address(port))?;
    }
    Ok(0)
}

pub(super) async fn top(session: &Session, args: &ServicesArgs) -> anyhow::Result<u8> {
    let project = session.project_name()?;
    let engine = session.engine().await?;
    let mut containers = engine.containers(&project, false).await?;
    containers.retain(|c| args.services.is_empty() || args.services.contains(&c.service));
    let asked = containers.iter().map(|c| async {
        let options = TopOptions { ps_args: String::new() };
        engine.docker().top_processes(&c.id, Some(options)).await
    });
    let answers = try_join_all(asked).await.map_err(|e| EngineError::api("list processes", e))?;
    // Containers may have different columns; each column is shown once.
    let mut titles: Vec<String> = vec!["SERVICE".to_owned(), "#".to_owned()];
    let mut rows = Vec::new();
    for (container, answer) in containers.iter().zip(answers) {
        let columns = answer.titles.unwrap_or_default();
        for title in &columns {
            if !titles.contains(title) {
                titles.push(title.clone());
            }
        }
        for process in answer.processes.unwrap_or_default() {
            let mut row: BTreeMap<String, String> = columns.iter().cloned().zip(process).collect();
            row.insert("SERVICE".to_owned(), container.service.clone());
            row.insert("#".to_owned(), container.number.map(|n| n.to_string()).unwrap_or_default());
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return Ok(0);
    }
    let header: Vec<&str> = titles.iter().map(String::as_str).collect();
    let cell =
        |row: &BTreeMap<String, String>, title: &String| row.get(title).cloned().unwrap_or_else(|| "-".to_owned());
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| titles.iter().map(|title| cell(row, title)).collect()).collect();
    io::stdout().write_all(table(&header, &cells, 4, 2).as_bytes())?;
    Ok(0)
}

pub(super) async fn images(session: &Session, args: &ImagesArgs) -> anyhow::Result<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Image {
        #[serde(rename = "ID")]
        id: String,
        container_name: String,
        repository: String,
        tag: String,
        platform: String,
        size: i64,
        last_tag_time: Option<String>,
    }
    let project = session.project_name()?;
    let engine = session.engine().await?;
    let mut containers = engine.list_project(&project).await?;
    containers.retain(|c| {
        let service = c.labels.as_ref().and_then(|l| l.get(labels::SERVICE));
        args.services.is_empty() || service.is_some_and(|s| args.services.contains(s))
    });
    let ids: std::collections::BTreeSet<String> = containers.iter().filter_map(|c| c.image_id.clone()).collect();
    let asked = ids.into_iter().map(|id| {
        let engine = &engine;
        async move { engine.docker().inspect_image(&id).await.map(|image| (id, image)) }
    });
    let known: HashMap<_, _> =
        try_join_all(asked).await.map_err(|e| EngineError::api("inspect images", e))?.into_iter().collect();
    let mut found = Vec::new();
    for container in containers {
        let id = container.image_id.unwrap_or_default();
        let Some(image) = known.get(&id) else { continue };
        // What the container was made with, whatever the image is called now.
        let (repository, tag) = named(container.image.as_deref().unwrap_or_default());
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let platform = [text(&image.os), text(&image.architecture), text(&image.variant)];
        found.push(Image {
            container_name: container
                .names
                .unwrap_or_default()
                .first()
                .map(|n| n.trim_start_matches('/').to_owned())
                .unwrap_or_default(),
            repository,
            tag,
            platform: platform.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/"),
            size: image.size.unwrap_or_default(),
            last_tag_time: tagged(image),
            id,
        });
    }
    found.sort_by(|a, b| a.container_name.cmp(&b.container_name));
    let mut out = io::stdout().lock();
    if args.quiet {
        let ids: std::collections::BTreeSet<&str> = found.iter().map(|i| i.id.trim_start_matches("sha256:")).collect();
        for id in ids {
            writeln!(out, "{id}")?;
        }
    } else if args.format == "json" {
        writeln!(out, "{}", serde_json::to_string(&found)?)?;
    } else {
        let header = ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"];
        let rows: Vec<Vec<String>> = found
            .into_iter()
            .map(|image| {
                let id = image.id.trim_start_matches("sha256:").chars().take(12).collect();
                let age = age(image.last_tag_time.as_deref());
                let shown = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
                let (repository, tag) = (shown(image.repository), shown(image.tag));
                vec![image.container_name, repository, tag, image.platform, id, size(image.size), age]
            })
            .collect();
        out.write_all(table(&header, &rows, 20, 3).as_bytes())?;
    }
    Ok(0)
}

/// Repository and tag in a reference, as the real command shows them: nothing for the bare ID of an image.
fn named(reference: &str) -> (String, String) {
    if reference.len() == 64 && reference.bytes().all(|b| b.is_ascii_hexdigit()) {
        return (String::new(), String::new());
    }
    let (name, digest) = reference.split_once('@').unwrap_or((reference, ""));
    let (repository, tag) = match name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((repository, _)) if !digest.is_empty() => (repository, ""),
        Some(both) => both,
        None => (name, if digest.is_empty() { "latest" } else { "" }),
    };
    let short = repository.strip_prefix("docker.io/").unwrap_or(repository);
    (short.strip_prefix("library/").unwrap_or(short).to_owned(), tag.to_owned())
}

/// When an image was last given a name here; before that, when it was made.
fn tagged(image: &ImageInspect) -> Option<String> {
    let tagged = image.metadata.as_ref().and_then(|m| m.last_tag_time.as_ref()).map(ToString::to_string);
    // Go's zero time.
    tagged.filter(|time| !time.starts_with("0001-")).or_else(|| image.created.as_ref().map(ToString::to_string))
}

fn age(created: Option<&str>) -> String {
    let parsed = created
        .and_then(|text| ::time::OffsetDateTime::parse(text, &::time::format_description::well_known::Rfc3339).ok());
    parsed.map_or_else(|| "N/A".to_owned(), |time| format!("{} ago", span(now().saturating_sub(time.unix_timestamp()))))
}

pub(super) async fn events(session: &Session, args: &EventsArgs) -> anyhow::Result<u8> {
    // A name that is misspelt would be waited for without end. Under COMPOSE_PROJECT_NAME no name is looked at, as in
    // the other commands.
    let project = session.subject_with(&args.services)?.name;
    let engine = session.engine().await?;
    let time = |text: &Option<String>| text.as_deref().map(moment).transpose().map(|t| t.map(|t| t.to_string()));
    let options = EventsOptions {
        since: time(&args.since)?,
        until: time(&args.until)?,
        filters: Some(HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![format!("{}={project}", labels::PROJECT)]),
        ])),
    };
    let mut events = Box::pin(engine.docker().events(Some(options)));
    let mut out = io::stdout().lock();
    let stop = interrupted();
    tokio::pin!(stop);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = &mut stop => return Ok(130),
        };
        let Some(event) = event else { return Ok(0) };
        let event = event.map_err(|e| EngineError::api("events", e))?;
        let actor = event.actor.unwrap_or_default();
        let mut attributes: BTreeMap<String, String> = actor.attributes.unwrap_or_default().into_iter().collect();
        let service = attributes.get(labels::SERVICE).cloned().unwrap_or_default();
        let unwanted = !args.services.is_empty() && !args.services.contains(&service);
        if unwanted || attributes.get(labels::ONEOFF).is_some_and(|o| o == "True") {
            continue;
        }
        attributes.retain(|name, _| !name.starts_with("com.docker.compose.") && !name.starts_with("dev.turnout."));
        let (id, action) = (actor.id.unwrap_or_default(), event.action.unwrap_or_default());
        let time = ::time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.time_nano.unwrap_or_default()))?;
        let line = if args.json {
            let time = time.format(&::time::format_description::well_known::Rfc3339)?;
            serde_json::json!({
                "action": action, "attributes": attributes, "id": id, "service": service, "time": time, "type": "container",
            })
            .to_string()
        } else {
            let format = ::time::macros::format_description!(
                "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]"
            );
            let all: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} container {action} {id} ({})\n", time.format(format)?, all.join(", "))
        };
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            // The reader has gone.
            return Ok(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart_as_the_real_one_does() {
        for (reference, repository, tag) in [
            ("shop", "shop", "latest"),
            ("docker.io/library/redis:7", "redis", "7"),
            ("localhost:5000/a/b", "localhost:5000/a/b", "latest"),
            ("localhost:5000/a/b:1@sha256:00", "localhost:5000/a/b", ""),
            ("sha256:00", "sha256", "00"),
            (&"0".repeat(64), "", ""),
        ] {
            assert_eq!(named(reference), (repository.to_owned(), tag.to_owned()), "{reference}");
        }
    }
}
