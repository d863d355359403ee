//! Steps that run before a service starts, and the containers that earlier ones left.
//!
//! As in Compose 5.6 they run once for a service, however many containers it has, and only where none of them runs:
//! not for what is added beside.

use super::super::{Action, Condition, ContainerCause, ObservedContainer, Removal, RunState, ServiceCause, StepId};
use super::{Draft, any_of};
use turnout_compose::{labels, model::Service};

/// Removes what steps have left: containers of those that failed, which were kept to be looked at, and of a run that was
/// interrupted.
pub(super) fn leftovers(draft: &mut Draft<'_>) {
    let project = draft.project;
    let goes = |container: &&ObservedContainer| {
        let name = container.service.as_str();
        let gone = !project.services.contains_key(name) && !project.disabled_services.contains_key(name);
        draft.is_selected(name) || gone && draft.intent.remove_orphans
    };
    let left: Vec<&ObservedContainer> = draft.observed.step_containers.iter().filter(goes).collect();
    for container in left.into_iter().filter(|container| container.state != RunState::Removing) {
        let after = draft.foundation();
        let step = draft.push(removal(container), cause(container), after, Condition::Always);
        draft.freed.insert(container.name.clone(), step);
    }
}

/// Takes one such container away, with the volumes that nobody else knows.
pub(crate) fn removal(container: &ObservedContainer) -> Action {
    Action::RemoveContainer {
        service: container.service.clone(),
        id: container.id.clone(),
        name: container.name.clone(),
        volumes: true,
        reason: Removal::StepLeft,
    }
}

/// Why it is there.
pub(crate) fn cause(container: &ObservedContainer) -> ContainerCause {
    match container.state {
        RunState::Exited(0) | RunState::Created | RunState::Running => ContainerCause::StepInterrupted,
        _ => ContainerCause::StepFailed,
    }
}

/// The steps of a service, one after another, before the first of its containers starts. `first` is that container;
/// `when`: the conditions under which its containers are started.
pub(super) fn run(
    draft: &mut Draft<'_>,
    name: &str,
    service: &Service,
    first: (Option<u32>, &str),
    when: impl IntoIterator<Item = Condition>,
    gates: &mut Vec<StepId>,
) {
    let when = any_of(when).unwrap_or(Condition::Always);
    for action in actions(&draft.project.name, name, service, first) {
        let cause = ServiceCause::BeforeStart(name.to_owned());
        let step = draft.push(action, cause, gates.clone(), when.clone());
        gates.push(step);
    }
}

/// What runs before a service, in order.
pub(crate) fn actions(
    project: &str,
    name: &str,
    service: &Service,
    (number, beside): (Option<u32>, &str),
) -> impl Iterator<Item = Action> {
    (0..service.pre_start.len()).map(move |index| Action::RunPreStart {
        service: name.to_owned(),
        index,
        name: labels::pre_start_name(project, name, index),
        number,
        beside: beside.to_owned(),
    })
}

/// Whether a container of the service goes on running: then what had to be done before its start is done.
pub(super) fn one_runs_on(draft: &Draft<'_>, name: &str, started: impl Fn(&str) -> bool) -> bool {
    let slots = draft.slots.get(name).into_iter().flatten();
    slots
        .filter(|slot| !started(&slot.name))
        .filter_map(|slot| slot.existing)
        .any(|container| matches!(container.state, RunState::Running | RunState::Restarting | RunState::Paused))
}
