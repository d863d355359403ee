//! What went wrong between deployer and proxy: what happened, where, and what to do.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use turnout_traffic::{
    Mistakes,
    control::{Code, Refusal},
};

/// Why a proxy did not do what it was asked for, or was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SteerError {
    /// No proxy listens on the socket.
    #[error(
        "no turnout-proxy listens on {}: {source}; start it, or set the path of its control socket right",
        socket.display()
    )]
    Absent {
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Whether a proxy listens there cannot be found out.
    #[error(
        "the control socket {} of turnout-proxy cannot be connected to: {source}; this user needs access to it and to the folders \
         above it",
        socket.display()
    )]
    Unreachable {
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No answer came in time.
    #[error(
        "turnout-proxy on {} did not answer `{asked}` within {} s; its log says what it does{}",
        socket.display(), after.as_secs(), may_be_done(*sent)
    )]
    Silent {
        socket: PathBuf,
        /// What was asked for.
        asked: String,
        /// How long an answer was waited for.
        after: Duration,
        /// Whether all of the request was said.
        sent: bool,
    },
    /// The connection ended before an answer came.
    #[error(
        "turnout-proxy on {} went away before it answered `{asked}`: {source}; its log says why{}",
        socket.display(), may_be_done(*sent)
    )]
    Broken {
        socket: PathBuf,
        /// What was asked for.
        asked: String,
        /// What the system says.
        source: io::Error,
        /// Whether all of the request was said.
        sent: bool,
    },
    /// The proxy will not, or cannot. Its message begins with the socket and what was asked for.
    #[error("turnout-proxy on {}{}", .0.message, advice(.0.code))]
    Refused(Refusal),
    /// The answer is not understood, or is one to another question.
    #[error(
        "what turnout-proxy on {} answered to `{asked}` is not understood: {why}; are turnout and turnout-proxy of the same \
         version?{}",
        socket.display(), may_be_done(true)
    )]
    Answer {
        socket: PathBuf,
        /// What was asked for.
        asked: String,
        /// What is wrong with it.
        why: String,
    },
    /// The request is larger than a proxy takes. It was not sent.
    #[error("turnout-proxy on {} cannot be asked `{asked}`: {mistakes}; fewer or shorter values are needed", socket.display())]
    TooLong {
        socket: PathBuf,
        /// What was to be asked for.
        asked: String,
        /// By how much.
        mistakes: Mistakes,
    },
    /// There is no program to start.
    #[error(
        "turnout-proxy was not found; looked for {}; install it beside turnout, or in a folder of PATH",
        shown(looked)
    )]
    NoProgram {
        /// Every file that was looked for, in order.
        looked: Vec<PathBuf>,
    },
    /// The start has no place to begin from.
    #[error("turnout-proxy cannot be started: {}: {why}", path.display())]
    Start {
        /// The file or folder that stands in the way.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// It was started, and ended before it answered.
    #[error(
        "{} ended before it answered on {} ({status}); the end of its log, {}:\n{said}",
        program.display(), socket.display(), log.display()
    )]
    Ended {
        /// What was started.
        program: PathBuf,
        socket: PathBuf,
        status: ExitStatus,
        /// The proxy's log file.
        log: PathBuf,
        /// The last lines of it.
        said: String,
    },
    /// It runs, and is not ready in time.
    #[error("turnout-proxy on {} is not ready after {} s: {why}; its log is {}", socket.display(), after.as_secs(), log.display())]
    NotReady {
        socket: PathBuf,
        /// How long it was waited for.
        after: Duration,
        /// What was seen last.
        why: String,
        /// The proxy's log file.
        log: PathBuf,
    },
}

impl SteerError {
    /// Whether no proxy is there: one may be started, or come back by itself.
    pub fn is_absent(&self) -> bool {
        matches!(self, SteerError::Absent { .. })
    }

    /// Whether what was asked for may have been done all the same. To find out, ask again (`apply` may be), or ask for the
    /// status.
    pub fn unknown(&self) -> bool {
        match self {
            SteerError::Silent { sent, .. } | SteerError::Broken { sent, .. } => *sent,
            SteerError::Answer { .. } => true,
            SteerError::Refused(Refusal { code, .. }) => matches!(code, Code::Unknown | Code::NotDurable),
            SteerError::Absent { .. }
            | SteerError::Unreachable { .. }
            | SteerError::TooLong { .. }
            | SteerError::NoProgram { .. }
            | SteerError::Start { .. }
            | SteerError::Ended { .. }
            | SteerError::NotReady { .. } => false,
        }
    }

    /// Whether the same question may be answered well in a moment, with nobody doing anything.
    pub(crate) fn passes(&self) -> bool {
        match self {
            SteerError::Silent { .. } | SteerError::Broken { .. } => true,
            SteerError::Refused(Refusal { code, .. }) => {
                // One that ends did nothing of it, and the next one is there soon.
                matches!(code, Code::Unknown | Code::NotDurable | Code::Busy | Code::Ending)
            }
            _ => false,
        }
    }

    /// Whether it says what is, so that nothing is open any more, whatever was before.
    pub(crate) fn settles(&self) -> bool {
        match self {
            SteerError::Refused(Refusal { code, .. }) => match code {
                Code::Malformed
                | Code::Version
                | Code::Later
                | Code::Mistaken
                | Code::Older
                | Code::Conflict
                | Code::CannotListen
                | Code::NotKept
                | Code::Forbidden
                | Code::NotRenewed => true,
                Code::NotDurable | Code::Unknown | Code::Busy | Code::Ending => false,
            },
            _ => false,
        }
    }
}

fn may_be_done(sent: bool) -> &'static str {
    if sent { ". It may have been done all the same: ask again, or look at the status" } else { ". It was not done" }
}

/// What to do, where the proxy's own message does not say it.
fn advice(code: Code) -> &'static str {
    match code {
        Code::Older | Code::Conflict => "; look at the status, and count on from there",
        Code::Version | Code::Later | Code::Malformed => "; a newer turnout-proxy may be needed",
        Code::CannotListen => "; find out who has the address (`ss -ltnp`), and end that first",
        Code::NotKept => "; its disk may be full, or the folder of its route file not writable",
        Code::Mistaken
        | Code::NotDurable
        | Code::Unknown
        | Code::Busy
        | Code::Ending
        | Code::Forbidden
        | Code::NotRenewed => "",
    }
}

fn shown(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}
