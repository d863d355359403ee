//! Carries out one deployment: each action that the table of [`rollout`] names, and then the next by what came of it.
//!
//! Half a plan is never resumed: what the engine did before it went, or something else changed meanwhile, shows in the next
//! look. While nothing can be done the deployment is put down, and taken up by its row alone, as after a crash.

mod blue_green;
mod in_place;

use std::collections::VecDeque;

use tokio_util::sync::CancellationToken;

use super::{
    Deployer, Failure, by_hand, called_off,
    colours::{self, Broke, Rerouted, Unplanned, Unswitch, Way},
    failure::Engine as EngineIs,
    guard, now_ms,
    of::Of,
    outcome, place,
    prepared::Prepared,
    woken,
};
use crate::{
    engine::{ContainerRef, Report},
    git,
    report::{Event, Reporter as _},
    rollout::{self, Action, Ending, Fact, LOSSES, PLANS, Phase, Rollout, UnderWay, Why},
    store::{Claimed, Update, Watch, dies},
};

/// A deployment under way.
pub(super) struct Drive<'a> {
    deployer: &'a Deployer,
    of: Of<'a>,
    rollout: Rollout,
    /// What is to be done next.
    actions: VecDeque<Action>,
    /// It was put down before: what it found out then is not known any more.
    taken_up: bool,
    found: Found,
}

/// What a good end has to say.
pub(super) struct Done {
    pub(super) project: String,
    pub(super) commit: String,
    /// The newest wanted commit, where what was deployed has it.
    pub(super) reached: Option<String>,
    pub(super) summary: String,
    /// How long the project is watched on.
    pub(super) watch: Option<Watch>,
}

/// What a deployment comes to, where it does not fail.
pub(super) enum Came {
    /// It has come to its verdict: everything runs as it should.
    Done(Done),
    /// There is nothing to be done until a fact comes from outside.
    Waits(Box<woken::Wait>),
}

/// What the actions of a deployment found out, for those after them. It is in no state: after a crash it is found out anew.
#[derive(Default)]
struct Found {
    commit: String,
    branch: String,
    /// What lies in the work tree otherwise than in the commit, in words.
    by_hand: Vec<String>,
    prepared: Option<Prepared>,
    /// Beside a plan without steps: routes that are set anew.
    rerouted: Option<Rerouted>,
    report: Option<Report>,
    /// From one colour to another, where the repository is deployed blue/green.
    way: Option<Way>,
    /// Back in place, where `switch` was taken out.
    unswitch: Option<Box<Unswitch>>,
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

impl From<Broke> for Ended {
    fn from(broke: Broke) -> Self {
        match broke {
            Broke::Stale(reason, failure) => Self::Stale(reason, failure),
            Broke::Failed(failure) => Self::Failed(failure),
        }
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<'a> Drive<'a> {
    /// What a lane has claimed, from where the store says that its rollout stands.
    pub(super) fn of(deployer: &'a Deployer, of: Of<'a>, claimed: &Claimed) -> Drive<'a> {
        let Claimed { rollout, actions, waited, .. } = claimed.clone();
        Drive { deployer, of, rollout, actions: actions.into(), taken_up: waited.is_some(), found: Found::default() }
    }

    /// To its end, or until there is nothing to be done.
    ///
    /// # Errors
    /// Of the last action.
    pub(super) async fn run(mut self) -> Result<Came, Failure> {
        if self.taken_up {
            self.take_up().await?;
        }
        // Of one that waits at once its putting down is told.
        if let Some(phase) = self.phase().filter(|phase| !phase.waits()) {
            self.enter(phase).await;
        }
        while let Some(action) = self.actions.pop_front() {
            let ended = match action {
                Action::GoBack | Action::Abort => {
                    self.guarded_leave(action).await;
                    continue;
                }
                Action::Wait => {
                    dies::here("before", word(action));
                    return Ok(Came::Waits(Box::new(self.wait())));
                }
                Action::Record(ending) => {
                    dies::here("before", word(action));
                    return self.end(ending).map(Came::Done);
                }
                action => self.guarded_act(action).await,
            };
            let fact = match ended {
                Ok(Some(fact)) => fact,
                Ok(None) => continue,
                Err(ended) => self.what_of_it(ended).await,
            };
            if matches!(fact, Fact::EngineGone { .. }) {
                // Nobody waits as long as an engine may be away.
                if let Some(way) = &mut self.found.way {
                    self.deployer.let_through(self.of, way).await;
                    self.deployer.routes_back(self.of, way).await;
                }
                if let Some(way) = &mut self.found.unswitch {
                    self.deployer.unswitch_lets_through(self.of, way).await;
                }
            }
            let next = rollout::next(&self.rollout, fact, now_ms());
            let before = self.phase();
            self.rollout = next.rollout;
            self.actions = next.actions.into();
            match (self.phase(), self.found.stale.take()) {
                (Some(Phase::Planning), Some(reason)) => {
                    self.of.recorder.info(format!("planning anew: {reason}"));
                    self.enter(Phase::Planning).await;
                }
                // It begins with the transaction that puts the deployment down.
                (Some(phase), _) if phase.waits() => {}
                // There may be nothing to watch; then it is no phase that anybody saw.
                (Some(phase), _) if Some(phase) != before && phase != Phase::Settling => self.enter(phase).await,
                _ => {}
            }
        }
        Err(guard::fault("a deployment was left with nothing to do"))
    }

    /// Carries an action out. A panic in it is a fact like any other, so that its way out comes at once.
    async fn guarded_act(&mut self, action: Action) -> Result<Option<Fact>, Ended> {
        match guard::caught(self.act(action)).await {
            Ok(ended) => ended,
            // The routes may have moved before it.
            Err(failure) if action == Action::Switch => {
                self.found.failure = Some(failure);
                Ok(Some(Fact::Unknown))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// The fact that comes of an action; `None` where it is none.
    async fn act(&mut self, action: Action) -> Result<Option<Fact>, Ended> {
        dies::here("before", word(action));
        // Boxed, for they are large, and what guards them moves them.
        let ended = match action {
            Action::Fetch => Box::pin(self.fetch()).await,
            Action::Plan => Box::pin(self.plan()).await,
            Action::EndWatch => {
                self.deployer.end_watch(&self.of.repo.name, self.of.job.id).await;
                return Ok(None);
            }
            Action::Apply => Box::pin(self.apply()).await,
            Action::Settle => Box::pin(self.settle()).await,
            Action::Warm => Box::pin(self.warm()).await,
            Action::Step => Box::pin(self.step()).await,
            Action::ChangeOver => Box::pin(self.change_over()).await,
            Action::Switch => Box::pin(self.switch()).await,
            // The way out and the end have no fact, and what comes after the end is the store's and the lane's.
            Action::GoBack
            | Action::Abort
            | Action::Wait
            | Action::Record(_)
            | Action::Again
            | Action::Watch
            | Action::Bake
            | Action::Mend
            | Action::Meanwhile
            | Action::Attend => return Ok(None),
        };
        dies::here("after", word(action));
        ended.map(Some)
    }

    /// Goes a part of the way out. Where that panics, the next part comes, and what is left is mended after the end.
    async fn guarded_leave(&mut self, action: Action) {
        let left = guard::caught(async {
            dies::here("before", word(action));
            Box::pin(self.leave(action)).await;
        });
        if let Err(failure) = left.await {
            self.of.recorder.warn(format!("{} came to nothing: {failure}", word(action)));
            if let Some(way) = &mut self.found.way {
                self.deployer.let_through(self.of, way).await;
            }
        }
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
                let before = self.rollout.under_way.map_or(0, |under_way| under_way.losses);
                // Nothing was changed by this plan; an earlier one may have gone further.
                let hint = failure.hint.filter(|_| before == 0 || failure.engine != EngineIs::Absent);
                let failure = Failure { hint, ..failure };
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
            Ending::Cancelled | Ending::Interrupted | Ending::Superseded => Why::Itself,
        };
        let failure = self.found.failure.take().unwrap_or_else(|| guard::fault("a failure without a reason"));
        Err(match why {
            // Of one that is not back in time nothing is carried out any more.
            Why::Itself
            | Why::Unsteady
            | Why::DiedTooOften
            | Why::NotBack
            | Why::BakeNotOver
            | Why::NotKnown
            | Why::NotPromoted
            | Why::TurnedDown => failure,
            Why::LostTooOften => {
                failure.but(&format!("the engine went away {} times under this deployment", LOSSES + 1))
            }
        })
    }

    /// Brings the work tree to the commit.
    async fn fetch(&mut self) -> Result<Fact, Ended> {
        let Of { job, repo, timeouts, recorder, cancel } = self.of;
        if let Some(mistake) = self.deployer.planner.mistake_in_list() {
            recorder.warn(mistake);
        }
        if repo.switch.is_some()
            && let Err(failure) = self.deployer.takes_back(&repo.name).await
        {
            // Of a deployment that this one takes the place of. Planning mends it.
            recorder.warn(format!("the routes could not be led to the live colour alone yet: {failure}"));
        }
        place::answers(repo).await?;
        if self.deployer.wakes(job).await? {
            // Files stay as they are; what is brought back has its own.
            return Ok(Fact::Fetched);
        }
        let deployed = self.deployer.last_deployed(repo).await?;
        let remote = git::Remote { deployed, ..self.deployer.planner.remote(repo, timeouts)? };
        let updated = self.deployer.fetch(job, &remote, recorder, cancel).await?;
        recorder.info(outcome::describe(&updated, job.pinned));
        let look = by_hand::by_hand(repo, &updated.new, recorder);
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
        if self.of.repo.switch.is_some() {
            return self.plan_colours().await;
        }
        let unswitch = self.deployer.plan_unswitch(self.of, &self.found.commit);
        match called_off::at_once(unswitch, "planning", self.of.cancel).await?? {
            Unplanned::InPlace => {}
            Unplanned::Baking(bake) => return Ok(Fact::Baking { bake }),
            Unplanned::Way(way) => {
                let update = self.deployer.planned(self.of, &way.prepared).await?;
                let plan = Some(self.of.recorder.clean(&way.text));
                self.found.update = Update { plan, ..update };
                self.found.unswitch = Some(way);
                return Ok(Fact::ColourPlanned);
            }
        }
        let look = self.deployer.look(self.of, &self.found.commit);
        let prepared = called_off::at_once(look, "planning", self.of.cancel).await??;
        self.found.update = self.deployer.planned(self.of, &prepared).await?;
        self.found.prepared = Some(prepared);
        Ok(Fact::Planned)
    }

    /// What has to be kept until a fact comes from outside.
    fn wait(self) -> woken::Wait {
        let Drive { rollout, found: Found { update, failure, way, .. }, of, .. } = self;
        let bakes = rollout.bake.filter(|_| failure.is_none());
        let failure = failure.or_else(|| bakes.map(|_| colours::awaits(of.repo)));
        let waits = rollout.under_way.filter(|under_way| under_way.phase.attends());
        let promoted = waits.zip(way.as_ref()).map(|(waits, way)| way.awaits_promotion(of.repo, waits));
        let failure = promoted.or(failure);
        let phase = rollout.under_way.map(|under_way| under_way.phase);
        let update = Update { phase, rollout: Some(rollout), ..update };
        woken::Wait { update, failure: failure.unwrap_or_else(|| guard::fault("a wait without a reason")) }
    }

    /// Finds out anew what the actions to come need: the store has the commit, the work tree what was changed by hand.
    async fn take_up(&mut self) -> Result<(), Failure> {
        let Of { job, repo, recorder, cancel, .. } = self.of;
        recorder.info(match self.phase() {
            Some(Phase::Fetching) => "the bake is over: this begins now".to_owned(),
            Some(Phase::ChangingOver) => "it goes on: all requests go to the next colour now".to_owned(),
            Some(Phase::Stepping) => match self.rollout.under_way {
                Some(UnderWay { step, steps, .. }) if step > 0 => format!("it goes on with step {step} of {steps}"),
                _ => "it goes on".to_owned(),
            },
            Some(Phase::Paused) => "it is paused".to_owned(),
            _ => "the engine is back: looking at what runs, and planning anew".to_owned(),
        });
        place::answers(repo).await?;
        if self.phase() == Some(Phase::Fetching) || (job.back && job.commit_after.is_none()) {
            return Ok(());
        }
        let Some(commit) = job.commit_after.clone() else {
            return Err(guard::fault("it was put down without a commit"));
        };
        let look = by_hand::by_hand(repo, &commit, recorder);
        self.found.by_hand = called_off::at_once(look, "looking for changes by hand", cancel).await?;
        self.found.branch = job.branch.clone().unwrap_or_default();
        self.found.commit = commit;
        if self.phase().is_some_and(|phase| phase.attends() || matches!(phase, Phase::Stepping | Phase::ChangingOver)) {
            self.found.way = Some(self.deployer.way_again(self.of).await?);
        }
        Ok(())
    }
}

/// An action's name, for what is told of it and for the points at which a test has the daemon die.
fn word(action: Action) -> &'static str {
    match action {
        Action::Fetch => "fetch",
        Action::Plan => "plan",
        Action::EndWatch => "the end of the watch",
        Action::Apply => "apply",
        Action::Settle => "settle",
        Action::Warm => "warm",
        Action::ChangeOver => "the change-over",
        Action::Switch => "the switch",
        Action::GoBack => "the way back",
        Action::Abort => "the abort",
        Action::Bake => "the bake",
        Action::Mend => "the mending",
        Action::Meanwhile => "what is built meanwhile",
        Action::Step => "the step",
        Action::Attend => "the looking after",
        Action::Wait => "the wait for the engine",
        Action::Record(_) => "the record",
        Action::Again => "the repetition",
        Action::Watch => "the watch",
    }
}

impl Deployer {
    /// Whether a round failed because the engine is not there any more. An engine that ends in an orderly way tells much
    /// before it goes (a build is "cancelled"), so it is asked where the failure itself does not say.
    async fn engine_is_gone(&self, failure: &Failure, cancel: &CancellationToken) -> Result<bool, Failure> {
        match failure.engine {
            _ if failure.cancelled => Ok(false),
            EngineIs::Awaited => Ok(false),
            EngineIs::Absent | EngineIs::Lost => Ok(true),
            EngineIs::Unasked => {
                Ok(called_off::at_once(self.planner.engine(), "asking the engine", cancel).await?.is_err())
            }
        }
    }
}
