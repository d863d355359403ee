//! Causes that lie in a network.

use std::fmt;

use crate::digest::short;

/// Why something is done to a network, or to a container on account of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkCause {
    /// It does not exist.
    Absent(String),
    /// Its definition changed.
    Changed {
        /// The engine's name.
        name: String,
        /// Hash that it was made with.
        from: String,
        /// Hash that is wanted.
        to: String,
    },
    /// It is replaced, and whoever is in it must come out.
    Replaced(String),
    /// The project no longer has this key.
    Gone(String),
    /// The network of this key has another name now, where that is known.
    Renamed {
        /// Its key under `networks`.
        key: String,
        /// The engine's name of the new one.
        to: Option<String>,
    },
    /// Another one has the same name.
    Twin {
        /// ID of the one that stays.
        stays: String,
    },
    /// A trial that was interrupted left it.
    TrialLeft,
    /// The container is not in the network of this key.
    NotAttached(String),
    /// The network of this key is created anew.
    CreatedAnew(String),
}

impl NetworkCause {
    /// The code for programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Absent(_) => "network.absent",
            Self::Changed { .. } => "network.changed",
            Self::Replaced(_) => "network.replaced",
            Self::Gone(_) => "network.gone",
            Self::Renamed { .. } => "network.renamed",
            Self::Twin { .. } => "network.twin",
            Self::TrialLeft => "network.trial_left",
            Self::NotAttached(_) => "network.not_attached",
            Self::CreatedAnew(_) => "network.created_anew",
        }
    }
}

impl fmt::Display for NetworkCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(name) => write!(f, "network {name} does not exist yet"),
            Self::Changed { name, from, to } => {
                write!(f, "network {name} changed (config-hash {} -> {})", short(from), short(to))
            }
            Self::Replaced(name) => write!(f, "network {name} is replaced"),
            Self::Gone(key) => write!(f, "network {key} is no longer in the project"),
            Self::Renamed { key, to: Some(name) } => write!(f, "network {key} is {name} now"),
            Self::Renamed { key, to: None } => write!(f, "network {key} has another name now"),
            Self::Twin { stays } => {
                write!(f, "two runs at once have made one of this name each; {} stays", short(stays))
            }
            Self::TrialLeft => f.write_str("left over from a trial that was interrupted"),
            Self::NotAttached(key) => write!(f, "not attached to network {key}"),
            Self::CreatedAnew(key) => write!(f, "network {key} is created anew"),
        }
    }
}
