//! Causes that lie in a volume.

use std::fmt;

use crate::digest::short;

/// Why something is done to a volume, or to a container on account of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeCause {
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
        /// It is recreated, with consent.
        lost: bool,
    },
    /// It is recreated, and whoever uses it must go.
    Recreated(String),
    /// The container has not mounted the volume of this key.
    NotMounted(String),
    /// Removal of volumes was asked for.
    RemovalAsked,
}

impl VolumeCause {
    /// The same, where its data is lost.
    pub(crate) fn with_loss(self) -> Self {
        match self {
            Self::Changed { name, from, to, .. } => Self::Changed { name, from, to, lost: true },
            other => other,
        }
    }

    /// The code for programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Absent(_) => "volume.absent",
            Self::Changed { .. } => "volume.changed",
            Self::Recreated(_) => "volume.recreated",
            Self::NotMounted(_) => "volume.not_mounted",
            Self::RemovalAsked => "volume.removal_asked",
        }
    }
}

impl fmt::Display for VolumeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(name) => write!(f, "volume {name} does not exist yet"),
            Self::Changed { name, from, to, lost } => {
                write!(f, "volume {name} changed (config-hash {} -> {})", short(from), short(to))?;
                if *lost { f.write_str("; its data is lost, as agreed") } else { Ok(()) }
            }
            Self::Recreated(name) => write!(f, "volume {name} is recreated"),
            Self::NotMounted(key) => write!(f, "volume {key} is not mounted"),
            Self::RemovalAsked => f.write_str("removal of volumes was asked for, its data is lost"),
        }
    }
}
