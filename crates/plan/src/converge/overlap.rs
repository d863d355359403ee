//! A replacement that starts before its predecessor stops: `deploy.update_config.order: start-first`. Two containers of a service
//! run for a while then; what forbids that is said, and the old one stops first.

use std::collections::BTreeSet;

use super::super::{Action, Condition, ContainerCause, ObservedContainer, RunState, StepId};
use super::draft::{Draft, NetworkFate, Swap};
use super::idle::{Job, job};
use super::sharing::shares;
use super::{bound, swaps};
use turnout_compose::{labels::final_name, model::Service};

/// Whether this container's replacement starts first. Where that is asked for and cannot be, a warning says why.
pub(super) fn may(draft: &mut Draft<'_>, name: &str, service: &Service, container: &ObservedContainer) -> bool {
    let Some(asked) = draft.intent.start_first.get(name) else { return false };
    // Of one that does not run nothing is lost.
    if container.state != RunState::Running {
        return false;
    }
    let barred = asked.clone().err().or_else(|| bar(draft, name, service, container));
    let Some(why) = barred else { return true };
    let warning = format!(
        "{name}: deploy.update_config.order is start-first, but the old one stops before the new one starts: {why}"
    );
    if !draft.plan.warnings.contains(&warning) {
        draft.warn(warning);
    }
    false
}

/// What in this very plan speaks against it.
fn bar(draft: &Draft<'_>, name: &str, service: &Service, container: &ObservedContainer) -> Option<String> {
    let replaced = |key: &&String| matches!(draft.networks.get(*key), Some(NetworkFate::Replaced { .. }));
    if let Some(key) = service.networks.keys().find(replaced) {
        return Some(format!("network {key} is made anew, and it is taken out of that"));
    }
    if draft.stops.contains_key(&container.id) {
        return Some("it is stopped with what it depends on".to_owned());
    }
    if let Some((what, owner)) = shares(service).into_iter().next() {
        return Some(format!("it shares {what} of {owner}"));
    }
    if !service.pre_start.is_empty() {
        return Some("it has pre_start steps, which run while none of it does".to_owned());
    }
    if job(draft.project, name, service) == Job::Said {
        return Some("it is a job, which comes to an end".to_owned());
    }
    let own = final_name(&container.name);
    for (other, definition) in draft.project.services.iter().filter(|(other, _)| *other != name) {
        if shares(definition).iter().any(|(_, owner)| *owner == name) {
            return Some(format!("{other} has namespaces or volumes of it"));
        }
        if definition.depends_on.get(name).is_some_and(|edge| edge.restart) {
            return Some(format!("{other} is restarted with it (depends_on: restart)"));
        }
        if bound::binds(definition, name, own) || definition.container_name == own {
            return Some(format!("{other} refers to the name {own}, which only one can have"));
        }
    }
    None
}

/// Has the predecessor end once the replacement, which `started` starts, is ready. Answers the step that gives the
/// replacement its name.
pub(super) fn hand_over(draft: &mut Draft<'_>, swap: &Swap<'_>, started: StepId) -> StepId {
    let when = match draft.plan.steps.get(started) {
        Some(step) if step.only_if == Condition::Always => Condition::Always,
        _ => Condition::AnyDid(vec![started]),
    };
    let action =
        Action::AwaitReady { service: swap.old.service.clone(), number: swap.old.number, name: swap.create_as.clone() };
    let cause = ContainerCause::StartsFirst.into();
    let ready = draft.push_part(Some(started), action, &cause, vec![started], when.clone());
    swaps::take_place(draft, swap, started, vec![ready], when, true, &BTreeSet::new())
}
