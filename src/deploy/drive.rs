//! Carries out one deployment: each action that the table of [`rollout`] names, and then the next by what came of it.
//!
//! Half a plan is never resumed: what the engine did before it went, or something else changed meanwhile, shows in the next
//! look.

use std::{
    collections::{BTreeSet, VecDeque},
    time::SystemTime,
};

use tokio_util::sync::CancellationToken;

use super::{
    Deployer, Done, Failure, Prepared, Recorder, called_off, failure::Engine as EngineIs, guard, leftovers, now_ms,
    outcome, place, planner::ENGINE_RETRY, wanted, watch_on,
};
use crate::{
    config::{Repo, Timeouts},
    engine::{ApplyError, ContainerRef, EngineError, Report},
    git,
    plan::Action as Step,
    report::{Event, Reporter as _},
    rollout::{self, Action, Ending, Fact, LOSSES, PLANS, Phase, Rollout, Why},
    store::{Deployment, DeploymentId, Filter, State, Update, dies},
};

/// Deployments that are looked through for the last one that began; between two that did, others may have been superseded.
const MOST_WAITING: usize = 100;

/// What a deployment is about.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub job: &'a Deployment,
    pub repo: &'a Repo,
    pub timeouts: &'a Timeouts,
    pub recorder: &'a Recorder,
    pub cancel: &'a CancellationToken,
}

/// A deployment under way.
pub(super) struct Drive<'a> {
    deployer: &'a Deployer,
    of: Of<'a>,
    rollout: Rollout,
    found: Found,
}

/// What the actions of a deployment found out, for those after them. It is in no state: after a crash it is found out anew.
#[derive(Default)]
struct Found {
    commit: String,
    branch: String,
    /// What lies in the work tree otherwise than in the commit, in words.
    by_hand: Vec<String>,
    prepared: Option<Prepared>,
    report: Option<Report>,
    /// What this deployment started, in all its plans.
    started: Vec<ContainerRef>,
    done: Option<Done>,
    /// The last one, and why it is no failure of the plan where something else changed what had been looked at.
    failure: Option<Failure>,
    stale: Option<String>,
    /// To be recorded with the next phase.
    update: Update,
}

/// Why an action came to nothing.
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

impl<'a> Drive<'a> {
    /// Goes on from where the store says that the rollout stands.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn of(deployer: &'a Deployer, of: Of<'a>) -> Result<Drive<'a>, Failure> {
        let kept = deployer.store.rollout(&of.repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
        Ok(Drive { deployer, of, rollout: kept.surely_under_way(), found: Found::default() })
    }

    /// To its end.
    ///
    /// # Errors
    /// Of the last action.
    pub(super) async fn run(mut self) -> Result<Done, Failure> {
        let mut actions = VecDeque::from([Action::Fetch]);
        self.enter(Phase::Fetching).await;
        while let Some(action) = actions.pop_front() {
            dies::here("before", word(action));
            let ended = match action {
                Action::Fetch => self.fetch().await,
                Action::Plan => self.plan().await,
                Action::EndWatch => {
                    self.deployer.end_watch(&self.of.repo.name, self.of.job.id).await;
                    continue;
                }
                Action::Apply => self.apply().await,
                Action::Settle => self.settle().await,
                Action::AwaitEngine => self.await_engine().await,
                Action::Record(ending) => return self.end(ending),
                // What comes after the end is the store's and the lane's.
                Action::Again | Action::Watch => continue,
            };
            dies::here("after", word(action));
            let fact = match ended {
                Ok(fact) => fact,
                Err(ended) => self.what_of_it(ended).await,
            };
            // Whoever waited for what is due has looked at a clock that nobody can set.
            let due = self.rollout.due_at().filter(|_| fact == Fact::Due);
            let next = rollout::next(&self.rollout, fact, now_ms().max(due.unwrap_or_default()));
            let before = self.phase();
            self.rollout = next.rollout;
            actions = next.actions.into();
            match (self.phase(), self.found.stale.take()) {
                (Some(Phase::Planning), Some(reason)) => {
                    self.of.recorder.info(format!("planning anew: {reason}"));
                    self.enter(Phase::Planning).await;
                }
                // There may be nothing to watch; then it is no phase that anybody saw.
                (Some(phase), _) if Some(phase) != before && phase != Phase::Settling => self.enter(phase).await,
                _ => {}
            }
        }
        Err(guard::fault("a deployment was left with nothing to do"))
    }

    fn phase(&self) -> Option<Phase> {
        self.rollout.under_way.map(|under_way| under_way.phase)
    }

    /// A phase begins: told, and kept with what became known before it.
    async fn enter(&mut self, phase: Phase) {
        let update = Update {
            phase: Some(phase),
            rollout: Some(self.rollout.clone()),
            ..std::mem::take(&mut self.found.update)
        };
        self.of.recorder.report(Event::Phase { name: phase.to_string() });
        self.deployer.note(self.of.job.id, update).await;
    }

    /// The fact that a bad end of an action is.
    async fn what_of_it(&mut self, ended: Ended) -> Fact {
        let (failure, stale) = match ended {
            Ended::Stale(reason, failure) => (failure, Some(reason)),
            Ended::Failed(failure) => (failure, None),
        };
        let plans = self.rollout.under_way.map_or(0, |under_way| under_way.plans);
        if stale.is_some() && plans < PLANS {
            (self.found.failure, self.found.stale) = (Some(failure), stale);
            return Fact::Stale;
        }
        let asks = self.phase() != Some(Phase::Fetching);
        let gone = match asks {
            true => self.deployer.engine_is_gone(&failure, self.of.cancel).await,
            false => Ok(false),
        };
        let (fact, failure) = match gone {
            Err(called_off) => (Fact::Cancelled, called_off),
            Ok(true) => {
                let patience = self.deployer.planner.settings.engine_wait.as_millis();
                (Fact::EngineGone { patience: i64::try_from(patience).unwrap_or(i64::MAX) }, failure)
            }
            Ok(false) if failure.cancelled => (Fact::Cancelled, failure),
            Ok(false) if stale.is_some() => (Fact::Stale, failure),
            Ok(false) => (Fact::Failed, failure),
        };
        self.found.failure = Some(failure);
        fact
    }

    /// The end, as the table has it, in the words of whoever failed.
    fn end(mut self, ending: Ending) -> Result<Done, Failure> {
        let why = match ending {
            Ending::Succeeded => match self.found.done.take() {
                Some(done) => return Ok(done),
                None => return Err(guard::fault("a success without a deployment")),
            },
            Ending::Failed(why) => why,
            Ending::Cancelled | Ending::Interrupted => Why::Itself,
        };
        let failure = self.found.failure.take().unwrap_or_else(|| guard::fault("a failure without a reason"));
        Err(match why {
            Why::Itself | Why::Unsteady | Why::DiedTooOften => failure,
            Why::LostTooOften => {
                failure.but(&format!("the engine went away {} times under this deployment", LOSSES + 1))
            }
            Why::NotBack => {
                let limit = self.deployer.planner.settings.engine_wait;
                Failure { engine: EngineIs::Awaited, ..failure }
                    .but(&format!("the engine did not come back within {limit:?}"))
            }
        })
    }

    /// Brings the work tree to the commit.
    async fn fetch(&mut self) -> Result<Fact, Ended> {
        let Of { job, repo, timeouts, recorder, cancel } = self.of;
        place::answers(repo).await?;
        let deployed = self.deployer.last_deployed(repo).await?;
        let remote = git::Remote { deployed, ..self.deployer.planner.remote(repo, timeouts)? };
        let updated = self.deployer.fetch(job, &remote, recorder, cancel).await?;
        recorder.info(outcome::describe(&updated, job.pinned));
        let look = super::by_hand(repo, &updated.new, recorder);
        let by_hand = called_off::at_once(look, "looking for changes by hand", cancel).await?;
        self.found.update = Update {
            branch: Some(updated.branch.clone()).filter(|branch| !branch.is_empty()),
            commit_before: updated.old,
            commit_after: Some(updated.new.clone()),
            ..Update::default()
        };
        let Found { commit, branch, by_hand: changed, .. } = &mut self.found;
        (*commit, *branch, *changed) = (updated.new, updated.branch, by_hand);
        Ok(Fact::Fetched)
    }

    /// Looks, decides and plans.
    async fn plan(&mut self) -> Result<Fact, Ended> {
        let look = self.deployer.look(self.of, &self.found.commit);
        let prepared = called_off::at_once(look, "planning", self.of.cancel).await??;
        self.found.update = self.deployer.planned(self.of, &prepared).await?;
        self.found.prepared = Some(prepared);
        Ok(Fact::Planned)
    }

    /// Carries the plan out.
    async fn apply(&mut self) -> Result<Fact, Ended> {
        let Of { repo, timeouts, recorder, cancel, .. } = self.of;
        let Some(prepared) = &self.found.prepared else { return Err(guard::fault("nothing was planned").into()) };
        let Prepared { loaded, decision, plan, engine, .. } = prepared;
        if !plan.steps.is_empty() {
            self.deployer.tidy.disturb(&loaded.project.name);
        }
        let applied = self.deployer.apply(engine, prepared, repo, timeouts, recorder, cancel).await;
        self.deployer.note_reads(prepared, &applied).await;
        if decision.trigger_file_to_remove && super::builds_succeeded(plan, &applied) {
            super::remove_trigger(repo, recorder).await;
        }
        match applied {
            Ok(report) => {
                self.found.report = Some(report);
                Ok(Fact::Applied)
            }
            Err(error) => {
                let failure = outcome::apply_failed(plan, &error);
                if let ApplyError::Step { report, .. } | ApplyError::Cancelled { report, .. } = &error {
                    // It is watched too, whatever a later plan brings.
                    self.found.started.extend(report.started.iter().cloned());
                }
                Err(match error {
                    ApplyError::Step { error: EngineError::Stale(reason), .. } => Ended::Stale(reason, failure),
                    _ => Ended::Failed(failure),
                })
            }
        }
    }

    /// Watches whether what was started stays up, and puts together what there is to say of a success.
    async fn settle(&mut self) -> Result<Fact, Ended> {
        let Of { job, repo, timeouts, recorder, cancel } = self.of;
        let (Some(prepared), Some(report)) = (self.found.prepared.take(), self.found.report.take()) else {
            return Err(guard::fault("nothing was applied").into());
        };
        let Prepared { loaded, engine, plan, .. } = &prepared;
        let (store, project) = (&self.deployer.store, &loaded.project);
        let fresh: BTreeSet<String> = report.started.iter().map(|container| container.id.clone()).collect();
        let earlier: Vec<ContainerRef> = std::mem::take(&mut self.found.started);
        let mut watched = report.started.clone();
        if !earlier.is_empty() {
            // Of them those that are still there; a later plan may have replaced others.
            let look = engine.observe_containers(&project.name);
            let seen = called_off::at_once(look, outcome::WATCHING, cancel).await?.map_err(Failure::from)?;
            let there: BTreeSet<String> = seen.containers.into_iter().map(|container| container.id).collect();
            watched.extend(earlier.into_iter().filter(|one| there.contains(&one.id) && !fresh.contains(&one.id)));
        }
        self.found.started.clone_from(&watched);
        let mut looked = SystemTime::now();
        let unjudged = self.deployer.unjudged(job).await?;
        let doubtful = engine.doubtful(project, &watched, timeouts.settle, unjudged.is_none());
        let doubtful = called_off::at_once(doubtful, outcome::WATCHING, cancel).await?.map_err(Failure::from)?;
        watched.extend(doubtful.watch);
        if !watched.is_empty() {
            self.enter(Phase::Settling).await;
            let earlier = store.previous(&repo.name).await.is_ok_and(|previous| previous.is_some());
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
        let built = plan.steps.iter().any(|step| matches!(step.action, Step::Build { .. }));
        let keep = self.deployer.planner.settings.keep_build_cache.filter(|_| built);
        leftovers::tidy(&self.deployer.tidy, engine, repo, &project.name, keep, recorder, cancel).await;
        let Found { commit, branch, by_hand, .. } = &self.found;
        let reached = wanted::reached(store, job, repo, commit, branch, recorder).await?;
        let summary = outcome::summary(&prepared, &report, &[doubtful.restarted, by_hand.clone()].concat(), commit);
        let watch = watch_on::from(engine, looked, timeouts.watch).await;
        self.found.done = Some(Done { project: project.name.clone(), summary, commit: commit.clone(), reached, watch });
        Ok(Fact::Settled { watch: watch.map(|watch| watch.until) })
    }

    /// Waits for an engine that went away, until that is due.
    async fn await_engine(&mut self) -> Result<Fact, Ended> {
        let Of { recorder, cancel, .. } = self.of;
        let limit = self.deployer.planner.settings.engine_wait;
        let deadline = tokio::time::Instant::now() + limit;
        if let Some(failure) = &self.found.failure {
            recorder.warn(format!("the engine went away: {}", failure.summary));
        }
        recorder.info(format!("waiting up to {limit:?} for it (TURNOUT_ENGINE_WAIT), then planning anew"));
        let doing = "waiting for the engine to come back";
        loop {
            if called_off::at_once(self.deployer.planner.engine(), doing, cancel).await?.is_ok() {
                recorder.info("the engine is back: looking at what runs, and planning anew".to_owned());
                return Ok(Fact::EngineBack);
            }
            if tokio::time::Instant::now() + ENGINE_RETRY > deadline {
                return Ok(Fact::Due);
            }
            called_off::at_once(tokio::time::sleep(ENGINE_RETRY), doing, cancel).await?;
        }
    }
}

/// An action's name, for the points at which a test has the daemon die.
fn word(action: Action) -> &'static str {
    match action {
        Action::Fetch => "fetch",
        Action::Plan => "plan",
        Action::EndWatch => "the end of the watch",
        Action::Apply => "apply",
        Action::Settle => "settle",
        Action::AwaitEngine => "the wait for the engine",
        Action::Record(_) => "the record",
        Action::Again => "the repetition",
        Action::Watch => "the watch",
    }
}

impl Deployer {
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
}
