//! Decides what is rebuilt, and says why in words. Pure: facts in, decision out.
//!
//! In both modes everything is rebuilt when a trigger changed since the last successful deployment, when that cannot
//! be found out, when a `REBUILD_TRIGGER` file asks for it, or when the caller does. A trigger is one of
//! [`TRIGGER_NAMES`] at the top of the repository (exactly there: `docs/.env` is none), or a path that a configured
//! glob matches. The mode `auto` looks at each service beyond that, see [`Mode::Auto`].

pub mod mounted;
mod paths;
mod triggers;
mod verdict;

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

pub use triggers::{BadGlob, REBUILD_TRIGGER, TRIGGER_NAMES, Triggers};
pub use verdict::rebuild;

/// How a repository decides about rebuilding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Triggers, and for each service also: its image is missing; its Dockerfile or its `.dockerignore` changed; a file
    /// of its build context changed that neither the `.dockerignore` excludes nor a bind mount of the service covers;
    /// a Compose file changed, because it may change how the image is built; one of these is true of a service whose
    /// image its build reads.
    #[default]
    Auto,
    /// Triggers only.
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

/// Tells which files a build context leaves out. Paths count from the top of the context.
pub trait Ignore: Send + Sync {
    /// Whether the file is left out.
    fn excludes(&self, path: &str) -> bool;
}

impl<F: Fn(&str) -> bool + Send + Sync> Ignore for F {
    fn excludes(&self, path: &str) -> bool {
        self(path)
    }
}

/// Where the files of an image come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// A folder of the repository, from its top; empty or `.` for the top itself.
    Inside(String),
    /// Elsewhere (another folder of the machine, a URL), where changes cannot be seen.
    Outside(String),
}

/// How a service is built.
#[derive(Clone)]
pub struct BuildFacts {
    /// The build context.
    pub context: Context,
    /// The Dockerfile from the top of the repository; none when it is written inline or lies outside.
    pub dockerfile: Option<String>,
    /// Further folders of the repository that the build reads (`additional_contexts`), from its top.
    pub more_contexts: Vec<String>,
    /// Services whose images the build reads (`additional_contexts: {NAME: service:OTHER}`).
    pub services: Vec<String>,
    /// What the context leaves out; none: nothing.
    pub ignore: Option<Arc<dyn Ignore>>,
}

impl fmt::Debug for BuildFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { context, dockerfile, more_contexts, services, ignore } = self;
        f.debug_struct("BuildFacts")
            .field("context", context)
            .field("dockerfile", dockerfile)
            .field("more_contexts", more_contexts)
            .field("services", services)
            .field("ignore", &ignore.is_some())
            .finish()
    }
}

/// What is known of a service.
#[derive(Debug, Clone)]
pub struct ServiceFacts {
    /// Its name.
    pub name: String,
    /// How it is built; none: its image is pulled, and nothing here concerns it.
    pub build: Option<BuildFacts>,
    /// Whether its image does not exist on the engine.
    pub image_missing: bool,
    /// Files and folders of the repository that are mounted into its containers, from the top of the repository.
    pub bind_mounts: Vec<String>,
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
    /// The Compose files in use, from the top of the repository.
    pub compose_files: Vec<String>,
    /// The services.
    pub services: Vec<ServiceFacts>,
}

/// Whether one service is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether to build.
    pub build: bool,
    /// Why, or why not.
    pub reason: String,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Every service of the facts.
    pub per_service: BTreeMap<String, Verdict>,
    /// One line for the log.
    pub summary: String,
    /// Whether [`REBUILD_TRIGGER`] is to be removed once the build has succeeded.
    pub trigger_file_to_remove: bool,
}

impl Decision {
    /// The services to build, each with its reason.
    pub fn builds(&self) -> BTreeMap<String, String> {
        let builds = self.per_service.iter().filter(|(_, verdict)| verdict.build);
        builds.map(|(name, verdict)| (name.clone(), verdict.reason.clone())).collect()
    }
}
