//! The log lines of a project's containers, as one stream.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    task::{Context, Poll},
};

use bollard::query_parameters::LogsOptions;
use futures_util::{
    Stream, StreamExt, future,
    stream::{self, Peekable},
};
use tokio::{sync::mpsc, task::JoinHandle};
use turnout_compose::labels;

use super::{
    ContainerStatus, Engine, EngineError,
    lines::{self, Line},
};

/// Lines in flight between the engine and a slow reader.
const BUFFER: usize = 256;

/// Which lines are wanted, of whom and of which time.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Services; empty = all.
    pub services: Vec<String>,
    /// Go on with new lines, also of containers that start later.
    pub follow: bool,
    /// Only this many last lines of each container; `None` = all.
    pub tail: Option<u64>,
    /// Only lines from this time on, seconds since the Unix epoch.
    pub since: Option<i32>,
    /// Only lines up to this time, seconds since the Unix epoch.
    pub until: Option<i32>,
}

/// A line that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Name of the container.
    pub container: String,
    /// The service that it is of.
    pub service: String,
    /// Written to standard error.
    pub stderr: bool,
    /// When, as RFC 3339 with nanoseconds of fixed width, so that text order is time order.
    pub time: String,
    /// The line without its end.
    pub text: String,
}

/// A stream of log lines. Dropping it hangs up.
pub struct Logs {
    lines: mpsc::Receiver<Result<LogLine, EngineError>>,
    pump: JoinHandle<()>,
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Stream for Logs {
    type Item = Result<LogLine, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lines.poll_recv(context)
    }
}

impl Engine {
    /// Lines of a project's containers, stopped ones included. Without `follow` they come in the order of time and
    /// the stream ends; with it they come as they are written.
    pub async fn logs(&self, project: &str, options: LogOptions) -> Result<Logs, EngineError> {
        let all = self.containers(project, true).await?;
        let wanted = |service: &str| options.services.is_empty() || options.services.iter().any(|s| s == service);
        let containers: Vec<ContainerStatus> = all.into_iter().filter(|c| !c.oneoff && wanted(&c.service)).collect();
        let (sender, lines) = mpsc::channel(BUFFER);
        let (engine, project) = (self.clone(), project.to_owned());
        let pump = tokio::spawn(async move {
            if options.follow {
                engine.follow(&project, containers, &options, sender).await;
            } else {
                engine.merge(containers, &options, sender).await;
            }
        });
        Ok(Logs { lines, pump })
    }

    /// Several logs, each in order, into one in order.
    async fn merge(
        &self,
        containers: Vec<ContainerStatus>,
        options: &LogOptions,
        sender: mpsc::Sender<Result<LogLine, EngineError>>,
    ) {
        let mut open: Vec<Pin<Box<Peekable<Lines>>>> = Vec::new();
        for container in &containers {
            open.push(Box::pin(self.lines(&container.id, &container.name, &container.service, options).peekable()));
        }
        loop {
            let mut first: Option<(usize, String)> = None;
            for (index, lines) in open.iter_mut().enumerate() {
                let time = match lines.as_mut().peek().await {
                    None => continue,
                    // Failures are told at once.
                    Some(Err(_)) => String::new(),
                    Some(Ok(line)) => line.time.clone(),
                };
                if first.as_ref().is_none_or(|(_, earliest)| time < *earliest) {
                    first = Some((index, time));
                }
            }
            let Some((index, _)) = first else { return };
            let Some(lines) = open.get_mut(index) else { return };
            let Some(line) = lines.next().await else { continue };
            if sender.send(line).await.is_err() {
                return;
            }
        }
    }

    /// All logs at once, and those of containers that start later.
    async fn follow(
        &self,
        project: &str,
        containers: Vec<ContainerStatus>,
        options: &LogOptions,
        sender: mpsc::Sender<Result<LogLine, EngineError>>,
    ) {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![format!("{}={project}", labels::PROJECT)]),
            ("event".to_owned(), vec!["start".to_owned()]),
        ]);
        let mut starts = self.events(filters);
        let mut tasks = tokio::task::JoinSet::new();
        let mut followed: BTreeMap<String, tokio::task::AbortHandle> = BTreeMap::new();
        for c in &containers {
            let lines = self.lines(&c.id, &c.name, &c.service, options);
            followed.insert(c.id.clone(), tasks.spawn(forward(lines, sender.clone())));
        }
        loop {
            let event = tokio::select! {
                event = starts.next() => event,
                () = sender.closed() => return,
            };
            let Some(event) = event else { return };
            let Some(actor) = event.actor else { continue };
            let attributes = actor.attributes.unwrap_or_default();
            let id = actor.id.unwrap_or_default();
            let service = attributes.get(labels::SERVICE).cloned().unwrap_or_default();
            let oneoff = attributes.get(labels::ONEOFF).is_some_and(|o| o == "True");
            // What a step before a start says is told by the run that carries it out.
            let unwanted = oneoff
                || attributes.contains_key(labels::HOOK)
                || !(options.services.is_empty() || options.services.contains(&service));
            // A restart may be announced before the log of the run before has ended; it then simply goes on.
            if unwanted || followed.get(&id).is_some_and(|task| !task.is_finished()) {
                continue;
            }
            let name = attributes.get("name").cloned().unwrap_or_default();
            let since = event.time.and_then(|t| i32::try_from(t).ok());
            let later = LogOptions { tail: None, since, ..options.clone() };
            let lines = self.lines(&id, &name, &service, &later);
            followed.insert(id, tasks.spawn(forward(lines, sender.clone())));
        }
    }

    /// The lines of one container.
    fn lines(&self, id: &str, name: &str, service: &str, options: &LogOptions) -> Lines {
        let query = LogsOptions {
            follow: options.follow,
            stdout: true,
            stderr: true,
            since: options.since.unwrap_or_default(),
            until: options.until.unwrap_or_default(),
            timestamps: true,
            tail: options.tail.map_or_else(|| "all".to_owned(), |n| n.to_string()),
        };
        let (name, service) = (name.to_owned(), service.to_owned());
        let chunks = self.docker().logs(id, Some(query));
        let mut cutter = lines::Lines::stamped();
        let (failed, ended) = (name.clone(), stream::once(future::ready(None)));
        // The end comes as `None`: a last line may have none of its own.
        let lines = chunks.map(Some).chain(ended).flat_map(move |chunk| {
            let ready = match chunk {
                Some(Ok(chunk)) => cutter.feed(chunk),
                None => cutter.end(),
                Some(Err(error)) => {
                    let error = EngineError::api(format!("logs of {failed}"), error);
                    return stream::iter(vec![Err(error)]);
                }
            };
            let line = |Line { stderr, time, text }| {
                Ok(LogLine { container: name.clone(), service: service.clone(), stderr, time, text })
            };
            stream::iter(ready.into_iter().map(line).collect::<Vec<_>>())
        });
        Box::pin(lines)
    }
}

type Lines = Pin<Box<dyn Stream<Item = Result<LogLine, EngineError>> + Send>>;

async fn forward(mut lines: Lines, sender: mpsc::Sender<Result<LogLine, EngineError>>) {
    while let Some(line) = lines.next().await {
        // A container removed while it was followed has no more lines; that is no failure of the others.
        if line.is_err() || sender.send(line).await.is_err() {
            return;
        }
    }
}
