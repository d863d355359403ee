//! What can go wrong between this process and the Docker Engine, in the reader's words.

use std::time::Duration;

use bollard::errors::Error as Bollard;
use turnout_report::with_sources;

use super::patience::{after, spoken};

/// A failure of the engine. The text says what happened and, where it is known, what to do next.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The daemon does not answer at all.
    #[error("cannot reach the Docker daemon at {endpoint}: {reason} ({hint})")]
    Unreachable {
        /// Where it was looked for.
        endpoint: String,
        /// What the attempt said.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The address of the daemon cannot be used.
    #[error("DOCKER_HOST {value:?} cannot be used: {reason}")]
    Endpoint {
        /// The value.
        value: String,
        /// Why.
        reason: String,
    },
    /// What is said about the connection cannot be carried out.
    #[error("{place}: {reason}")]
    Settings {
        /// A variable, or a part of the settings of Docker's client.
        place: String,
        /// What is wrong, and what to write.
        reason: String,
    },
    /// The daemon answered with an error.
    #[error("{what}: {message}")]
    Api {
        /// What was being done, to what.
        what: String,
        /// HTTP status; 0 when the failure lies below HTTP.
        status: u16,
        /// The daemon's message.
        message: String,
    },
    /// The daemon gave no answer to one call.
    #[error(
        "{what}: the Docker engine gave no answer in {} (is it stuck? look at `journalctl -u docker`; where it is only slow, \
         raise TURNOUT_ENGINE_TIMEOUT)", spoken(*.after)
    )]
    NoAnswer {
        /// What was being done, to what.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The daemon answered before; the connection broke.
    #[error("{what}: {message}")]
    Lost {
        /// What was being done, to what.
        what: String,
        /// How it broke.
        message: String,
    },
    /// An attribute of the Compose file cannot be carried out on this engine.
    #[error("services.{service}.{attribute}: {reason}")]
    Unsupported {
        /// Compose service.
        service: String,
        /// Attribute, with its path inside the service.
        attribute: String,
        /// Why, and what would help.
        reason: String,
    },
    /// The same of a network.
    #[error("networks.{network}.{attribute}: {reason}")]
    UnsupportedNetwork {
        /// Its key in the Compose file.
        network: String,
        /// Attribute.
        attribute: String,
        /// Why, and what would help.
        reason: String,
    },
    /// Something the project needs does not exist.
    #[error("{what} ({hint})")]
    Missing {
        /// What is missing.
        what: String,
        /// What to do.
        hint: String,
    },
    /// An object of that name exists and is not ours.
    #[error("{what} ({hint})")]
    Conflict {
        /// What is in the way.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A dependency did not fulfil its condition.
    #[error("{0}")]
    Dependency(String),
    /// A hook of a service failed.
    #[error("{0}")]
    Hook(String),
    /// An image could not be built or pulled.
    #[error("{0}")]
    Image(String),
    /// The plan names something that is not there (any more): observe and plan again.
    #[error("{0} (the engine changed since the plan was made; observe and plan again)")]
    Stale(String),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The same, of work that was half done: what of it stands, or goes on.
    #[error("cancelled; {0}")]
    GivenUp(String),
}

impl EngineError {
    /// Wraps an error of the client library. `what` says what was being done: `create container shop-web-1`.
    pub fn api(what: impl Into<String>, error: Bollard) -> EngineError {
        let what = what.into();
        match error {
            Bollard::DockerResponseServerError { status_code, message } => {
                EngineError::Api { what, status: status_code, message: explain(message) }
            }
            Bollard::RequestTimeoutError => {
                let message = "the daemon did not answer in time".to_owned();
                EngineError::Api { what, status: 0, message }
            }
            Bollard::DockerStreamError { error } => EngineError::Api { what, status: 0, message: explain(error) },
            Bollard::HyperLegacyError { err } => EngineError::Lost { what, message: gone(&err) },
            Bollard::HyperResponseError { err } => EngineError::Lost { what, message: gone(&err) },
            Bollard::IOError { err } => match after(&err) {
                Some(after) => EngineError::NoAnswer { what, after },
                None => EngineError::Lost { what, message: gone(&err) },
            },
            other => EngineError::Api { what, status: 0, message: with_sources(&other) },
        }
    }

    /// Whether the daemon is not there (any more), so that the same may go well when it is back.
    pub fn is_lost(&self) -> bool {
        matches!(self, EngineError::Unreachable { .. } | EngineError::Lost { .. })
    }

    /// The HTTP status, when the daemon gave one.
    pub fn status(&self) -> Option<u16> {
        match self {
            EngineError::Api { status, .. } if *status != 0 => Some(*status),
            _ => None,
        }
    }
}

/// The status of a client error, when the daemon gave one.
pub fn status_of(error: &Bollard) -> Option<u16> {
    match error {
        Bollard::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The daemon answered before and does not now.
fn gone(error: &dyn std::error::Error) -> String {
    format!("the connection to the Docker engine broke: {} (is it down or being restarted?)", with_sources(error))
}

/// Adds what to do next to messages of the daemon that are met often.
fn explain(message: String) -> String {
    let message = message.trim().to_owned();
    let hint = if message.contains("port is already allocated") || message.contains("address already in use") {
        "free the port or publish another one, then deploy again: the container is kept and only started"
    } else if message.contains("No such image") {
        "the image is neither local nor was it pulled or built"
    } else if message.contains("no space left on device") {
        "free disk space on the host, for instance with `docker system prune`"
    } else if message.contains("non-overlapping IPv4 address pool") {
        "remove unused networks with `docker network prune`, or set a subnet under ipam"
    } else {
        return message;
    };
    format!("{message} ({hint})")
}
