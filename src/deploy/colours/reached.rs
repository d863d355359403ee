//! Has the proxy's routes lead to a second colour beside the live one, while there is one, and to the live one alone afterwards.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    super::{Deployer, Failure, of::Of},
    beside::{Second, falls_back, waits},
    lead::{Goal, Lead},
    made::Made,
    stands::Stands,
    way::Way,
};
use crate::{
    report::Reporter as _,
    rollout::{Generation, Rollout},
    store::{ColourRecord, ColourStanding, StoreError},
};

/// How long requests are waited for that a colour has taken which left the routes, before it is stopped: those for files of it.
const LAST: Duration = Duration::from_secs(5);
/// Time between two looks at them.
const LOOK: Duration = Duration::from_millis(50);

fn unknown(error: StoreError) -> Failure {
    Failure::new(error.to_string())
}

fn number(number: Generation) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

impl Deployer {
    /// Keeps what a next colour is that begins to wait, and has it reached by what was said.
    ///
    /// # Errors
    /// When store or proxy refuse.
    pub(in crate::deploy) async fn reach_next(
        &self,
        of: Of<'_>,
        way: &mut Way,
        generation: Generation,
    ) -> Result<(), Failure> {
        if let Some(preview) = way.made.reach.preview.as_mut().filter(|preview| preview.cookie)
            && preview.secret.is_none()
        {
            preview.secret = Some(secret()?);
        }
        self.keep_ready(of, way).await?;
        let Some((live, made)) = way.live.clone().filter(|_| way.made.reach.is_reached()) else { return Ok(()) };
        self.counts_on(&of.repo.name, way, generation).await?;
        let age = way.age(generation);
        let mut wanted = way.steer.goal(&made, age, &live.colour, number(live.generation))?;
        let next = Second { name: &way.colour, generation: number(generation), made: &way.made };
        if let Goal::Own(wanted) = &mut wanted {
            waits(wanted, &next);
        }
        way.steer.apply(&of.repo.name, &wanted).await?;
        let age = (generation, Generation::try_from(age.1).unwrap_or(Generation::MAX));
        self.store.routes_confirmed(&of.repo.name, age).await.map_err(unknown)?;
        of.recorder.info(format!(
            "{} is reached by what `turnout preview {}` says, as long as it waits",
            way.project, of.repo.name
        ));
        Ok(())
    }

    /// A deployment may have changed the routes before it waited, or before it planned anew: it goes on counting from there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn counts_on(&self, repo: &str, way: &mut Way, generation: Generation) -> Result<(), Failure> {
        let known = self.store.switch(repo).await.map_err(unknown)?;
        let confirmed = known.filter(|switch| switch.generation == generation);
        let next = confirmed.map_or(0, |switch| number(switch.revision).saturating_add(1));
        way.revision = way.revision.max(next);
        Ok(())
    }

    /// What the routes of the live colour have beside it as things stand.
    ///
    /// # Errors
    /// What is kept of a colour is not understood.
    pub(super) fn joined(&self, goal: &mut Goal, stands: &Stands, rollout: &Rollout) -> Result<(), Failure> {
        let (Goal::Own(wanted), Some(live)) = (goal, stands.live()) else { return Ok(()) };
        let read = |one: &ColourRecord| Made::read(&one.made).map_err(Failure::new);
        if let Some(next) = stands.at(ColourStanding::Next).filter(|_| rollout.attends()) {
            let made = read(next)?;
            waits(wanted, &Second { name: &next.colour, generation: number(next.generation), made: &made });
        }
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
        let (Some(own), Some(live)) = (steer.own(), stands.live()) else { return Ok(false) };
        let status = own.status().await?;
        let routes = || status.routes.iter().filter(|route| route.repository == repo);
        let others = routes().flat_map(|route| &route.colours).any(|colour| colour.name != live.colour);
        let leads = routes().flat_map(|route| &route.colours).any(|colour| colour.name == live.colour);
        // Where they lead elsewhere altogether, who is live is another one's question.
        if !others || !leads {
            return Ok(false);
        }
        let made = Made::read(&live.made).map_err(Failure::new)?;
        let mut age = stands.next_revision();
        if let Some(at) = status.repositories.get(repo) {
            let whole = |number| Generation::try_from(number).unwrap_or(Generation::MAX);
            age = age.max((whole(at.generation), whole(at.revision).saturating_add(1)));
        }
        let wanted = steer.goal(&made, (number(age.0), number(age.1)), &live.colour, number(live.generation))?;
        steer.apply(repo, &wanted).await?;
        self.store.routes_confirmed(repo, age).await.map_err(unknown)?;
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
        let Some(own) = steer.own() else { return Ok(()) };
        let began = Instant::now();
        while began.elapsed() < LAST {
            let status = own.status().await?;
            let mut open = status.leaving.iter().filter(|one| one.repository == repo && one.name == left);
            if !open.any(|one| one.open > one.tunnels) {
                break;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// What nobody guesses, in digits of a cookie.
fn secret() -> Result<String, Failure> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("no secret can be made for the preview: {error}")))?;
    Ok(hex::encode(bytes))
}
