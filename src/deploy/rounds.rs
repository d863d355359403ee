//! A deployment plans anew when the world changed under it: something on the engine, or the engine itself went away.
//!
//! ```text
//!          ┌──────────── something else changed it (ATTEMPTS) ────────────┐
//!          ▼                                                              │
//! look, plan, apply, settle ──► done                                      │
//!          │       └───────────────────────────────────────────────────── ┘
//!          ▼ the engine is gone (LOSSES)
//!     wait for it ──► back: look, plan, … anew
//!          └────────► not within `engine-wait`: failed, as it stood
//! ```
//!
//! Half a plan is never resumed: what the engine did before it went shows in the next look.

use std::{collections::BTreeSet, time::SystemTime};

use super::{
    Deployer, Failure, Prepared, Recorder, called_off, failure::Engine as EngineIs, outcome, planner::ENGINE_RETRY,
};
use crate::{
    config::{Repo, Timeouts},
    engine::{ApplyError, ContainerRef, EngineError, Report},
    report::Reporter as _,
    store::{Deployment, DeploymentId, Filter, State, Update},
};
use tokio_util::sync::CancellationToken;

/// How often a deployment plans when the engine's objects change under it.
const ATTEMPTS: u32 = 3;
/// Deployments that are looked through for the last one that began; between two that did, others may have been superseded.
const MOST_WAITING: usize = 100;
/// How often the engine may go away under one deployment: one that takes it down each time must come to its end.
const LOSSES: u32 = 3;

/// What a deployment brought.
pub(super) struct Brought {
    pub prepared: Prepared,
    pub report: Report,
    /// Of containers that came up again by themselves, in words.
    pub restarted: Vec<String>,
    /// When it was looked at last.
    pub looked: SystemTime,
}

/// Why a round came to nothing.
enum Ended {
    /// Something else changed what was looked at.
    Stale(String, Failure),
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What all rounds of a deployment are about.
#[derive(Clone, Copy)]
pub(super) struct Rounds<'a> {
    pub job: &'a Deployment,
    pub repo: &'a Repo,
    pub commit: &'a str,
    pub timeouts: &'a Timeouts,
    pub recorder: &'a Recorder,
    pub cancel: &'a CancellationToken,
}

impl Deployer {
    /// Looks, plans, applies and watches, until one round goes through.
    ///
    /// # Errors
    /// Of the last round.
    pub(super) async fn rounds(&self, of: Rounds<'_>) -> Result<Brought, Failure> {
        let (mut attempts, mut losses) = (0, 0);
        // What earlier rounds started is watched too.
        let mut started = Vec::new();
        loop {
            attempts += 1;
            let failure = match self.round(of, &mut started).await {
                Ok(brought) => return Ok(brought),
                Err(Ended::Stale(reason, _)) if attempts < ATTEMPTS => {
                    of.recorder.info(format!("planning anew: {reason}"));
                    continue;
                }
                Err(Ended::Stale(_, failure) | Ended::Failed(failure)) => failure,
            };
            if !self.engine_is_gone(&failure, of.cancel).await? {
                return Err(failure);
            }
            losses += 1;
            if losses > LOSSES {
                return Err(failure.but(&format!("the engine went away {losses} times under this deployment")));
            }
            self.until_back(failure, of).await?;
            attempts = 0;
        }
    }

    /// One round.
    async fn round(&self, of: Rounds<'_>, started: &mut Vec<ContainerRef>) -> Result<Brought, Ended> {
        let Rounds { job, repo, commit, timeouts, recorder, cancel } = of;
        let (prepared, applied) = self.bring_up(job, repo, commit, timeouts, recorder, cancel).await?;
        let Prepared { loaded, decision, plan, engine, .. } = &prepared;
        if decision.trigger_file_to_remove && super::builds_succeeded(plan, &applied) {
            super::remove_trigger(repo, recorder).await;
        }
        let report = match applied {
            Ok(report) => report,
            Err(error) => {
                let failure = outcome::apply_failed(plan, &error);
                if let ApplyError::Step { report, .. } | ApplyError::Cancelled { report, .. } = &error {
                    started.extend(report.started.iter().cloned());
                }
                return Err(match error {
                    ApplyError::Step { error: EngineError::Stale(reason), .. } => Ended::Stale(reason, failure),
                    _ => Ended::Failed(failure),
                });
            }
        };
        let fresh: BTreeSet<String> = report.started.iter().map(|container| container.id.clone()).collect();
        let earlier: Vec<ContainerRef> = std::mem::take(started);
        let mut watched = report.started.clone();
        if !earlier.is_empty() {
            // Of them those that are still there; a later round may have replaced others.
            let look = engine.observe_containers(&loaded.project.name);
            let found = called_off::at_once(look, outcome::WATCHING, cancel).await?.map_err(Failure::from)?;
            let there: BTreeSet<String> = found.containers.into_iter().map(|container| container.id).collect();
            watched.extend(earlier.into_iter().filter(|one| there.contains(&one.id) && !fresh.contains(&one.id)));
        }
        started.clone_from(&watched);
        let mut looked = SystemTime::now();
        let unjudged = self.unjudged(job).await?;
        let doubtful = engine.doubtful(&loaded.project, &watched, timeouts.settle, unjudged.is_none());
        let doubtful = called_off::at_once(doubtful, outcome::WATCHING, cancel).await?.map_err(Failure::from)?;
        watched.extend(doubtful.watch);
        if !watched.is_empty() {
            self.enter("settle", Update::default(), job, recorder).await;
            let earlier = self.store.previous(&repo.name).await.is_ok_and(|previous| previous.is_some());
            let watch = outcome::Watch {
                engine,
                prepared: &prepared,
                report: &report,
                watched: &watched,
                earlier,
                unjudged: unjudged.as_ref(),
            };
            let settled = outcome::settle(&watch, timeouts, recorder, cancel);
            looked = called_off::at_once(settled, outcome::WATCHING, cancel).await??;
        }
        Ok(Brought { restarted: doubtful.restarted, prepared, report, looked })
    }

    /// The last deployment of the repository that began before this one, where that did not come to say whether what it
    /// had started stays up: it was interrupted, cancelled, or failed. Its containers are not judged by being there.
    async fn unjudged(&self, job: &Deployment) -> Result<Option<(DeploymentId, State)>, Failure> {
        let filter =
            Filter { repo: Some(job.repo.clone()), before: Some(job.id), limit: MOST_WAITING, ..Filter::default() };
        let earlier = self.store.history(filter).await.map_err(|error| Failure::new(error.to_string()))?;
        let began = |state: State| matches!(state, State::Failed | State::Cancelled | State::Interrupted);
        let last = earlier.iter().find(|earlier| earlier.state == State::Succeeded || began(earlier.state));
        Ok(last.filter(|last| began(last.state)).map(|last| (last.id, last.state)))
    }

    /// Whether a round failed because the engine is not there any more. An engine that ends in an orderly way tells much
    /// before it goes (a build is "cancelled"), so it is asked where the failure itself does not say.
    async fn engine_is_gone(&self, failure: &Failure, cancel: &CancellationToken) -> Result<bool, Failure> {
        match failure.engine {
            _ if failure.cancelled => Ok(false),
            EngineIs::Awaited => Ok(false),
            EngineIs::Lost => Ok(true),
            EngineIs::Unasked => {
                Ok(called_off::at_once(self.planner.engine(), "asking the engine", cancel).await?.is_err())
            }
        }
    }

    /// Waits for an engine that went away.
    ///
    /// # Errors
    /// It does not come back in time: the failure that it had caused, which says so then.
    async fn until_back(&self, failure: Failure, of: Rounds<'_>) -> Result<(), Failure> {
        let Rounds { job, recorder, cancel, .. } = of;
        let limit = self.planner.settings.engine_wait;
        let deadline = tokio::time::Instant::now() + limit;
        recorder.warn(format!("the engine went away: {}", failure.summary));
        self.enter("wait for the engine", Update::default(), job, recorder).await;
        recorder.info(format!("waiting up to {limit:?} for it (TURNOUT_ENGINE_WAIT), then planning anew"));
        let doing = "waiting for the engine to come back";
        loop {
            if called_off::at_once(self.planner.engine(), doing, cancel).await?.is_ok() {
                recorder.info("the engine is back: looking at what runs, and planning anew".to_owned());
                self.enter("plan", Update::default(), job, recorder).await;
                return Ok(());
            }
            if tokio::time::Instant::now() + ENGINE_RETRY > deadline {
                return Err(Failure { engine: EngineIs::Awaited, ..failure }
                    .but(&format!("the engine did not come back within {limit:?}")));
            }
            called_off::at_once(tokio::time::sleep(ENGINE_RETRY), doing, cancel).await?;
        }
    }
}
