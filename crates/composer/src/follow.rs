//! Following containers: their lines, each once, and their beginnings and ends.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io::{self, Write as _},
    pin::Pin,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use bollard::{models::EventMessage, query_parameters::EventsOptions};
use futures_util::{Stream, StreamExt as _};

use super::{printer::Printer, progress::Said, watch::Line};
use turnout_compose::labels;
use turnout_docker::{Endpoint, Engine, EngineError, LogLine, LogOptions};

/// Lines of each container that are remembered, so that what comes twice is shown once.
const REMEMBERED: usize = 256;

/// What is written, and what was written already.
pub(super) struct Show {
    printer: Printer,
    /// What containers write to standard error goes there, as the real one does when it is attached, unlike its `logs`.
    apart: bool,
    seen: Seen,
}

impl Show {
    pub(super) fn new(printer: Printer, apart: bool) -> Show {
        Show { printer, apart, seen: Seen::default() }
    }

    /// Writes a line unless it was written already.
    pub(super) fn line(&mut self, line: &LogLine) -> io::Result<()> {
        if !self.seen.is_new(line) {
            return Ok(());
        }
        match line.stderr && self.apart {
            true => self.printer.print(&mut io::stderr().lock(), line),
            false => self.printer.print(&mut io::stdout().lock(), line),
        }
    }

    /// Writes a line that a hook in a container has said.
    pub(super) fn hook(&mut self, said: &Said) -> io::Result<()> {
        let line = LogLine {
            container: format!("{} ->", said.container),
            service: String::new(),
            stderr: false,
            time: String::new(),
            text: said.line.clone(),
        };
        self.printer.print(&mut io::stdout().lock(), &line)
    }

    /// Writes what the watching of files has to say.
    pub(super) fn told(&mut self, line: &Line) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match line {
            Line::Watch(text) => self.printer.note(&mut out, text),
            Line::Said(text) => out.write_all(text.as_bytes()).and_then(|()| out.flush()),
        }
    }

    /// What a container said last may still be on its way when its end is told; this fetches it. `options`: those of
    /// the lines that are followed.
    pub(super) async fn rest(
        &mut self,
        engine: &Engine,
        project: &str,
        container: &str,
        options: &LogOptions,
    ) -> anyhow::Result<()> {
        let whole = LogOptions { follow: false, tail: None, ..options.clone() };
        let mut rest = engine.logs(project, whole).await?;
        while let Some(line) = rest.next().await {
            let line = match line {
                // One that is being removed, here or by somebody else, says no more.
                Err(error) if matches!(error.status(), Some(404 | 409)) => continue,
                line => line?,
            };
            if line.container == container {
                self.line(&line)?;
            }
        }
        Ok(())
    }

    /// What containers said before now is not shown. The engine knows moments of logs to the second only.
    pub(super) async fn pass_over(
        &mut self,
        engine: &Engine,
        project: &str,
        options: &LogOptions,
    ) -> anyhow::Result<()> {
        let last = LogOptions { follow: false, tail: Some(1), ..options.clone() };
        let mut lines = engine.logs(project, last).await?;
        while let Some(line) = lines.next().await {
            let line = line?;
            self.seen.passed.insert(line.container, line.time);
        }
        Ok(())
    }

    /// Writes how a container ended.
    pub(super) fn end(&mut self, container: &str, code: i64, again: bool) -> io::Result<()> {
        let suffix = if again { " (restarting)" } else { "" };
        self.printer.status(container, &format!("exited with code {code}{suffix}"))
    }
}

/// Something that happened to a container.
pub(super) struct Happened {
    pub id: String,
    pub name: String,
    pub service: String,
    pub what: What,
}

/// What became of the container.
pub(super) enum What {
    Began,
    Ended(i64),
}

/// Starts and ends of a project's containers from a moment on.
pub(super) fn events(
    engine: &Engine,
    project: &str,
    since: Duration,
) -> Pin<Box<dyn Stream<Item = anyhow::Result<Happened>> + Send>> {
    let kinds = ["create", "start", "die"].map(str::to_owned).to_vec();
    let options = EventsOptions {
        since: Some(format!("{}.{:09}", since.as_secs(), since.subsec_nanos())),
        until: None,
        filters: Some(HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![format!("{}={project}", labels::PROJECT)]),
            ("event".to_owned(), kinds),
        ])),
    };
    Box::pin(engine.docker().events(Some(options)).filter_map(|event| async move {
        match event {
            Ok(event) => happened(event).map(Ok),
            Err(error) => Some(Err(EngineError::api("watch the project's containers", error).into())),
        }
    }))
}

fn happened(event: EventMessage) -> Option<Happened> {
    let actor = event.actor?;
    let attributes = actor.attributes.unwrap_or_default();
    // Steps before a start say what they say through the run that carries them out.
    if attributes.get(labels::ONEOFF).is_some_and(|o| o == "True") || attributes.contains_key(labels::HOOK) {
        return None;
    }
    let text = |name: &str| attributes.get(name).cloned().unwrap_or_default();
    let what = match event.action.as_deref()? {
        "die" => What::Ended(text("exitCode").parse().unwrap_or_default()),
        _ => What::Began,
    };
    Some(Happened { id: actor.id?, name: text("name"), service: text(labels::SERVICE), what })
}

/// Whether a container that has just ended is on its way up again.
pub(super) async fn restarts(engine: &Engine, id: &str) -> anyhow::Result<bool> {
    match engine.docker().inspect_container(id, None).await {
        Ok(found) => {
            let state = found.state.unwrap_or_default();
            Ok(state.restarting == Some(true) || state.running == Some(true))
        }
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
        Err(error) => Err(EngineError::api("look at a container that has ended", error).into()),
    }
}

/// Now, since the Unix epoch, by the engine's clock: it is the one that stamps events and logs.
pub(super) async fn engine_time(engine: &Engine) -> anyhow::Result<Duration> {
    #[expect(clippy::disallowed_methods, reason = "compared with times that the engine tells")]
    let own = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if matches!(engine.endpoint(), Endpoint::Unix(_)) {
        return Ok(own);
    }
    let info = engine.docker().info().await.map_err(|error| EngineError::api("ask for the time", error))?;
    let Some(text) = info.system_time.map(|time| time.to_string()) else { return Ok(own) };
    let time = ::time::OffsetDateTime::parse(&text, &::time::format_description::well_known::Rfc3339)
        .with_context(|| format!("the engine's clock says {text:?}"))?;
    Ok(u64::try_from(time.unix_timestamp()).map_or(own, Duration::from_secs))
}

/// What need not be shown.
#[derive(Default)]
struct Seen {
    /// The last lines that were shown of each container: their times and texts.
    shown: BTreeMap<String, VecDeque<(String, String)>>,
    /// By container, the time up to which nothing is shown.
    passed: BTreeMap<String, String>,
}

impl Seen {
    /// Whether a line was not shown yet; it then counts as shown.
    fn is_new(&mut self, line: &LogLine) -> bool {
        if self.passed.get(&line.container).is_some_and(|passed| line.time <= *passed) {
            return false;
        }
        let recent = self.shown.entry(line.container.clone()).or_default();
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
