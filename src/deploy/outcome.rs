//! How a deployment went, in words: what was fetched, what failed and what that left, whether it stays up, the summary.

use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::{Failure, Prepared, Recorder, called_off, failure};
use crate::{
    config::Timeouts,
    engine::{ApplyError, ContainerRef, Engine, EngineError, Report, Settle, SettleError, Unsettled},
    git,
    plan::{Action, NetworkRemoval, Plan, Removal},
    report::{Event, Outcome, Reporter, counted},
    store::{DeploymentId, State},
};

/// What a deployment does at last.
pub(super) const WATCHING: &str = "watching whether the containers stay up";

/// What is said of a deployment that had nothing to do, as long as it is true.
pub const EVERYTHING_RUNS: &str = "everything runs as configured";

/// What the update did, in words. `pinned`: a commit was asked for, not a branch.
pub(super) fn describe(updated: &git::Updated, pinned: bool) -> String {
    use git::Moved;
    let new = git::short(&updated.new);
    let branch = &updated.branch;
    match &updated.moved {
        Moved::Cloned => format!("cloned {branch} at {new}"),
        Moved::UpToDate { .. } if pinned => format!("{new} is checked out already"),
        Moved::UpToDate { ahead: 0 } => format!("{branch} is up to date at {new}"),
        Moved::UpToDate { ahead } => {
            format!("{branch} is up to date at {new}, {} ahead", counted(*ahead, "local commit"))
        }
        Moved::FastForwarded { commits } => {
            format!("{branch} moved forward by {} to {new}", counted(*commits, "commit"))
        }
        Moved::Switched { from } => format!("switched from {from} to {branch} at {new}"),
        Moved::Detached { from } => format!("checked out {new} in place of {from}, by hand; no branch was moved"),
        Moved::Reset { dropped } => {
            format!("{branch} was reset to {new}; given up: {}", counted(*dropped, "local commit"))
        }
        Moved::Rebased { commits } => {
            format!("{branch} is now at {new}, with {} on top", counted(*commits, "local commit"))
        }
    }
}

/// The failure of a run, with what it left.
pub(super) fn apply_failed(plan: &Plan, error: &ApplyError) -> Failure {
    let untouched = "nothing was changed";
    let said = match error {
        ApplyError::Step { error, step, .. } if is_of_image(plan, *step) && error.names_what_was_done() => {
            error.to_string()
        }
        other => other.to_string(),
    };
    let lost = matches!(error, ApplyError::NotBegun(error) | ApplyError::Step { error, .. } if error.is_lost());
    let failure = match error {
        ApplyError::NotBegun(EngineError::Cancelled) => Failure::cancelled(format!("cancelled; {untouched}")),
        ApplyError::NotBegun(_) => Failure::new(said).hint(untouched),
        ApplyError::Cancelled { .. } => Failure::cancelled(said),
        ApplyError::Step { report, .. } if touched_containers(plan, report, Outcome::Done) => Failure::new(said)
            .hint("some steps were carried out before (see the log); deploying again goes on from there"),
        ApplyError::Step { report, .. } if touched_containers(plan, report, Outcome::Failed) => {
            Failure::new(said).hint("that step may have been carried out in part; deploying again goes on from there")
        }
        // Networks and volumes may have come into being all the same.
        ApplyError::Step { report, .. } if touched(plan, report, Outcome::Failed, &is_container) => {
            Failure::new(said).hint("no other container was touched")
        }
        ApplyError::Step { .. } => Failure::new(said).hint("no container was touched"),
    };
    if lost { failure.with_engine(failure::Engine::Lost) } else { failure }
}

/// Whether a step builds or pulls an image.
fn is_of_image(plan: &Plan, step: usize) -> bool {
    plan.steps.get(step).is_some_and(|step| matches!(step.action, Action::Build { .. } | Action::Pull { .. }))
}

/// Whether a step with that outcome changes more than images, networks and volumes: those alone disturb nothing that
/// runs. A container that could not be created or started disturbs nothing either.
fn touched_containers(plan: &Plan, report: &Report, outcome: Outcome) -> bool {
    // Started beside what runs on, and ended again where that failed.
    let beside = |action: &Action| {
        let Action::StartContainer { name: started, .. } = action else { return false };
        plan.steps.iter().any(|step| matches!(&step.action, Action::AwaitReady { name, .. } if name == started))
    };
    let harmless = |action: &Action| {
        matches!(
            action,
            Action::Build { .. }
                | Action::Pull { .. }
                | Action::CreateNetwork { .. }
                | Action::CreateVolume { .. }
                | Action::WaitFor { .. }
                // Made to try, and removed again.
                | Action::TryNetwork { .. }
                | Action::RemoveNetwork { reason: NetworkRemoval::Trial, .. }
                // Beside what runs on; removed again where it did not come to its place.
                | Action::CreateContainer { replaces: Some(_), .. }
                | Action::AwaitReady { .. }
        ) || beside(action)
            || (outcome == Outcome::Failed && is_container(action))
    };
    touched(plan, report, outcome, &|action| !harmless(action))
}

/// Whether an action makes or starts a container.
fn is_container(action: &Action) -> bool {
    matches!(action, Action::CreateContainer { .. } | Action::StartContainer { .. })
}

fn touched(plan: &Plan, report: &Report, outcome: Outcome, which: &dyn Fn(&Action) -> bool) -> bool {
    plan.steps.iter().zip(&report.steps).any(|(step, ended)| ended.outcome == outcome && which(&step.action))
}

/// Whom to watch after a run, and what is known of it.
pub(super) struct Watch<'a> {
    pub engine: &'a Engine,
    pub prepared: &'a Prepared,
    pub report: &'a Report,
    pub watched: &'a [ContainerRef],
    /// There is an earlier success to go back to.
    pub earlier: bool,
    /// The deployment before this one, if that never said whether what it started stays up; with how it ended.
    pub unjudged: Option<&'a (DeploymentId, State)>,
}

/// Watches whether they stay up. Answers when the last look began.
///
/// # Errors
/// When one does not, or the engine does not answer.
pub(super) async fn settle(
    watch: &Watch<'_>,
    timeouts: &Timeouts,
    recorder: &Recorder,
    cancel: &CancellationToken,
) -> Result<SystemTime, Failure> {
    let Watch { engine, prepared, report, watched, earlier, unjudged } = *watch;
    let watch = Settle {
        project: &prepared.loaded.project,
        started: watched,
        settle: timeouts.settle,
        health_timeout: timeouts.apply,
        probing: None,
        reporter: recorder,
        cancel,
    };
    match engine.settle(&watch).await {
        Ok(looked) => Ok(looked),
        Err(SettleError::Cancelled) => Err(called_off::failure(WATCHING)),
        Err(SettleError::Failed(containers)) => {
            for unsettled in &containers {
                for line in &unsettled.log {
                    let (source, line) = (unsettled.container.name.clone(), line.clone());
                    recorder.report(Event::Output { source, line });
                }
            }
            let repo = prepared.loaded.project.repository.as_deref().unwrap_or_default();
            let ours =
                |unsettled: &Unsettled| report.started.iter().any(|started| started.id == unsettled.container.id);
            let replaced =
                |action: &Action| matches!(action, Action::RemoveContainer { reason: Removal::Replaced, .. });
            let did = match touched(&prepared.plan, report, Outcome::Done, &replaced) {
                true => "replaced",
                false => "started",
            };
            Err(Failure::new(unsettled(&containers)).hint(match (containers.iter().any(ours), earlier, unjudged) {
                (true, true, _) => format!(
                    "the containers were {did} already; correct the cause and push again, or go back to the last \
                     success: `turnout deploy {repo} --previous`"
                ),
                (true, false, _) => format!("the containers were {did} already; correct the cause and push again"),
                (false, _, Some((_, State::Running))) => {
                    "this deployment may have started it before the engine went away; correct the cause and push again"
                        .to_owned()
                }
                (false, _, Some((id, state))) => format!(
                    "this deployment did not touch it; deployment {id} may have started it, which {} before it was \
                     known whether everything stays up",
                    if *state == State::Failed { "failed".to_owned() } else { format!("was {state}") }
                ),
                (false, _, None) => {
                    "this deployment did not touch it, it came to that by itself; its log tells more".to_owned()
                }
            }))
        }
        Err(SettleError::Engine(error)) => Err(Failure::from(error)
            .hint("the steps were carried out, but whether the containers stay up is not known; deploy again to see")),
    }
}

/// In one line: the log has the rest of what the containers said.
fn unsettled(containers: &[Unsettled]) -> String {
    let each = containers.iter().map(|Unsettled { container, reason, log }| match log.last() {
        Some(last) => format!("{} {reason}, its last words: {last}", container.name),
        None => format!("{} {reason}", container.name),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// What a deployment did, or that there was nothing to do; with all that is not as configured. `besides`: what it did beside its
/// steps. `more`: what was found beside it.
pub(super) fn summary(
    prepared: &Prepared,
    report: &Report,
    besides: Option<String>,
    more: &[String],
    commit: &str,
) -> String {
    let project = &prepared.loaded.project.name;
    let commit = git::short(commit);
    let Plan { doubts, warnings, .. } = &prepared.plan;
    let remarks: Vec<&String> = prepared.compared.remarks.iter().chain(doubts).chain(warnings).chain(more).collect();
    if !report.changed() {
        let did = besides.unwrap_or_else(|| match remarks.is_empty() {
            true => format!("nothing to do, {EVERYTHING_RUNS}"),
            false => "nothing was done".to_owned(),
        });
        let remarks: String = remarks.iter().map(|remark| format!("; {remark}")).collect();
        return format!("{project} at {commit}: {did}{remarks}");
    }
    let count = |wanted: &dyn Fn(&Action) -> bool| {
        let steps = prepared.plan.steps.iter().zip(&report.steps);
        steps.filter(|(step, ended)| ended.outcome == Outcome::Done && wanted(&step.action)).count()
    };
    let networks = count(&|a| matches!(a, Action::RemoveNetwork { reason: NetworkRemoval::Unused, .. }));
    let parts = [
        (count(&|a| matches!(a, Action::Build { .. })), "built"),
        (count(&|a| matches!(a, Action::Pull { .. })), "pulled"),
        (count(&|a| matches!(a, Action::CreateContainer { replaces: None, .. })), "created"),
        (count(&|a| matches!(a, Action::CreateContainer { replaces: Some(_), .. })), "recreated"),
        (count(&|a| matches!(a, Action::RemoveContainer { reason, .. } if *reason != Removal::Replaced)), "removed"),
        (networks, if networks == 1 { "network removed" } else { "networks removed" }),
        (count(&|a| matches!(a, Action::SignalContainer { .. })), "signalled"),
        (count(&|a| matches!(a, Action::StartContainer { .. })), "started"),
        (count(&|a| matches!(a, Action::UnpauseContainer { .. })), "resumed"),
        (count(&|a| matches!(a, Action::RenameContainer { id: Some(_), .. })), "renamed"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let did = if parts.is_empty() { "done".to_owned() } else { parts.join(", ") };
    let remarks: String = remarks.iter().map(|remark| format!("; {remark}")).collect();
    format!("{project} at {commit}: {did}{remarks}")
}
