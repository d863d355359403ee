//! After a run that failed: what [`turnout_plan::put_back`] says is carried out, as far as it can be.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;
use turnout_plan::{Action, Extent, Failed, ObservedContainer, Plan, Step, StepId, put_back};
use turnout_report::{Event, Outcome, Reporter};

use super::{
    containers::gone,
    executor::Executor,
    report::Report,
    request::Apply,
    schedule::{self, Did},
};
use crate::{Engine, EngineError, observe};

impl Engine {
    /// Brings back what ran before a failed run, or only takes away what did not come to its place. Says what it did; a
    /// failure of its own is a warning, and does not keep the rest from being brought back. What has nothing to do with
    /// each other is done side by side, so that one that is long in ending holds up no other.
    pub async fn put_back(&self, run: &Apply<'_>, report: &Report, extent: Extent) {
        if !may_need(run.plan, report) {
            return;
        }
        let (executor, plan) = match self.plan_back(run, report, extent).await {
            Ok(both) => both,
            Err(error) => {
                let what = match extent {
                    Extent::Running => "what was stopped runs again",
                    Extent::Created => "what was created beside is removed again",
                };
                return run.reporter.warn(format!("whether {what} cannot be seen to: {error}"));
            }
        };
        plan.warnings.iter().for_each(|warning| run.reporter.warn(warning.clone()));
        // The failed run was perhaps called off; that is why this one is needed, and no end to it. Its time is the
        // caller's to limit.
        let (cancel, halt) = (CancellationToken::new(), CancellationToken::new());
        let executor = &executor;
        // Steps whose followers are not to be begun. None ends as a failure: that would end all of them.
        let vain: &Mutex<BTreeSet<StepId>> = &Mutex::default();
        schedule::run(&plan, &Quiet, &cancel, &halt, |id, _| {
            let step = plan.steps.get(id);
            async move {
                if let Some(step) = step {
                    let waited = {
                        let vain = vain.lock().unwrap_or_else(PoisonError::into_inner);
                        !step.after.iter().any(|before| vain.contains(before))
                    };
                    if !executor.put_back_one(step, waited).await {
                        vain.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                    }
                }
                Ok(Did::Done(String::new()))
            }
        })
        .await;
    }

    async fn plan_back<'a>(
        &'a self,
        run: &'a Apply<'a>,
        report: &Report,
        extent: Extent,
    ) -> Result<(Executor<'a>, Plan), EngineError> {
        let listed = self.project_containers(&run.project.name).await?;
        let now: Vec<ObservedContainer> = listed.into_iter().filter_map(observe::container).collect();
        let networks: BTreeSet<String> = match run.plan.steps.iter().any(|step| is_of_network(&step.action)) {
            true => self.all_networks().await?.into_iter().filter_map(|network| network.name).collect(),
            // Nobody was taken out of one.
            false => BTreeSet::new(),
        };
        let ended: Vec<Outcome> = report.steps.iter().map(|step| step.outcome).collect();
        let failed = Failed {
            project: run.project,
            plan: run.plan,
            ended: &ended,
            ran: &report.ran,
            attempts: &report.left.attempts,
            stopping: &report.left.stopping,
            now: &now,
            networks: &networks,
        };
        let plan = put_back(&failed, extent);
        let executor = Executor::among(self, run, now);
        executor.world.go_on(report.left.clone());
        Ok((executor, plan))
    }

    /// Starts one container of a project that stands still, with what a start by a plan brings: networks, copied files,
    /// hooks. A project without its service brings nothing.
    ///
    /// # Errors
    /// It is gone, or the engine refuses.
    pub async fn start_again(&self, run: &Apply<'_>, id: &str, name: &str) -> Result<(), EngineError> {
        let executor = Executor::alone(self, run).await?;
        let known = executor.world.by_id(id).ok_or_else(|| EngineError::Stale(format!("container {name} is gone")))?;
        executor.start_known(&known.service, &known, name).await.map(drop)
    }
}

impl Engine {
    /// Stops and removes one container of a project that was started beside another one.
    ///
    /// # Errors
    /// The engine refuses.
    pub async fn end_again(&self, run: &Apply<'_>, id: &str, name: &str) -> Result<(), EngineError> {
        let executor = Executor::alone(self, run).await?;
        let Some(known) = executor.world.by_id(id) else { return Ok(()) };
        executor.stop(&known.service, id, name, false).await?;
        executor.remove(id, name, false).await.map(drop)
    }
}

impl Executor<'_> {
    /// Starts a container; one that was to be replaced as it was made. The files, networks and hooks that the project has
    /// by now are those of its successor: it would run with another's secrets, or fail as that one did.
    async fn start_back(&self, service: &str, number: Option<u32>, name: &str) -> Result<Did, EngineError> {
        let known = self.world.find(service, number, name).ok_or_else(|| gone(name))?;
        let definition = self.run.project.services.get(service);
        if !replaces(self.run.plan, &known.id) {
            return self.start_as(definition, service, &known, name).await;
        }
        if definition.is_some_and(|now| !now.post_start.is_empty()) {
            self.run
                .reporter
                .warn(format!("{name} is started without post_start hooks: those that are known are its successor's"));
        }
        self.start_as(None, service, &known, name).await
    }

    /// Does one thing, and says so; a failure is a warning. Answers whether what waits for it may follow. What it waits for
    /// itself did perhaps not come (`waited`); then a container is not started.
    async fn put_back_one(&self, step: &Step, waited: bool) -> bool {
        let (cause, reporter) = (&step.cause, self.run.reporter);
        if let Action::WaitFor { service, dependents, .. } = &step.action {
            let whose = dependents.join(", ");
            return match waited {
                true => match self.act(&step.action).await {
                    Ok(_) => true,
                    Err(error) => {
                        reporter.warn(format!("{whose} stays stopped, for {service} {cause}, and now: {error}"));
                        false
                    }
                },
                false => {
                    reporter.warn(format!("{whose} stays stopped, for {service} does not run"));
                    false
                }
            };
        }
        if !waited && matches!(step.action, Action::StartContainer { .. }) {
            return false;
        }
        let (name, did, failed) = match &step.action {
            Action::StartContainer { name, .. } => (name.clone(), "runs again", "cannot be started"),
            Action::StopContainer { name, .. } => (name.clone(), "has ended", "does not end"),
            Action::RemoveContainer { name, .. } => (name.clone(), "is removed again", "cannot be removed"),
            Action::CreateNetwork { name, .. } => (format!("network {name}"), "is made", "cannot be made"),
            Action::RemoveNetwork { name, .. } => {
                (format!("network {name}"), "is removed again", "cannot be removed; the next deployment removes it")
            }
            Action::ConnectContainer { network, container, .. } => (
                format!("{} in network {network}", container.name),
                "is connected again",
                "cannot be connected again; deploy again or connect it by hand with `docker network connect`",
            ),
            // Nothing else is ever planned.
            _ => return true,
        };
        let done = match &step.action {
            Action::StartContainer { service, number, name } => self.start_back(service, *number, name).await,
            action => self.act(action).await,
        };
        match done {
            Ok(Did::Done(_)) => reporter.info(format!("{name} {cause} and {did}")),
            Ok(Did::Skipped(_)) => {}
            Err(error) => {
                reporter.warn(format!("{name} {cause} and {failed}: {error}"));
                // Whoever only comes after it in order is started all the same: it ran before, too.
            }
        }
        true
    }
}

/// Whether the plan makes another container, perhaps of another definition, to take the place of this one.
fn replaces(plan: &Plan, id: &str) -> bool {
    plan.steps
        .iter()
        .any(|step| matches!(&step.action, Action::CreateContainer { replaces: Some(old), .. } if old.id == id))
}

/// Steps of this plan are no steps of the run that failed: what they did is told in words.
struct Quiet;

impl Reporter for Quiet {
    fn report(&self, _: Event) {}
}

fn is_of_network(action: &Action) -> bool {
    matches!(action, Action::DisconnectContainer { .. } | Action::TryNetwork { .. })
}

/// Whether the run touched anything that may have to be put back; else nobody has to look.
fn may_need(plan: &Plan, report: &Report) -> bool {
    let left = &report.left;
    !left.stopping.is_empty()
        || !left.attempts.is_empty()
        || plan.steps.iter().zip(&report.steps).any(|(step, ended)| {
            matches!(ended.outcome, Outcome::Done | Outcome::Failed)
                && (is_of_network(&step.action)
                    || matches!(
                        step.action,
                        Action::CreateContainer { .. }
                            | Action::StopContainer { .. }
                            | Action::RemoveContainer { .. }
                            | Action::RestartContainer { .. }
                    ))
        })
}
