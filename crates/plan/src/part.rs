//! A part of a plan: some of its steps, in their order.

use super::{Action, Condition, Plan, Step, StepId};

/// The steps whose actions are wanted. What waited for one that is left out waits for what that waited for; a condition
/// that speaks of one counts as not met by it.
pub fn only(plan: &Plan, wanted: impl Fn(&Action) -> bool) -> Plan {
    // By index: the steps that stand for each, in the numbers of the part.
    let mut stands: Vec<Vec<StepId>> = Vec::with_capacity(plan.steps.len());
    let mut steps: Vec<Step> = Vec::new();
    for step in &plan.steps {
        let mut after: Vec<StepId> = step.after.iter().filter_map(|id| stands.get(*id)).flatten().copied().collect();
        after.sort_unstable();
        after.dedup();
        if !wanted(&step.action) {
            stands.push(after);
            continue;
        }
        let own = |id: &StepId| plan.steps.get(*id).is_some_and(|step| wanted(&step.action));
        let number = |id: &StepId| stands.get(*id).and_then(|all| all.first().copied()).filter(|_| own(id));
        let only_if = renumbered(&step.only_if, &number);
        let part_of = step.part_of.as_ref().and_then(number);
        stands.push(vec![steps.len()]);
        steps.push(Step { action: step.action.clone(), cause: step.cause.clone(), after, only_if, part_of });
    }
    Plan { project: plan.project.clone(), steps, ..Plan::default() }
}

fn renumbered(condition: &Condition, number: &impl Fn(&StepId) -> Option<StepId>) -> Condition {
    match condition {
        Condition::AnyDid(steps) => Condition::AnyDid(steps.iter().filter_map(number).collect()),
        Condition::DidNot(step) => number(step).map_or(Condition::Always, Condition::DidNot),
        Condition::AnyOf(all) => Condition::AnyOf(all.iter().map(|one| renumbered(one, number)).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, ServiceCause};

    #[test]
    fn steps_that_are_left_out_pass_on_what_they_waited_for() {
        let stop = |id: &str| Action::StopContainer {
            service: "web".to_owned(),
            id: id.to_owned(),
            name: id.to_owned(),
            hooks: true,
        };
        let step = |action, after: &[StepId], only_if| {
            Step::new(action, Cause::from(ServiceCause::Asked), after.to_vec(), only_if)
        };
        let plan = Plan {
            project: "redshop".to_owned(),
            steps: vec![
                step(stop("a"), &[], Condition::Always),
                step(stop("left out"), &[0], Condition::Always),
                step(stop("b"), &[1], Condition::AnyDid(vec![0, 1])),
                step(stop("c"), &[1, 2], Condition::DidNot(1)),
            ],
            ..Plan::default()
        };
        let named = |action: &Action| !matches!(action, Action::StopContainer { id, .. } if id == "left out");
        let part = only(&plan, named);
        let after: Vec<&[StepId]> = part.steps.iter().map(|step| step.after.as_slice()).collect();
        assert_eq!(after, [&[][..], &[0], &[0, 1]]);
        assert_eq!(part.steps[1].only_if, Condition::AnyDid(vec![0]));
        assert_eq!(part.steps[2].only_if, Condition::Always);
        assert_eq!(crate::check(&part), Ok(()));
        assert_eq!(only(&plan, |_| true).steps, plan.steps);
    }
}
