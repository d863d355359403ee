//! What a proxy is asked for.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt as _,
    net::UnixStream,
    time::{Instant, sleep_until},
};
use turnout_traffic::{
    Authority, Repository,
    control::{Answer, Code, Counters, Refusal, Request, Shown, Status},
};

use crate::{
    SteerError,
    wire::{self, Answered},
};

/// Longest wait for one answer. The proxy itself answers within five seconds, if only that it does not know yet.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);
/// How long an apply is asked for again. A lane waits for it.
pub(crate) const AGAIN: Duration = Duration::from_secs(30);
/// How long a proxy that ends is asked again, for the next one to answer.
const NEXT: Duration = Duration::from_secs(2);
/// Pauses between two tries: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Asks a turnout-proxy over its control socket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Steer {
    socket: PathBuf,
}

/// What an apply came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Of the route file that has the routes.
    pub serial: u64,
    /// Whether this changed anything; not, where it was so already. Where an answer was lost and asked for again, the change
    /// may be ours, and this says `false` all the same.
    pub changed: bool,
}

impl Steer {
    /// For the proxy that listens there, or will. Nothing is asked yet.
    pub fn new(socket: PathBuf) -> Steer {
        Steer { socket }
    }

    /// The control socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What is served, and how much is open. One that went away before it answered is asked once more: it changes nothing, and says
    /// whether another is there, or none.
    ///
    /// # Errors
    /// See [`SteerError`].
    pub async fn status(&self) -> Result<Status, SteerError> {
        let answered = match self.status_from().await {
            Err(SteerError::Broken { .. }) => self.status_from().await,
            answered => answered,
        };
        answered.map(|(status, _)| status)
    }

    /// The same, and the number of the process that says so, where it is known.
    pub(crate) async fn status_from(&self) -> Result<(Status, Option<u32>), SteerError> {
        let Answered { answer, pid } = self.ask(&Request::Status, "status").await?;
        match answer {
            Answer::Status(status) => Ok((status, pid)),
            other => Err(self.other("status", &other)),
        }
    }

    /// What is counted of one repository's `http` routes: it only rises, and the difference of two answers is what came between.
    ///
    /// # Errors
    /// See [`SteerError`].
    pub async fn counters(&self, repository: &str) -> Result<Counters, SteerError> {
        let (request, asked) =
            (Request::Counters { repository: repository.to_owned() }, format!("counters {repository}"));
        match self.ask(&request, &asked).await?.answer {
            Answer::Counters(counters) => Ok(counters),
            other => Err(self.other(&asked, &other)),
        }
    }

    /// One repository's routes, all at once: afterwards these are served, and on the disk.
    ///
    /// An answer that did not come, or said that it is not known yet, is asked for again, for 30 seconds: the same apply is
    /// answered as the first time.
    ///
    /// # Errors
    /// See [`SteerError`]. Where [`SteerError::unknown`] holds, the routes may be served all the same.
    pub async fn apply(&self, repository: &str, wanted: &Repository) -> Result<Applied, SteerError> {
        let (generation, revision) = wanted.age();
        let asked = format!("apply {repository} (generation {generation}, revision {revision})");
        let request = Request::Apply { repository: repository.to_owned(), wanted: wanted.clone() };
        match self.ask_until_known(&request, &asked).await? {
            Answer::Applied { serial, changed } => Ok(Applied { serial, changed }),
            other => Err(self.other(&asked, &other)),
        }
    }

    /// Requests to a repository's `http` routes wait from now on, until [`Steer::resume`]. Whether that changed anything.
    ///
    /// # Errors
    /// See [`SteerError`].
    pub async fn hold(&self, repository: &str) -> Result<bool, SteerError> {
        let request = Request::Hold { repository: repository.to_owned() };
        self.done(&request, &format!("hold {repository}")).await
    }

    /// They go on. Whether that changed anything.
    ///
    /// # Errors
    /// See [`SteerError`].
    pub async fn resume(&self, repository: &str) -> Result<bool, SteerError> {
        let request = Request::Resume { repository: repository.to_owned() };
        self.done(&request, &format!("resume {repository}")).await
    }

    /// Requests to a repository's `http` routes are answered by a page from now on (a line of text, without one), or no longer.
    /// Whether that changed anything.
    ///
    /// # Errors
    /// See [`SteerError`].
    pub async fn maintain(&self, repository: &str, on: bool, page: Option<String>) -> Result<bool, SteerError> {
        let request = Request::Maintain { repository: repository.to_owned(), on, page };
        self.done(&request, &format!("maintain {repository} {}", if on { "on" } else { "off" })).await
    }

    /// Ends when the proxy has, or when it closes a connection that asks nothing, which it does after some seconds; at once
    /// where there is none. Nothing is told by it but that it is time to ask.
    pub async fn until_closed(&self) {
        if let Ok(mut stream) = UnixStream::connect(&self.socket).await {
            // Any end of it will do.
            _ = stream.read(&mut [0]).await;
        }
    }

    /// Certificates of routes with `tls` "acme" are obtained there from now on; without an authority, no longer. Whether that
    /// changed anything.
    ///
    /// # Errors
    /// See [`SteerError`].
    pub async fn authority(&self, authority: Option<Authority>) -> Result<bool, SteerError> {
        self.done(&Request::Authority { authority }, "authority").await
    }

    /// Whether it could listen there and use these certificates; nothing is changed. Answers what it could not, a line each;
    /// `None`: this proxy is older than the question.
    ///
    /// # Errors
    /// See [`SteerError`].
    pub async fn tries(&self, listen: Vec<SocketAddr>, tls: Vec<Shown>) -> Result<Option<Vec<String>>, SteerError> {
        match self.ask(&Request::Try { listen, tls }, "try").await {
            Ok(Answered { answer: Answer::Done { .. }, .. }) => Ok(Some(Vec::new())),
            Ok(Answered { answer, .. }) => Err(self.other("try", &answer)),
            Err(SteerError::Refused(Refusal { code: Code::Malformed, .. })) => Ok(None),
            Err(SteerError::Refused(Refusal { code: Code::Mistaken, mistakes, .. })) => {
                Ok(Some(mistakes.into_iter().map(|mistake| mistake.message).collect()))
            }
            Err(error) => Err(error),
        }
    }

    async fn done(&self, request: &Request, asked: &str) -> Result<bool, SteerError> {
        match self.ask(request, asked).await?.answer {
            Answer::Done { changed } => Ok(changed),
            other => Err(self.other(asked, &other)),
        }
    }

    async fn ask(&self, request: &Request, asked: &str) -> Result<Answered, SteerError> {
        let end = Instant::now() + NEXT;
        loop {
            match wire::ask(&self.socket, request, asked, PATIENCE).await {
                // Nothing was done: another process takes over, or is started.
                Err(SteerError::Refused(Refusal { code: Code::Ending, .. })) if Instant::now() < end => {
                    sleep_until(Instant::now() + PAUSES.0).await;
                }
                other => return other,
            }
        }
    }

    /// Asks again until an answer says what is. A proxy that went away in between may come back; one that was not there from
    /// the beginning is the caller's to start.
    async fn ask_until_known(&self, request: &Request, asked: &str) -> Result<Answer, SteerError> {
        let end = Instant::now() + AGAIN;
        let (mut pause, longest) = PAUSES;
        let mut error = match self.ask(request, asked).await {
            Ok(Answered { answer, .. }) => return Ok(answer),
            Err(error) if error.passes() => error,
            Err(error) => return Err(error),
        };
        loop {
            let next = Instant::now() + pause;
            if next >= end {
                return Err(error);
            }
            sleep_until(next).await;
            pause = (pause * 2).min(longest);
            let newer = match wire::ask(&self.socket, request, asked, PATIENCE.min(end - next)).await {
                Ok(Answered { answer, .. }) => return Ok(answer),
                Err(newer) => newer,
            };
            if newer.settles() || !(newer.passes() || newer.is_absent() || error.unknown()) {
                return Err(newer);
            }
            // What may have been done stays so, whatever came after it.
            if newer.unknown() || !error.unknown() {
                error = newer;
            }
        }
    }

    pub(crate) fn other(&self, asked: &str, answer: &Answer) -> SteerError {
        let said = match answer {
            Answer::Applied { .. } => "applied",
            Answer::Status(_) => "status",
            Answer::Done { .. } => "done",
            Answer::Metrics { .. } => "metrics",
            Answer::Counters(_) => "counters",
            Answer::Refused(_) => "refused",
        };
        wire::not_understood(&self.socket, asked, format!("it is an answer of another kind, `{said}`"))
    }
}
