//! Has the proxy's routes lead to a second colour beside the live one, while there is one, and to the live one alone afterwards.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    super::{Deployer, Failure, of::Of},
    beside::{Second, falls_back, waits},
    lead::{Goal, Lead, LeadError},
    made::Made,
    stands::Stands,
    way::Way,
};
use crate::{
    report::Reporter as _,
    rollout::{Generation, Rollout},
    store::{ColourRecord, ColourStanding},
};

/// Pause between two tries to reach a proxy that is not there, and how many there are: a service manager starts it again within
/// seconds.
const PROXY_RETRY: Duration = Duration::from_millis(500);
const PROXY_TRIES: u32 = 20;

fn number(number: Generation) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

impl Deployer {
    /// Keeps what a next colour is that begins to wait, has it reached by what was said, and gives it the share of its step; step 0
    /// has none.
    ///
    /// # Errors
    /// When store or proxy refuse, or no request can be shared.
    pub(in crate::deploy) async fn reach_next(
        &self,
        of: Of<'_>,
        way: &mut Way,
        (generation, step): (Generation, u32),
    ) -> Result<(), Failure> {
        if let Some(preview) = way.made.reach.preview.as_mut().filter(|preview| preview.cookie)
            && preview.secret.is_none()
        {
            preview.secret = Some(secret()?);
        }
        self.keep_ready(of, way).await?;
        let share = way.made.canary.step(step);
        let reached = way.made.reach.is_reached();
        let Some((live, made)) = way.live.clone().filter(|_| reached || share.is_some()) else { return Ok(()) };
        self.counts_on(&of.repo.name, way, generation).await?;
        let age = way.age(generation);
        let mut wanted = way.steer.goal(&made, age, &live.colour, number(live.generation))?;
        let next = Second { name: &way.colour, generation: number(generation), made: &way.made };
        let set = share.map(|share| way.steer.shares(&mut wanted, &next, share)).unwrap_or_default();
        if let Goal::Own(wanted) = &mut wanted {
            waits(wanted, &next);
        }
        if share.is_some() && set.shared.is_empty() {
            return Err(Failure::new(format!(
                "{} and {} have no route in one place, so no requests can be shared between them",
                live.project, way.project
            ))
            .hint("what is live stays live; deploy this without `steps`"));
        }
        self.lead_there(of, &way.steer, &wanted).await?;
        let age = (generation, Generation::try_from(age.1).unwrap_or(Generation::MAX));
        self.store.routes_confirmed(&of.repo.name, age).await.map_err(Failure::from)?;
        if let Some(share) = share {
            set.said_of_left(&way.project).into_iter().for_each(|said| of.recorder.warn(said));
            of.recorder.info(format!(
                "{} has {} % of the clients (step {step} of {}), {} the others",
                way.project,
                share.percent,
                way.steps(),
                live.project
            ));
        }
        if reached {
            of.recorder.info(format!(
                "{} is reached by what `turnout preview {}` says, as long as it waits",
                way.project, of.repo.name
            ));
        }
        Ok(())
    }

    /// Has all routes lead there. One who is not there just now is waited for.
    ///
    /// # Errors
    /// As [`Lead::apply`].
    pub(super) async fn lead_there(&self, of: Of<'_>, steer: &Lead, wanted: &Goal) -> Result<(), LeadError> {
        let Of { repo, recorder, .. } = of;
        let mut applied = steer.apply(&repo.name, wanted).await;
        if applied.as_ref().is_err_and(|error| error.is_absent()) {
            recorder.warn(format!("{} is not there just now: it is started, or waited for", steer.name()));
            let mut tries = 0;
            while applied.as_ref().is_err_and(|error| error.is_absent()) && tries < PROXY_TRIES {
                tries += 1;
                sleep(PROXY_RETRY).await;
                applied = match self.lead(repo).await {
                    Ok(steer) => steer.apply(&repo.name, wanted).await,
                    Err(_) => continue,
                };
            }
        }
        applied
    }

    /// A deployment may have changed the routes before it waited, or before it planned anew: it goes on counting from there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn counts_on(&self, repo: &str, way: &mut Way, generation: Generation) -> Result<(), Failure> {
        let known = self.store.switch(repo).await.map_err(Failure::from)?;
        let confirmed = known.filter(|switch| switch.generation == generation);
        let next = confirmed.map_or(0, |switch| number(switch.revision).saturating_add(1));
        // What was mended meanwhile, and not confirmed, shows there. One that is away is waited for when it is told.
        let there = way.steer.seen(repo).await.ok().and_then(|seen| seen.routed);
        let there = there.filter(|at| at.generation == generation);
        let there = there.map_or(0, |at| number(at.revision).saturating_add(1));
        way.revision = way.revision.max(next).max(there);
        Ok(())
    }

    /// What the routes of the live colour have beside it as things stand.
    ///
    /// # Errors
    /// What is kept of a colour is not understood.
    pub(super) fn joined(
        &self,
        steer: &Lead,
        goal: &mut Goal,
        stands: &Stands,
        rollout: &Rollout,
    ) -> Result<(), Failure> {
        let Some(live) = stands.live() else { return Ok(()) };
        let read = |one: &ColourRecord| Made::read(&one.made).map_err(Failure::new);
        if let Some(next) = stands.at(ColourStanding::Next).filter(|_| rollout.attends()) {
            let made = read(next)?;
            let second = Second { name: &next.colour, generation: number(next.generation), made: &made };
            if let Some(step) = rollout.under_way.and_then(|one| made.canary.step(one.step)) {
                steer.shares(goal, &second, step);
            }
            if let Goal::Own(wanted) = goal {
                waits(wanted, &second);
            }
        }
        let Goal::Own(wanted) = goal else { return Ok(()) };
        if let Some(previous) = stands.at(ColourStanding::Previous).filter(|_| rollout.bake.is_some()) {
            let made = read(previous)?;
            let before = Second { name: &previous.colour, generation: number(previous.generation), made: &made };
            falls_back(wanted, &read(live)?.reach.fallback, &before);
        }
        Ok(())
    }

    /// Has the routes lead to the live colour alone, where another one is in them besides. Answers whether one was.
    ///
    /// # Errors
    /// When store or proxy refuse.
    pub(super) async fn live_alone(&self, repo: &str, steer: &Lead, stands: &Stands) -> Result<bool, Failure> {
        let Some(live) = stands.live() else { return Ok(false) };
        // Where they lead elsewhere altogether, who is live is another one's question.
        let Some(at) = steer.beside(repo, &live.colour).await? else { return Ok(false) };
        let made = Made::read(&live.made).map_err(Failure::new)?;
        let age = stands.next_revision().max((at.0, at.1.saturating_add(1)));
        let wanted = steer.goal(&made, (number(age.0), number(age.1)), &live.colour, number(live.generation))?;
        steer.apply(repo, &wanted).await?;
        self.store.routes_confirmed(repo, age).await.map_err(Failure::from)?;
        Ok(true)
    }

    /// The colour before leaves the routes before it is stopped, with the answers that it has begun.
    ///
    /// # Errors
    /// As [`Deployer::live_alone`].
    pub(super) async fn leaves(&self, repo: &str, steer: &Lead, stands: &Stands, left: &str) -> Result<(), Failure> {
        if !self.live_alone(repo, steer, stands).await? {
            return Ok(());
        }
        match steer {
            Lead::Own(_) => self.has_left(repo, steer, left).await,
            // What is open to it is waited for all the same.
            Lead::Other(_) => Ok(()),
        }
    }
}

/// What nobody guesses, in digits of a cookie.
fn secret() -> Result<String, Failure> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("no secret can be made for the preview: {error}")))?;
    Ok(hex::encode(bytes))
}
