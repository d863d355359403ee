//! After a run that failed: what it stopped, and what it replaced but did not come to start, runs again.

use std::collections::BTreeSet;

use turnout_compose::labels::temporary_name;
use turnout_plan::{Action, Plan, StepId};
use turnout_report::Outcome;

use super::{Apply, Executor, Report, schedule::Did};
use crate::{Engine, EngineError};

/// A start that the run did not come to.
#[derive(Debug, PartialEq, Eq)]
struct Missed<'a> {
    service: &'a str,
    number: Option<u32>,
    name: &'a str,
    of: Of<'a>,
}

/// Which container is to be started.
#[derive(Debug, PartialEq, Eq)]
enum Of<'a> {
    /// The one that ran before: the run only stopped it.
    Stopped,
    /// Its replacement.
    Replaced,
    /// The one that ran before, by its ID, if it is still there: the step that was to stop, restart or replace it ended
    /// somewhere in the middle.
    Halfway(&'a str),
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
                run.reporter.warn(format!("whether {} runs again cannot be seen to: {error}", names.join(", ")));
                return;
            }
        };
        for missed in missed {
            let name = missed.name;
            match executor.start_missed(&missed).await {
                Ok((was, Did::Done(_))) => {
                    run.reporter.info(format!("{name} was {was} before the failure and runs again"));
                }
                Ok((_, Did::Skipped(_))) => {}
                Err(error) => {
                    run.reporter.warn(format!("{name} was stopped before the failure and cannot be started: {error}"));
                }
            }
        }
    }
}

impl Engine {
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

impl Executor<'_> {
    /// Starts it; with what had been done to it, in a word.
    async fn start_missed(&self, missed: &Missed<'_>) -> Result<(&'static str, Did), EngineError> {
        let Missed { service, number, name, of } = missed;
        match of {
            Of::Stopped => Ok(("stopped", self.start(service, *number, name).await?)),
            Of::Replaced => Ok(("replaced", self.start(service, *number, name).await?)),
            Of::Halfway(id) => match self.world.by_id(id) {
                None => Ok(("replaced", self.start(service, *number, name).await?)),
                Some(known) if known.active => {
                    // It is stopped for its replacement once that is made, and nothing takes a signal back.
                    if number.is_none() || self.world.find(service, None, &temporary_name(id, name)).is_some() {
                        self.run.reporter.warn(format!(
                            "{name} runs, but may have been told to stop; should it end now, the next deployment starts it"
                        ));
                    }
                    Ok(("stopped", Did::Skipped(String::new())))
                }
                Some(known) => Ok(("stopped", self.start_known(service, &known, name).await?)),
            },
        }
    }
}

/// In the order of the plan: dependencies first.
fn missed<'a>(plan: &'a Plan, report: &Report) -> Vec<Missed<'a>> {
    let ended = |id: StepId| report.steps.get(id).map(|step| step.outcome);
    let find = |outcome: Outcome, wanted: &dyn Fn(&'a Action) -> Option<&'a str>| {
        let mut those = plan.steps.iter().enumerate().filter(|(id, _)| ended(*id) == Some(outcome));
        those.find_map(|(_, step)| wanted(&step.action))
    };
    let mut missed = Vec::new();
    for (id, step) in plan.steps.iter().enumerate() {
        let (service, number, name) = match &step.action {
            Action::StartContainer { service, number, name } => (service, *number, name),
            Action::RestartContainer { service, id: container, name } => {
                if ended(id) == Some(Outcome::Failed) && report.ran.contains(container) {
                    missed.push(Missed { service, number: None, name, of: Of::Halfway(container) });
                }
                continue;
            }
            _ => continue,
        };
        if ended(id) != Some(Outcome::Abandoned) {
            continue;
        }
        let stop = |action: &'a Action| match action {
            Action::StopContainer { name: other, id, .. } if other == name => Some(id.as_str()),
            _ => None,
        };
        let replace = |action: &'a Action| match action {
            Action::RecreateContainer { name: other, old_id, .. } if other == name => Some(old_id.as_str()),
            _ => None,
        };
        let ran = |id: &&str| report.ran.contains(*id);
        let stopping = find(Outcome::Failed, &stop).filter(ran);
        let replacing = find(Outcome::Failed, &replace).filter(ran);
        let stopped = find(Outcome::Done, &stop).is_some();
        let replaced = find(Outcome::Done, &replace).is_some();
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
        let of = if replaced {
            if waits.next().is_some() {
                continue;
            }
            Of::Replaced
        } else if let Some(id) = replacing {
            Of::Halfway(id)
        } else if stopped {
            Of::Stopped
        } else if let Some(id) = stopping {
            missed.push(Missed { service, number: None, name, of: Of::Halfway(id) });
            continue;
        } else {
            continue;
        };
        missed.push(Missed { service, number, name, of });
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::StepReport;
    use turnout_plan::{Condition, Step};

    #[test]
    fn what_a_run_left_stopped_is_found() {
        use Outcome::{Abandoned, Done, Failed};
        let text = |text: &str| text.to_owned();
        let stop = || Action::StopContainer { service: text("web"), id: text("old"), name: text("web-1") };
        let replace = || Action::RecreateContainer {
            service: text("web"),
            number: 1,
            name: text("web-1"),
            old_id: text("old"),
            old_name: text("web-1"),
            inherit_volumes: true,
        };
        let restart = || Action::RestartContainer { service: text("web"), id: text("old"), name: text("web-1") };
        let start = || Action::StartContainer { service: text("web"), number: Some(1), name: text("web-1") };
        for (actions, outcomes, ran, wanted) in [
            (vec![replace(), start()], vec![Done, Abandoned], true, Some(Of::Replaced)),
            (vec![replace(), start()], vec![Failed, Abandoned], true, Some(Of::Halfway("old"))),
            (vec![replace(), start()], vec![Failed, Abandoned], false, None),
            (vec![replace(), start()], vec![Abandoned, Abandoned], true, None),
            (vec![stop(), replace(), start()], vec![Done, Abandoned, Abandoned], true, Some(Of::Stopped)),
            (vec![stop(), replace(), start()], vec![Done, Failed, Abandoned], true, Some(Of::Halfway("old"))),
            (vec![stop(), replace(), start()], vec![Failed, Abandoned, Abandoned], true, Some(Of::Halfway("old"))),
            (vec![restart()], vec![Failed], true, Some(Of::Halfway("old"))),
            (vec![restart()], vec![Done], true, None),
        ] {
            let of_plan = |action| Step { action, cause: String::new(), after: vec![], only_if: Condition::Always };
            let plan = Plan { steps: actions.into_iter().map(of_plan).collect(), ..Plan::default() };
            let step =
                |outcome: &Outcome| StepReport { outcome: *outcome, text: String::new(), elapsed: Duration::ZERO };
            let ran = if ran { [text("old")].into() } else { BTreeSet::new() };
            let report = Report { steps: outcomes.iter().map(step).collect(), ran, ..Report::default() };
            let found = missed(&plan, &report).pop().map(|missed| missed.of);
            assert_eq!(found, wanted, "{outcomes:?} {:?}", plan.steps);
        }
    }
}
