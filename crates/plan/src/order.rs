//! The order of steps: what comes before what, and that nothing is disturbed before all that can be created is.

use std::{cmp::Reverse, collections::BTreeSet, collections::BinaryHeap};

use super::{Action, Condition, NetworkRemoval, Removal, Step, StepId, step_set::StepSet};

/// Puts steps in an order in which every edge points back, those that may come earlier first as they stand; and lets
/// every step that disturbs something wait for every container that can be created before it. A creation that is refused
/// then leaves everything running.
pub(super) fn arrange(mut steps: Vec<Step>) -> Vec<Step> {
    let before = ancestors(&steps, &in_turn(&steps));
    let disturbing = disturbing(&steps);
    let early = early(&steps, &before, &disturbing);
    for (id, step) in steps.iter_mut().enumerate().filter(|(id, _)| disturbing.contains(*id)) {
        let known = before.get(id);
        step.after.extend(early.iter().filter(|made| known.is_none_or(|known| !known.contains(**made))));
    }
    let turn = in_turn(&steps);
    renumber(steps, &turn)
}

/// Drops edges that follow from others, so that a plan reads and serialises small. Every edge points back.
pub(super) fn reduce(steps: &mut [Step]) {
    let mut reach: Vec<StepSet> = Vec::with_capacity(steps.len());
    for step in steps.iter_mut() {
        let mut reached = StepSet::default();
        step.after.iter().filter_map(|id| reach.get(*id)).for_each(|theirs| reached.extend(theirs));
        step.after.sort_unstable();
        step.after.dedup();
        step.after.retain(|id| !reached.contains(*id));
        step.after.iter().for_each(|id| reached.insert(*id));
        reach.push(reached);
    }
}

/// Steps that take away from somebody what runs or is there. What an interrupted run left under a temporary name and does
/// not run is nobody's.
pub(super) fn disturbing(steps: &[Step]) -> StepSet {
    let nobodys: BTreeSet<&str> = steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::RemoveContainer { id, reason: Removal::Leftover | Removal::StepLeft, .. } => Some(id.as_str()),
            _ => None,
        })
        .collect();
    let disturbs = |action: &Action| match action {
        Action::StopContainer { id, .. } | Action::RemoveContainer { id, .. } => !nobodys.contains(id.as_str()),
        Action::DisconnectContainer { .. }
        | Action::RemoveNetwork { reason: NetworkRemoval::Replaced, .. }
        | Action::RemoveVolume { replaced: true, .. } => true,
        _ => false,
    };
    let mut found = StepSet::default();
    steps.iter().enumerate().filter(|(_, step)| disturbs(&step.action)).for_each(|(id, _)| found.insert(id));
    found
}

/// Creations of containers that wait for nothing that disturbs: all but those that need a network or volume which is to
/// be replaced, or bind a name that another container has until it goes.
pub(super) fn early(steps: &[Step], before: &[StepSet], disturbing: &StepSet) -> Vec<StepId> {
    let creations = steps.iter().enumerate().filter(|(_, s)| matches!(s.action, Action::CreateContainer { .. }));
    creations.map(|(id, _)| id).filter(|id| before.get(*id).is_none_or(|before| !before.meets(disturbing))).collect()
}

/// For each step all that it waits for, given an order in which its edges point back.
fn ancestors(steps: &[Step], turn: &[StepId]) -> Vec<StepSet> {
    let mut all = vec![StepSet::default(); steps.len()];
    for id in turn {
        let mut own = StepSet::default();
        for other in steps.get(*id).into_iter().flat_map(|step| &step.after) {
            all.get(*other).into_iter().for_each(|theirs| own.extend(theirs));
            own.insert(*other);
        }
        if let Some(place) = all.get_mut(*id) {
            *place = own;
        }
    }
    all
}

/// Steps in an order in which every edge points back, of those that may come next the one that stands first. What a circle
/// holds up comes last; the checker refuses it.
fn in_turn(steps: &[Step]) -> Vec<StepId> {
    let mut open: Vec<usize> = Vec::with_capacity(steps.len());
    let mut followers: Vec<Vec<StepId>> = vec![Vec::new(); steps.len()];
    for (id, step) in steps.iter().enumerate() {
        let needs: BTreeSet<StepId> = step.after.iter().copied().filter(|other| *other < steps.len()).collect();
        open.push(needs.len());
        needs.into_iter().filter_map(|other| followers.get_mut(other).map(|all| all.push(id))).for_each(drop);
    }
    let ready = open.iter().enumerate().filter(|(_, needs)| **needs == 0);
    let mut ready: BinaryHeap<Reverse<StepId>> = ready.map(|(id, _)| Reverse(id)).collect();
    let mut turn: Vec<StepId> = Vec::with_capacity(steps.len());
    while let Some(Reverse(id)) = ready.pop() {
        turn.push(id);
        for follower in followers.get(id).into_iter().flatten() {
            if let Some(needs) = open.get_mut(*follower) {
                *needs = needs.saturating_sub(1);
                if *needs == 0 {
                    ready.push(Reverse(*follower));
                }
            }
        }
    }
    turn.extend(open.iter().enumerate().filter(|(_, needs)| **needs > 0).map(|(id, _)| id));
    turn
}

fn renumber(steps: Vec<Step>, turn: &[StepId]) -> Vec<Step> {
    let mut places = vec![0; turn.len()];
    for (place, id) in turn.iter().enumerate() {
        if let Some(entry) = places.get_mut(*id) {
            *entry = place;
        }
    }
    let place = |id: StepId| places.get(id).copied().unwrap_or(id);
    let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let in_turn = turn.iter().filter_map(|id| steps.get_mut(*id).and_then(Option::take));
    in_turn
        .map(|mut step| {
            step.after.iter_mut().for_each(|id| *id = place(*id));
            step.part_of = step.part_of.map(place);
            step.only_if = moved(step.only_if, &place);
            step
        })
        .collect()
}

fn moved(condition: Condition, place: &dyn Fn(StepId) -> StepId) -> Condition {
    match condition {
        Condition::Always | Condition::ImageChanged { .. } => condition,
        Condition::AnyDid(steps) => {
            let mut steps: Vec<StepId> = steps.into_iter().map(place).collect();
            steps.sort_unstable();
            Condition::AnyDid(steps)
        }
        Condition::DidNot(step) => Condition::DidNot(place(step)),
        Condition::AnyOf(parts) => Condition::AnyOf(parts.into_iter().map(|part| moved(part, place)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Replaced;

    fn create(name: &str, after: &[StepId]) -> Step {
        let replaces = Some(Replaced { id: name.to_owned(), name: name.to_owned(), inherit_volumes: true });
        let (service, create_as) = (name.to_owned(), format!("_{name}"));
        let action = Action::CreateContainer { service, number: 1, name: name.to_owned(), create_as, replaces };
        Step::new(action, "test", after.to_vec(), Condition::Always)
    }

    fn stop(name: &str, after: &[StepId]) -> Step {
        let (service, id, name) = (name.to_owned(), name.to_owned(), name.to_owned());
        let action = Action::StopContainer { service, id, name, hooks: false };
        let condition = after.first().map_or(Condition::Always, |id| Condition::AnyDid(vec![*id]));
        Step { part_of: after.first().copied(), ..Step::new(action, "test", after.to_vec(), condition) }
    }

    #[test]
    fn what_disturbs_comes_after_all_that_can_be_created() {
        // b can be created at once, c only when a has stopped.
        let steps = vec![create("a", &[]), stop("a", &[0]), create("b", &[]), stop("b", &[2]), create("c", &[1])];
        let mut arranged = arrange(steps);
        reduce(&mut arranged);
        let told: Vec<String> = arranged.iter().map(|step| format!("{:?}", (step.part_of, &step.after))).collect();
        assert_eq!(told, ["(None, [])", "(None, [])", "(Some(0), [0, 1])", "(Some(1), [0, 1])", "(None, [2])",]);
        assert_eq!(arranged[3].only_if, Condition::AnyDid(vec![1]));
        assert!(matches!(&arranged[1].action, Action::CreateContainer { name, .. } if name == "b"));
    }

    /// What an interrupted run left can go at any time; everything else that goes or stops is somebody's.
    #[test]
    fn what_was_left_over_is_nobodys() {
        let remove = |id: &str, reason| {
            let (service, id, name) = ("web".to_owned(), id.to_owned(), id.to_owned());
            let action = Action::RemoveContainer { service, id, name, volumes: false, reason };
            Step::new(action, "test", Vec::new(), Condition::Always)
        };
        let steps = [
            remove("a", Removal::Leftover),
            stop("a", &[]),
            remove("b", Removal::StepLeft),
            remove("c", Removal::Orphan),
            remove("d", Removal::Replaced),
            stop("e", &[]),
            create("f", &[]),
        ];
        let found = disturbing(&steps);
        assert_eq!((0..steps.len()).filter(|id| found.contains(*id)).collect::<Vec<_>>(), [3, 4, 5]);
    }

    /// Whatever plans are made: no step may get lost, for the checker to see what is wrong with them.
    #[test]
    fn every_step_has_its_turn() {
        for (steps, expected) in [
            (vec![create("a", &[1]), create("b", &[])], [1, 0]),
            // There is no such step, so nobody has to wait for it.
            (vec![create("a", &[2]), create("b", &[])], [0, 1]),
            (vec![create("a", &[7]), create("b", &[])], [0, 1]),
            // A circle.
            (vec![create("a", &[1]), create("b", &[0])], [0, 1]),
        ] {
            assert_eq!(in_turn(&steps), expected);
        }
    }
}
