//! What can go wrong between this process and the Docker Engine, in the reader's words.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::time::Duration;

use bollard::errors::Error as Bollard;
use turnout_report::with_sources;

use super::{
    image::ImageError,
    patience::{after, spoken},
};

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
        hint: String,
    },
    /// The address of the daemon cannot be used.
    #[error("DOCKER_HOST {value:?} cannot be used: {reason}")]
    Endpoint { value: String, reason: String },
    /// What is said about the connection cannot be carried out.
    #[error("{place}: {reason}")]
    Settings {
        /// A variable, or a part of the settings of Docker's client.
        place: String,
        /// What is wrong, and what to write.
        reason: String,
    },
    /// The daemon answered with an error.
    #[error("{what}: {answer}")]
    Api {
        /// What was being done, to what.
        what: String,
        #[source]
        answer: Answer,
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
        /// How it broke, in words.
        message: String,
        /// The error of the connection, where there is one.
        #[source]
        source: Option<Cause>,
    },
    /// An attribute of the Compose file cannot be carried out on this engine.
    #[error("services.{service}.{attribute}: {reason}")]
    Unsupported {
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
        attribute: String,
        /// Why, and what would help.
        reason: String,
    },
    /// Something the project needs does not exist.
    #[error("{what} ({hint})")]
    Missing { what: String, hint: String },
    /// An object of that name exists and is not ours.
    #[error("{what} ({hint})")]
    Conflict {
        /// What is in the way.
        what: String,
        hint: String,
    },
    /// A dependency did not fulfil its condition.
    #[error("{0}")]
    Dependency(String),
    /// A hook of a service failed.
    #[error("{0}")]
    Hook(String),
    /// An image could not be built or pulled.
    #[error(transparent)]
    Image(Box<ImageError>),
    /// The plan names something that is not there (any more). What is there has to be looked at, and planned, anew.
    #[error("{0} (something else has changed that since it was planned; the same command again plans anew)")]
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
                EngineError::refused(what, status_code, &message)
            }
            Bollard::RequestTimeoutError => EngineError::refused(what, 0, "the daemon did not answer in time"),
            Bollard::DockerStreamError { error } => EngineError::refused(what, 0, &error),
            Bollard::HyperLegacyError { err } => EngineError::lost(what, err),
            Bollard::HyperResponseError { err } => EngineError::lost(what, err),
            Bollard::IOError { err } => match after(&err) {
                Some(after) => EngineError::NoAnswer { what, after },
                None => EngineError::lost(what, err),
            },
            other => EngineError::refused(what, 0, &with_sources(&other)),
        }
    }

    /// A failure that the daemon told of in these words.
    pub(crate) fn refused(what: String, status: u16, message: &str) -> EngineError {
        let message = message.trim();
        let answer = Answer { status, refusal: Refusal::read(message), message: message.to_owned() };
        EngineError::Api { what, answer }
    }

    /// The daemon answered before and does not now.
    fn lost(what: String, error: impl std::error::Error + Send + Sync + 'static) -> EngineError {
        let message = format!(
            "the connection to the Docker engine broke: {} (is it down or being restarted?)",
            with_sources(&error)
        );
        EngineError::Lost { what, message, source: Some(Box::new(error)) }
    }

    /// What the daemon refused, where that is known.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            EngineError::Api { answer, .. } => answer.refusal.as_ref(),
            _ => None,
        }
    }

    /// Whether the text begins with what was to be done, so that nobody has to say it before.
    pub fn names_what_was_done(&self) -> bool {
        match self {
            EngineError::Image(error) => error.names_what_was_done(),
            EngineError::Lost { .. } => true,
            _ => false,
        }
    }

    /// Whether the daemon is not there (any more), so that the same may go well when it is back.
    pub fn is_lost(&self) -> bool {
        matches!(self, EngineError::Unreachable { .. } | EngineError::Lost { .. })
    }

    /// The HTTP status, when the daemon gave one.
    pub fn status(&self) -> Option<u16> {
        match self {
            EngineError::Api { answer, .. } if answer.status != 0 => Some(answer.status),
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

/// The error of a library that another one comes from.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What the daemon answered to a call that it did not carry out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", hint_of(.refusal.as_ref()))]
pub struct Answer {
    /// HTTP status; 0 when the failure lies below HTTP.
    pub status: u16,
    /// What it refused, where that is known.
    pub refusal: Option<Refusal>,
    pub message: String,
}

fn hint_of(refusal: Option<&Refusal>) -> String {
    refusal.and_then(Refusal::hint).map(|hint| format!(" ({hint})")).unwrap_or_default()
}

/// What the daemon refused, as far as something follows from it. It has no codes for these, only words that have stayed the
/// same since 20.10; they are read here and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A published port is taken on the host.
    PortTaken,
    /// The image is not local.
    NoSuchImage,
    /// The host's disk is full.
    NoSpace,
    /// No addresses are left for another network.
    NoAddressPool,
    /// Two networks have the name.
    AmbiguousNetwork,
    /// The container has the name already that it is to get.
    SameName,
    /// The name of a container is taken by the one with this ID.
    NameTaken(String),
    /// The container is just being removed.
    RemovalInProgress,
    /// There is no such container (any more).
    NoSuchContainer,
    /// The container is connected to the network already.
    EndpointExists,
    /// A network on which the container hangs is gone.
    NoSuchNetwork,
    /// Another network has addresses that were asked for.
    AddressesTaken,
}

impl Refusal {
    /// Reads the daemon's message.
    pub fn read(message: &str) -> Option<Refusal> {
        let says = |words: &str| message.contains(words);
        Some(if says("port is already allocated") || says("address already in use") {
            Refusal::PortTaken
        } else if says("No such image") {
            Refusal::NoSuchImage
        } else if says("no space left on device") {
            Refusal::NoSpace
        } else if says("address pool") {
            Refusal::NoAddressPool
        } else if says("is ambiguous") {
            Refusal::AmbiguousNetwork
        } else if says("same name as its current name") {
            Refusal::SameName
        } else if says("already in progress") {
            Refusal::RemovalInProgress
        } else if says("No such container") {
            Refusal::NoSuchContainer
        } else if let Some((_, bearer)) = message.split_once("is already in use by container ") {
            Refusal::NameTaken(bearer.chars().filter(char::is_ascii_hexdigit).take(64).collect())
        } else if says("already exists in network") {
            Refusal::EndpointExists
        } else if says("network ") && says(" not found") {
            Refusal::NoSuchNetwork
        } else if says("overlaps with other one") {
            Refusal::AddressesTaken
        } else {
            return None;
        })
    }

    /// What to do next, of what is met often.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Refusal::PortTaken => {
                "free the port or publish another one, then try again: the container is kept and only started"
            }
            Refusal::NoSuchImage => "the image is neither local nor was it pulled or built",
            Refusal::NoSpace => "free disk space on the host, for instance with `docker system prune`",
            Refusal::NoAddressPool => {
                "remove networks that nobody needs (`docker network prune`; turnout makes that of a kept colour again), or set a subnet under ipam"
            }
            Refusal::AmbiguousNetwork
            | Refusal::SameName
            | Refusal::NameTaken(_)
            | Refusal::RemovalInProgress
            | Refusal::NoSuchContainer
            | Refusal::EndpointExists
            | Refusal::NoSuchNetwork
            | Refusal::AddressesTaken => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_known_by_the_words_of_the_engine() {
        let id = "0a".repeat(32);
        for (message, wanted) in [
            (
                "driver failed programming external connectivity on endpoint a: Bind for 0.0.0.0:80 failed: port is \
                 already allocated"
                    .to_owned(),
                Some(Refusal::PortTaken),
            ),
            (
                format!(
                    "Error when allocating new name: Conflict. The container name \"/a\" is already in use by container \
                     \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
                ),
                Some(Refusal::NameTaken(id)),
            ),
            (
                "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
                    .to_owned(),
                Some(Refusal::NoAddressPool),
            ),
            ("endpoint with name a already exists in network b".to_owned(), Some(Refusal::EndpointExists)),
            ("network e6d0551b not found".to_owned(), Some(Refusal::NoSuchNetwork)),
            (
                "Pool overlaps with other one on this address space".to_owned(),
                Some(Refusal::AddressesTaken),
            ),
            ("removal of container a is already in progress".to_owned(), Some(Refusal::RemovalInProgress)),
            ("something else".to_owned(), None),
        ] {
            assert_eq!(Refusal::read(&message), wanted, "{message}");
        }
    }
}
