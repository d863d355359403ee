//! `up` without `-d`: shows the logs, stops the project at Ctrl-C.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    time::Duration,
};

use bollard::query_parameters::WaitContainerOptions;
use futures_util::{StreamExt as _, stream::FuturesUnordered};

use super::{
    args::UpArgs,
    logs::Printer,
    progress::Progress,
    session::{Session, interrupted},
};
use crate::{
    compose::model::Project,
    engine::{Engine, LogLine, LogOptions},
    plan,
};

/// Lines of each container that are remembered, so that what comes twice is shown once.
const REMEMBERED: usize = 256;

/// Follows the logs of the project's services until all containers have ended, or until Ctrl-C, which stops them; a
/// second one kills them. `since`: seconds since the Unix epoch, when the command began.
pub(super) async fn attach(
    session: &Session,
    engine: &Engine,
    project: &Project,
    args: &UpArgs,
    stop_timeout: Option<Duration>,
    since: Option<i32>,
) -> anyhow::Result<u8> {
    let attached = |service: &str| project.services.get(service).is_some_and(|s| s.attach != Some(false));
    let listed = engine.containers(&project.name, true).await?;
    let running: Vec<_> = listed.into_iter().filter(|c| !c.oneoff && attached(&c.service)).collect();
    let mut printer =
        Printer::new(&project.name, !args.no_log_prefix, session.colours() && !args.no_color, args.timestamps);
    let mut ends = FuturesUnordered::new();
    for container in &running {
        printer.expect(&container.name);
        let name = container.name.clone();
        let mut wait = Box::pin(engine.docker().wait_container(&container.id, None::<WaitContainerOptions>));
        ends.push(async move {
            let code = match wait.next().await {
                Some(Ok(ended)) => ended.status_code,
                Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
                _ => 0,
            };
            (name, code)
        });
    }
    let options = LogOptions {
        services: project.services.keys().filter(|name| attached(name)).cloned().collect(),
        follow: true,
        since,
        ..LogOptions::default()
    };
    let mut lines = engine.logs(&project.name, options.clone()).await?;
    let mut seen = Seen::default();
    let mut out = io::stdout().lock();
    let stop = interrupted();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(line) = lines.next() => {
                let line = line?;
                if seen.is_new(&line) {
                    printer.print(&mut out, &line)?;
                }
            }
            Some((name, code)) = ends.next() => {
                // What it said last may still be on its way to us.
                let whole = LogOptions { follow: false, ..options.clone() };
                let mut rest = engine.logs(&project.name, whole).await?;
                while let Some(line) = rest.next().await {
                    let line = line?;
                    if line.container == name && seen.is_new(&line) {
                        printer.print(&mut out, &line)?;
                    }
                }
                printer.say(&mut out, &name, " ", &format!("exited with code {code}"))?;
                if ends.is_empty() {
                    return Ok(0);
                }
            }
            else => return Ok(0),
        }
    }
    drop(out);
    gracefully(session, engine, project, stop_timeout).await
}

/// The last lines that were shown of each container.
#[derive(Default)]
struct Seen(BTreeMap<String, VecDeque<(String, String)>>);

impl Seen {
    /// Whether a line was not shown yet; it then counts as shown.
    fn is_new(&mut self, line: &LogLine) -> bool {
        let recent = self.0.entry(line.container.clone()).or_default();
        let forgotten = recent.len() >= REMEMBERED && recent.front().is_some_and(|(first, _)| line.time < *first);
        // From the end: that is where a repetition would be.
        if forgotten || recent.iter().rev().any(|(time, text)| *time == line.time && *text == line.text) {
            return false;
        }
        if recent.len() >= REMEMBERED {
            recent.pop_front();
        }
        recent.push_back((line.time.clone(), line.text.clone()));
        true
    }
}

async fn gracefully(
    session: &Session,
    engine: &Engine,
    project: &Project,
    stop_timeout: Option<Duration>,
) -> anyhow::Result<u8> {
    let progress = Progress::new(session.mode());
    let observed = engine.observe_containers(&project.name).await?;
    let plan = plan::stop(&project.name, Some(project), &observed, &[]);
    // Not to be given up by the Ctrl-C that led here; a second one kills.
    let calm = Session::new(session.global.clone());
    tokio::select! {
        stopped = calm.apply(engine, project, plan, stop_timeout, &progress) => { stopped?; }
        () = interrupted() => { engine.kill(&project.name, &[], "SIGKILL").await?; }
    }
    Ok(130)
}
