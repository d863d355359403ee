//! `up` without `-d`: shows the logs, stops the project at Ctrl-C.

use std::{io, time::Duration};

use bollard::query_parameters::WaitContainerOptions;
use futures_util::{StreamExt as _, stream::FuturesUnordered};

use super::{
    args::UpArgs,
    logs::Printer,
    progress::Progress,
    session::{Session, interrupted, now},
};
use crate::{
    compose::model::Project,
    engine::{Engine, LogOptions},
    plan,
};

/// Follows the logs of the project's services until all containers have ended, or until Ctrl-C, which stops them; a
/// second one kills them.
pub(super) async fn attach(
    session: &Session,
    engine: &Engine,
    project: &Project,
    args: &UpArgs,
    stop_timeout: Option<Duration>,
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
        // A second back: what was written between start and attachment.
        since: i32::try_from(now() - 1).ok(),
        ..LogOptions::default()
    };
    let mut lines = engine.logs(&project.name, options).await?;
    let mut out = io::stdout().lock();
    let stop = interrupted();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(line) = lines.next() => printer.print(&mut out, &line?)?,
            Some((name, code)) = ends.next() => {
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
