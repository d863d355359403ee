//! After a run that failed: which steps bring back what ran before it, as a plan of its own.
//!
//! What is to be done follows from the plan, how its steps ended, and a new look. A step that failed may have done its
//! work all the same, so the look decides where the two differ.

use std::collections::BTreeSet;

use super::{
    Action, Condition, ObservedContainer, Plan, Removal, Replaced, RunState, Step, StepId, converge::final_name,
};
use turnout_report::Outcome;

/// A run that did not come to its end.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    /// What was to be done.
    pub plan: &'a Plan,
    /// How each step ended, in the plan's order.
    pub ended: &'a [Outcome],
    /// IDs of the containers that ran when it began.
    pub ran: &'a BTreeSet<String>,
    /// The project's containers as they are now.
    pub now: &'a [ObservedContainer],
}

/// How much is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Replacements that were created and did not come to their place are removed.
    Created,
    /// Besides, what ran before runs again: what was only stopped, and replacements of what is gone, unless they were to
    /// wait for a job, for health or for a step of their own which did not come to a good end.
    Running,
}

/// Plans it. The cause of each step continues a sentence that begins with the container's name.
pub fn put_back(failed: &Failed<'_>, extent: Extent) -> Plan {
    let mut plan = Plan { project: failed.plan.project.clone(), ..Plan::default() };
    if extent == Extent::Running {
        for (id, step) in failed.plan.steps.iter().enumerate() {
            match &step.action {
                Action::StartContainer { service, number, name } if failed.ended(id) == Some(Outcome::Abandoned) => {
                    failed.start_missed(&mut plan, id, (service, *number, name));
                }
                Action::RestartContainer { service, id: container, name }
                    if failed.ended(id) == Some(Outcome::Failed) && failed.ran.contains(container) =>
                {
                    failed.start_old(&mut plan, service, container, name);
                }
                _ => {}
            }
        }
    }
    failed.remove_unplaced(&mut plan);
    plan
}

impl Failed<'_> {
    fn ended(&self, id: StepId) -> Option<Outcome> {
        self.ended.get(id).copied()
    }

    fn by_id(&self, id: &str) -> Option<&ObservedContainer> {
        self.now.iter().find(|container| container.id == id)
    }

    fn named(&self, name: &str) -> Option<&ObservedContainer> {
        self.now.iter().find(|container| container.name == name)
    }

    /// A container that was to be started and was not: its predecessor or, if that is gone, itself.
    fn start_missed(&self, plan: &mut Plan, start: StepId, (service, number, name): (&str, Option<u32>, &str)) {
        let Some((create_as, old)) = self.replacement(name) else {
            let stopped = self.plan.steps.iter().find_map(|step| match &step.action {
                Action::StopContainer { id, name: other, .. } if other == name || final_name(other) == name => Some(id),
                _ => None,
            });
            if let Some(id) = stopped.filter(|id| self.ran.contains(*id)) {
                self.start_old(plan, service, id, name);
            }
            return;
        };
        if !self.ran.contains(&old.id) {
            return;
        }
        if self.by_id(&old.id).is_some() {
            return self.start_old(plan, service, &old.id, &old.name);
        }
        let Some(new) = self.named(name).or_else(|| self.named(create_as)).filter(|new| !is_live(new)) else { return };
        // Its name, if it has not got it yet, can wait for the next plan.
        if !self.waited_in_vain(start, service) {
            let (service, name) = (service.to_owned(), new.name.clone());
            push(plan, Action::StartContainer { service, number, name }, "was replaced before the failure");
        }
    }

    /// The predecessor, if the run has stopped it.
    fn start_old(&self, plan: &mut Plan, service: &str, id: &str, name: &str) {
        let Some(old) = self.by_id(id) else { return };
        let of_it = self.plan.steps.iter().enumerate().filter(|(_, step)| match &step.action {
            Action::StopContainer { id: own, .. } | Action::RestartContainer { id: own, .. } => own == id,
            _ => false,
        });
        let ended: Vec<Outcome> = of_it.filter_map(|(step, _)| self.ended(step)).collect();
        let failed = ended.contains(&Outcome::Failed);
        if is_live(old) {
            // Nothing takes a signal back.
            if failed {
                plan.warnings.push(format!(
                    "{name} runs, but may have been told to stop; should it end now, the next deployment starts it"
                ));
            }
            return;
        }
        if failed || ended.contains(&Outcome::Done) {
            let (service, name) = (service.to_owned(), old.name.clone());
            let action = Action::StartContainer { service, number: old.number, name };
            push(plan, action, "was stopped before the failure");
        }
    }

    /// The container that is to get this name in the place of another: under which name it is created, and whom it
    /// replaces.
    fn replacement(&self, name: &str) -> Option<(&str, &Replaced)> {
        self.plan.steps.iter().find_map(|step| match &step.action {
            Action::CreateContainer { name: own, create_as, replaces: Some(old), .. } if own == name => {
                Some((create_as.as_str(), old))
            }
            _ => None,
        })
    }

    /// Whether something that a start waits for did not come: a job, health, or what runs before its own service.
    fn waited_in_vain(&self, start: StepId, service: &str) -> bool {
        let (mut found, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(id) = open.pop() {
            let Some(step) = self.plan.steps.get(id) else { continue };
            open.extend(step.after.iter().copied().filter(|before| found.insert(*before)));
        }
        found.into_iter().any(|id| {
            let waits = self.plan.steps.get(id).is_some_and(|step| match &step.action {
                Action::WaitFor { .. } => true,
                Action::RunPreStart { service: of, .. } => of == service,
                _ => false,
            });
            waits && !matches!(self.ended(id), Some(Outcome::Done | Outcome::Skipped))
        })
    }

    /// What stands under a temporary name beside the container whose place it was to take.
    fn remove_unplaced(&self, plan: &mut Plan) {
        for (id, step) in self.plan.steps.iter().enumerate() {
            let Action::CreateContainer { service, name, create_as, replaces, .. } = &step.action else { continue };
            if !matches!(self.ended(id), Some(Outcome::Done | Outcome::Failed)) || create_as == name {
                continue;
            }
            let stays = match replaces {
                Some(old) => self.by_id(&old.id).is_some(),
                None => self.named(name).is_some(),
            };
            let Some(made) = self.named(create_as).filter(|made| stays && !is_live(made)) else { continue };
            let (service, id, name) = (service.clone(), made.id.clone(), made.name.clone());
            let action = Action::RemoveContainer { service, id, name, volumes: false, reason: Removal::Leftover };
            push(plan, action, "was created before the failure and did not come to its place");
        }
    }
}

fn push(plan: &mut Plan, action: Action, cause: &str) {
    plan.steps.push(Step::new(action, cause, Vec::new(), Condition::Always));
}

fn is_live(container: &ObservedContainer) -> bool {
    matches!(container.state, RunState::Running | RunState::Paused | RunState::Restarting)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn container(id: &str, name: &str, state: RunState) -> ObservedContainer {
        let text = str::to_owned;
        ObservedContainer {
            id: text(id),
            name: text(name),
            service: text("web"),
            number: Some(1),
            oneoff: false,
            config_hash: String::new(),
            image_label: String::new(),
            image_id: String::new(),
            state,
            started: None,
            labels: BTreeMap::new(),
            networks: BTreeMap::new(),
            mounts: Vec::new(),
        }
    }

    /// What was to be done, how that ended, what is there now, and what follows.
    type Case = (Vec<Action>, Vec<Outcome>, Vec<ObservedContainer>, &'static [&'static str]);

    /// Steps that are in doubt: what is seen decides.
    #[test]
    fn what_a_run_left_is_judged_by_a_new_look() {
        use Outcome::{Abandoned, Done, Failed as Refused};
        use RunState::{Created, Exited, Running};
        let text = str::to_owned;
        let stop =
            || Action::StopContainer { service: text("web"), id: text("old"), name: text("web-1"), hooks: false };
        let restart = || Action::RestartContainer { service: text("web"), id: text("old"), name: text("web-1") };
        let start = || Action::StartContainer { service: text("web"), number: Some(1), name: text("web-1") };
        let create = || Action::CreateContainer {
            service: text("web"),
            number: 1,
            name: text("web-1"),
            create_as: text("old_web-1"),
            replaces: Some(Replaced { id: text("old"), name: text("web-1"), inherit_volumes: true }),
        };
        let wait = || Action::WaitFor {
            service: text("db"),
            condition: text("service_healthy"),
            required: true,
            dependents: vec![text("web")],
        };
        let old = |state| container("old", "web-1", state);
        let new = || container("new", "old_web-1", Created);
        let table: Vec<Case> = vec![
            (vec![restart()], vec![Refused], vec![old(Exited(1))], &["start container web-1"]),
            (vec![restart()], vec![Refused], vec![old(Running)], &["warning"]),
            (vec![restart()], vec![Done], vec![old(Exited(1))], &[]),
            (vec![stop(), start()], vec![Refused, Abandoned], vec![old(Exited(1))], &["start container web-1"]),
            (vec![stop(), start()], vec![Refused, Abandoned], vec![old(Running)], &["warning"]),
            (vec![stop(), start()], vec![Abandoned, Abandoned], vec![old(Exited(1))], &[]),
            (vec![stop(), start()], vec![Done, Refused], vec![old(Exited(1))], &[]),
            (
                vec![create(), stop(), start()],
                vec![Done, Refused, Abandoned],
                vec![old(Exited(1)), new()],
                &["start container web-1", "remove container old_web-1"],
            ),
            (vec![create(), stop(), start()], vec![Done, Done, Abandoned], vec![new()], &["start container old_web-1"]),
            (vec![create(), stop(), wait(), start()], vec![Done, Done, Abandoned, Abandoned], vec![new()], &[]),
        ];
        for (actions, ended, now, wanted) in table {
            let mut plan = Plan::default();
            for action in actions {
                let after = (0..plan.steps.len()).collect();
                plan.steps.push(Step::new(action, "test", after, Condition::Always));
            }
            let ran = BTreeSet::from([text("old")]);
            let failed = Failed { plan: &plan, ended: &ended, ran: &ran, now: &now };
            let back = put_back(&failed, Extent::Running);
            let mut told: Vec<String> = back.steps.iter().map(|step| super::super::action(&step.action)).collect();
            told.extend(back.warnings.iter().map(|_| text("warning")));
            assert_eq!(told, wanted, "{ended:?}: {:?}", plan.steps);
            let created = put_back(&failed, Extent::Created);
            assert!(created.steps.iter().all(|step| matches!(step.action, Action::RemoveContainer { .. })));
        }
    }
}
