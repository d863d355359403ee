//! What becomes of a service at a switch, and why (ADR 23, "Classes").

use std::fmt;

use crate::{known::Why, storage::Storage};

/// What becomes of a service when its stack is deployed.
///
/// The order is that of care: services that are joined get the greatest class among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Runs to its end, once a rollout, before what waits for it.
    Job,
    /// Coloured, and nobody calls it: the old one ends before the new one starts, unless said otherwise.
    Worker,
    /// Coloured, and called by others of its colour: lives as long as its colour.
    Internal,
    /// Coloured, and reached through turnout's proxy.
    Routed,
    /// Reached through the proxy, one instance at a time: requests wait while it changes over.
    Held,
    /// One instance for both colours; changed before the new colour starts, if at all.
    Shared,
    /// Changed in place, as without the switch.
    Single,
}

impl Class {
    /// Every class, in the order in which `turnout plan` lists services.
    pub const ALL: [Class; 7] =
        [Class::Routed, Class::Held, Class::Internal, Class::Worker, Class::Job, Class::Shared, Class::Single];

    /// As it is written under `services:`.
    pub fn word(self) -> &'static str {
        match self {
            Class::Job => "job",
            Class::Worker => "worker",
            Class::Internal => "internal",
            Class::Routed => "routed",
            Class::Held => "held",
            Class::Shared => "shared",
            Class::Single => "single",
        }
    }

    /// Whether each colour has instances of its own, and two colours may run at the same time.
    pub fn is_coloured(self) -> bool {
        matches!(self, Class::Routed | Class::Internal | Class::Worker)
    }

    /// Whether a deployment makes a new instance of it in the next colour: coloured ones, and held ones after each other.
    pub fn moves(self) -> bool {
        self.is_coloured() || self == Class::Held
    }

    /// Whether it stays where it is when colours change.
    pub fn stays(self) -> bool {
        matches!(self, Class::Shared | Class::Single)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// In which file something was said; who wins where several do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `switch:` in `repos.yaml`, which wins.
    Repos,
    /// `x-turnout:` in the Compose file.
    Compose,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Repos => "repos.yaml",
            Source::Compose => "x-turnout",
        })
    }
}

/// Where a service is named as a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Value of this environment variable.
    Environment(String),
    /// Its command or entrypoint.
    Command,
    /// The service's `links`.
    Links,
    /// A configuration file that git tracks, or a `config`.
    File(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Environment(name) => f.write_str(name),
            Place::Command => f.write_str("its command"),
            Place::Links => f.write_str("its links"),
            Place::File(path) => f.write_str(path),
        }
    }
}

/// By what a service is seen to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listens {
    /// `expose` names the port.
    Expose(String),
    /// The image exposes the port, and the service runs the image's own command.
    Image(u16),
    /// Its health check asks an address of its own.
    Healthcheck,
}

/// Why a service has its class: the rule that fitted first, with what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Rule 0: somebody has said it.
    Said(Source),
    /// Rule 1: these wait for its end.
    Awaited(Vec<String>),
    /// Rule 2: `network_mode: host`.
    HostNetwork,
    /// Rule 2: `pid: host`.
    HostPid,
    /// Rule 2: the device.
    Device(String),
    /// Rule 2: the port and its protocol.
    PublishedNotTcp(String),
    /// Rule 2: the range.
    PortRange(String),
    /// Rule 2: the address.
    FixedAddress(String),
    /// Rule 3: it has the engine's socket.
    EngineSocket,
    /// Rule 4: what it is, and by what that is seen.
    Engine {
        /// The program as people call it: `PostgreSQL`.
        what: &'static str,
        /// By what that is seen.
        why: Why,
    },
    /// Rule 5: it writes there, and nobody else does.
    Writes(Storage),
    /// Rule 5: a front in the same file which has state.
    FrontWithState {
        /// The program as people call it: `Caddy`.
        what: &'static str,
        /// Where its state lies.
        storage: Storage,
    },
    /// Rule 6: its image is not built from this repository.
    NotOurs,
    /// Rule 6: a front of this service.
    FrontOf(String),
    /// Rule 7: a published port.
    Publishes(String),
    /// The user's own proxy, of this key, is told to lead to it.
    LedToBy(&'static str),
    /// A front that keeps its ports reaches it, through the proxy.
    BehindSingleFront(String),
    /// Rule 8: a front of its own colour depends on it.
    BehindFront(String),
    /// Rule 8: another service names it as a host.
    NamedBy {
        /// The service that names it.
        service: String,
        /// Where the name stands.
        place: Place,
    },
    /// Rule 8: it listens, by what is seen of it.
    Listens(Listens),
    /// Rule 9: the word by which it is seen.
    Scheduler(String),
    /// Rule 9: nothing of the above.
    NobodyCalls,
    /// It is joined with this service, whose class is the more careful one.
    JoinedWith(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Said(source) => write!(f, "said in {source}"),
            Reason::Awaited(by) => {
                write!(f, "{} wait{} for its end", by.join(" and "), if by.len() == 1 { "s" } else { "" })
            }
            Reason::HostNetwork => f.write_str("is on the host's network"),
            Reason::HostPid => f.write_str("sees the host's processes"),
            Reason::Device(device) => write!(f, "has the device {device}"),
            Reason::PublishedNotTcp(port) => write!(f, "publishes {port}, which no proxy holds"),
            Reason::PortRange(range) => write!(f, "publishes one of the host's ports {range}"),
            Reason::FixedAddress(address) => write!(f, "has the fixed address {address}"),
            Reason::EngineSocket => f.write_str("publishes ports and has the engine's socket"),
            Reason::Engine { what, why } => write!(f, "is {what}, by {why}"),
            Reason::Writes(storage) => write!(f, "writes {storage}, as nobody else does"),
            Reason::FrontWithState { what, storage } => {
                write!(f, "is {what} before others, and writes {storage}: keeps its ports, is never doubled")
            }
            Reason::NotOurs => f.write_str("is not built here"),
            Reason::FrontOf(service) => write!(f, "stands before {service}"),
            Reason::Publishes(port) => write!(f, "publishes {port}"),
            Reason::LedToBy(program) => write!(f, "gets requests from {program}"),
            Reason::BehindSingleFront(front) => write!(f, "is reached by {front}, which stays: through the proxy"),
            Reason::BehindFront(front) => write!(f, "stands behind {front}"),
            Reason::NamedBy { service, place } => write!(f, "{service} calls it, by {place}"),
            Reason::Listens(Listens::Expose(port)) => write!(f, "listens, as it exposes {port}"),
            Reason::Listens(Listens::Image(port)) => write!(f, "listens, as its image exposes {port}"),
            Reason::Listens(Listens::Healthcheck) => f.write_str("listens, as its health check asks itself"),
            Reason::Scheduler(word) => write!(f, "is a scheduler, by the word {word}: never runs twice"),
            Reason::NobodyCalls => f.write_str("nobody calls it, and it publishes nothing"),
            Reason::JoinedWith(service) => write!(f, "is joined with {service}"),
        }
    }
}
