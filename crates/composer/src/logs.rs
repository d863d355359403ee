//! `turnout compose logs`: what containers have said and, with `-f`, say, those too that are made meanwhile.

use std::{collections::BTreeSet, io};

use anyhow::bail;
use futures_util::StreamExt as _;

use super::{
    args::LogsArgs,
    follow::{Happened, Show, What, engine_time, events, restarts},
    printer::Printer,
    session::{Interrupts, Session, interrupted},
    time::moment,
};
use turnout_docker::{Engine, LogOptions};

pub(super) async fn logs(session: &Session, args: &LogsArgs) -> anyhow::Result<u8> {
    let subject = session.subject_with(&args.services)?;
    let engine = session.engine().await?;
    let tail = match args.tail.as_str() {
        "all" => None,
        text => match text.parse::<i64>() {
            Ok(lines) => u64::try_from(lines).ok(),
            Err(_) => bail!("--tail {text}: write a number of lines, or all"),
        },
    };
    // None named means those of the project that are active; without its file, whatever has containers.
    let services: Vec<String> = match (&subject.project, args.services.is_empty()) {
        (Some(project), true) => project.services.keys().cloned().collect(),
        _ => args.services.clone(),
    };
    let options = LogOptions {
        services: services.clone(),
        follow: args.follow,
        tail,
        since: args.since.as_deref().map(moment).transpose()?,
        until: args.until.as_deref().map(moment).transpose()?,
    };
    let known = engine.containers(&subject.name, true).await?;
    let shown = |service: &str| services.is_empty() || services.iter().any(|s| s == service);
    let mut printer =
        Printer::new(&subject.name, !args.no_log_prefix, session.colours() && !args.no_color, args.timestamps);
    for container in known.iter().filter(|c| !c.oneoff && shown(&c.service)) {
        printer.expect(&container.name);
    }
    let only = match args.index {
        None => None,
        Some(index) => match known.iter().find(|c| c.number == Some(index) && shown(&c.service)) {
            Some(container) => Some(container.name.clone()),
            None => bail!("no container of number {index}"),
        },
    };
    if args.follow {
        let watched: BTreeSet<String> =
            known.iter().filter(|c| !c.oneoff && shown(&c.service)).map(|c| c.id.clone()).collect();
        return follow(&engine, &subject.name, options, Show::new(printer, false), watched, only.as_deref()).await;
    }
    let mut lines = engine.logs(&subject.name, options).await?;
    let mut out = io::stdout().lock();
    let stop = interrupted();
    tokio::pin!(stop);
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = &mut stop => return Ok(130),
        };
        let Some(line) = line else { return Ok(0) };
        let line = line?;
        if only.as_ref().is_none_or(|name| *name == line.container) && printer.print(&mut out, &line).is_err() {
            // The reader has gone.
            return Ok(0);
        }
    }
}

/// Goes on until all `watched` containers have ended, as the real one does: those that had ended before never do.
async fn follow(
    engine: &Engine,
    project: &str,
    options: LogOptions,
    mut show: Show,
    mut watched: BTreeSet<String>,
    only: Option<&str>,
) -> anyhow::Result<u8> {
    let began = engine_time(engine).await?;
    let mut events = events(engine, project, began);
    let mut lines = engine.logs(project, options.clone()).await?;
    let later = LogOptions { since: i32::try_from(began.as_secs()).ok(), ..options.clone() };
    let is_wanted = |service: &str| options.services.is_empty() || options.services.iter().any(|s| s == service);
    let mut signals = Interrupts::new();
    while !watched.is_empty() {
        tokio::select! {
            biased;
            () = signals.next() => return Ok(130),
            Some(line) = lines.next() => {
                let line = line?;
                if only.is_none_or(|name| name == line.container) && show.line(&line).is_err() {
                    // The reader has gone.
                    return Ok(0);
                }
            }
            event = events.next() => {
                let Some(Happened { id, name, service, what }) = event.transpose()? else { return Ok(0) };
                if !is_wanted(&service) {
                    continue;
                }
                let What::Ended(code) = what else {
                    watched.insert(id);
                    continue;
                };
                let again = restarts(engine, &id).await?;
                if only.is_none_or(|only| only == name) {
                    show.rest(engine, project, &name, &later).await?;
                }
                if show.end(&name, code, again).is_err() {
                    return Ok(0);
                }
                if !again {
                    watched.remove(&id);
                }
            }
        }
    }
    Ok(0)
}
