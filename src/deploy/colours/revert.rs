//! The way back while a switch bakes: the routes lead to the colour before again, and what was live is stopped.
//!
//! Nothing moves before it is certain that the engine answers and that the colour before does. From the move on nothing is given
//! up: what cannot be done then is mended beside the lanes.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::{
    super::{Deployer, Failure, now_ms},
    lead::LeadError,
    made::{Made, MadeRoute, Speaks},
    mend::stands_still,
    missing, snapshots,
};
use crate::{
    engine::{Engine, Wake},
    gate::{Ask, Spoken, ready_within},
    git,
    store::{ColourRecord, ColourStanding, dies},
};

/// How long requests may be held for the answer of what starts again: less than the proxy holds one.
const LONGEST_HELD: Duration = Duration::from_secs(25);

impl Deployer {
    /// Goes back. Answers what was done, in words. `by_itself`: nobody asked for it, and the history says so.
    ///
    /// # Errors
    /// There is no way back; nothing was moved then.
    pub(super) async fn revert(&self, repo: &str, why: &str, by_itself: bool) -> Result<String, Failure> {
        let began = Instant::now();
        let _act = self.acting.begin(repo, "the way back").await;
        let (steer, stands) = self.asked(repo).await?;
        let (Some(previous), Some(live)) = (stands.at(ColourStanding::Previous), stands.live()) else {
            return Err(Failure::new(format!("{repo} has no colour to go back to")));
        };
        let was = Made::read(&previous.made).map_err(Failure::new)?;
        let is = Made::read(&live.made).map_err(Failure::new)?;
        snapshots::refuse_gone(&previous.project, &was)?;
        let age = stands.next_revision();
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let wanted = steer.goal(&was, (number(age.0), number(age.1)), &previous.colour, number(previous.generation))?;
        let engine = self.planner.engine().await?;
        missing::refuse(previous, &was, &engine.containers(&previous.project, true).await?, true)?;
        dies::here("before", "going back");
        self.stands_again(&engine, previous, &was).await?;
        let held = was.holds() || is.holds();
        let mut undone = None;
        if held {
            let back = async {
                // What nobody asks takes its time to end before anybody waits.
                let first = is.asked_by_nobody();
                if !first.is_empty() {
                    engine.rest(&live.project, &first).await.map_err(Failure::from)?;
                }
                steer.hold(repo).await?;
                self.workers_back(&engine, (previous, &was), (live, &is)).await?;
                answer(&was.routes_of(true), &previous.project).await?;
                dies::here("before", "moving the routes back");
                steer.apply(repo, &wanted).await?;
                dies::here("after", "moving the routes back");
                Ok::<_, NotBack>(())
            };
            let back = back.await;
            let kept = match &back {
                Ok(()) => self.store.reverted(repo, age, why).await,
                Err(not) => {
                    self.stays_live(&engine, not, (previous, &was), (live, &is)).await;
                    Ok(())
                }
            };
            // Whatever became of it.
            if let Err(error) = steer.resume(repo).await {
                tracing::error!(repo, "requests could not be let through: {error}; that is tried again");
                self.needs_mending(repo, "requests could not be let through");
            }
            back.map_err(|not| not.failure)?;
            undone = kept.map_err(Failure::from).err();
        } else {
            dies::here("before", "moving the routes back");
            steer.apply(repo, &wanted).await?;
            dies::here("after", "moving the routes back");
        }
        let (moved, since) = (began.elapsed(), now_ms());
        if held && by_itself {
            self.note_taken_back(repo, live, why).await;
        }
        if !held {
            let rest = async {
                self.store.reverted(repo, age, why).await.map_err(Failure::from)?;
                if by_itself {
                    self.note_taken_back(repo, live, why).await;
                }
                self.workers_back(&engine, (previous, &was), (live, &is)).await
            };
            undone = rest.await.err();
        }
        if undone.is_none() {
            undone = self.drain(&steer, live, since).await.err();
        }
        if undone.is_none() {
            dies::here("before", "stopping what was live");
            undone = engine.rest(&live.project, &is.not_jobs()).await.err().map(Failure::from);
        }
        dies::here("after", "stopping what was live");
        if let Err(error) = self.store.bake_over(repo).await {
            undone = undone.or_else(|| Some(error.into()));
        }
        let commit = previous.commit.as_deref().map_or_else(String::new, |commit| format!(" ({})", git::short(commit)));
        let then = match &undone {
            None => format!("{} is stopped and left to be looked at", live.project),
            Some(failure) => {
                self.needs_mending(repo, "what was live was not stopped after a way back");
                format!("{} is stopped as soon as that is possible ({failure})", live.project)
            }
        };
        Ok(format!(
            "{}{commit} is live again after {:.1} ms; {then}: {why}",
            previous.project,
            moved.as_secs_f64() * 1_000.0,
        ))
    }

    /// Nothing came of the way back, and requests are held: what was ended in the live colour runs again, and answers, before they are let
    /// through. What cannot be done now is mended.
    async fn stays_live(
        &self,
        engine: &Engine,
        not: &NotBack,
        (previous, was): (&ColourRecord, &Made),
        (live, is): (&ColourRecord, &Made),
    ) {
        let repo = &live.repo;
        let again = async {
            if not.moved {
                return Err(Failure::new("who gets the requests is not known"));
            }
            // Never two of them.
            let ends = was.alone();
            if !ends.is_empty() {
                engine.rest(&previous.project, &ends).await?;
            }
            engine.wake(&live.project, &is.wakes(true), &is.networks).await?;
            answer(&is.routes_of(true), &live.project).await
        };
        match again.await {
            Ok(()) => tracing::warn!(repo, "there was no way back, and {} runs again as it was", live.project),
            Err(failure) => {
                tracing::error!(repo, "of {} something may stand still: {failure}; that is mended", live.project);
                self.needs_mending(repo, "a way back was given up half way");
            }
        }
    }

    /// What was live before runs, and answers: somebody may have stopped it, or begun to.
    async fn stands_again(&self, engine: &Engine, previous: &ColourRecord, was: &Made) -> Result<(), Failure> {
        let containers = engine.containers(&previous.project, true).await?;
        let wakes: Vec<Wake> =
            was.wakes(false).into_iter().filter(|wake| stands_still(&containers, &wake.service)).collect();
        if wakes.is_empty() {
            return Ok(());
        }
        engine.wake(&previous.project, &wakes, &was.networks).await?;
        answer(&was.routes_of(false), &previous.project).await
    }

    /// What must not run twice goes back to the colour before.
    async fn workers_back(
        &self,
        engine: &Engine,
        (previous, was): (&ColourRecord, &Made),
        (live, is): (&ColourRecord, &Made),
    ) -> Result<(), Failure> {
        dies::here("before", "taking the workers back");
        let ends = is.alone();
        if !ends.is_empty() {
            engine.rest(&live.project, &ends).await?;
        }
        let wakes = was.wakes(true);
        if !wakes.is_empty() {
            engine.wake(&previous.project, &wakes, &was.networks).await?;
        }
        dies::here("after", "taking the workers back");
        Ok(())
    }
}

/// Nothing came of a way back.
struct NotBack {
    failure: Failure,
    /// The routes may lead there all the same.
    moved: bool,
}

impl From<Failure> for NotBack {
    fn from(failure: Failure) -> Self {
        Self { failure, moved: false }
    }
}

impl From<LeadError> for NotBack {
    fn from(error: LeadError) -> Self {
        Self { moved: error.unknown(), failure: error.into() }
    }
}

/// Waits until what was started again answers on its routes, all of them within [`LONGEST_HELD`].
pub(super) async fn answer(routes: &[MadeRoute], project: &str) -> Result<(), Failure> {
    let all = routes.iter().flat_map(|route| route.targets.iter().map(move |target| (route, *target)));
    let asks = all.map(|(route, target)| async move {
        let spoken = match (route.speaks, route.http) {
            (Speaks::H2c, _) => Spoken::H2c,
            (_, Some(true)) => Spoken::Http { page: route.page.clone() },
            _ => Spoken::Tcp,
        };
        let limit = Duration::from_millis(route.patience).min(LONGEST_HELD);
        let ready = ready_within(&Ask { preamble: route.preamble(), ..Ask::new(target, spoken) }, limit, |_| ()).await;
        ready.map(drop).map_err(|not| Failure::new(format!("{project} does not answer: {not}")))
    });
    try_join_all(asks).await.map(drop)
}
