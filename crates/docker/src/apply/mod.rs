//! Carries a plan out. Decides nothing: which steps, in which order and why is the plan's.
//!
//! [`schedule`] runs independent steps side by side, [`world`] knows what exists meanwhile, the other files each hold
//! one kind of step.

mod built;
mod containers;
mod copy;
mod hooks;
mod inputs;
mod networks;
mod oneoff;
mod pre_start;
mod put_back;
mod references;
mod schedule;
mod stop;
mod volumes;
mod wait;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use turnout_compose::model::{Project, Service};
use turnout_plan::{Action, Condition, Plan, StepId};
use turnout_registry::Credentials;
use turnout_report::{Outcome, Reporter, counted};

use super::{
    Engine, EngineError,
    image::{self, BuildOptions, BuilderChoice, ImageContext},
    patience::{GRACE, unless_given_up},
};
use schedule::{Did, Ended};
use world::World;

pub use inputs::{InputReader, InputsRead};
pub use oneoff::{OneOff, as_oneoff};
pub use world::Left;

/// Everything [`Engine::apply`] works with.
#[derive(Clone, Copy)]
pub struct Apply<'a> {
    /// The project the plan was made for.
    pub project: &'a Project,
    /// What to do.
    pub plan: &'a Plan,
    /// Takes a start and an end event for every step, warnings, and output of hooks and builds.
    pub reporter: &'a dyn Reporter,
    /// Stops the run: no step is begun any more, waits, builds and pulls end at once, other steps have
    /// [`super::patience::GRACE`] for their end.
    pub cancel: &'a CancellationToken,
    /// Grace for stopping containers, over the services' own.
    pub stop_timeout: Option<Duration>,
    /// Longest wait for one dependency to become healthy or to complete.
    pub wait_timeout: Duration,
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
    /// Registry credentials.
    pub credentials: &'a Credentials,
    /// How builds differ from those of an `up`.
    pub build_options: BuildOptions,
    /// Who reads what images are built from, which is then written on them; none: nobody.
    pub inputs: Option<&'a dyn InputReader>,
}

/// A container, for those who look after it later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    /// Full ID.
    pub id: String,
    /// Name.
    pub name: String,
    /// Compose service.
    pub service: String,
}

/// How one step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// How it ended.
    pub outcome: Outcome,
    /// What it did, or why not.
    pub text: String,
    /// Time taken.
    pub elapsed: Duration,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// One entry for each step of the plan, in its order.
    pub steps: Vec<StepReport>,
    /// Containers that were started, in the order of their starts.
    pub started: Vec<ContainerRef>,
    /// IDs of the containers that ran when it began.
    pub ran: BTreeSet<String>,
    /// What it left that only it knows; for [`Engine::put_back`].
    pub left: Left,
}

impl Report {
    /// Whether anything was changed.
    pub fn changed(&self) -> bool {
        self.steps.iter().any(|s| s.outcome == Outcome::Done)
    }
}

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Nothing was begun.
    #[error(transparent)]
    NotBegun(#[from] EngineError),
    /// A step failed; those that ran beside it were finished, the rest was abandoned.
    #[error("{what}: {error}")]
    Step {
        /// The first step that failed.
        step: StepId,
        /// What it was to do.
        what: String,
        /// Why it failed.
        error: EngineError,
        /// What was done nevertheless.
        report: Report,
    },
    /// The run was cancelled.
    #[error("{}", cancelled(.report, .left, .not_begun))]
    Cancelled {
        /// What was done nevertheless.
        report: Report,
        /// What was under way and did not end well, each with why.
        left: Vec<String>,
        /// What was never begun.
        not_begun: Vec<String>,
    },
}

impl Engine {
    /// Carries out a plan.
    ///
    /// Steps whose predecessors ended well run side by side. At the first failure nothing new is begun, running steps
    /// are finished, and waits end. Applying an outdated plan fails with [`EngineError::Stale`] where it matters;
    /// recovery is always to observe and plan anew.
    pub async fn apply(&self, run: &Apply<'_>) -> Result<Report, ApplyError> {
        if run.plan.steps.is_empty() {
            return Ok(Report::default());
        }
        self.refuse_unsupported_in(run.project, run.plan)?;
        let look = async {
            self.refuse_taken_names(&run.project.name, run.plan).await?;
            self.project_containers(&run.project.name).await
        };
        let Some(listed) = unless_given_up(look, run.cancel, GRACE).await else {
            return Err(ApplyError::NotBegun(EngineError::Cancelled));
        };
        let listed = listed?;
        let world = World::new(listed.into_iter().filter_map(super::observe::container).collect(), leaving(run.plan));
        let ran = world.active();
        let executor = Executor {
            engine: self,
            run,
            world,
            halt: run.cancel.child_token(),
            ranged_starts: tokio::sync::Mutex::new(()),
            image_lookups: tokio::sync::Mutex::new(()),
            started: Mutex::new(Vec::new()),
        };
        let finished =
            schedule::run(run.plan, run.reporter, run.cancel, &executor.halt, |id, ended| executor.step(id, ended))
                .await;
        let left = executor.world.left();
        let started = executor.started.into_inner().unwrap_or_else(PoisonError::into_inner);
        let report = Report { steps: finished.steps, started, ran, left };
        match finished.failure {
            Some((step, what, error)) => Err(ApplyError::Step { step, what, error, report }),
            None if finished.cancelled => {
                Err(ApplyError::Cancelled { report, left: finished.left, not_begun: finished.not_begun })
            }
            None => Ok(report),
        }
    }
}

/// How a cancelled run is told of: what did not end, whether anything else did, what was not begun.
fn cancelled(report: &Report, left: &[String], not_begun: &[String]) -> String {
    /// Steps that are named; the log has the others.
    const NAMED: usize = 3;
    let mut parts = vec!["cancelled".to_owned()];
    if !left.is_empty() {
        parts.push(format!("not finished: {}", left.join(", ")));
    }
    match (report.changed(), left) {
        (true, []) => parts.push("what was begun was finished".to_owned()),
        (true, _) => parts.push("what else was begun was finished".to_owned()),
        (false, []) => parts.push("nothing was changed".to_owned()),
        (false, _) => {}
    }
    if !not_begun.is_empty() {
        let named = not_begun.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match not_begun.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {}", counted(more, "further step")),
        };
        parts.push(format!("not begun: {named}{more}"));
    }
    parts.push("deploying again converges".to_owned());
    parts.join("; ")
}

/// Containers that a plan removes whatever else happens.
fn leaving(plan: &Plan) -> BTreeSet<String> {
    let certain = plan.steps.iter().filter(|step| step.only_if == Condition::Always);
    let removed = certain.filter_map(|step| match &step.action {
        Action::RemoveContainer { id, .. } => Some(id.clone()),
        _ => None,
    });
    removed.collect()
}

/// One run.
struct Executor<'a> {
    engine: &'a Engine,
    run: &'a Apply<'a>,
    world: World,
    /// Ends waits: cancelled with the run, and at the first failure.
    halt: CancellationToken,
    /// Held while a container starts that takes a port from a published range: the daemon picks ports without
    /// holding a lock of its own.
    ranged_starts: tokio::sync::Mutex<()>,
    /// Held while an image is asked for, so that those who need the same one wait for that answer.
    image_lookups: tokio::sync::Mutex<()>,
    started: Mutex<Vec<ContainerRef>>,
}

impl Executor<'_> {
    /// Executes one step if its condition holds.
    async fn step(&self, id: StepId, ended: Vec<Option<Ended>>) -> Result<Did, EngineError> {
        let Some(step) = self.run.plan.steps.get(id) else { return Ok(Did::Skipped("no such step".to_owned())) };
        if !self.holds(&step.only_if, &ended).await? {
            return Ok(Did::Skipped(unmet(&step.only_if)));
        }
        if let Action::WaitFor { service, condition, required, dependents } = &step.action {
            let failed_before =
                step.after.iter().any(|s| matches!(ended.get(*s), Some(Some(Ended::Failed | Ended::Abandoned))));
            return self.wait_for(service, condition, *required, dependents, failed_before).await;
        }
        self.act(&step.action).await
    }

    /// Does one thing.
    async fn act(&self, action: &Action) -> Result<Did, EngineError> {
        match action {
            Action::Pull { service, image, tolerate_failure } => self.pull(service, image, *tolerate_failure).await,
            Action::Build { service, image } => self.build(service, image).await,
            Action::CreateNetwork { key, name } => self.create_network(key, name).await,
            Action::TryNetwork { key, name, trial, subnets } => self.try_network(key, name, trial, *subnets).await,
            Action::DisconnectContainer { network, network_id, container } => {
                self.disconnect(network, network_id, container).await
            }
            Action::ConnectContainer { network, container, as_it_was } => {
                self.connect_again(network, container, *as_it_was).await
            }
            Action::RemoveNetwork { key: _, name, id, reason } => {
                self.remove_network(name, id.as_deref(), *reason).await
            }
            Action::CreateVolume { key, name } => self.create_volume(key, name).await,
            Action::RemoveVolume { key: _, name, replaced } => self.remove_volume(name, *replaced).await,
            Action::RemoveImage { image } => self.remove_image(image).await,
            Action::RenameContainer { service: _, id: Some(id), from, to } => self.rename(id, from, to).await,
            Action::RenameContainer { service, id: None, from, to } => self.rename_made(service, from, to).await,
            Action::CreateContainer { service, number, name, create_as, replaces } => {
                self.create(service, *number, name, create_as, replaces.as_ref()).await
            }
            Action::StopContainer { service, id, name, hooks } => self.stop(service, id, name, *hooks).await,
            Action::RemoveContainer { service: _, id, name, volumes, reason: _ } => {
                self.remove(id, name, *volumes).await
            }
            Action::RestartContainer { service, id, name } => self.restart(service, id, name).await,
            Action::SignalContainer { service: _, id, name, signal } => self.signal(id, name, signal).await,
            Action::UnpauseContainer { service: _, id, name } => self.unpause(id, name).await,
            Action::WaitFor { service, condition, required, dependents } => {
                self.wait_for(service, condition, *required, dependents, false).await
            }
            Action::RunPreStart { service, index, name, number, beside } => {
                self.run_pre_start(service, *index, name, (*number, beside)).await
            }
            Action::StartContainer { service, number, name } => self.start(service, *number, name).await,
        }
    }

    async fn holds(&self, condition: &Condition, ended: &[Option<Ended>]) -> Result<bool, EngineError> {
        let did = |s: &StepId| matches!(ended.get(*s), Some(Some(Ended::Done)));
        Ok(match condition {
            Condition::Always => true,
            Condition::AnyDid(steps) => steps.iter().any(did),
            Condition::DidNot(step) => !did(step),
            Condition::ImageChanged { service: _, image, running } => self.image_id(image).await? != *running,
            Condition::AnyOf(conditions) => {
                for condition in conditions {
                    // Never nested, says the plan; boxing keeps the recursion finite in size should it be.
                    if Box::pin(self.holds(condition, ended)).await? {
                        return Ok(true);
                    }
                }
                false
            }
        })
    }

    /// The local ID of an image; asked for once, then remembered until a build or pull replaces it.
    async fn image_id(&self, image: &str) -> Result<String, EngineError> {
        if let Some(id) = self.world.image(image) {
            return Ok(id);
        }
        let _turn = self.image_lookups.lock().await;
        if let Some(id) = self.world.image(image) {
            return Ok(id);
        }
        let found = self.engine.find_image(image).await?.and_then(|i| i.id);
        let id = found.ok_or_else(|| EngineError::Missing {
            what: format!("no such image: {image}"),
            hint: "it is not local, and the plan neither builds nor pulls it".to_owned(),
        })?;
        self.world.set_image(image, &id);
        Ok(id)
    }

    async fn pull(&self, service: &str, image: &str, tolerate: bool) -> Result<Did, EngineError> {
        match image::pull_for(self.engine, self.run.project, service, image, &self.image_context()).await {
            Ok(id) => {
                self.world.set_image(image, &id.0);
                Ok(Did::Done(format!("pulled {image}")))
            }
            Err(_) if self.run.cancel.is_cancelled() => Err(EngineError::Cancelled),
            Err(error) if tolerate => Ok(Did::Skipped(format!("{error}; going on without"))),
            Err(error) => Err(error.of_engine()),
        }
    }

    fn image_context(&self) -> ImageContext<'_> {
        const UNMARKED: &BTreeMap<String, String> = &BTreeMap::new();
        let ImageSettings { builder, build_timeout, pull_timeout, credentials, build_options, inputs: _ } =
            self.run.images;
        ImageContext {
            reporter: self.run.reporter,
            cancel: self.run.cancel,
            builder,
            build_timeout,
            pull_timeout,
            environment: self.environment(),
            credentials,
            options: build_options,
            marks: UNMARKED,
        }
    }

    fn environment(&self) -> &BTreeMap<String, String> {
        &self.run.project.environment
    }

    /// The service of the plan's project.
    fn service(&self, name: &str) -> Result<&Service, EngineError> {
        let service = self.run.project.services.get(name);
        service.ok_or_else(|| EngineError::Stale(format!("the project has no active service {name}")))
    }

    fn note_started(&self, container: ContainerRef) {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(container);
    }
}

/// Why a condition did not hold, in words.
fn unmet(condition: &Condition) -> String {
    match condition {
        Condition::Always => String::new(),
        Condition::ImageChanged { image, .. } => format!("image {image} is the one it runs"),
        Condition::AnyDid(_) => "nothing before it changed anything".to_owned(),
        Condition::DidNot(_) => "not needed any more".to_owned(),
        Condition::AnyOf(conditions) => conditions.iter().map(unmet).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_run_says_what_was_done_and_what_not() {
        let step = |outcome| StepReport { outcome, text: String::new(), elapsed: Duration::ZERO };
        let done = Report { steps: vec![step(Outcome::Done)], ..Report::default() };
        let none = Report { steps: vec![step(Outcome::Abandoned)], ..Report::default() };
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (report, left, rest, expected) in [
            (
                &none,
                &["build x for web (given up)"][..],
                &["create container web-1", "start container web-1"][..],
                "cancelled; not finished: build x for web (given up); not begun: create container web-1, start container \
                 web-1; deploying again converges",
            ),
            (
                &done,
                &["wait until db is healthy (given up)"],
                &["a", "b", "c", "d"],
                "cancelled; not finished: wait until db is healthy (given up); what else was begun was finished; not \
                 begun: a, b, c and 1 further step; deploying again converges",
            ),
            (&done, &[], &["a"], "cancelled; what was begun was finished; not begun: a; deploying again converges"),
            (&none, &[], &["a"], "cancelled; nothing was changed; not begun: a; deploying again converges"),
        ] {
            assert_eq!(cancelled(report, &texts(left), &texts(rest)), expected);
        }
    }
}
