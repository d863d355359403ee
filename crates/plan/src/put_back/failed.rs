//! A run that did not come to its end, and what can be read from it and from the look after it.

use std::collections::{BTreeMap, BTreeSet};

use turnout_compose::{labels::first_of_names, model::Project};
use turnout_report::Outcome;

use super::super::{
    Action, Existing, ObservedContainer, Plan, Removal, Replaced, RunState, StepId, converge::final_name,
    namespace_owners,
};

/// What became of the creation of a container, once the engine was asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attempt {
    /// The label `config-hash` that it was to have.
    pub config_hash: String,
    /// Its full ID, where it was made or an identical one was taken over.
    pub id: Option<String>,
    /// It was there already, made by a run that was interrupted or by one that goes on: not ours to remove.
    pub adopted: bool,
    /// The engine has answered; without an answer and an ID it may have been made all the same.
    pub answered: bool,
}

/// A run that did not come to its end.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    /// The project that the plan was made for.
    pub project: &'a Project,
    /// What was to be done.
    pub plan: &'a Plan,
    /// How each step ended, in the plan's order.
    pub ended: &'a [Outcome],
    /// IDs of the containers that ran when it began.
    pub ran: &'a BTreeSet<String>,
    /// Creations that the engine was asked for, by the name they were asked under.
    pub attempts: &'a BTreeMap<String, Attempt>,
    /// IDs of containers that the engine was told to stop or restart and of which it has not said that they ended.
    pub stopping: &'a BTreeSet<String>,
    /// The project's containers as they are now.
    pub now: &'a [ObservedContainer],
    /// Names of the networks that there are now.
    pub networks: &'a BTreeSet<String>,
}

impl<'a> Failed<'a> {
    pub(super) fn ended(&self, id: StepId) -> Option<Outcome> {
        self.ended.get(id).copied()
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = (StepId, &'a Action)> {
        self.plan.steps.iter().map(|step| &step.action).enumerate()
    }

    /// A container that is there and is not about to go: the engine starts none that is.
    pub(super) fn standing(&self, id: &str) -> Option<&'a ObservedContainer> {
        self.now.iter().find(|container| container.id == id).filter(|container| !is_going(container))
    }

    /// The container that a creation made, as it is now: by its ID or, where the engine never answered, by the name and
    /// the hash that nobody else gives.
    pub(super) fn made(&self, service: &str, create_as: &str) -> Option<&'a ObservedContainer> {
        let attempt = self.attempts.get(create_as)?;
        match &attempt.id {
            Some(id) => self.standing(id),
            None if attempt.answered => None,
            None => self.now.iter().find(|seen| {
                seen.name == create_as
                    && seen.service == service
                    && seen.config_hash == attempt.config_hash
                    && !is_going(seen)
            }),
        }
    }

    /// The step that was to start what stands in the place of this container in the end.
    pub(super) fn start_of(&self, service: &str, number: Option<u32>, name: &str) -> Option<StepId> {
        let starts = || {
            self.steps().filter_map(|(id, action)| match action {
                Action::StartContainer { service: of, number, name } if of == service => Some((id, *number, name)),
                _ => None,
            })
        };
        let named = starts().find(|(.., other)| *other == name || *other == final_name(name));
        named.or_else(|| starts().find(|(_, other, _)| number.is_some() && *other == number)).map(|(id, ..)| id)
    }

    /// The creation that replaces this container.
    pub(super) fn successor(&self, id: &str) -> Option<(&'a Replaced, Successor<'a>)> {
        self.successors().find(|(old, _)| old.id == id)
    }

    /// All creations that replace a container.
    pub(super) fn successors(&self) -> impl Iterator<Item = (&'a Replaced, Successor<'a>)> {
        self.steps().filter_map(|(_, action)| match action {
            Action::CreateContainer { service, number, name, create_as, replaces: Some(old) } => {
                Some((old, Successor { service, number: *number, name, create_as }))
            }
            _ => None,
        })
    }

    /// Whether the plan takes a container away for good.
    pub(super) fn leaves(&self, id: &str) -> bool {
        self.steps().any(|(_, action)| match action {
            Action::RemoveContainer { id: own, reason, .. } => own == id && *reason != Removal::Replaced,
            _ => false,
        })
    }

    /// All that a step waits for.
    pub(super) fn before(&self, step: StepId) -> BTreeSet<StepId> {
        let (mut found, mut open) = (BTreeSet::new(), vec![step]);
        while let Some(id) = open.pop() {
            let Some(step) = self.plan.steps.get(id) else { continue };
            open.extend(step.after.iter().copied().filter(|before| found.insert(*before)));
        }
        found
    }

    /// The waits of a service that its start was still to come after: cut short, or never begun, by a failure elsewhere. `None`
    /// where something that it waits for did not come: a job, health, or what runs before the service itself.
    pub(super) fn open_waits(&self, start: StepId, service: &str) -> Option<Vec<&'a Action>> {
        let mut open = Vec::new();
        for id in self.before(start) {
            let Some(step) = self.plan.steps.get(id) else { continue };
            let ended = self.ended(id);
            let came = matches!(ended, Some(Outcome::Done | Outcome::Skipped));
            match &step.action {
                Action::RunPreStart { service: of, .. } if of == service && !came => return None,
                Action::WaitFor { required: true, dependents, .. } if !came => {
                    if ended != Some(Outcome::Abandoned) {
                        return None;
                    }
                    // Whom others wait for is their own matter.
                    if dependents.iter().any(|dependent| dependent == service) {
                        open.push(&step.action);
                    }
                }
                _ => {}
            }
        }
        Some(open)
    }

    /// How the steps that stop or restart a container ended.
    pub(super) fn stops_of(&self, id: &str) -> Vec<Outcome> {
        let of_it = self.steps().filter(|(_, action)| match action {
            Action::StopContainer { id: own, .. } | Action::RestartContainer { id: own, .. } => own == id,
            _ => false,
        });
        of_it.filter_map(|(step, _)| self.ended(step)).collect()
    }

    /// Whether the engine was told to stop a container, whatever came of it.
    pub(super) fn was_to_stop(&self, id: &str) -> bool {
        self.stopping.contains(id)
            || self.stops_of(id).iter().any(|ended| matches!(ended, Outcome::Done | Outcome::Failed))
    }

    /// Whether what was created under this name was to be started before its predecessor stopped.
    pub(super) fn starts_first(&self, create_as: &str) -> bool {
        self.steps().any(|(_, action)| matches!(action, Action::AwaitReady { name, .. } if name == create_as))
    }

    /// Whoever was taken out of a network and not connected again.
    pub(super) fn taken_out(&self) -> impl Iterator<Item = (&'a str, &'a Existing)> {
        let this = *self;
        self.steps().filter_map(move |(id, action)| match action {
            Action::DisconnectContainer { network, container, .. } if this.ended(id) == Some(Outcome::Done) => {
                let again = this.steps().any(|(other, action)| match action {
                    Action::ConnectContainer { network: to, container: who, .. } => {
                        to == network && who.id == container.id && this.ended(other) == Some(Outcome::Done)
                    }
                    _ => false,
                });
                (!again).then_some((network.as_str(), container))
            }
            _ => None,
        })
    }

    /// Services in whose namespaces this one lives.
    pub(super) fn owners(&self, service: &str) -> BTreeSet<&'a str> {
        self.project.services.get(service).into_iter().flat_map(namespace_owners).collect()
    }

    /// Whether a service has a new container, or has lost its old one: whoever lives in its namespaces is bound to one of
    /// the two. Those of one that is only stopped and started are the same for the old sharers and for the new.
    fn is_renewed(&self, service: &str) -> bool {
        self.successors().any(|(old, new)| {
            new.service == service
                && (self.standing(&old.id).is_none() || self.made(new.service, new.create_as).is_some())
        })
    }

    /// Services that live in each other's namespaces, as far as these are not the same as before; this one among them.
    fn group(&self, service: &'a str) -> BTreeSet<&'a str> {
        let mut group = BTreeSet::from([service]);
        let renewed = |other: &str| -> BTreeSet<&'a str> {
            self.owners(other).into_iter().filter(|owner| self.is_renewed(owner)).collect()
        };
        loop {
            let more = self.project.services.keys().map(String::as_str).filter(|other| {
                let owners = renewed(other);
                owners.iter().any(|owner| group.contains(owner))
                    || group.iter().any(|member| renewed(member).contains(other))
            });
            let more: Vec<&str> = more.filter(|other| !group.contains(other)).collect();
            if more.is_empty() {
                return group;
            }
            group.extend(more);
        }
    }

    /// Whether somebody ran who lives in the same namespaces.
    pub(super) fn ran_with(&self, service: &'a str) -> bool {
        let group = self.group(service);
        self.successors().any(|(old, new)| group.contains(new.service) && self.ran.contains(&old.id))
    }

    /// The container of a service that this one was made to share with: those of the failed run share with each other,
    /// those from before it too.
    pub(super) fn first_beside(&self, service: &str, sharer: &str) -> Option<&'a ObservedContainer> {
        let is_made = |id: &str| self.attempts.values().any(|attempt| attempt.id.as_deref() == Some(id));
        let is_replaced =
            |id: &str| self.successor(id).is_some_and(|(_, new)| self.made(new.service, new.create_as).is_some());
        let staying = self.now.iter().filter(|other| match is_made(sharer) {
            true => !is_replaced(&other.id) && !self.leaves(&other.id),
            false => !is_made(&other.id),
        });
        staying
            .filter(|other| other.service == service && !other.oneoff)
            .min_by_key(|other| first_of_names(&other.name))
    }

    /// Whether somebody who lives in the same namespaces is gone already: then all go on with the new ones, for a
    /// namespace is found by the ID of the container that it was made for.
    pub(super) fn goes_on(&self, service: &'a str) -> bool {
        let group = self.group(service);
        group.len() > 1
            && self.successors().any(|(old, new)| group.contains(new.service) && self.standing(&old.id).is_none())
    }
}

/// What is created in the place of another container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Successor<'a> {
    pub service: &'a str,
    pub number: u32,
    pub name: &'a str,
    pub create_as: &'a str,
}

pub(super) fn is_live(container: &ObservedContainer) -> bool {
    matches!(container.state, RunState::Running | RunState::Paused | RunState::Restarting)
}

fn is_going(container: &ObservedContainer) -> bool {
    matches!(container.state, RunState::Removing | RunState::Dead)
}
