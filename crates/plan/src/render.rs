//! What `turnout plan` prints.

use std::collections::BTreeSet;

use super::{
    Action, Condition, Plan, StepId,
    deed::{Deed, deeds},
    digest::short,
};
use turnout_report::counted;

/// The plan as text for people: one line a deed with its cause, a second one when it has a condition or must wait,
/// then what stays as it is, then warnings. Ends with a line break.
///
/// A deed stands where its first step does, with what that waits for: that its other steps wait for those of others (all
/// that can be created is, before anything is stopped) goes without saying.
pub fn render(plan: &Plan) -> String {
    let deeds = deeds(plan);
    let mut lines = vec![match deeds.len() {
        0 => format!("{}: nothing to do", plan.project),
        count => format!("{}: {}", plan.project, counted(count, "step")),
    }];
    let width = deeds.len().to_string().len();
    let numbers = Numbers::of(plan, &deeds);
    for (place, deed) in deeds.iter().enumerate() {
        let Some(step) = plan.steps.get(deed.first()) else { continue };
        lines.push(format!("  {:>width$}. {}: {}", place + 1, deed.text(plan), step.cause));
        let mut notes = Vec::new();
        if step.only_if != Condition::Always {
            notes.push(format!("only if {}", numbers.condition(&step.only_if)));
        }
        if !step.after.is_empty() {
            notes.push(format!("after {}", numbers.list(&step.after)));
        }
        if !notes.is_empty() {
            lines.push(format!("  {:>width$}  {}", "", notes.join("; ")));
        }
    }
    section(&mut lines, "unchanged", &plan.unchanged);
    section(&mut lines, "remarks", &plan.doubts);
    section(&mut lines, "warnings", &plan.warnings);
    lines.push(String::new());
    lines.join("\n")
}

/// Which containers the plan replaces for certain, each with its cause: `shop-web-1 is replaced: environment A changed`.
pub fn replacements(plan: &Plan) -> Vec<String> {
    let certain = plan.steps.iter().filter(|step| step.only_if == Condition::Always);
    certain
        .filter_map(|step| match &step.action {
            Action::CreateContainer { replaces: Some(old), .. } => {
                Some(format!("{} is replaced: {}", old.name, step.cause))
            }
            _ => None,
        })
        .collect()
}

/// The number of the line in which each step is told.
struct Numbers(Vec<usize>);

impl Numbers {
    fn of(plan: &Plan, deeds: &[Deed]) -> Numbers {
        let mut numbers = vec![0; plan.steps.len()];
        for (place, deed) in deeds.iter().enumerate() {
            for id in &deed.steps {
                numbers.get_mut(*id).into_iter().for_each(|number| *number = place + 1);
            }
        }
        Numbers(numbers)
    }

    fn list(&self, steps: &[StepId]) -> String {
        let numbers: BTreeSet<usize> = steps.iter().filter_map(|id| self.0.get(*id).copied()).collect();
        numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
    }

    fn condition(&self, condition: &Condition) -> String {
        match condition {
            Condition::Always => "always".to_owned(),
            Condition::ImageChanged { image, running, .. } => {
                format!("image {image} is no longer {}", short(running))
            }
            Condition::AnyDid(steps) => match self.list(steps) {
                several if several.contains(',') => format!("one of steps {several} was needed"),
                one => format!("step {one} was needed"),
            },
            Condition::DidNot(step) => format!("step {} did not succeed", self.list(&[*step])),
            Condition::AnyOf(parts) => parts.iter().map(|part| self.condition(part)).collect::<Vec<_>>().join(" or "),
        }
    }
}

fn section(lines: &mut Vec<String>, title: &str, entries: &[String]) {
    if !entries.is_empty() {
        lines.push(format!("{title}:"));
        lines.extend(entries.iter().map(|entry| format!("  {entry}")));
    }
}
