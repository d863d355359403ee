//! After a run that failed: which steps bring back what ran before it, as a plan of its own.
//!
//! What is to be done follows from the plan, how its steps ended, and a new look. A step that failed may have done its
//! work all the same, so the look decides where the two differ.

mod failed;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{Action, Condition, Existing, NetworkRemoval, ObservedContainer, Plan, Removal, RunState, Step, StepId};
use failed::is_live;
use turnout_report::Outcome;

pub use failed::{Attempt, Failed};

/// How much is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Replacements that were created and did not come to their place are removed, networks that were only tried too, and
    /// whoever was taken out of a network is connected again, to the new one where the old one is gone.
    Created,
    /// Besides, what ran before runs again: what was only stopped, and replacements of what is gone, unless they were to
    /// wait for a job, for health or for a step of their own which did not come to a good end. Services that live in each
    /// other's namespaces go back or forward together.
    Running,
}

/// Plans it. The cause of each step continues a sentence that begins with the name of the container or network.
pub fn put_back(failed: &Failed<'_>, extent: Extent) -> Plan {
    let plan = Plan { project: failed.plan.project.clone(), ..Plan::default() };
    let mut back = Back { failed, plan, connects: BTreeMap::new(), starts: Vec::new() };
    back.connect_again();
    if extent == Extent::Running {
        back.start_again();
    }
    back.remove_unplaced();
    back.remove_trials();
    back.plan
}

/// A container that is to run again.
struct Wanted<'a> {
    /// The step of the failed plan that was to make it, or its successor, run: the order is that plan's.
    origin: StepId,
    container: &'a ObservedContainer,
    /// It was told to stop and has perhaps not ended yet.
    ends: bool,
    /// Waits of the failed plan that are still to come before.
    waits: Vec<&'a Action>,
    cause: &'static str,
}

fn came_not(name: &str) -> String {
    format!(
        "{name} stays stopped: what it is to wait for did not come before the failure, and what ran before cannot any more; \
         deploying again waits and starts it"
    )
}

/// The plan that is being made.
struct Back<'a> {
    failed: &'a Failed<'a>,
    plan: Plan,
    /// By container: the steps that connect it.
    connects: BTreeMap<String, Vec<StepId>>,
    /// What starts: the failed plan's step, container and service, and the new step.
    starts: Vec<(StepId, &'a ObservedContainer, StepId)>,
}

impl<'a> Back<'a> {
    fn push(&mut self, action: Action, cause: &str, after: Vec<StepId>) -> StepId {
        self.plan.steps.push(Step::new(action, cause, after, Condition::Always));
        self.plan.steps.len() - 1
    }

    /// Whoever was taken out of a network, strangers too, gets back into the one that has its name now; one that is not
    /// there yet is made.
    fn connect_again(&mut self) {
        let failed = self.failed;
        for (network, container) in failed.taken_out() {
            let Existing { service, id, name } = container;
            let seen = failed.now.iter().find(|seen| seen.id == *id);
            // Gone, or about to go: only those of the project are looked at.
            let ours = failed.project.services.contains_key(service) && seen.is_some();
            if ours && failed.standing(id).is_none() || self.was_removed(id) {
                continue;
            }
            let made = match failed.networks.contains(network) {
                true => None,
                false => self.make_again(network),
            };
            if made.is_none() && !failed.networks.contains(network) {
                self.plan.warnings.push(match ours {
                    true => format!(
                        "{name} was taken out of network {network}, which is gone; deploying again makes it anew and \
                         connects {name}"
                    ),
                    false => format!(
                        "{name} was taken out of network {network}, which is gone; once it is there again, connect it: \
                         `docker network connect {network} {name}`"
                    ),
                });
                continue;
            }
            // As its service says, if that says anything; a running one keeps what it had, and so does whoever the plan
            // leaves as it is, one-offs above all.
            let knows = failed.project.services.get(service).is_some_and(|definition| {
                definition.networks.keys().any(|key| {
                    failed.project.networks.get(key).and_then(Option::as_ref).is_some_and(|own| own.name == *network)
                })
            });
            let planned = failed.steps().any(|(_, action)| {
                matches!(action, Action::ConnectContainer { network: to, container: who, as_it_was: true }
                    if to == network && who.id == *id)
            });
            let as_it_was = planned || !(ours && knows) || seen.is_some_and(is_live);
            let action =
                Action::ConnectContainer { network: network.to_owned(), container: container.clone(), as_it_was };
            let step = self.push(action, "was taken out of it", made.into_iter().collect());
            self.connects.entry(id.clone()).or_default().push(step);
        }
    }

    /// Makes a network that was taken away to be made anew, and was not: nobody could start without it. One that the engine
    /// has refused to make it refuses again.
    fn make_again(&mut self, network: &str) -> Option<StepId> {
        let making = |action: &Action| matches!(action, Action::CreateNetwork { name, .. } if name == network);
        if let Some(step) = self.plan.steps.iter().position(|step| making(&step.action)) {
            return Some(step);
        }
        let (step, action) = self.failed.steps().find(|(_, action)| making(action))?;
        let is_open = self.failed.ended(step) == Some(Outcome::Abandoned);
        is_open.then(|| self.push(action.clone(), "was taken away before the failure, to be made anew,", Vec::new()))
    }

    fn was_removed(&self, id: &str) -> bool {
        self.failed.steps().any(|(step, action)| {
            matches!(action, Action::RemoveContainer { id: own, .. } if own == id)
                && self.failed.ended(step) == Some(Outcome::Done)
        })
    }

    /// What ran before the failure, or what was made to replace it.
    fn start_again(&mut self) {
        let mut wanted = self.wanted();
        wanted.sort_by_key(|wanted| wanted.origin);
        for Wanted { origin, container, ends, waits, cause } in wanted {
            let (service, id, name) = (&container.service, &container.id, &container.name);
            if self.starts.iter().any(|(_, other, _)| other.id == *id) {
                continue;
            }
            let owners = self.failed.owners(service);
            let runs = |owner: &str| {
                let first = self.failed.first_beside(owner, id);
                first.is_some_and(|first| is_live(first) || self.starts.iter().any(|(_, c, _)| c.id == first.id))
            };
            if let Some(owner) = owners.iter().find(|owner| !runs(owner)) {
                self.plan.warnings.push(format!(
                    "{name} stays stopped: {owner}, in whose namespaces it lives, does not run; deploying again starts both"
                ));
                continue;
            }
            let before = self.failed.before(origin);
            let earlier = self
                .starts
                .iter()
                .filter(|(other, started, _)| before.contains(other) || owners.contains(started.service.as_str()));
            let mut after: Vec<StepId> = earlier.map(|(.., step)| *step).collect();
            after.extend(self.connects.get(id).into_iter().flatten());
            // Before any of them is planned: a wait that nobody needs would only take time.
            if !waits.iter().all(|wait| self.may_come(wait)) {
                self.plan.warnings.push(came_not(name));
                continue;
            }
            after.extend(waits.into_iter().filter_map(|wait| self.wait(wait, service)).collect::<Vec<_>>());
            if ends {
                let (service, id, name) = (service.clone(), id.clone(), name.clone());
                let action = Action::StopContainer { service, id, name, hooks: false };
                // An engine that was told twice says when it has ended.
                after = vec![self.push(action, "was told to stop before the failure", after)];
            }
            let action =
                Action::StartContainer { service: service.clone(), number: container.number, name: name.clone() };
            let step = self.push(action, cause, after);
            self.starts.push((origin, container, step));
        }
    }

    /// Whether what is waited for runs or is to run; a job may also have ended.
    fn may_come(&self, wait: &Action) -> bool {
        let Action::WaitFor { service, condition, .. } = wait else { return false };
        let is_job = condition == "service_completed_successfully";
        let mut there = self.failed.now.iter().filter(|container| container.service == *service && !container.oneoff);
        self.starts.iter().any(|(_, started, _)| started.service == *service)
            || there.any(|container| is_live(container) || is_job && container.state == RunState::Exited(0))
    }

    /// Waits for it, after its starts.
    fn wait(&mut self, wait: &Action, dependent: &str) -> Option<StepId> {
        let Action::WaitFor { service, condition, required, .. } = wait else { return None };
        let starts: Vec<StepId> =
            self.starts.iter().filter(|(_, started, _)| started.service == *service).map(|(.., step)| *step).collect();
        let action = Action::WaitFor {
            service: service.clone(),
            condition: condition.clone(),
            required: *required,
            dependents: vec![dependent.to_owned()],
        };
        Some(self.push(action, "was not waited for to the end", starts))
    }

    fn wanted(&mut self) -> Vec<Wanted<'a>> {
        let (failed, mut wanted) = (self.failed, Vec::new());
        let is_missed = |start: &StepId| failed.ended(*start) == Some(Outcome::Abandoned);
        for (old, new) in failed.successors() {
            let Some(origin) = failed.start_of(new.service, Some(new.number), new.name).filter(is_missed) else {
                continue;
            };
            let (standing, goes_on) = (failed.standing(&old.id), failed.goes_on(new.service));
            // One that did not run is needed where somebody ran in its namespaces.
            if !(failed.ran.contains(&old.id) || goes_on && failed.ran_with(new.service)) {
                continue;
            }
            if let Some(old) = standing.filter(|old| !goes_on || is_live(old)) {
                wanted.extend(self.predecessor(origin, old));
                continue;
            }
            match failed.made(new.service, new.create_as) {
                // Its name, if it has not got it yet, can wait for the next plan.
                Some(container) if !is_live(container) => {
                    let Some(waits) = failed.open_waits(origin, new.service) else {
                        self.plan.warnings.push(came_not(&container.name));
                        continue;
                    };
                    let cause = match standing {
                        None => "was replaced before the failure",
                        Some(_) => "lives in namespaces that were replaced before the failure",
                    };
                    wanted.push(Wanted { origin, container, ends: false, waits, cause });
                }
                None if standing.is_some() => self.plan.warnings.push(format!(
                    "{} stays stopped: the namespaces that it lived in are gone; deploying again makes it anew",
                    old.name
                )),
                _ => {}
            }
        }
        for (step, action) in failed.steps() {
            let (id, origin) = match action {
                Action::StopContainer { service, id, name, .. } => {
                    let number = failed.standing(id).and_then(|old| old.number);
                    let renamed = failed.steps().find_map(|(_, action)| match action {
                        Action::RenameContainer { id: Some(own), to, .. } if own == id => Some(to),
                        _ => None,
                    });
                    (id, failed.start_of(service, number, renamed.unwrap_or(name)).filter(is_missed))
                }
                Action::RestartContainer { id, .. } => (id, Some(step)),
                _ => continue,
            };
            let stays = failed.ran.contains(id) && failed.successor(id).is_none() && !failed.leaves(id);
            let (Some(origin), Some(old)) = (origin.filter(|_| stays), failed.standing(id)) else { continue };
            let restarted = matches!(action, Action::RestartContainer { .. });
            if !restarted || failed.ended(step) != Some(Outcome::Done) {
                wanted.extend(self.predecessor(origin, old));
            }
        }
        wanted
    }

    /// A container that was there before, if the run has stopped it.
    fn predecessor(&mut self, origin: StepId, old: &'a ObservedContainer) -> Option<Wanted<'a>> {
        let ended = self.failed.stops_of(&old.id);
        let (refused, stopping) = (ended.contains(&Outcome::Failed), self.failed.stopping.contains(&old.id));
        if is_live(old) && !stopping {
            // Nothing takes a signal back.
            let doubt = format!(
                "{} runs, but may have been told to stop; should it end now, the next deployment starts it",
                old.name
            );
            if refused && !self.plan.warnings.contains(&doubt) {
                self.plan.warnings.push(doubt);
            }
            return None;
        }
        let stopped = stopping || refused || ended.contains(&Outcome::Done);
        let cause = "was stopped before the failure";
        stopped.then_some(Wanted { origin, container: old, ends: is_live(old), waits: Vec::new(), cause })
    }

    /// What stands under a temporary name beside the container whose place it was to take.
    fn remove_unplaced(&mut self) {
        let failed = self.failed;
        for (_, action) in failed.steps() {
            let Action::CreateContainer { service, name, create_as, replaces: Some(old), .. } = action else {
                continue;
            };
            let ours = create_as != name && failed.attempts.get(create_as).is_some_and(|attempt| !attempt.adopted);
            let Some(made) = failed.made(service, create_as).filter(|_| ours) else { continue };
            let stays = failed.standing(&old.id).is_some_and(|old| is_live(old) || !failed.goes_on(service));
            if !stays || self.starts.iter().any(|(_, started, _)| started.id == made.id) {
                continue;
            }
            let (service, id, name) = (service.clone(), made.id.clone(), made.name.clone());
            let mut after = Vec::new();
            if is_live(made) {
                // Whoever was told to stop for it goes, and it stays.
                let old_stays = failed.standing(&old.id).is_some_and(is_live) && !failed.was_to_stop(&old.id);
                if !failed.starts_first(create_as) || !old_stays {
                    continue;
                }
                let (service, id, name) = (service.clone(), id.clone(), name.clone());
                let action = Action::StopContainer { service, id, name, hooks: false };
                after.push(self.push(action, "was started beside the one before", Vec::new()));
            }
            let action = Action::RemoveContainer { service, id, name, volumes: false, reason: Removal::Leftover };
            self.push(action, "was created before the failure and did not come to its place", after);
        }
    }

    /// Networks that were made to try whether they can be.
    fn remove_trials(&mut self) {
        let failed = self.failed;
        for (id, action) in failed.steps() {
            let Action::TryNetwork { key, trial, .. } = action else { continue };
            let removed = failed.steps().any(|(other, action)| {
                matches!(action, Action::RemoveNetwork { name, id: None, .. } if name == trial)
                    && failed.ended(other) == Some(Outcome::Done)
            });
            let tried = matches!(failed.ended(id), Some(Outcome::Done | Outcome::Failed));
            if tried && !removed && failed.networks.contains(trial) {
                let (key, name) = (key.clone(), trial.clone());
                let action = Action::RemoveNetwork { key, name, id: None, reason: NetworkRemoval::Trial };
                self.push(action, "was made to see whether it can be", Vec::new());
            }
        }
    }
}
