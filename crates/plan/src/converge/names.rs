//! Names of containers that one service hands on to another within one plan, also in a circle.

use std::collections::BTreeSet;

use super::super::{Action, Condition, ObservedContainer, Step, StepId};
use super::{Draft, select};
use turnout_compose::labels;

/// Names that a step takes while the container that bears them gives them up in a later step only: the IDs of these containers.
///
/// Where the order is the other way round, the taker waits for the giver and nothing needs to be done.
pub(super) fn given_up_late(steps: &[Step]) -> BTreeSet<String> {
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut late = BTreeSet::new();
    for step in steps {
        match &step.action {
            Action::RecreateContainer { name, old_id, old_name, .. } => {
                if name != old_name && taken.contains(old_name.as_str()) {
                    late.insert(old_id.clone());
                }
                taken.insert(name);
            }
            Action::RemoveContainer { id, name, .. } if taken.contains(name.as_str()) => {
                late.insert(id.clone());
            }
            Action::CreateContainer { name, .. } | Action::RenameContainer { to: name, .. } => {
                taken.insert(name);
            }
            _ => {}
        }
    }
    late
}

/// Renames these containers, which go or are replaced anyway, to the temporary name that a replacement has: should the
/// plan be interrupted, the next one takes them for what they are.
pub(super) fn take_off(draft: &mut Draft<'_>, late: &BTreeSet<String>) {
    let observed = draft.observed;
    for container in observed.containers.iter().filter(|container| late.contains(&container.id)) {
        let to = labels::temporary_name(&container.id, &container.name);
        let action = Action::RenameContainer {
            service: container.service.clone(),
            id: container.id.clone(),
            from: container.name.clone(),
            to: to.clone(),
        };
        let after = draft.foundation();
        let cause = format!("another service takes the name {}, which this one gives up", container.name);
        let step = draft.push(action, cause, after, Condition::Always);
        draft.freed.insert(container.name.clone(), step);
        draft.renamed.insert(container.id.clone(), (step, to));
    }
}

/// The name a container has by the time that it is replaced or removed, and the step that gave it that.
pub(super) fn present(draft: &Draft<'_>, container: &ObservedContainer) -> (Option<StepId>, String) {
    match draft.renamed.get(&container.id) {
        Some((step, name)) => (Some(*step), name.clone()),
        None => (None, container.name.clone()),
    }
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
        id: container.id.clone(),
        from: container.name.clone(),
        to: own,
    };
    let cause = "somebody renamed it";
    draft.push(action, cause, after, Condition::Always)
}
