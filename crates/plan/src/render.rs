//! What `turnout plan` prints.

use super::{Action, Condition, Plan, StepId};
use turnout_report::counted;

/// The plan as text for people: one line a step with its cause, a second one when it has a condition or must wait,
/// then what stays as it is, then warnings. Ends with a line break.
pub fn render(plan: &Plan) -> String {
    let mut lines = vec![match plan.steps.len() {
        0 => format!("{}: nothing to do", plan.project),
        count => format!("{}: {}", plan.project, counted(count, "step")),
    }];
    let width = plan.steps.len().to_string().len();
    for (id, step) in plan.steps.iter().enumerate() {
        lines.push(format!("  {:>width$}. {}: {}", id + 1, action(&step.action), step.cause));
        let mut notes = Vec::new();
        if step.only_if != Condition::Always {
            notes.push(format!("only if {}", condition(&step.only_if)));
        }
        if !step.after.is_empty() {
            notes.push(format!("after {}", numbers(&step.after)));
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
            Action::RecreateContainer { old_name, .. } => Some(format!("{old_name} is replaced: {}", step.cause)),
            _ => None,
        })
        .collect()
}

fn section(lines: &mut Vec<String>, title: &str, entries: &[String]) {
    if !entries.is_empty() {
        lines.push(format!("{title}:"));
        lines.extend(entries.iter().map(|entry| format!("  {entry}")));
    }
}

fn numbers(steps: &[StepId]) -> String {
    steps.iter().map(|id| (id + 1).to_string()).collect::<Vec<_>>().join(", ")
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Always => "always".to_owned(),
        Condition::ImageChanged { image, running, .. } => {
            format!("image {image} is no longer {}", short(running))
        }
        Condition::AnyDid(steps) if steps.len() == 1 => format!("step {} was needed", numbers(steps)),
        Condition::AnyDid(steps) => format!("one of steps {} was needed", numbers(steps)),
        Condition::DidNot(step) => format!("step {} did not succeed", step + 1),
        Condition::AnyOf(parts) => parts.iter().map(self::condition).collect::<Vec<_>>().join(" or "),
    }
}

/// An action in words, without its cause: `replace container shop-web-1`.
pub fn action(action: &Action) -> String {
    match action {
        Action::Pull { image, tolerate_failure: false, .. } => format!("pull {image}"),
        Action::Pull { image, tolerate_failure: true, .. } => format!("try to pull {image}"),
        Action::Build { service, image } => format!("build {image} for {service}"),
        Action::CreateNetwork { name, .. } => format!("create network {name}"),
        Action::RecreateNetwork { name, reconnect, .. } if reconnect.is_empty() => format!("replace network {name}"),
        Action::RecreateNetwork { name, reconnect, .. } => {
            let members: Vec<&str> = reconnect.iter().map(|c| c.name.as_str()).collect();
            format!("replace network {name} and reconnect {}", members.join(", "))
        }
        Action::CreateVolume { name, .. } => format!("create volume {name}"),
        Action::RecreateVolume { name, .. } => format!("replace volume {name}"),
        Action::RenameContainer { from, to, .. } => format!("rename container {from} to {to}"),
        Action::CreateContainer { name, .. } => format!("create container {name}"),
        Action::RecreateContainer { name, old_name, .. } if name == old_name => format!("replace container {name}"),
        Action::RecreateContainer { name, old_name, .. } => format!("replace container {old_name} by {name}"),
        Action::StopContainer { name, .. } => format!("stop container {name}"),
        Action::RemoveContainer { name, volumes: false, .. } => format!("remove container {name}"),
        Action::RemoveContainer { name, volumes: true, .. } => {
            format!("remove container {name} and its anonymous volumes")
        }
        Action::RestartContainer { name, .. } => format!("restart container {name}"),
        Action::SignalContainer { name, signal, .. } => format!("send {signal} to container {name}"),
        Action::UnpauseContainer { name, .. } => format!("resume container {name}"),
        Action::WaitFor { service, condition, required, .. } => {
            let until = match condition.as_str() {
                "service_healthy" => "is healthy",
                "service_completed_successfully" => "has completed",
                _ => "is started",
            };
            format!("wait until {service} {until}{}", if *required { "" } else { ", and go on if it fails" })
        }
        Action::RunPreStart { service, index, .. } => format!("run pre_start[{index}] of {service}"),
        Action::StartContainer { name, .. } => format!("start container {name}"),
        Action::RemoveNetwork { name, .. } => format!("remove network {name}"),
        Action::RemoveVolume { name, .. } => format!("remove volume {name}"),
        Action::RemoveImage { image } => format!("remove image {image}"),
    }
}

/// The part of a digest or ID that fits in a sentence.
pub(super) fn short(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).chars().take(12).collect()
}
