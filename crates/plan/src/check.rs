//! A linter for plans: refuses what must never be executed, whoever made the plan.

use std::collections::BTreeSet;

use super::{Action, Condition, Plan, Removal, Step, StepId, render, step_set::StepSet};

/// Refuses a plan that breaks a rule; the text names the step (from 1, as printed) and the rule.
///
/// Rules: edges and conditions point back, at steps that are waited for; every step has a cause; nothing is touched
/// before all images are there; nothing is started before everything is created; whatever is stopped is started,
/// replaced or removed; a removed container comes back unless its removal was the point; each container is created,
/// replaced and removed at most once; whoever takes a name comes after whoever gives it up; a service starts after its
/// `pre_start` steps.
pub fn check(plan: &Plan) -> Result<(), String> {
    let before = ancestors(&plan.steps)?;
    let fault = |id: StepId, step: &Step, rule: &str| {
        Err(format!("step {} ({}): {rule}", id + 1, render::action(&step.action)))
    };
    let mut created: BTreeSet<&str> = BTreeSet::new();
    let mut ended: BTreeSet<&str> = BTreeSet::new();
    let starts = plan.steps.iter().any(|s| matches!(s.action, Action::StartContainer { .. }));
    for ((id, step), before) in plan.steps.iter().enumerate().zip(&before) {
        let is_before = |wanted: fn(&Action) -> bool| {
            plan.steps.iter().enumerate().all(|(other, s)| !wanted(&s.action) || before.contains(other))
        };
        if step.cause.trim().is_empty() {
            return fault(id, step, "has no cause");
        }
        if let Some(stranger) = speaks_of(&step.only_if)?.into_iter().find(|other| !before.contains(*other)) {
            return fault(
                id,
                step,
                &format!("its condition speaks of step {}, which it does not wait for", stranger + 1),
            );
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
                if ended.contains(name.as_str()) && !created.contains(name.as_str()) {
                    return fault(id, step, "the container was removed");
                }
            }
            Action::CreateContainer { name, .. } | Action::RecreateContainer { name, .. } => {
                let is_first = created.insert(name);
                if !is_first {
                    return fault(id, step, "makes a container a second time");
                }
            }
            Action::RemoveContainer { name, reason, .. } => {
                if !ended.insert(name) {
                    return fault(id, step, "removes a container a second time");
                }
                if *reason == Removal::Replaced && !comes_back(plan, id, name) {
                    return fault(id, step, "the container does not come back");
                }
            }
            Action::StopContainer { id: container, name, .. } if starts && !resumes(plan, id, container, name) => {
                return fault(id, step, "the container is neither started again, nor replaced, nor removed");
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
    matches!(action, Action::CreateContainer { .. } | Action::RecreateContainer { .. })
}

/// The name that a container gets.
fn takes(action: &Action) -> Option<&str> {
    match action {
        Action::CreateContainer { name, .. }
        | Action::RecreateContainer { name, .. }
        | Action::RunPreStart { name, .. }
        | Action::RenameContainer { to: name, .. } => Some(name),
        _ => None,
    }
}

/// The name that a container loses; not the one that `taker` itself gave it.
fn gives_up<'a>(action: &'a Action, taker: &Action) -> Option<&'a str> {
    let (name, container) = match action {
        Action::RecreateContainer { name, old_name, old_id, .. } if name != old_name => (old_name, old_id),
        Action::RemoveContainer { name, id, .. } | Action::RenameContainer { from: name, id, .. } => (name, id),
        _ => return None,
    };
    let same = matches!(taker, Action::RenameContainer { id, .. } if id == container);
    (!same).then_some(name)
}

fn touches(action: &Action) -> bool {
    match action {
        Action::Pull { .. } | Action::Build { .. } | Action::CreateNetwork { .. } | Action::CreateVolume { .. } => {
            false
        }
        Action::RecreateNetwork { .. }
        | Action::RecreateVolume { .. }
        | Action::RenameContainer { .. }
        | Action::CreateContainer { .. }
        | Action::RecreateContainer { .. }
        | Action::StopContainer { .. }
        | Action::RemoveContainer { .. }
        | Action::RestartContainer { .. }
        | Action::SignalContainer { .. }
        | Action::UnpauseContainer { .. }
        | Action::WaitFor { .. }
        | Action::RunPreStart { .. }
        | Action::StartContainer { .. }
        | Action::RemoveNetwork { .. }
        | Action::RemoveVolume { .. }
        | Action::RemoveImage { .. } => true,
    }
}

fn comes_back(plan: &Plan, after: StepId, removed: &str) -> bool {
    let wanted = super::converge::final_name(removed);
    plan.steps.iter().skip(after).any(|s| matches!(&s.action, Action::CreateContainer { name, .. } if name == wanted))
}

fn resumes(plan: &Plan, after: StepId, container: &str, stopped: &str) -> bool {
    let wanted = super::converge::final_name(stopped);
    plan.steps.iter().skip(after).any(|s| match &s.action {
        Action::StartContainer { name, .. } => name == wanted || name == stopped,
        Action::RecreateContainer { old_id, .. } => old_id == container && s.only_if == Condition::Always,
        Action::RemoveContainer { id, .. } => id == container,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Existing;

    fn step(action: Action, after: &[StepId]) -> Step {
        Step { action, cause: "test".to_owned(), after: after.to_vec(), only_if: Condition::Always }
    }
    fn build() -> Action {
        Action::Build { service: "web".to_owned(), image: "p-web".to_owned() }
    }
    fn create() -> Action {
        Action::CreateContainer { service: "web".to_owned(), number: 1, name: "p-web-1".to_owned() }
    }
    fn start() -> Action {
        Action::StartContainer { service: "web".to_owned(), number: Some(1), name: "p-web-1".to_owned() }
    }
    fn step_before() -> Action {
        let (service, name, beside) = ("web".to_owned(), "p-web-pre_start-0".to_owned(), "p-web-1".to_owned());
        Action::RunPreStart { service, index: 0, name, number: Some(1), beside }
    }
    fn stop() -> Action {
        Action::StopContainer { service: "api".to_owned(), id: "a".to_owned(), name: "p-api-1".to_owned() }
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
    fn network() -> Action {
        Action::RecreateNetwork {
            key: "default".to_owned(),
            name: "p_default".to_owned(),
            id: "n".to_owned(),
            reconnect: vec![Existing { service: "web".to_owned(), id: "w".to_owned(), name: "p-web-1".to_owned() }],
        }
    }
    fn with(mut step: Step, only_if: Condition) -> Step {
        step.only_if = only_if;
        step
    }

    #[test]
    fn rules() {
        let mut causeless = step(create(), &[]);
        causeless.cause = " ".to_owned();
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
            (
                vec![step(remove(Removal::Replaced), &[]), step(create(), &[])],
                "without waiting for step 1, which gives",
            ),
            (vec![step(remove(Removal::Replaced), &[])], "does not come back"),
            (vec![step(stop(), &[]), step(start(), &[0])], "neither started again"),
            (vec![with(step(create(), &[]), Condition::AnyDid(vec![]))], "never holds"),
            (vec![with(step(create(), &[]), Condition::AnyOf(vec![Condition::Always]))], "always true"),
            (
                vec![step(stop(), &[]), with(step(create(), &[]), Condition::AnyDid(vec![0]))],
                "its condition speaks of step 1",
            ),
        ];
        for (steps, expected) in table {
            let plan = Plan { project: "p".to_owned(), steps, ..Plan::default() };
            match check(&plan) {
                Ok(()) => assert_eq!(expected, "", "accepted:\n{}", render::render(&plan)),
                Err(text) => assert!(!expected.is_empty() && text.contains(expected), "{text}\nwanted {expected:?}"),
            }
        }
    }
}
