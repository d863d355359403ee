//! Causes that lie in a service, or in what was asked for.

use std::fmt;

/// Why something is done for a service, or on account of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceCause {
    /// Somebody asked for it.
    Asked,
    /// These services depend on it.
    NeededBy(Vec<String>),
    /// What is started depends on it.
    NeededByStarted,
    /// What it depends on is restarted.
    NeedRestarted,
    /// It runs before this service is started.
    BeforeStart(String),
    /// The whole project is taken down.
    ProjectTakenDown,
    /// This service is taken down.
    TakenDown(String),
    /// This service depends on what is taken down.
    NeedTakenDown(String),
    /// The project, which is taken down, has no such service.
    Unknown(String),
    /// The project has no such service any more.
    Gone(String),
    /// No profile of this service is on any more.
    NoProfile(String),
    /// There are to be more or fewer containers of it.
    Scaled {
        /// How many there are.
        from: usize,
        /// How many there are to be.
        to: usize,
    },
    /// This service is replaced.
    Replaced(String),
    /// This service is stopped.
    Stopped(String),
    /// This service is restarted.
    Restarted(String),
    /// It lives in namespaces of this service, which stopped.
    NamespacesStopped(String),
    /// It lives in namespaces of this service, which was started again after it.
    NamespacesOld(String),
}

impl ServiceCause {
    /// The code for programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Asked => "service.asked",
            Self::NeededBy(_) => "service.needed_by",
            Self::NeededByStarted => "service.needed_by_started",
            Self::NeedRestarted => "service.need_restarted",
            Self::BeforeStart(_) => "service.before_start",
            Self::ProjectTakenDown => "service.project_taken_down",
            Self::TakenDown(_) => "service.taken_down",
            Self::NeedTakenDown(_) => "service.need_taken_down",
            Self::Unknown(_) => "service.unknown",
            Self::Gone(_) => "service.gone",
            Self::NoProfile(_) => "service.no_profile",
            Self::Scaled { .. } => "service.scaled",
            Self::Replaced(_) => "service.replaced",
            Self::Stopped(_) => "service.stopped",
            Self::Restarted(_) => "service.restarted",
            Self::NamespacesStopped(_) => "service.namespaces_stopped",
            Self::NamespacesOld(_) => "service.namespaces_old",
        }
    }
}

impl fmt::Display for ServiceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("asked for"),
            Self::NeededBy(services) => {
                let depend = if services.len() == 1 { "depends" } else { "depend" };
                write!(f, "{} {depend} on it", services.join(", "))
            }
            Self::NeededByStarted => f.write_str("what is started depends on it"),
            Self::NeedRestarted => f.write_str("what it depends on is restarted"),
            Self::BeforeStart(service) => write!(f, "before {service} is started"),
            Self::ProjectTakenDown => f.write_str("the project is taken down"),
            Self::TakenDown(service) => write!(f, "{service} is taken down"),
            Self::NeedTakenDown(service) => write!(f, "{service} depends on what is taken down"),
            Self::Unknown(service) => write!(f, "service {service} is not in the project"),
            Self::Gone(service) => write!(f, "service {service} is no longer in the project"),
            Self::NoProfile(service) => write!(f, "no profile of service {service} is on any more"),
            Self::Scaled { from, to } if to < from => write!(f, "scaled down from {from} to {to}"),
            Self::Scaled { from, to } => write!(f, "scaled up from {from} to {to}"),
            Self::Replaced(service) => write!(f, "{service} is replaced"),
            Self::Stopped(service) => write!(f, "{service} is stopped"),
            Self::Restarted(service) => write!(f, "{service} is restarted"),
            Self::NamespacesStopped(service) => {
                write!(f, "lives in namespaces of {service}, which are gone since that stopped")
            }
            Self::NamespacesOld(service) => {
                write!(f, "lives in namespaces of {service} that are gone: {service} was started again after it")
            }
        }
    }
}
