//! Containers that go: for good, or because another one, created beside, takes their place.

use std::collections::BTreeSet;

use super::super::{Action, Cause, Condition, ObservedContainer, Removal, ServiceCause, StepId};
use super::draft::Swap;
use super::members::is_live;
use super::sharing::namespace_owners;
use super::stops::{already, stop_dependents, stop_of};
use super::{Draft, any_of};

/// Stops a container, whatever state it was seen in, and removes it. `before`: what that waits for.
pub(super) fn remove_after(
    draft: &mut Draft<'_>,
    container: &ObservedContainer,
    reason: Removal,
    cause: &Cause,
    mut before: Vec<StepId>,
) -> StepId {
    let (stopped, is_stopped) = already(draft, container);
    before.extend(stopped);
    before.extend(draft.connects.get(&container.id).into_iter().flatten());
    let mut lead = None;
    if !is_stopped {
        lead = Some(draft.push(stop_of(container, true), cause.clone(), before.clone(), Condition::Always));
        before.extend(lead);
    }
    let action = Action::RemoveContainer {
        service: container.service.clone(),
        id: container.id.clone(),
        name: container.name.clone(),
        volumes: false,
        reason,
    };
    let step = draft.push_part(lead, action, cause, before, Condition::Always);
    draft.freed.insert(container.name.clone(), step);
    step
}

/// As [`remove_after`], once what must be there is; one that its volume's replacement removes already just does not come
/// back.
pub(super) fn remove(draft: &mut Draft<'_>, container: &ObservedContainer, reason: Removal, cause: Cause) {
    if let Some((step, _)) = draft.removed.get(&container.id).cloned() {
        let Some(removal) = draft.plan.steps.get_mut(step) else { return };
        if let Action::RemoveContainer { reason: old, .. } = &mut removal.action {
            *old = reason;
        }
        removal.cause.clone_from(&cause);
        if let Some(lead) = removal.part_of.and_then(|lead| draft.plan.steps.get_mut(lead)) {
            lead.cause = cause;
        }
        return;
    }
    let foundation = draft.foundation();
    remove_after(draft, container, reason, &cause, foundation);
}

/// Stops whoever wants to be restarted with the service; then stops and removes the old containers, and gives the new ones
/// their names.
pub(super) fn put_in_place(draft: &mut Draft<'_>, name: &str, swaps: &[Swap<'_>]) {
    let did = |draft: &Draft<'_>, swap: &Swap<'_>| match draft.plan.steps.get(swap.created) {
        Some(step) if step.only_if == Condition::Always => Condition::Always,
        _ => Condition::AnyDid(vec![swap.created]),
    };
    let Some(when) = any_of(swaps.iter().map(|swap| did(draft, swap))) else { return };
    let dependents = stop_dependents(draft, name, &when, &ServiceCause::Replaced(name.to_owned()).into());
    let owners = stops_of_owners(draft, name);
    for swap in swaps {
        let when = did(draft, swap);
        let (stopped, is_stopped) = already(draft, swap.old);
        let mut after = draft.foundation();
        after.extend(stopped);
        after.extend(&dependents);
        after.push(swap.created);
        take_place(draft, swap, swap.created, after, when, is_live(swap.old) && !is_stopped, &owners);
    }
}

/// Stops the predecessor where that runs still, removes it, and gives the replacement its name: parts of the deed that
/// `lead` began. `owners`: what its removal waits for besides. Answers the step that gives the name.
pub(super) fn take_place(
    draft: &mut Draft<'_>,
    swap: &Swap<'_>,
    lead: StepId,
    mut after: Vec<StepId>,
    when: Condition,
    stops: bool,
    owners: &BTreeSet<StepId>,
) -> StepId {
    let Swap { old, old_name, created: _, create_as, name, cause, before } = swap;
    after.extend(before);
    if stops {
        let mut action = stop_of(old, false);
        if let Action::StopContainer { name, .. } = &mut action {
            name.clone_from(old_name);
        }
        let stopped = draft.push_part(Some(lead), action, cause, after.clone(), when.clone());
        draft.halts.insert(old.id.clone(), stopped);
        after.push(stopped);
    }
    after.extend(owners);
    after.extend(draft.connects.get(&old.id).into_iter().flatten());
    let action = Action::RemoveContainer {
        service: old.service.clone(),
        id: old.id.clone(),
        name: old_name.clone(),
        volumes: false,
        reason: Removal::Replaced,
    };
    let removed = draft.push_part(Some(lead), action, cause, after, when.clone());
    draft.freed.insert(old_name.clone(), removed);
    let action =
        Action::RenameContainer { service: old.service.clone(), id: None, from: create_as.clone(), to: name.clone() };
    draft.push_part(Some(lead), action, cause, vec![removed], when)
}

/// Steps that stop containers in whose namespaces those of a service live, and whose namespaces these live in. Where one
/// of them fails, whoever lived in the namespaces is there still and can be started again with their owner.
fn stops_of_owners(draft: &Draft<'_>, name: &str) -> BTreeSet<StepId> {
    let mut found = BTreeSet::new();
    let (mut seen, mut open) = (BTreeSet::from([name]), vec![name]);
    while let Some(service) = open.pop().and_then(|name| draft.project.services.get(name)) {
        for owner in namespace_owners(service).filter(|owner| seen.insert(owner)).collect::<Vec<_>>() {
            for container in draft.borne(owner) {
                found.extend(draft.halts.get(&container.id));
                found.extend(draft.stops.get(&container.id).into_iter().flatten());
            }
            open.push(owner);
        }
    }
    found
}
