//! Decides what is rebuilt, and says why in words. Pure: facts in, decision out.
//!
//! In both modes everything is rebuilt when a trigger changed since the last successful deployment, when that cannot
//! be found out, when a `REBUILD_TRIGGER` file asks for it, or when the caller does. A trigger is one of
//! [`TRIGGER_NAMES`] at the top of the repository (exactly there: `docs/.env` is none), or a path that a configured
//! glob matches. The mode `auto` looks at each service beyond that, see [`Mode::Auto`].

pub mod leftovers;
pub mod mounted;
mod paths;
mod services;
mod triggers;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use services::rebuild;
pub use triggers::{BadGlob, REBUILD_TRIGGER, TRIGGER_NAMES, Triggers};

/// How a repository decides about rebuilding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Triggers, and for each service also: its image is missing; it was built from something else than what it would
    /// be built from now; turnout did not build it; what it would be built from cannot be seen; one of these is true of
    /// a service whose image it is built upon.
    #[default]
    Auto,
    /// Only a changed trigger file has a service rebuilt.
    Triggers,
}

/// What the changed files were compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// The commit that was last deployed with success.
    LastDeployed(String),
    /// The commit before, because no deployment is known.
    PreviousCommit,
    /// There is nothing to compare with, for this reason.
    Unknown(String),
}

/// Whether the file [`REBUILD_TRIGGER`] lies in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TriggerFile {
    /// It does not.
    #[default]
    Absent,
    /// It does, and git does not track it: it asks for one rebuild, and is removed after that has succeeded.
    Untracked,
    /// It does, and git tracks it: it asks for a rebuild when it changes, and is never removed.
    Tracked,
}

/// How the image of a service compares with what it would be built from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It was built from just that.
    Same,
    /// It was built from something else; the difference in words.
    Differs(String),
    /// What it was built from is not known, because turnout did not build it.
    Foreign,
    /// What it would be built from cannot be seen, for this reason.
    Blind(String),
    /// Its image comes from a registry at every deployment, or from time to time, by this policy; it is built where it
    /// cannot be had there.
    Pulled(String),
}

/// How a service is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildFacts {
    /// Its image and what goes into it.
    pub seen: Seen,
    /// Services whose images its own is built upon.
    pub bases: Vec<String>,
}

/// What is known of a service.
#[derive(Debug, Clone)]
pub struct ServiceFacts {
    /// The Compose service's name.
    pub name: String,
    /// How it is built; none: its image is pulled, and nothing here concerns it.
    pub build: Option<BuildFacts>,
    /// Whether its image does not exist on the engine.
    pub image_missing: bool,
}

/// Everything the decision rests on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// How the repository decides.
    pub mode: Mode,
    /// What was compared with.
    pub base: Base,
    /// The changed files from the top of the repository, or why they are not known.
    pub changed: Result<Vec<String>, String>,
    /// What counts as a trigger.
    pub triggers: Triggers,
    /// The trigger file.
    pub trigger_file: TriggerFile,
    /// The caller wants a rebuild, for this reason.
    pub forced: Option<String>,
    /// Every service of the project, built or not.
    pub services: Vec<ServiceFacts>,
}

/// Whether one service is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDecision {
    /// Whether to build.
    pub build: bool,
    /// Why, or why not.
    pub reason: String,
}

/// What is rebuilt, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Every service of the facts.
    pub per_service: BTreeMap<String, ServiceDecision>,
    /// One line for the log.
    pub summary: String,
    /// Images that are known to be old and that the mode leaves, each in words.
    #[serde(default)]
    pub left: Vec<String>,
    /// Whether [`REBUILD_TRIGGER`] is to be removed once the build has succeeded.
    pub trigger_file_to_remove: bool,
}

impl Decision {
    /// The services to build, each with its reason.
    pub fn builds(&self) -> BTreeMap<String, String> {
        let builds = self.per_service.iter().filter(|(_, decided)| decided.build);
        builds.map(|(name, decided)| (name.clone(), decided.reason.clone())).collect()
    }
}
