//! Who is stopped for somebody else's sake, to be started again in the last phase: those who depend on it with
//! `restart: true`, and those who live in its namespaces.

use super::super::{Action, Cause, Condition, ContainerCause, ObservedContainer, RunState, ServiceCause, Step, StepId};
use super::draft::{Draft, Fate, Slot, steps_of};
use super::idle::{began_before, idle};
use super::members::{is_live, members};
use turnout_compose::model::Service;

/// Stops containers of services that depend on `name` with `restart: true`, or live in its namespaces; and, before,
/// what lives in the namespaces of those. They are started again in the last phase.
pub(super) fn stop_dependents(draft: &mut Draft<'_>, name: &str, when: &Condition, cause: &Cause) -> Vec<StepId> {
    stop_those(draft, draft.restarted_with(name), when, cause)
}

fn stop_those(draft: &mut Draft<'_>, services: Vec<&str>, when: &Condition, cause: &Cause) -> Vec<StepId> {
    let mut steps = Vec::new();
    for service in services {
        let (containers, _) = members(draft, service);
        for container in containers {
            steps.extend(stop(draft, container, when, cause));
        }
    }
    steps
}

/// Stops one container if it runs, after what lives in its namespaces. Empty if it need not or is stopped for certain already.
pub(super) fn stop(
    draft: &mut Draft<'_>,
    container: &ObservedContainer,
    when: &Condition,
    cause: &Cause,
) -> Vec<StepId> {
    if !is_live(container) || draft.removed.contains_key(&container.id) {
        return Vec::new();
    }
    let before = draft.stops.get(&container.id).cloned().unwrap_or_default();
    let settled =
        |id: &StepId| draft.plan.steps.get(*id).is_some_and(|s| s.only_if == Condition::Always || s.only_if == *when);
    if before.iter().any(settled) {
        return before;
    }
    let mut after = draft.foundation();
    after.extend(&before);
    after.extend(steps_of(when));
    if *when != Condition::Always {
        after.extend(resume(draft, container));
    }
    // Not those that only depend on it with `restart: true`: like Compose, that reaches as far as those who depend on
    // what is replaced, no further.
    let stranded = ServiceCause::Stopped(container.service.clone()).into();
    after.extend(stop_those(draft, draft.residents(&container.service), when, &stranded));
    let step = draft.push(stop_of(container, true), cause.clone(), after, when.clone());
    draft.stops.entry(container.id.clone()).or_default().push(step);
    vec![step]
}

/// Stops it, with `hooks` running its `pre_stop` hooks.
pub(super) fn stop_of(container: &ObservedContainer, hooks: bool) -> Action {
    Action::StopContainer {
        service: container.service.clone(),
        id: container.id.clone(),
        name: container.name.clone(),
        hooks,
    }
}

/// Whoever runs in the namespaces of a container that has stopped runs in ones that are cut off; a start of the owner
/// does not bring them back, so they are started again after it.
pub(super) fn stop_stranded_sharers(draft: &mut Draft<'_>, name: &str, service: &Service, slots: &[Slot<'_>]) {
    let owner = slots.iter().min_by_key(|slot| &slot.name);
    let Some(owner) = owner.filter(|slot| !matches!(slot.fate, Fate::New(_))) else { return };
    let stopped = owner.existing.and_then(|container| idle(draft, name, service, container));
    if stopped.is_some() {
        let cause = ServiceCause::NamespacesStopped(name.to_owned()).into();
        stop_those(draft, draft.residents(name), &Condition::Always, &cause);
        return;
    }
    let Some(owner) = owner.existing else { return };
    for sharer in draft.residents(name) {
        for container in members(draft, sharer).0 {
            if began_before(container, owner) {
                let cause = ServiceCause::NamespacesOld(name.to_owned()).into();
                stop(draft, container, &Condition::Always, &cause);
            }
        }
    }
}

/// Resumes a container that somebody paused, once, if it may live on.
pub(super) fn resume(draft: &mut Draft<'_>, container: &ObservedContainer) -> Option<StepId> {
    if container.state != RunState::Paused || draft.plan.steps.iter().any(|s| resumes(s, container)) {
        return None;
    }
    let after = draft.foundation();
    let action = Action::UnpauseContainer {
        service: container.service.clone(),
        id: container.id.clone(),
        name: container.name.clone(),
    };
    Some(draft.push(action, ContainerCause::Paused, after, Condition::Always))
}

fn resumes(step: &Step, container: &ObservedContainer) -> bool {
    matches!(&step.action, Action::UnpauseContainer { id, .. } if *id == container.id)
}

/// The steps that stop a container for somebody else's sake, and whether one of them does for certain.
pub(super) fn already(draft: &Draft<'_>, container: &ObservedContainer) -> (Vec<StepId>, bool) {
    let stopped = draft.stops.get(&container.id).cloned().unwrap_or_default();
    let certain = |id: &StepId| draft.plan.steps.get(*id).is_some_and(|step| step.only_if == Condition::Always);
    let is_stopped = stopped.iter().any(certain);
    (stopped, is_stopped)
}
