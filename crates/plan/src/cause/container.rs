//! Causes that lie in a container.

use std::fmt;

use crate::digest::short;

/// Why something is done to a container, of what it is itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerCause {
    /// The service has none.
    Absent,
    /// It was created or is replaced by a step before.
    Created,
    /// It is replaced by a step before.
    Replaced,
    /// It replaces one that runs until it is ready: the order that its service asks for.
    StartsFirst,
    /// A step before has stopped it.
    StoppedBefore,
    /// A step before has replaced or stopped it.
    ReplacedOrStopped,
    /// It ended with this code.
    Exited(i64),
    /// It was created and never started.
    NeverStarted,
    /// It does not run.
    Idle,
    /// It is paused.
    Paused,
    /// The engine marks it dead.
    Dead,
    /// It is a one-off that has ended.
    OneOffEnded,
    /// It is what an interrupted replacement left.
    LeftOver,
    /// It still has the temporary name of a replacement that was interrupted.
    NameNotGiven,
    /// Somebody gave it another name.
    Renamed,
    /// A `pre_start` step that was interrupted left it.
    StepInterrupted,
    /// A `pre_start` step that failed left it.
    StepFailed,
    /// Its replacement was asked for.
    ReplacementAsked,
    /// It is made anew whatever changed, for this reason.
    Anew(&'static str),
    /// Fresh anonymous volumes were asked for.
    FreshVolumesAsked,
    /// Replacement of what others depend on was asked for.
    DependenciesAsked,
    /// A label without which other tools would not start it is missing.
    LabelMissing(&'static str),
    /// The label that tells its image is missing.
    ImageUnknown,
    /// These attributes of its service changed, each in words.
    Attributes(Vec<String>),
    /// Its configuration changed, in what is not known.
    Configuration {
        /// Hash that it was made with.
        from: String,
        /// Hash that is wanted.
        to: String,
    },
    /// It shares with these services, of which one has another container now.
    SharesWith(Vec<String>),
    /// It shares something with a service whose container is made by this plan.
    Shares {
        /// What, with its article.
        what: &'static str,
        /// The service with which it shares.
        of: String,
        /// What becomes of that container.
        fate: Shared,
    },
    /// Somebody changed this on it, in words.
    Altered(String),
    /// What it has mounted changed, in words.
    Mounted(String),
}

/// What becomes of a container with which another one shares something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// It is created.
    Created,
    /// It is replaced.
    Replaced,
    /// It is replaced perhaps.
    ReplacedPerhaps,
}

impl ContainerCause {
    /// The code for programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Absent => "container.absent",
            Self::Created => "container.created",
            Self::Replaced => "container.replaced",
            Self::StartsFirst => "container.starts_first",
            Self::StoppedBefore => "container.stopped_before",
            Self::ReplacedOrStopped => "container.replaced_or_stopped",
            Self::Exited(_) => "container.exited",
            Self::NeverStarted => "container.never_started",
            Self::Idle => "container.idle",
            Self::Paused => "container.paused",
            Self::Dead => "container.dead",
            Self::OneOffEnded => "container.one_off_ended",
            Self::LeftOver => "container.left_over",
            Self::NameNotGiven => "container.name_not_given",
            Self::Renamed => "container.renamed",
            Self::StepInterrupted => "container.step_interrupted",
            Self::StepFailed => "container.step_failed",
            Self::ReplacementAsked => "container.replacement_asked",
            Self::Anew(_) => "container.anew",
            Self::FreshVolumesAsked => "container.fresh_volumes_asked",
            Self::DependenciesAsked => "container.dependencies_asked",
            Self::LabelMissing(_) => "container.label_missing",
            Self::ImageUnknown => "container.image_unknown",
            Self::Attributes(_) => "container.attributes",
            Self::Configuration { .. } => "container.configuration",
            Self::SharesWith(_) => "container.shares_with",
            Self::Shares { .. } => "container.shares",
            Self::Altered(_) => "container.altered",
            Self::Mounted(_) => "container.mounted",
        }
    }
}

impl fmt::Display for ContainerCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "no container yet",
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::StartsFirst => "deploy.update_config.order is start-first",
            Self::StoppedBefore => "stopped before",
            Self::ReplacedOrStopped => "replaced or stopped before",
            Self::Exited(code) => return write!(f, "stopped with exit code {code}"),
            Self::NeverStarted => "created, but never started",
            Self::Idle => "does not run",
            Self::Paused => "the container is paused",
            Self::Dead => "the engine marks the container dead",
            Self::OneOffEnded => "one-off that has ended",
            Self::LeftOver => "left over from a replacement that was interrupted",
            Self::NameNotGiven => "its replacement was interrupted before it got its final name",
            Self::Renamed => "somebody renamed it",
            Self::StepInterrupted => "left over from a pre_start step that was interrupted",
            Self::StepFailed => "left over from a pre_start step that failed",
            Self::ReplacementAsked => "replacement was asked for",
            Self::Anew(why) => why,
            Self::FreshVolumesAsked => "fresh anonymous volumes were asked for",
            Self::DependenciesAsked => "replacement of dependencies was asked for",
            Self::LabelMissing(label) => {
                return write!(f, "label {label} is missing, other tools would not start it");
            }
            Self::ImageUnknown => "label com.docker.compose.image is missing, its image is not known",
            // `environment A and B changed` would need grammar; a plain list reads well enough.
            Self::Attributes(differences) => return f.write_str(&differences.join(", ")),
            Self::Configuration { from, to } => {
                return write!(f, "configuration changed (config-hash {} -> {})", short(from), short(to));
            }
            Self::SharesWith(services) => {
                return write!(f, "shares with {}, which has another container now", services.join(", "));
            }
            Self::Shares { what, of, fate } => {
                return match fate {
                    Shared::Created => write!(f, "shares {what} of {of}, which is created"),
                    Shared::Replaced => write!(f, "shares {what} of {of}, which is replaced"),
                    Shared::ReplacedPerhaps => write!(f, "shares {what} of {of}, if that is replaced"),
                };
            }
            Self::Altered(words) | Self::Mounted(words) => words,
        })
    }
}
