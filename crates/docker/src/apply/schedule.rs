//! The order of steps: each begins when its predecessors ended well, independent ones run side by side.
//!
//! Knows nothing of Docker.

use std::{future::Future, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turnout_plan::{self as plan, Action, Condition, Plan, Step, StepId};
use turnout_report::{Event, Outcome, Reporter};

use super::report::StepReport;
use crate::{
    EngineError,
    patience::{GRACE, GivingUp, spoken},
};

/// Builds and pulls side by side; each already uses several connections and cores.
const IMAGE_STEPS: usize = 4;
/// Container, network and volume steps side by side. Bounds the daemon's load, not correctness.
const OBJECT_STEPS: usize = 16;

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// It did this.
    Done(String),
    /// It was not needed, or its failure is tolerated, because of this.
    Skipped(String),
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It did something.
    Done,
    /// It was not needed.
    Skipped,
    /// It was begun and did not do what it should.
    Failed,
    /// It was never begun, or given up.
    Abandoned,
}

/// What became of the whole plan.
#[derive(Debug)]
pub struct Finished {
    /// One entry a step.
    pub steps: Vec<StepReport>,
    /// The first failure that is not tolerated: step, text and error.
    pub failure: Option<(StepId, String, EngineError)>,
    /// Cancelled from outside before all steps had ended.
    pub cancelled: bool,
    /// What was under way when it was cancelled and did not end well, each with why.
    pub left: Vec<String>,
    /// What was never begun.
    pub not_begun: Vec<String>,
}

/// Runs all steps. `execute` receives the step and how the steps so far ended. `halt` is cancelled at the first
/// failure, so that steps that only wait can give up. Steps that do not end within [`GRACE`] of `cancel` are dropped.
pub async fn run<F, R>(
    plan: &Plan,
    reporter: &dyn Reporter,
    cancel: &CancellationToken,
    halt: &CancellationToken,
    execute: F,
) -> Finished
where
    F: Fn(StepId, Vec<Option<Ended>>) -> R,
    R: Future<Output = Result<Did, EngineError>>,
{
    let mut table = Table::new(plan);
    let mut running = FuturesUnordered::new();
    let mut failure: Option<(StepId, String, EngineError)> = None;
    let mut patience = GivingUp::new(cancel, GRACE);
    let mut left = Vec::new();
    loop {
        if failure.is_none() && !cancel.is_cancelled() {
            while let Some(id) = table.next_ready() {
                table.begin(id);
                if table.is_moot(id) {
                    table.note(id, Ended::Skipped, "not needed".to_owned(), Duration::ZERO);
                    continue;
                }
                let text = table.text(id);
                reporter.report(Event::StepStarted { step: id, text });
                let work = execute(id, table.ended.clone());
                running.push(async move {
                    let began = Instant::now();
                    (id, work.await, began.elapsed())
                });
            }
        }
        let Some(next) = patience.wait(running.next()).await else { break };
        let Some((id, result, elapsed)) = next else { break };
        match result {
            Ok(Did::Done(text)) => table.end(reporter, id, Ended::Done, text, elapsed),
            Ok(Did::Skipped(text)) => table.end(reporter, id, Ended::Skipped, text, elapsed),
            Err(error @ (EngineError::Cancelled | EngineError::GivenUp(_))) => {
                let how = match error {
                    EngineError::GivenUp(stands) => format!("given up: {stands}"),
                    _ => "given up".to_owned(),
                };
                let text = table.text(id);
                table.end(reporter, id, Ended::Abandoned, format!("{text}: {how}"), elapsed);
                left.push(format!("{text} ({how})"));
            }
            Err(error) => {
                table.end(reporter, id, Ended::Failed, error.to_string(), elapsed);
                if table.tolerates_failure(id) {
                    table.abandon_starts(reporter, id);
                    continue;
                }
                halt.cancel();
                let text = table.text(id);
                if failure.is_none() && cancel.is_cancelled() {
                    // Called off is what it was; a call that failed meanwhile is no other end.
                    left.push(format!("{text} ({error})"));
                    continue;
                }
                failure.get_or_insert((id, text, error));
            }
        }
    }
    // Whoever was given up is dropped here, which hangs up.
    drop(running);
    left.extend(table.give_up(reporter));
    let not_begun = table.abandon_rest(reporter);
    let cut_short = !not_begun.is_empty() || !left.is_empty() || table.ended.contains(&Some(Ended::Abandoned));
    let cancelled = cancel.is_cancelled() && cut_short;
    Finished { steps: table.reports(), failure, cancelled, left, not_begun }
}

/// The state of all steps.
struct Table<'a> {
    plan: &'a Plan,
    begun: Vec<bool>,
    ended: Vec<Option<Ended>>,
    reports: Vec<Option<StepReport>>,
}

impl<'a> Table<'a> {
    fn new(plan: &'a Plan) -> Self {
        let count = plan.steps.len();
        Table { plan, begun: vec![false; count], ended: vec![None; count], reports: vec![None; count] }
    }

    /// The lowest step that may begin now.
    fn next_ready(&self) -> Option<StepId> {
        let (mut image, mut object) = (0, 0);
        for (id, step) in self.plan.steps.iter().enumerate() {
            if self.has_begun(id) && self.how(id).is_none() {
                match kind(&step.action) {
                    Kind::Image => image += 1,
                    Kind::Object => object += 1,
                    Kind::Wait => {}
                }
            }
        }
        let room = |action: &Action| match kind(action) {
            Kind::Image => image < IMAGE_STEPS,
            Kind::Object => object < OBJECT_STEPS,
            Kind::Wait => true,
        };
        let steps = self.plan.steps.iter().enumerate();
        steps
            .filter(|(id, step)| !self.has_begun(*id) && room(&step.action) && self.is_ready(step))
            .map(|(id, _)| id)
            .next()
    }

    fn is_ready(&self, step: &Step) -> bool {
        // A wait that is not required takes any end of what it waits for.
        let any_end = matches!(step.action, Action::WaitFor { required: false, .. });
        step.after.iter().all(|before| match self.how(*before) {
            Some(Ended::Done | Ended::Skipped) => true,
            Some(Ended::Failed | Ended::Abandoned) => any_end,
            None => false,
        })
    }

    /// Whether everything that needs the step does not require its success.
    fn tolerates_failure(&self, id: StepId) -> bool {
        let mut followers = self.plan.steps.iter().filter(|s| s.after.contains(&id)).peekable();
        followers.peek().is_some() && followers.all(|s| matches!(s.action, Action::WaitFor { required: false, .. }))
            || self.starts_after(id).iter().any(|start| self.tolerates_failure(*start))
    }

    /// What cannot come any more when a `pre_start` step has failed: the rest of them, and the starts of its service.
    /// Empty for other steps.
    fn starts_after(&self, id: StepId) -> Vec<StepId> {
        let Some(Action::RunPreStart { service, .. }) = self.plan.steps.get(id).map(|step| &step.action) else {
            return Vec::new();
        };
        let later = self.plan.steps.iter().enumerate().skip(id + 1);
        let own = later.filter(|(_, step)| match &step.action {
            Action::RunPreStart { service: of, .. } | Action::StartContainer { service: of, .. } => of == service,
            _ => false,
        });
        own.map(|(id, _)| id).collect()
    }

    /// Ends these, so that whoever takes any end of them goes on.
    fn abandon_starts(&mut self, reporter: &dyn Reporter, id: StepId) {
        for start in self.starts_after(id) {
            let text = format!("{}: not begun", self.text(start));
            self.end(reporter, start, Ended::Abandoned, text, Duration::ZERO);
        }
    }

    fn has_begun(&self, id: StepId) -> bool {
        self.begun.get(id).copied().unwrap_or(true)
    }

    fn how(&self, id: StepId) -> Option<Ended> {
        self.ended.get(id).copied().flatten()
    }

    fn begin(&mut self, id: StepId) {
        if let Some(begun) = self.begun.get_mut(id) {
            *begun = true;
        }
    }

    /// Whether a step goes on with a deed that is not needed, which was told already.
    fn is_moot(&self, id: StepId) -> bool {
        let Some(step) = self.plan.steps.get(id) else { return false };
        step.part_of
            .is_some_and(|lead| self.how(lead) == Some(Ended::Skipped) && step.only_if == Condition::AnyDid(vec![lead]))
    }

    fn end(&mut self, reporter: &dyn Reporter, id: StepId, how: Ended, text: String, elapsed: Duration) {
        let outcome = self.note(id, how, text.clone(), elapsed);
        reporter.report(Event::StepEnded { step: id, outcome, text, elapsed });
    }

    fn note(&mut self, id: StepId, how: Ended, text: String, elapsed: Duration) -> Outcome {
        let outcome = match how {
            Ended::Done => Outcome::Done,
            Ended::Skipped => Outcome::Skipped,
            Ended::Failed => Outcome::Failed,
            Ended::Abandoned => Outcome::Abandoned,
        };
        if let (Some(ended), Some(report)) = (self.ended.get_mut(id), self.reports.get_mut(id)) {
            *ended = Some(how);
            *report = Some(StepReport { outcome, text, elapsed });
        }
        outcome
    }

    /// Ends the steps that were begun and have not ended, in doubt; what they were to do.
    fn give_up(&mut self, reporter: &dyn Reporter) -> Vec<String> {
        let open = (0..self.plan.steps.len()).filter(|id| self.has_begun(*id) && self.how(*id).is_none());
        let open: Vec<StepId> = open.collect();
        open.into_iter()
            .map(|id| {
                let what = self.text(id);
                let text =
                    format!("given up {} after the cancellation; the engine may still carry it out", spoken(GRACE));
                self.end(reporter, id, Ended::Failed, text.clone(), GRACE);
                format!("{what} ({text})")
            })
            .collect()
    }

    /// Ends the steps that were never begun; what they were to do.
    fn abandon_rest(&mut self, reporter: &dyn Reporter) -> Vec<String> {
        let rest: Vec<StepId> = (0..self.plan.steps.len()).filter(|id| self.how(*id).is_none()).collect();
        rest.into_iter()
            .map(|id| {
                let what = self.text(id);
                self.end(reporter, id, Ended::Abandoned, format!("{what}: not begun"), Duration::ZERO);
                what
            })
            .collect()
    }

    fn text(&self, id: StepId) -> String {
        self.plan.steps.get(id).map(|s| plan::action(&s.action)).unwrap_or_default()
    }

    fn reports(self) -> Vec<StepReport> {
        self.reports.into_iter().flatten().collect()
    }
}

enum Kind {
    Image,
    Object,
    /// Costs the daemon next to nothing, and must never hold up what it waits for.
    Wait,
}

fn kind(action: &Action) -> Kind {
    match action {
        Action::Pull { .. } | Action::Build { .. } => Kind::Image,
        Action::WaitFor { .. } | Action::AwaitReady { .. } => Kind::Wait,
        _ => Kind::Object,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use turnout_report::Silent;

    fn step(name: &str, after: &[StepId]) -> Step {
        let action = Action::StartContainer { service: name.into(), number: Some(1), name: name.into() };
        Step::new(action, String::new(), after.to_vec(), Condition::Always)
    }

    fn wait(required: bool, after: &[StepId]) -> Step {
        let action = Action::WaitFor {
            service: "db".into(),
            condition: "service_healthy".into(),
            required,
            dependents: vec!["web".into()],
        };
        Step::new(action, String::new(), after.to_vec(), Condition::Always)
    }

    fn plan(steps: Vec<Step>) -> Plan {
        Plan { steps, ..Plan::default() }
    }

    async fn outcomes(plan: &Plan, fails: &[StepId]) -> (Vec<Outcome>, Option<StepId>) {
        let (cancel, halt) = (CancellationToken::new(), CancellationToken::new());
        let finished = run(plan, &Silent, &cancel, &halt, |id, _| async move {
            if fails.contains(&id) {
                return Err(EngineError::Hook("boom".into()));
            }
            // What succeeds ends after what fails beside it.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            Ok(Did::Done(String::new()))
        })
        .await;
        (finished.steps.iter().map(|s| s.outcome).collect(), finished.failure.map(|f| f.0))
    }

    #[tokio::test]
    async fn predecessors_come_first_and_the_rest_side_by_side() {
        let plan = plan(vec![step("a", &[]), step("b", &[]), step("c", &[0, 1])]);
        let (running, most) = (Mutex::new(0), Mutex::new(0));
        let (cancel, halt) = (CancellationToken::new(), CancellationToken::new());
        let finished = run(&plan, &Silent, &cancel, &halt, |id, ended| {
            let (running, most) = (&running, &most);
            async move {
                if id == 2 {
                    assert_eq!(ended, [Some(Ended::Done), Some(Ended::Done), None]);
                }
                *running.lock().unwrap() += 1;
                tokio::task::yield_now().await;
                let now = *running.lock().unwrap();
                let mut highest = most.lock().unwrap();
                *highest = now.max(*highest);
                *running.lock().unwrap() -= 1;
                Ok(Did::Done(String::new()))
            }
        })
        .await;
        assert!(finished.failure.is_none() && !finished.cancelled);
        assert_eq!(*most.lock().unwrap(), 2);
    }

    #[tokio::test]
    async fn of_a_deed_that_is_not_needed_one_line_is_told() {
        #[derive(Default)]
        struct Told(Mutex<Vec<StepId>>);
        impl Reporter for Told {
            fn report(&self, event: Event) {
                if let Event::StepEnded { step, .. } = event {
                    self.0.lock().unwrap().push(step);
                }
            }
        }
        let part = Step { part_of: Some(0), only_if: Condition::AnyDid(vec![0]), ..step("b", &[0]) };
        let plan = plan(vec![step("a", &[]), part, step("c", &[1])]);
        for (needed, told) in [(false, vec![0, 2]), (true, vec![0, 1, 2])] {
            let (cancel, halt, reporter) = (CancellationToken::new(), CancellationToken::new(), Told::default());
            let finished = run(&plan, &reporter, &cancel, &halt, |id, _| async move {
                let text = String::new();
                Ok(if id == 0 && !needed { Did::Skipped(text) } else { Did::Done(text) })
            })
            .await;
            assert_eq!(*reporter.0.lock().unwrap(), told);
            let skipped = finished.steps.iter().filter(|step| step.outcome == Outcome::Skipped).count();
            assert_eq!(skipped, if needed { 0 } else { 2 });
        }
    }

    #[tokio::test]
    async fn a_failure_finishes_what_runs_and_abandons_the_rest() {
        use Outcome::{Abandoned, Done, Failed};
        let plan = plan(vec![step("a", &[]), step("b", &[]), step("c", &[0]), step("d", &[1])]);
        assert_eq!(outcomes(&plan, &[0]).await, (vec![Failed, Done, Abandoned, Abandoned], Some(0)));
    }

    #[tokio::test]
    async fn what_is_not_required_may_fail() {
        use Outcome::{Done, Failed};
        let optional = plan(vec![step("db", &[]), wait(false, &[0]), step("web", &[1])]);
        assert_eq!(outcomes(&optional, &[0]).await, (vec![Failed, Done, Done], None));
        let required = plan(vec![step("db", &[]), wait(true, &[0]), step("web", &[1])]);
        assert_eq!(outcomes(&required, &[0]).await.1, Some(0));
    }

    #[tokio::test]
    async fn a_service_whose_step_failed_is_not_started_and_may_be_optional() {
        use Outcome::{Abandoned, Done, Failed};
        let before = |after: &[StepId]| {
            let (service, name, beside) = ("db".to_owned(), "s".to_owned(), "db".to_owned());
            let action = Action::RunPreStart { service, index: 0, name, number: Some(1), beside };
            Step { action, ..step("db", after) }
        };
        let steps =
            |required| vec![before(&[]), before(&[0]), step("db", &[1]), wait(required, &[2]), step("web", &[3])];
        let optional = plan(steps(false));
        assert_eq!(outcomes(&optional, &[0]).await, (vec![Failed, Abandoned, Abandoned, Done, Done], None));
        assert_eq!(outcomes(&optional, &[1]).await, (vec![Done, Failed, Abandoned, Done, Done], None));
        let required = plan(steps(true));
        assert_eq!(outcomes(&required, &[1]).await, (vec![Done, Failed, Abandoned, Abandoned, Abandoned], Some(1)));
    }

    #[tokio::test]
    async fn cancelled_runs_begin_nothing() {
        let plan = plan(vec![step("a", &[])]);
        let (cancel, halt) = (CancellationToken::new(), CancellationToken::new());
        cancel.cancel();
        let finished = run(&plan, &Silent, &cancel, &halt, |_, _| async { Ok(Did::Done(String::new())) }).await;
        assert!(finished.cancelled);
        assert_eq!(finished.steps.first().map(|s| s.outcome), Some(Outcome::Abandoned));
    }

    #[tokio::test]
    async fn what_was_given_up_and_what_was_not_begun_are_named() {
        let plan = plan(vec![step("a", &[]), step("b", &[0]), step("c", &[1]), step("d", &[2])]);
        let (cancel, halt) = (CancellationToken::new(), CancellationToken::new());
        let finished = run(&plan, &Silent, &cancel, &halt, |id, _| {
            if id == 1 {
                cancel.cancel();
            }
            async move {
                match id {
                    0 => Ok(Did::Done(String::new())),
                    _ => Err(EngineError::GivenUp("its hook goes on".to_owned())),
                }
            }
        })
        .await;
        assert!(finished.cancelled);
        assert_eq!(finished.left, ["start container b (given up: its hook goes on)"]);
        assert_eq!(finished.not_begun, ["start container c", "start container d"]);
        assert_eq!(finished.steps[1].text, "start container b: given up: its hook goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_after_the_cancellation_is_left() {
        let plan = plan(vec![step("a", &[]), step("b", &[]), step("c", &[1])]);
        let (cancel, halt) = (CancellationToken::new(), CancellationToken::new());
        let second = Duration::from_secs(1);
        let began = tokio::time::Instant::now();
        let work = run(&plan, &Silent, &cancel, &halt, |id, _| async move {
            tokio::time::sleep(if id == 0 { 4 * second } else { 1000 * second }).await;
            Ok(Did::Done(String::new()))
        });
        let (finished, ()) = tokio::join!(work, async {
            tokio::time::sleep(second).await;
            cancel.cancel();
        });
        assert_eq!(began.elapsed(), second + GRACE);
        assert!(finished.cancelled && finished.failure.is_none());
        assert_eq!(finished.left.len(), 1);
        assert!(finished.left[0].starts_with("start container b (given up 5 s after"), "{:?}", finished.left);
        let outcomes: Vec<Outcome> = finished.steps.iter().map(|step| step.outcome).collect();
        assert_eq!(outcomes, [Outcome::Done, Outcome::Failed, Outcome::Abandoned]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_after_the_cancellation_makes_no_failure_of_it() {
        let plan = plan(vec![step("a", &[]), step("b", &[0])]);
        for (cancelled, failed) in [(true, None), (false, Some(0))] {
            let (cancel, halt) = (CancellationToken::new(), CancellationToken::new());
            let finished = run(&plan, &Silent, &cancel, &halt, |_, _| {
                if cancelled {
                    cancel.cancel();
                }
                async move {
                    tokio::task::yield_now().await;
                    Err(EngineError::Hook("boom".into()))
                }
            })
            .await;
            assert_eq!(finished.failure.map(|failure| failure.0), failed);
            assert_eq!(finished.cancelled, cancelled);
            let left = if cancelled { vec!["start container a (boom)".to_owned()] } else { Vec::new() };
            assert_eq!(finished.left, left);
        }
    }
}
