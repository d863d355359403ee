//! Names of containers that one service hands on to another within one plan, also in a circle.

use std::collections::BTreeSet;

use super::super::{Action, Condition, ContainerCause, ObservedContainer, StepId};
use super::{Draft, select};
use turnout_compose::labels;

/// Lets whoever takes a name have it. A container whose name another one bears is created under a temporary one, as if it
/// replaced that, and renamed once the name is free: creations wait for nothing that disturbs. Should the plan be
/// interrupted, the next one takes the containers for what they are.
///
/// A name that nobody gives up is left to the engine to refuse.
pub(super) fn settle(draft: &mut Draft<'_>) {
    for step in 0..draft.plan.steps.len() {
        let Some(action) = draft.plan.steps.get(step).map(|step| step.action.clone()) else { continue };
        match action {
            Action::RenameContainer { id, to, .. } => {
                let giver = draft.freed.get(&to).copied().filter(|giver| !is_about(draft, *giver, id.as_deref()));
                giver.into_iter().for_each(|giver| draft.wait(step, giver));
            }
            Action::CreateContainer { service, name, create_as, replaces, .. } => {
                let create_as = match replaces {
                    Some(_) => Some(create_as),
                    None => create_under_another_name(draft, step, &service, &name),
                };
                // Left by a run that was interrupted at this very step.
                let giver = create_as.and_then(|temporary| draft.freed.get(&temporary).copied());
                giver.into_iter().for_each(|giver| draft.wait(step, giver));
            }
            _ => {}
        }
    }
}

/// The temporary name that the container gets, if it needs one.
fn create_under_another_name(draft: &mut Draft<'_>, step: StepId, service: &str, name: &str) -> Option<String> {
    let observed = draft.observed;
    let bearer = observed.containers.iter().find(|container| container.name == name);
    let (bearer, giver) = (bearer?, draft.freed.get(name).copied()?);
    // Its own predecessor, which holds a volume that is to be replaced, has gone before.
    if waits_for(draft, step, giver, &mut BTreeSet::new()) {
        return None;
    }
    let temporary = labels::temporary_name(&bearer.id, name);
    let created = draft.plan.steps.get_mut(step)?;
    if let Action::CreateContainer { create_as, .. } = &mut created.action {
        create_as.clone_from(&temporary);
    }
    let cause = created.cause.clone();
    let action =
        Action::RenameContainer { service: service.to_owned(), id: None, from: temporary.clone(), to: name.to_owned() };
    draft.push_part(Some(step), action, &cause, vec![step, giver], Condition::Always);
    Some(temporary)
}

/// Whether a step removes the container with this ID.
fn is_about(draft: &Draft<'_>, step: StepId, container: Option<&str>) -> bool {
    let action = draft.plan.steps.get(step).map(|step| &step.action);
    matches!(action, Some(Action::RemoveContainer { id, .. }) if Some(id.as_str()) == container)
}

/// Whether a step waits for another one, directly or through others.
pub(super) fn waits_for(draft: &Draft<'_>, step: StepId, other: StepId, seen: &mut BTreeSet<StepId>) -> bool {
    let before = draft.plan.steps.get(step).map(|step| step.after.as_slice()).unwrap_or_default();
    before.iter().any(|before| *before == other || seen.insert(*before) && waits_for(draft, *before, other, seen))
}

/// The name that a container has lost because somebody renamed it, where that is to be undone; none where another one
/// bears it by now.
pub(super) fn own(draft: &Draft<'_>, service: &str, container: &ObservedContainer) -> Option<String> {
    if !draft.intent.restore_names {
        return None;
    }
    let own = select::container_name(draft.project, service, container.number?);
    // Compose's former program wrote `_`; its containers are taken over as they are.
    let plain = |name: &str| labels::final_name(name).replace('_', "-");
    let borne = draft.observed.containers.iter().any(|other| other.name == own);
    (plain(&container.name) != plain(&own) && !borne).then_some(own)
}

/// Gives a container its own name again.
pub(super) fn restore(draft: &mut Draft<'_>, container: &ObservedContainer, own: String) -> StepId {
    let after = draft.foundation();
    let action = Action::RenameContainer {
        service: container.service.clone(),
        id: Some(container.id.clone()),
        from: container.name.clone(),
        to: own,
    };
    let step = draft.push(action, ContainerCause::Renamed, after, Condition::Always);
    draft.freed.insert(container.name.clone(), step);
    step
}
