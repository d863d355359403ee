//! Which containers are a service's.

use super::super::{ObservedContainer, RunState};
use super::Draft;
use turnout_compose::labels::final_name;

/// The service's containers, and those that are only remains: a temporary name beside the container it was to replace, or
/// beside another temporary one that runs or, where none does, was started once; and what does not run beside a successor
/// that does.
pub(super) fn members<'a>(draft: &Draft<'a>, name: &str) -> (Vec<&'a ObservedContainer>, Vec<&'a ObservedContainer>) {
    let all = draft.borne(name).iter().copied();
    let all = all.filter(|c| !c.oneoff && c.state != RunState::Removing);
    let (mut temporary, mut members): (Vec<_>, Vec<_>) = all.partition(|c| final_name(&c.name) != c.name);
    temporary.sort_by_key(|c| (!is_live(c), c.state == RunState::Created));
    let mut leftovers = Vec::new();
    for container in temporary {
        let taken = |c: &ObservedContainer| {
            c.number.is_some() && c.number == container.number || final_name(&c.name) == final_name(&container.name)
        };
        match members.iter_mut().find(|member| taken(member)) {
            // It started first and has taken over, up to the name.
            Some(member) if is_live(container) && !is_live(member) => {
                leftovers.push(std::mem::replace(member, container));
            }
            Some(_) => leftovers.push(container),
            None => members.push(container),
        }
    }
    (members, leftovers)
}

/// Whether something would have to be stopped.
pub(super) fn is_live(container: &ObservedContainer) -> bool {
    matches!(container.state, RunState::Running | RunState::Paused | RunState::Restarting)
}
