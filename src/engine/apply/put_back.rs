//! After a run that failed: what it stopped, and what it replaced but did not come to start, runs again.

use std::collections::BTreeSet;

use super::{Apply, Executor, Report, schedule::Did};
use crate::{
    engine::Engine,
    plan::{Action, Plan, StepId},
    report::Outcome,
};

/// A start that the run did not come to.
struct Missed<'a> {
    service: &'a str,
    number: Option<u32>,
    name: &'a str,
    /// The container is the one that ran before, not its replacement.
    unchanged: bool,
}

impl Engine {
    /// Starts what ran before a failed run and does not any more, as far as that is no risk: containers that the run
    /// only stopped, and replacements whose old container is gone. Replacements that were to wait for a job or for
    /// health, which did not come, stay as they are. Says what it did; a failure of its own is a warning.
    pub async fn put_back(&self, run: &Apply<'_>, report: &Report) {
        let missed = missed(run.plan, report);
        if missed.is_empty() {
            return;
        }
        let executor = match Executor::alone(self, run).await {
            Ok(executor) => executor,
            Err(error) => {
                let names: Vec<&str> = missed.iter().map(|start| start.name).collect();
                run.reporter.warn(format!("{} were stopped and cannot be started again: {error}", names.join(", ")));
                return;
            }
        };
        for Missed { service, number, name, unchanged } in missed {
            let was = if unchanged { "stopped" } else { "replaced" };
            match executor.start(service, number, name).await {
                Ok(Did::Done(_)) => run.reporter.info(format!("{name} was {was} before the failure and runs again")),
                Ok(Did::Skipped(_)) => {}
                Err(error) => {
                    run.reporter.warn(format!("{name} was {was} before the failure and cannot be started: {error}"));
                }
            }
        }
    }
}

/// In the order of the plan: dependencies first.
fn missed<'a>(plan: &'a Plan, report: &Report) -> Vec<Missed<'a>> {
    let ended = |id: StepId| report.steps.get(id).map(|step| step.outcome);
    let did = |wanted: &dyn Fn(&Action) -> bool| {
        plan.steps.iter().enumerate().any(|(id, step)| wanted(&step.action) && ended(id) == Some(Outcome::Done))
    };
    let mut missed = Vec::new();
    for (id, step) in plan.steps.iter().enumerate() {
        let Action::StartContainer { service, number, name } = &step.action else { continue };
        if ended(id) != Some(Outcome::Abandoned) {
            continue;
        }
        let stopped = did(&|action| matches!(action, Action::StopContainer { name: other, .. } if other == name));
        let replaced = did(&|action| matches!(action, Action::RecreateContainer { name: other, .. } if other == name));
        let waits = before(plan, id);
        let mut waits = waits.into_iter().filter(|id| {
            // Nor is one started whose own `pre_start` did not go well.
            let waits = plan.steps.get(*id).is_some_and(|step| match &step.action {
                Action::WaitFor { .. } => true,
                Action::RunPreStart { service: of, .. } => of == service,
                _ => false,
            });
            waits && !matches!(ended(*id), Some(Outcome::Done | Outcome::Skipped))
        });
        if replaced && waits.next().is_none() || stopped && !replaced {
            missed.push(Missed { service, number: *number, name, unchanged: !replaced });
        }
    }
    missed
}

/// Everything that a step comes after.
fn before(plan: &Plan, id: StepId) -> BTreeSet<StepId> {
    let mut found = BTreeSet::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        let Some(step) = plan.steps.get(id) else { continue };
        open.extend(step.after.iter().copied().filter(|before| found.insert(*before)));
    }
    found
}
