//! After a run that failed: what [`turnout_plan::put_back`] says is carried out, as far as it can be.

use turnout_plan::{Action, Extent, Failed, ObservedContainer, Plan, put_back};
use turnout_report::Outcome;

use super::{Apply, Executor, Report, schedule::Did};
use crate::{Engine, EngineError, observe};

impl Engine {
    /// Brings back what ran before a failed run, or only takes away what did not come to its place. Says what it did; a
    /// failure of its own is a warning, and does not keep the rest from being brought back.
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
        for step in &plan.steps {
            let cause = &step.cause;
            let (name, did, failed) = match &step.action {
                Action::StartContainer { name, .. } => (name, "runs again", "cannot be started"),
                Action::RemoveContainer { name, .. } => (name, "is removed again", "cannot be removed"),
                _ => continue,
            };
            match executor.act(&step.action).await {
                Ok(Did::Done(_)) => run.reporter.info(format!("{name} {cause} and {did}")),
                Ok(Did::Skipped(_)) => {}
                Err(error) => run.reporter.warn(format!("{name} {cause} and {failed}: {error}")),
            }
        }
    }

    async fn plan_back<'a>(
        &'a self,
        run: &'a Apply<'a>,
        report: &Report,
        extent: Extent,
    ) -> Result<(Executor<'a>, Plan), EngineError> {
        let listed = self.project_containers(&run.project.name).await?;
        let now: Vec<ObservedContainer> = listed.into_iter().filter_map(observe::container).collect();
        let ended: Vec<Outcome> = report.steps.iter().map(|step| step.outcome).collect();
        let plan = put_back(&Failed { plan: run.plan, ended: &ended, ran: &report.ran, now: &now }, extent);
        Ok((Executor::among(self, run, now), plan))
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

/// Whether the run touched any container at all; else nobody has to look.
fn may_need(plan: &Plan, report: &Report) -> bool {
    plan.steps.iter().zip(&report.steps).any(|(step, ended)| {
        matches!(ended.outcome, Outcome::Done | Outcome::Failed)
            && matches!(
                step.action,
                Action::CreateContainer { .. }
                    | Action::StopContainer { .. }
                    | Action::RemoveContainer { .. }
                    | Action::RestartContainer { .. }
            )
    })
}
