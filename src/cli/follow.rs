//! Follows a log over restarts of the daemon: no line twice, none missed.
//!
//! ```text
//!   asked ──► items ──► the end, with the outcome
//!     ▲          │
//!     │          └── cut off: the daemon ends, or was killed
//!     └── it is back ◄── waited for, within BACK
//! ```

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep};

use super::{
    client::{Client, ClientError, encode},
    waiting::Waiting,
};
use crate::{
    server::wire::{Followed, Position},
    store::{Deployment, State},
};

/// How long a daemon that has ended is waited for: its grace period, its start, and then some.
const BACK: Duration = Duration::from_secs(120);
/// The same in words.
const BACK_WORDS: &str = "120 s";
/// Pause between two looks whether it is back.
const LOOK: Duration = Duration::from_millis(200);
/// Deployments looked through for the one that repeats an interrupted one.
const LOOK_BACK: usize = 100;

/// Which log is followed.
#[derive(Debug, Clone)]
pub(super) enum Which {
    /// Of one deployment, until it ends.
    One(i64),
    /// Of all deployments, or those of one repository.
    All(Option<String>),
}

/// What to show of it.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) which: Which,
    /// Lines of the past; `None`: all of one deployment, the daemon's own default of all.
    pub(super) tail: Option<u32>,
    /// Of one deployment, the last line that the reader knows, in place of `tail`.
    pub(super) after: Option<i64>,
    /// Go on as lines come.
    pub(super) follow: bool,
}

/// What a reader is given.
pub(super) enum Told<'i> {
    /// An item of the log.
    Item(&'i Followed),
    /// A sentence about it.
    Note(String),
}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    /// All that was asked for was shown; with one deployment, how that stands.
    Shown(Option<Box<Deployment>>),
    /// The daemon has ended and has not come back in time.
    Gone,
}

/// Why it broke off.
pub(super) enum Broken<E> {
    /// The daemon said no, or never answered.
    Client(ClientError),
    /// The reader wants no more.
    Reader(E),
}

/// How far the reader is.
#[derive(Debug, Default)]
struct Reached {
    /// Last line of the one deployment.
    line: Option<i64>,
    /// Of the log of many: where the last message ended.
    position: Option<Position>,
}

impl Reached {
    fn note(&mut self, item: &Followed) {
        match item {
            Followed::Position(position) => self.position = Some(position.clone()),
            Followed::Line { deployment, line, .. } => {
                self.line = Some(line.seq);
                if let Some(position) = &mut self.position {
                    position.reached(*deployment, line.seq);
                }
            }
            Followed::Ended(ended) => {
                if let Some(position) = &mut self.position {
                    position.ended(ended.id);
                }
            }
            Followed::Begun(_)
            | Followed::Verdict(_)
            | Followed::Missed(_)
            | Followed::Live { .. }
            | Followed::Waiting(_) => {}
        }
    }
}

/// Shows a log to its end.
///
/// # Errors
/// What the daemon refuses, and whatever the reader says.
pub(super) async fn follow<E>(
    client: &Client,
    mut log: Log,
    waiting: &Waiting,
    mut tell: impl FnMut(Told<'_>) -> Result<(), E>,
) -> Result<End, Broken<E>> {
    let mut reached = Reached { line: log.after, ..Reached::default() };
    // Set while the daemon is away.
    let mut away: Option<Instant> = None;
    loop {
        let asked = waiting.told(client.lines::<Followed>(&path(&log, &reached))).await;
        let mut items = match (asked, away) {
            (Ok(items), _) => items,
            (Err(ClientError::Unreachable { .. } | ClientError::Cut(_)), Some(since)) => {
                if since.elapsed() > BACK {
                    return Ok(End::Gone);
                }
                waiting.told(sleep(LOOK)).await;
                continue;
            }
            (Err(error), _) => return Err(Broken::Client(error)),
        };
        let mut repeat = None;
        while let Some(item) = waiting.told(items.next()).await {
            let item = match item {
                Ok(item) => item,
                Err(ClientError::Cut(_)) if log.follow => break,
                Err(error) => return Err(Broken::Client(error)),
            };
            away = None;
            reached.note(&item);
            match &item {
                Followed::Waiting(wait) => waiting.now(wait.what.clone(), wait.at_most.as_deref()),
                _ => waiting.over(),
            }
            let Followed::Ended(ended) = item else {
                tell(Told::Item(&item)).map_err(Broken::Reader)?;
                continue;
            };
            if let (Which::All(_), _) = (&log.which, ()) {
                tell(Told::Item(&Followed::Ended(ended))).map_err(Broken::Reader)?;
                continue;
            }
            repeat = match (log.follow, ended.state) {
                (true, State::Interrupted) => repeat_of(client, &ended).await.map_err(Broken::Client)?,
                _ => None,
            };
            let Some(next) = repeat else { return Ok(End::Shown(Some(ended))) };
            let note = format!("deployment {} was interrupted by the end of the daemon; {next} repeats it", ended.id);
            tell(Told::Note(note)).map_err(Broken::Reader)?;
            break;
        }
        if let Some(next) = repeat {
            (log.which, log.tail, reached) = (Which::One(next), None, Reached::default());
            continue;
        }
        if !log.follow {
            return Ok(End::Shown(None));
        }
        let since = *away.get_or_insert_with(Instant::now);
        if since.elapsed() > BACK {
            return Ok(End::Gone);
        }
        waiting.now("the daemon, which ends or is being restarted", Some(BACK_WORDS));
        waiting.told(sleep(LOOK)).await;
    }
}

/// The deployment that goes on with one that the end of the daemon interrupted.
async fn repeat_of(client: &Client, interrupted: &Deployment) -> Result<Option<i64>, ClientError> {
    let path = format!("/v1/deployments?limit={LOOK_BACK}&repo={}", encode(&interrupted.repo));
    let recent: Vec<Deployment> = client.get(&path).await?;
    Ok(recent.iter().find(|deployment| deployment.retry_of == Some(interrupted.id)).map(|deployment| deployment.id))
}

fn path(log: &Log, reached: &Reached) -> String {
    let Log { which, tail, follow, after: _ } = log;
    let tail = tail.map(|tail| format!("&tail={tail}")).unwrap_or_default();
    match which {
        Which::One(id) => {
            let after = reached.line.map(|line| format!("&after={line}")).unwrap_or_default();
            format!("/v1/deployments/{id}/log?follow={follow}&waiting=true{tail}{after}")
        }
        Which::All(repo) => {
            let repo = repo.as_deref().map(|repo| format!("&repo={}", encode(repo))).unwrap_or_default();
            let position = reached.position.as_ref().map(|position| encode(&position.to_string())).unwrap_or_default();
            format!("/v1/log?follow={follow}&position={position}{tail}{repo}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixListener,
    };

    use super::*;

    #[tokio::test]
    async fn a_daemon_that_stays_away_is_not_waited_for_without_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let daemon = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            let line = "{\"position\":\"7,5:2\"}\n";
            let answer =
                format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{line}\r\n0\r\n\r\n", line.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            drop(listener);
            // From here on nothing is left but to wait.
            tokio::time::pause();
        });
        let log = Log { which: Which::All(None), tail: None, after: None, follow: true };
        let began = Instant::now();
        let waiting = Waiting::for_("the daemon", None);
        let mut items = 0;
        let client = Client::new(&socket);
        let end = follow(&client, log, &waiting, |_| {
            items += 1;
            Ok::<_, Infallible>(())
        });
        assert!(matches!(end.await, Ok(End::Gone)));
        assert!(began.elapsed() > BACK && items == 1, "{:?} {items}", began.elapsed());
        daemon.await.unwrap();
    }
}
