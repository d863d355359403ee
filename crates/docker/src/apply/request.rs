//! What a run works with: the plan, its project, and what the caller allows.

use std::{collections::BTreeMap, time::Duration};

use tokio_util::sync::CancellationToken;
use turnout_compose::model::Project;
use turnout_plan::Plan;
use turnout_registry::Credentials;
use turnout_report::Reporter;

use super::inputs::InputReader;
use crate::{
    Probing,
    image::{BuildOptions, BuilderChoice},
};

/// Everything [`crate::Engine::apply`] works with.
#[derive(Clone, Copy)]
pub struct Apply<'a> {
    /// The project the plan was made for.
    pub project: &'a Project,
    /// The steps to carry out.
    pub plan: &'a Plan,
    /// Takes a start and an end event for every step, warnings, and output of hooks and builds.
    pub reporter: &'a dyn Reporter,
    /// Stops the run: no step is begun any more, waits, builds and pulls end at once, other steps have
    /// [`crate::patience::GRACE`] for their end.
    pub cancel: &'a CancellationToken,
    /// Grace for stopping containers, over the services' own.
    pub stop_timeout: Option<Duration>,
    /// Longest wait for one dependency to become healthy or to complete.
    pub wait_timeout: Duration,
    /// How long a replacement that starts before its predecessor stops must stay up, where it has no health check.
    pub settle: Duration,
    /// Whose health checks turnout runs itself where they are waited for; `None`: the engine alone, as Docker Compose has it.
    pub probing: Option<Probing<'a>>,
    /// By service: the label that says what its containers read. None for commands that keep no such record.
    pub reads: Option<&'a BTreeMap<String, String>>,
    /// How images are built and pulled.
    pub images: ImageSettings<'a>,
}

/// How images are built and pulled.
#[derive(Clone, Copy)]
pub struct ImageSettings<'a> {
    /// Which builder to use.
    pub builder: BuilderChoice,
    /// A build that takes longer is stopped.
    pub build_timeout: Duration,
    /// A pull that takes longer is stopped.
    pub pull_timeout: Duration,
    /// What registries want of whoever pulls: the user's, as Docker's client has them.
    pub credentials: &'a Credentials,
    /// How builds differ from those of an `up`.
    pub build_options: BuildOptions,
    /// Who reads what images are built from, which is then written on them; none: nobody.
    pub inputs: Option<&'a dyn InputReader>,
}
