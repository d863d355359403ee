//! When a plan begins to start what it has made, and when it has: all is made by then, so that what is made beside it meets nobody;
//! and who must stay up does so from its start on, not from when somebody looks.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    plan::{Action, Plan},
    report::{Event, Outcome, Reporter},
};

/// Told once by whoever carries the plan out.
#[derive(Debug, Default)]
pub(super) struct Begun {
    starts: CancellationToken,
    never: CancellationToken,
    last: Mutex<Option<Instant>>,
}

impl Begun {
    /// It begins now, or has begun.
    pub(super) fn tell(&self) {
        self.starts.cancel();
    }

    /// Waits until it begins. Whether it ever did.
    pub(super) async fn told(&self) -> bool {
        tokio::select! {
            biased;
            () = self.starts.cancelled() => true,
            () = self.never.cancelled() => false,
        }
    }

    /// When the last container was started; `None` where none was.
    pub(super) fn last_start(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The work of whoever tells: once that is over, nobody waits for a beginning any more.
    pub(super) async fn or_never<T>(&self, work: impl Future<Output = T>) -> T {
        let done = work.await;
        self.never.cancel();
        done
    }
}

/// Hands everything on, and tells when the first step begins that starts something or waits for what runs (a plan has those after
/// all that makes and removes), and when the last start has ended.
pub(super) struct Telling<'a> {
    /// Who is told of everything.
    pub reporter: &'a dyn Reporter,
    /// The plan whose steps are told.
    pub plan: &'a Plan,
    /// What is told.
    pub begun: &'a Begun,
}

impl Reporter for Telling<'_> {
    fn report(&self, event: Event) {
        let action = |step: &usize| self.plan.steps.get(*step).map(|step| &step.action);
        match &event {
            Event::StepStarted { step, .. } if action(step).is_some_and(is_late) => self.begun.tell(),
            Event::StepEnded { step, outcome: Outcome::Done, .. }
                if matches!(action(step), Some(Action::StartContainer { .. })) =>
            {
                *self.begun.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            _ => {}
        }
        self.reporter.report(event);
    }

    fn variables(&self, variables: &[(String, String)]) {
        self.reporter.variables(variables);
    }
}

fn is_late(action: &Action) -> bool {
    matches!(action, Action::StartContainer { .. } | Action::RunPreStart { .. } | Action::WaitFor { .. })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        plan::{Cause, Condition, ServiceCause, Step},
        report::Silent,
    };

    fn plan() -> Plan {
        let make = Action::CreateContainer {
            service: "web".to_owned(),
            number: 1,
            name: "web-1".to_owned(),
            create_as: "web-1".to_owned(),
            replaces: None,
        };
        let start = Action::StartContainer { service: "web".to_owned(), number: Some(1), name: "web-1".to_owned() };
        let step = |action, after| Step::new(action, Cause::from(ServiceCause::Asked), after, Condition::Always);
        Plan { steps: vec![step(make, vec![]), step(start, vec![0])], ..Plan::default() }
    }

    #[tokio::test]
    async fn a_start_is_told_and_no_creation() {
        let (plan, begun) = (plan(), Begun::default());
        let telling = Telling { reporter: &Silent, plan: &plan, begun: &begun };
        let begins = |step| telling.report(Event::StepStarted { step, text: String::new() });
        let ends = |step, outcome| {
            telling.report(Event::StepEnded { step, outcome, text: String::new(), elapsed: Duration::ZERO });
        };
        begins(0);
        ends(0, Outcome::Done);
        assert!(!begun.starts.is_cancelled() && begun.last_start().is_none());
        begins(1);
        ends(1, Outcome::Failed);
        assert_eq!(begun.last_start(), None, "it does not run");
        ends(1, Outcome::Done);
        assert!(begun.last_start().is_some());
        let (told, ()) = tokio::join!(begun.told(), begun.or_never(async {}));
        assert!(told);
    }

    #[tokio::test]
    async fn who_ends_before_a_start_keeps_nobody_waiting() {
        let begun = Begun::default();
        let (told, failed) = tokio::join!(begun.told(), begun.or_never(async { Err::<(), _>("no room") }));
        assert_eq!((told, failed), (false, Err("no room")));
    }
}
