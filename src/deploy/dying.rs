//! Points between the steps of a plan at which a test has the daemon die.

use crate::{
    plan::{Action, Plan},
    report::{Event, Reporter},
    store::dies,
};

/// Hands everything on, and dies where a test wants that: [`dies`].
pub(super) struct Dying<'a> {
    pub reporter: &'a dyn Reporter,
    /// The plan whose steps are told.
    pub plan: &'a Plan,
}

impl Reporter for Dying<'_> {
    fn report(&self, event: Event) {
        let point = match &event {
            Event::StepStarted { step, .. } => Some(("before", *step)),
            Event::StepEnded { step, .. } => Some(("after", *step)),
            _ => None,
        };
        self.reporter.report(event);
        let step = point.and_then(|(when, step)| Some((when, self.plan.steps.get(step)?)));
        if let Some((when, step)) = step {
            dies::here(when, word(&step.action));
        }
    }

    fn variables(&self, variables: &[(String, String)]) {
        self.reporter.variables(variables);
    }
}

/// A step's name, for these points.
fn word(action: &Action) -> &'static str {
    match action {
        Action::CreateContainer { .. } => "a creation",
        Action::StartContainer { .. } => "a start",
        Action::AwaitReady { .. } => "the wait for a replacement",
        Action::StopContainer { .. } => "a stop",
        Action::RemoveContainer { .. } => "a removal",
        Action::RenameContainer { .. } => "a rename",
        _ => "another step",
    }
}
