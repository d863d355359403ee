//! A linter for plans: refuses what must never be executed, whoever made the plan.

use std::collections::BTreeSet;

use super::{Action, Condition, Plan, Removal, Step, StepId, order, step_set::StepSet, words};

/// Refuses a plan that breaks a rule; the text names the step (from 1, as printed) and the rule.
///
/// Rules: edges and conditions point back, at steps that are waited for, and so do the parts of a deed; every step has a
/// cause; nothing is touched before all images are there; nothing is stopped or taken away before every container is
/// created that can be; nothing is started before everything is created; what runs until its replacement is ready waits for
/// that; whatever is stopped is started, replaced or
/// removed; a removed container comes back unless its removal was the point; each container is created and removed at
/// most once; whoever takes a name comes after whoever gives it up; what is created under a temporary name gets its own;
/// a service starts after its `pre_start` steps.
pub fn check(plan: &Plan) -> Result<(), String> {
    let before = ancestors(&plan.steps)?;
    let fault =
        |id: StepId, step: &Step, rule: &str| Err(format!("step {} ({}): {rule}", id + 1, words::action(&step.action)));
    let mut created: BTreeSet<&str> = BTreeSet::new();
    let (mut ended, mut renamed, mut beside): (BTreeSet<&str>, BTreeSet<&str>, BTreeSet<&str>) = Default::default();
    let starts = plan.steps.iter().any(|s| matches!(s.action, Action::StartContainer { .. }));
    let disturbing = order::disturbing(&plan.steps);
    let early = order::early(&plan.steps, &before, &disturbing);
    for ((id, step), before) in plan.steps.iter().enumerate().zip(&before) {
        let is_before = |wanted: fn(&Action) -> bool| {
            plan.steps.iter().enumerate().all(|(other, s)| !wanted(&s.action) || before.contains(other))
        };
        if step.cause.to_string().trim().is_empty() {
            return fault(id, step, "has no cause");
        }
        if let Some(stranger) = speaks_of(&step.only_if)?.into_iter().find(|other| !before.contains(*other)) {
            return fault(
                id,
                step,
                &format!("its condition speaks of step {}, which it does not wait for", stranger + 1),
            );
        }
        let leads = |lead: StepId| lead < id && plan.steps.get(lead).is_some_and(|lead| lead.part_of.is_none());
        if step.part_of.is_some_and(|lead| !leads(lead)) {
            return fault(id, step, "goes on with a step that is not the first of a deed before it");
        }
        if let Some(made) = early.iter().find(|made| disturbing.contains(id) && !before.contains(**made)) {
            return fault(id, step, &format!("disturbs something before step {}, a creation", made + 1));
        }
        if touches(&step.action) && !is_before(brings_image) {
            return fault(id, step, "does not wait for all images");
        }
        if let Some(name) = takes(&step.action)
            && let Some(giver) = plan
                .steps
                .iter()
                .enumerate()
                .position(|(other, s)| gives_up(&s.action, &step.action) == Some(name) && !before.contains(other))
        {
            return fault(id, step, &format!("takes a name without waiting for step {}, which gives it up", giver + 1));
        }
        match &step.action {
            Action::RunPreStart { .. } if !is_before(makes) => {
                return fault(id, step, "does not wait until every container is created");
            }
            Action::StartContainer { service, name, .. } => {
                let unfinished =
                    |s: &Step| matches!(&s.action, Action::RunPreStart { service: of, .. } if of == service);
                if plan.steps.iter().enumerate().any(|(other, s)| unfinished(s) && !before.contains(other)) {
                    return fault(id, step, "does not wait for every pre_start step of its service");
                }
                if !is_before(makes) {
                    return fault(id, step, "does not wait until every container is created");
                }
                let there = |made: &BTreeSet<&str>| made.contains(name.as_str());
                if there(&ended) && ![&created, &renamed, &beside].into_iter().any(there) {
                    return fault(id, step, "the container was removed");
                }
            }
            Action::CreateContainer { name, create_as, .. } => {
                let is_first = created.insert(name);
                beside.insert(create_as);
                if !is_first {
                    return fault(id, step, "makes a container a second time");
                }
                if name != create_as && !is_renamed(plan, id, create_as, name) {
                    return fault(id, step, "the container does not get its name");
                }
            }
            Action::RenameContainer { to, .. } => drop(renamed.insert(to)),
            Action::RemoveContainer { id: container, name, reason, .. } => {
                if !ended.insert(name) {
                    return fault(id, step, "removes a container a second time");
                }
                if *reason == Removal::Replaced && !comes_back(plan, container, name) {
                    return fault(id, step, "the container does not come back");
                }
            }
            Action::StopContainer { id: container, name, .. } if starts && !resumes(plan, id, container, name) => {
                return fault(id, step, "the container is neither started again, nor replaced, nor removed");
            }
            Action::StopContainer { id: container, .. } if ends_early(plan, before, container) => {
                return fault(id, step, "does not wait until what starts before it stops is ready");
            }
            _ => {}
        }
    }
    Ok(())
}

/// For each step all that it waits for; fails on an edge that does not point back.
fn ancestors(steps: &[Step]) -> Result<Vec<StepSet>, String> {
    let mut all: Vec<StepSet> = Vec::with_capacity(steps.len());
    for (id, step) in steps.iter().enumerate() {
        let mut own = StepSet::default();
        for other in &step.after {
            let Some(theirs) = all.get(*other) else {
                return Err(format!("step {} waits for step {}, which does not come before it", id + 1, other + 1));
            };
            own.extend(theirs);
            own.insert(*other);
        }
        all.push(own);
    }
    Ok(all)
}

fn speaks_of(condition: &Condition) -> Result<Vec<StepId>, String> {
    Ok(match condition {
        Condition::Always | Condition::ImageChanged { .. } => Vec::new(),
        Condition::DidNot(step) => vec![*step],
        Condition::AnyDid(steps) if steps.is_empty() => return Err("a condition that never holds".to_owned()),
        Condition::AnyDid(steps) => steps.clone(),
        Condition::AnyOf(parts) => {
            if parts.is_empty() || parts.iter().any(|p| matches!(p, Condition::AnyOf(_) | Condition::Always)) {
                return Err("a condition of conditions that is empty, nested or always true".to_owned());
            }
            parts.iter().map(speaks_of).collect::<Result<Vec<_>, _>>()?.concat()
        }
    })
}

fn brings_image(action: &Action) -> bool {
    matches!(action, Action::Pull { .. } | Action::Build { .. })
}

fn makes(action: &Action) -> bool {
    matches!(action, Action::CreateContainer { .. })
}

/// The name that a container gets.
fn takes(action: &Action) -> Option<&str> {
    match action {
        Action::CreateContainer { create_as: name, .. }
        | Action::RunPreStart { name, .. }
        | Action::RenameContainer { to: name, .. } => Some(name),
        _ => None,
    }
}

/// The name that a container loses; not the one that `taker` itself gave it.
fn gives_up<'a>(action: &'a Action, taker: &Action) -> Option<&'a str> {
    let (name, container) = match action {
        Action::RemoveContainer { name, id, .. } => (name, Some(id)),
        Action::RenameContainer { from, id, .. } => (from, id.as_ref()),
        _ => return None,
    };
    let same = match taker {
        Action::RenameContainer { id, .. } => id.is_some() && id.as_ref() == container,
        // The name that it has for a while.
        Action::CreateContainer { create_as, .. } => container.is_none() && create_as == name,
        _ => false,
    };
    (!same).then_some(name)
}

fn touches(action: &Action) -> bool {
    match action {
        Action::Pull { .. } | Action::Build { .. } | Action::CreateNetwork { .. } | Action::CreateVolume { .. } => {
            false
        }
        Action::TryNetwork { .. }
        | Action::DisconnectContainer { .. }
        | Action::ConnectContainer { .. }
        | Action::RenameContainer { .. }
        | Action::CreateContainer { .. }
        | Action::StopContainer { .. }
        | Action::RemoveContainer { .. }
        | Action::RestartContainer { .. }
        | Action::SignalContainer { .. }
        | Action::UnpauseContainer { .. }
        | Action::WaitFor { .. }
        | Action::RunPreStart { .. }
        | Action::StartContainer { .. }
        | Action::AwaitReady { .. }
        | Action::RemoveNetwork { .. }
        | Action::RemoveVolume { .. }
        | Action::RemoveImage { .. } => true,
    }
}

/// Whether a container that is created as `from` is called `to` in the end.
fn is_renamed(plan: &Plan, after: StepId, from: &str, to: &str) -> bool {
    plan.steps
        .iter()
        .skip(after)
        .any(|s| matches!(&s.action, Action::RenameContainer { from: old, to: new, .. } if old == from && new == to))
}

/// Whether another container is created for it, or one that bears its name.
fn comes_back(plan: &Plan, removed: &str, name: &str) -> bool {
    let wanted = super::converge::final_name(name);
    plan.steps.iter().any(|s| match &s.action {
        Action::CreateContainer { name, replaces, .. } => {
            name == wanted || replaces.as_ref().is_some_and(|old| old.id == removed)
        }
        _ => false,
    })
}

/// Whether a step that waits for `before` stops a container whose replacement is started under its temporary name, and does
/// not wait until that is ready.
fn ends_early(plan: &Plan, before: &StepSet, stopped: &str) -> bool {
    let beside = plan.steps.iter().find_map(|step| match &step.action {
        Action::CreateContainer { create_as, name, replaces: Some(old), .. } if old.id == stopped => {
            (create_as != name).then_some(create_as)
        }
        _ => None,
    });
    let Some(beside) = beside else { return false };
    let starts = |step: &Step| matches!(&step.action, Action::StartContainer { name, .. } if name == beside);
    let ready = |step: &Step| matches!(&step.action, Action::AwaitReady { name, .. } if name == beside);
    let mut all = plan.steps.iter().enumerate();
    plan.steps.iter().any(starts) && !all.any(|(id, step)| ready(step) && before.contains(id))
}

fn resumes(plan: &Plan, after: StepId, container: &str, stopped: &str) -> bool {
    let wanted = super::converge::final_name(stopped);
    let when = plan.steps.get(after).map(|step| &step.only_if);
    plan.steps.iter().skip(after).any(|s| match &s.action {
        Action::StartContainer { name, .. } => name == wanted || name == stopped,
        Action::RemoveContainer { id, .. } => {
            id == container && (s.only_if == Condition::Always || Some(&s.only_if) == when)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Existing, NetworkRemoval, Replaced};

    fn step(action: Action, after: &[StepId]) -> Step {
        Step::new(action, "test", after.to_vec(), Condition::Always)
    }
    fn build() -> Action {
        Action::Build { service: "web".to_owned(), image: "p-web".to_owned() }
    }
    fn create() -> Action {
        let (service, name, create_as) = ("web".to_owned(), "p-web-1".to_owned(), "p-web-1".to_owned());
        Action::CreateContainer { service, number: 1, name, create_as, replaces: None }
    }
    fn create_beside() -> Action {
        let (service, name, create_as) = ("web".to_owned(), "p-web-1".to_owned(), "w_p-web-1".to_owned());
        let replaces = Some(Replaced { id: "w".to_owned(), name: name.clone(), inherit_volumes: true });
        Action::CreateContainer { service, number: 1, name, create_as, replaces }
    }
    fn rename() -> Action {
        let (service, from, to) = ("web".to_owned(), "w_p-web-1".to_owned(), "p-web-1".to_owned());
        Action::RenameContainer { service, id: None, from, to }
    }
    fn start() -> Action {
        Action::StartContainer { service: "web".to_owned(), number: Some(1), name: "p-web-1".to_owned() }
    }
    fn step_before() -> Action {
        let (service, name, beside) = ("web".to_owned(), "p-web-pre_start-0".to_owned(), "p-web-1".to_owned());
        Action::RunPreStart { service, index: 0, name, number: Some(1), beside }
    }
    fn stop() -> Action {
        let (service, id, name) = ("api".to_owned(), "a".to_owned(), "p-api-1".to_owned());
        Action::StopContainer { service, id, name, hooks: true }
    }
    fn stop_web() -> Action {
        let (service, id, name) = ("web".to_owned(), "w".to_owned(), "p-web-1".to_owned());
        Action::StopContainer { service, id, name, hooks: false }
    }
    fn remove(reason: Removal) -> Action {
        Action::RemoveContainer {
            service: "web".to_owned(),
            id: "w".to_owned(),
            name: "p-web-1".to_owned(),
            volumes: false,
            reason,
        }
    }
    fn removal(id: &str, name: &str, reason: Removal) -> Action {
        let (service, id, name) = ("web".to_owned(), id.to_owned(), name.to_owned());
        Action::RemoveContainer { service, id, name, volumes: false, reason }
    }
    fn renaming(id: Option<&str>, from: &str, to: &str) -> Action {
        let (service, id) = ("web".to_owned(), id.map(str::to_owned));
        Action::RenameContainer { service, id, from: from.to_owned(), to: to.to_owned() }
    }
    fn network() -> Action {
        let (key, name) = ("default".to_owned(), "p_default".to_owned());
        Action::RemoveNetwork { key, name, id: Some("n".to_owned()), reason: NetworkRemoval::Replaced }
    }
    fn disconnect() -> Action {
        let container = Existing { service: "web".to_owned(), id: "w".to_owned(), name: "p-web-1".to_owned() };
        Action::DisconnectContainer { network: "p_default".to_owned(), network_id: "n".to_owned(), container }
    }
    fn with(mut step: Step, only_if: Condition) -> Step {
        step.only_if = only_if;
        step
    }

    fn part(action: Action, lead: StepId) -> Step {
        Step { part_of: Some(lead), ..step(action, &[]) }
    }
    /// Creation, stop, which waits for these, removal, name, start.
    fn swapped(stop_after: &[StepId]) -> Vec<Step> {
        vec![
            step(create_beside(), &[]),
            step(stop_web(), stop_after),
            step(remove(Removal::Replaced), &[0, 1]),
            step(rename(), &[2]),
            step(start(), &[3]),
        ]
    }

    #[test]
    fn rules() {
        let mut causeless = step(create(), &[]);
        causeless.cause = " ".into();
        let mut renamed_at_once = swapped(&[0]);
        renamed_at_once[3].after = vec![1];
        let table: Vec<(Vec<Step>, &str)> = vec![
            (vec![], ""),
            (vec![step(build(), &[]), step(create(), &[0]), step(start(), &[1])], ""),
            (vec![step(remove(Removal::Replaced), &[]), step(create(), &[0]), step(start(), &[1])], ""),
            (vec![step(remove(Removal::Orphan), &[])], ""),
            (vec![causeless], "has no cause"),
            (vec![step(create(), &[0])], "waits for step 1, which does not come before"),
            (vec![step(create(), &[7])], "waits for step 8, which does not come before"),
            (vec![step(build(), &[]), step(create(), &[])], "does not wait for all images"),
            (vec![step(build(), &[]), step(network(), &[])], "does not wait for all images"),
            (vec![step(create(), &[]), step(start(), &[])], "does not wait until every container is created"),
            (vec![step(create(), &[]), step(step_before(), &[]), step(start(), &[0, 1])], "until every container"),
            (vec![step(create(), &[]), step(step_before(), &[0]), step(start(), &[0])], "for every pre_start step"),
            (vec![step(create(), &[]), step(step_before(), &[0]), step(start(), &[1])], ""),
            (vec![step(create(), &[]), step(create(), &[])], "a second time"),
            (vec![step(remove(Removal::Orphan), &[]), step(remove(Removal::Orphan), &[])], "a second time"),
            (vec![step(remove(Removal::Orphan), &[]), step(start(), &[0])], "was removed"),
            (renamed_at_once, "without waiting for step 3, which gives"),
            (vec![step(remove(Removal::Replaced), &[])], "does not come back"),
            (vec![step(stop(), &[]), step(start(), &[0])], "neither started again"),
            // A replacement: created before the first stop, and named when the old one has gone.
            (swapped(&[0]), ""),
            (swapped(&[]), "disturbs something before step 1, a creation"),
            (
                vec![step(create_beside(), &[]), step(disconnect(), &[]), step(rename(), &[0])],
                "disturbs something before step 1, a creation",
            ),
            // What needs what is to be replaced cannot be created before.
            (vec![step(network(), &[]), step(create(), &[0])], ""),
            (vec![step(network(), &[]), step(create(), &[])], "disturbs something before step 2, a creation"),
            (vec![step(create_beside(), &[])], "does not get its name"),
            (swapped(&[0])[..3].to_vec(), "does not get its name"),
            (vec![part(create(), 0)], "goes on with a step that is not the first"),
            (
                vec![step(create(), &[]), part(rename(), 0), part(rename(), 1)],
                "goes on with a step that is not the first",
            ),
            (vec![with(step(create(), &[]), Condition::AnyDid(vec![]))], "never holds"),
            (vec![with(step(create(), &[]), Condition::AnyOf(vec![Condition::Always]))], "always true"),
            (
                vec![step(create(), &[]), with(step(start(), &[]), Condition::AnyDid(vec![0]))],
                "its condition speaks of step 1",
            ),
        ];
        judged(table);
    }

    fn judged(table: Vec<(Vec<Step>, &str)>) {
        for (steps, expected) in table {
            let plan = Plan { project: "p".to_owned(), steps, ..Plan::default() };
            match check(&plan) {
                Ok(()) => assert_eq!(expected, "", "accepted:\n{}", crate::render(&plan)),
                Err(text) => assert!(!expected.is_empty() && text.contains(expected), "{text}\nwanted {expected:?}"),
            }
        }
    }

    /// A name can be taken when whoever has it has given it up; nobody waits for itself.
    #[test]
    fn names_are_taken_after_they_were_given_up() {
        let waits_not = "takes a name without waiting for step";
        let two = |one: Action, other: Action, after: &[StepId]| vec![step(one, &[]), step(other, after)];
        let moved = || renaming(Some("w"), "p-web-1", "aside");
        let left = || removal("w", "p-web-1", Removal::Leftover);
        judged(vec![
            (two(moved(), create(), &[0]), ""),
            (two(moved(), create(), &[]), waits_not),
            (two(left(), create(), &[0]), ""),
            (two(left(), create(), &[]), waits_not),
            (two(left(), renaming(Some("v"), "aside", "p-web-1"), &[0]), ""),
            (two(left(), renaming(Some("v"), "aside", "p-web-1"), &[]), waits_not),
            // Both without an ID: two that this plan creates.
            (two(renaming(None, "p-web-1", "a"), renaming(None, "b", "p-web-1"), &[0]), ""),
            (two(renaming(None, "p-web-1", "a"), renaming(None, "b", "p-web-1"), &[]), waits_not),
            // There and back again, and renamed before it goes: the name that it gives up later is its own.
            (two(renaming(Some("w"), "a", "b"), renaming(Some("w"), "b", "a"), &[0]), ""),
            (two(renaming(Some("w"), "a", "p-web-1"), left(), &[0]), ""),
        ]);
    }

    /// Where anything is started, nothing stays stopped: whoever is told to stop starts, under either name, or goes on the
    /// same condition.
    #[test]
    fn what_is_stopped_comes_to_an_end_of_its_own() {
        const TEMPORARY: &str = "0123456789ab_p-api-1";
        let left = "neither started again, nor replaced, nor removed";
        let start_of =
            |name: &str| Action::StartContainer { service: "api".to_owned(), number: Some(1), name: name.to_owned() };
        let stop_of = |name: &str| Action::StopContainer {
            service: "api".to_owned(),
            id: "a".to_owned(),
            name: name.to_owned(),
            hooks: true,
        };
        let did = |id| Condition::AnyDid(vec![id]);
        // Two others start, so that there is something to make a condition of.
        let ended = |when: Condition, action: Action, then: Condition| {
            vec![
                step(start(), &[]),
                step(start_of("p-db-1"), &[]),
                with(step(stop_of("p-api-1"), &[0, 1]), when),
                with(step(action, &[2]), then),
            ]
        };
        let gone = |id: &str| removal(id, "p-api-1", Removal::Orphan);
        judged(vec![
            (vec![step(stop_of(TEMPORARY), &[]), step(start_of("p-api-1"), &[0])], ""),
            (vec![step(stop_of(TEMPORARY), &[]), step(start_of(TEMPORARY), &[0])], ""),
            (vec![step(stop_of(TEMPORARY), &[]), step(start_of("p-db-1"), &[0])], left),
            (ended(Condition::Always, gone("a"), Condition::Always), ""),
            (ended(did(0), gone("a"), Condition::Always), ""),
            (ended(did(0), gone("a"), did(0)), ""),
            (ended(did(0), gone("a"), did(1)), left),
            (ended(Condition::Always, gone("a"), did(0)), left),
            (ended(Condition::Always, gone("another"), Condition::Always), left),
        ]);
    }
}
