//! `logs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use anyhow::bail;
use futures_util::StreamExt as _;

use super::{
    args::LogsArgs,
    follow::{Happened, Show, What, engine_time, events, restarts},
    session::{Interrupts, Session, interrupted},
    time::moment,
};
use turnout_docker::{Engine, LogLine, LogOptions};

/// Colours of names, one after the other.
const COLOURS: [u8; 12] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94, 31, 91];

/// `logs`.
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

/// Writes lines with the names of their containers before them.
pub(super) struct Printer {
    prefix: String,
    names: bool,
    colours: bool,
    times: bool,
    width: usize,
    colour_of: BTreeMap<String, u8>,
}

impl Printer {
    pub(super) fn new(project: &str, names: bool, colours: bool, times: bool) -> Printer {
        Printer { prefix: format!("{project}-"), names, colours, times, width: 0, colour_of: BTreeMap::new() }
    }

    /// Makes room for a container's name, and returns it as it is shown.
    pub(super) fn expect(&mut self, container: &str) -> String {
        let short = self.short(container).to_owned();
        self.width = self.width.max(short.chars().count());
        short
    }

    /// Writes what became of a container, on a line of its own.
    pub(super) fn status(&mut self, container: &str, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{} {text}", self.short(container))?;
        out.flush()
    }

    /// Writes a line that is no container's, in the column of their names; `Err` when the reader has gone.
    pub(super) fn note(&mut self, out: &mut impl Write, text: &str) -> io::Result<()> {
        let width = self.width;
        match (self.names, self.colours) {
            (false, _) => writeln!(out, "{text}")?,
            (true, true) => writeln!(out, "\u{1b}[92m{:width$}  ⦿ \u{1b}[0m{text}", "")?,
            (true, false) => writeln!(out, "{:width$}  ⦿ {text}", "")?,
        }
        out.flush()
    }

    /// Writes one line; `Err` when the reader has gone.
    pub(super) fn print(&mut self, out: &mut impl Write, line: &LogLine) -> io::Result<()> {
        let time = if self.times && !line.time.is_empty() { format!("{} ", line.time) } else { String::new() };
        let (container, mark) = (&line.container, "  | ");
        let text = format!("{time}{}", line.text);
        if !self.names {
            writeln!(out, "{text}")?;
            return out.flush();
        }
        let name = self.expect(container);
        let width = self.width;
        if self.colours {
            let next = COLOURS.get(self.colour_of.len() % COLOURS.len()).copied().unwrap_or(36);
            let colour = *self.colour_of.entry(name.clone()).or_insert(next);
            writeln!(out, "\u{1b}[{colour}m{name:width$}{mark}\u{1b}[0m{text}")?;
        } else {
            writeln!(out, "{name:width$}{mark}{text}")?;
        }
        out.flush()
    }

    fn short<'t>(&self, container: &'t str) -> &'t str {
        container.strip_prefix(&self.prefix).unwrap_or(container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_a_column() {
        let mut printer = Printer::new("shop", true, false, true);
        printer.expect("shop-database-1");
        let line = LogLine {
            container: "shop-web-1".into(),
            service: "web".into(),
            stderr: false,
            time: "2026-01-02T03:04:05.000000000Z".into(),
            text: "hello".into(),
        };
        let mut out = Vec::new();
        printer.print(&mut out, &line).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "web-1       | 2026-01-02T03:04:05.000000000Z hello\n");
    }
}
