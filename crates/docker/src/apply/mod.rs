//! Carries a plan out. Decides nothing: which steps, in which order and why is the plan's.
//!
//! [`schedule`] runs independent steps side by side, [`world`] knows what exists meanwhile, the other files each hold
//! one kind of step.

mod built;
mod containers;
mod copy;
mod executor;
mod hooks;
mod inputs;
mod networks;
mod oneoff;
mod pre_start;
mod put_back;
mod ready;
mod references;
mod report;
mod request;
mod schedule;
mod step;
mod stop;
mod volumes;
mod wait;
mod world;

use std::collections::BTreeSet;

use turnout_plan::{Action, Condition, Plan, StepId};
use turnout_report::counted;

use super::{
    Engine, EngineError,
    patience::{GRACE, unless_given_up},
};
use executor::Executor;
use world::World;

pub use inputs::{InputReader, InputsRead};
pub use oneoff::{OneOff, as_oneoff};
pub use report::{ContainerRef, Report, StepReport};
pub use request::{Apply, ImageSettings};
pub use world::Left;

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Nothing was begun.
    #[error(transparent)]
    NotBegun(#[from] EngineError),
    /// A step failed; those that ran beside it were finished, the rest was abandoned.
    #[error("{}", said_of(.what, .error))]
    Step {
        /// The first step that failed.
        step: StepId,
        /// What it was to do.
        what: String,
        /// What the engine said to the step.
        error: EngineError,
        /// What was done nevertheless.
        report: Report,
    },
    /// The run was cancelled.
    #[error("{}", cancelled(.report, .left, .not_begun))]
    Cancelled {
        /// What was done nevertheless.
        report: Report,
        /// What was under way and did not end well, each with why.
        left: Vec<String>,
        /// What was never begun.
        not_begun: Vec<String>,
    },
}

impl Engine {
    /// Carries out a plan.
    ///
    /// Steps whose predecessors ended well run side by side. At the first failure nothing new is begun, running steps
    /// are finished, and waits end. Applying an outdated plan fails with [`EngineError::Stale`] where it matters;
    /// recovery is always to observe and plan anew.
    pub async fn apply(&self, run: &Apply<'_>) -> Result<Report, ApplyError> {
        if run.plan.steps.is_empty() {
            return Ok(Report::default());
        }
        self.refuse_unsupported_in(run.project, run.plan)?;
        let look = async {
            self.refuse_taken_names(&run.project.name, run.plan).await?;
            self.project_containers(&run.project.name).await
        };
        let Some(listed) = unless_given_up(look, run.cancel, GRACE).await else {
            return Err(ApplyError::NotBegun(EngineError::Cancelled));
        };
        let listed = listed?;
        let world = World::new(listed.into_iter().filter_map(super::observe::container).collect(), leaving(run.plan));
        let ran = world.active();
        let executor = Executor::new(self, run, world, run.cancel.child_token());
        let finished =
            schedule::run(run.plan, run.reporter, run.cancel, &executor.halt, |id, ended| executor.step(id, ended))
                .await;
        let (started, left) = executor.finish();
        let report = Report { steps: finished.steps, started, ran, left };
        match finished.failure {
            Some((step, what, error)) => Err(ApplyError::Step { step, what, error, report }),
            None if finished.cancelled => {
                Err(ApplyError::Cancelled { report, left: finished.left, not_begun: finished.not_begun })
            }
            None => Ok(report),
        }
    }
}

/// What a step was to do, and what was said to it; once, where the engine's call says the same of itself.
fn said_of(what: &str, error: &EngineError) -> String {
    let plain = |text: &str| text.replacen(" container ", " ", 1);
    let said = error.to_string();
    if plain(&said).starts_with(&format!("{}: ", plain(what))) { said } else { format!("{what}: {said}") }
}

/// How a cancelled run is told of: what did not end, whether anything else did, what was not begun.
fn cancelled(report: &Report, left: &[String], not_begun: &[String]) -> String {
    /// Steps that are named; the log has the others.
    const NAMED: usize = 3;
    let mut parts = vec!["cancelled".to_owned()];
    if !left.is_empty() {
        parts.push(format!("not finished: {}", left.join(", ")));
    }
    match (report.changed(), left) {
        (true, []) => parts.push("what was begun was finished".to_owned()),
        (true, _) => parts.push("what else was begun was finished".to_owned()),
        (false, []) => parts.push("nothing was changed".to_owned()),
        (false, _) => {}
    }
    if !not_begun.is_empty() {
        let named = not_begun.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match not_begun.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {}", counted(more, "further step")),
        };
        parts.push(format!("not begun: {named}{more}"));
    }
    parts.push("deploying again converges".to_owned());
    parts.join("; ")
}

/// Containers that a plan removes whatever else happens.
fn leaving(plan: &Plan) -> BTreeSet<String> {
    let certain = plan.steps.iter().filter(|step| step.only_if == Condition::Always);
    let removed = certain.filter_map(|step| match &step.action {
        Action::RemoveContainer { id, .. } => Some(id.clone()),
        _ => None,
    });
    removed.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use turnout_report::Outcome;

    use super::*;

    #[test]
    fn what_a_step_was_to_do_is_said_once() {
        let refused = |what: &str| EngineError::refused(what.to_owned(), 500, "port is already allocated");
        for (what, call, said) in [
            ("start container shop-web-1", "start shop-web-1", "start shop-web-1: "),
            ("create container shop-web-1", "create container shop-web-1", "create container shop-web-1: "),
            ("remove network shop_back", "look at shop-web-1", "remove network shop_back: look at shop-web-1: "),
        ] {
            let text = said_of(what, &refused(call));
            assert!(text.starts_with(said) && text.matches("shop-web-1").count() == 1, "{text}");
        }
    }

    #[test]
    fn a_cancelled_run_says_what_was_done_and_what_not() {
        let step = |outcome| StepReport { outcome, text: String::new(), elapsed: Duration::ZERO };
        let done = Report { steps: vec![step(Outcome::Done)], ..Report::default() };
        let none = Report { steps: vec![step(Outcome::Abandoned)], ..Report::default() };
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (report, left, rest, expected) in [
            (
                &none,
                &["build x for web (given up)"][..],
                &["create container web-1", "start container web-1"][..],
                "cancelled; not finished: build x for web (given up); not begun: create container web-1, start container \
                 web-1; deploying again converges",
            ),
            (
                &done,
                &["wait until db is healthy (given up)"],
                &["a", "b", "c", "d"],
                "cancelled; not finished: wait until db is healthy (given up); what else was begun was finished; not \
                 begun: a, b, c and 1 further step; deploying again converges",
            ),
            (&done, &[], &["a"], "cancelled; what was begun was finished; not begun: a; deploying again converges"),
            (&none, &[], &["a"], "cancelled; nothing was changed; not begun: a; deploying again converges"),
        ] {
            assert_eq!(cancelled(report, &texts(left), &texts(rest)), expected);
        }
    }
}
