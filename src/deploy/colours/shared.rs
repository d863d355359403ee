//! A next colour that has a share of the requests: it is taken from it as soon as it is not to have one, and given to it again
//! where the proxy has lost it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    super::{Deployer, Failure, busy},
    lead::Lead,
    made::Made,
    share::Seen,
    stands::Stands,
};
use crate::{
    rollout::{Generation, Rollout},
    store::ColourStanding,
};

/// How long requests are waited for that a colour has taken which left the routes, before it is stopped.
const LAST: Duration = Duration::from_secs(5);
/// Time between two looks at them.
const LOOK: Duration = Duration::from_millis(50);

/// How many of a hundred clients a next colour is tried with; `None`: it waits, and gets no requests.
pub(super) fn tried_with(rollout: &Rollout, made: &Made) -> Option<u64> {
    let under_way = rollout.under_way.filter(|one| one.phase.attends())?;
    made.canary.step(under_way.step).map(|step| step.percent)
}

impl Deployer {
    /// Has the routes lead to the live colour alone, at once, for whoever has found that the next one is to have no share any more. What
    /// cannot be done now is mended; where a deployment works on the colours, that sees to it.
    pub(in crate::deploy) async fn take_back(&self, repo: &str) {
        let taken = async {
            let _act = self.acting.begin(repo, "taking back a share").await;
            // A deployment that begins now waits for the end of this.
            let busy = busy::attempt(&self.planner.settings.state_dir, repo);
            let Some(_busy) = busy.map_err(|error| Failure::new(error.to_string()))? else { return Ok(false) };
            let rollout = self.store.rollout(repo).await.map_err(Failure::from)?;
            if rollout.under_way.is_some_and(|one| !one.phase.waits()) {
                return Ok(false);
            }
            self.share_is_taken_back(repo).await
        };
        match taken.await {
            Ok(true) => tracing::info!(repo, "the routes lead to the live colour alone again"),
            Ok(false) => {}
            Err(failure) => {
                tracing::warn!(repo, "the routes are not led to the live colour alone yet: {failure}");
                self.needs_mending(repo, "the routes lead to the next colour as well");
            }
        }
    }

    /// The same, for a deployment that takes the place of one whose next colour may have a share still.
    pub(in crate::deploy) async fn takes_back(&self, repo: &str) -> Result<bool, Failure> {
        let stands = self.recorded(repo).await?;
        if stands.live().is_none() || stands.at(ColourStanding::Next).is_none() {
            // Nobody has to be waited for.
            return Ok(false);
        }
        let _act = self.acting.begin(repo, "taking back a share").await;
        self.share_is_taken_back(repo).await
    }

    async fn share_is_taken_back(&self, repo: &str) -> Result<bool, Failure> {
        let stands = self.recorded(repo).await?;
        if stands.live().is_none() || stands.at(ColourStanding::Next).is_none() {
            return Ok(false);
        }
        // A switch that nobody lived to record is one all the same.
        let (lead, stands) = self.asked(repo).await?;
        if self.store.rollout(repo).await.map_err(Failure::from)?.bake.is_some() {
            return Ok(false);
        }
        self.live_alone(repo, &lead, &stands).await
    }

    /// Gives a next colour that waits in a step its share again, where the proxy has it otherwise. Answers whether it had.
    ///
    /// # Errors
    /// When store or proxy refuse.
    pub(super) async fn share_again(
        &self,
        repo: &str,
        steer: &Lead,
        stands: &Stands,
        rollout: &Rollout,
    ) -> Result<bool, Failure> {
        let Some(live) = stands.live() else { return Ok(false) };
        let Some(next) = stands.at(ColourStanding::Next).filter(|_| rollout.attends()) else { return Ok(false) };
        let made = Made::read(&next.made).map_err(Failure::new)?;
        let step = rollout.under_way.and_then(|one| made.canary.step(one.step));
        let Seen { routed, shares, .. } = steer.seen(repo).await?;
        let is = shares.into_iter().find(|share| share.colour == next.colour);
        if step.map(|step| step.percent) == is.map(|share| share.percent) {
            return Ok(false);
        }
        let at = routed.map(|at| (at.generation, at.revision.saturating_add(1)));
        let age = stands.next_revision().max(at.unwrap_or_default());
        let number = |number: Generation| u64::try_from(number).unwrap_or_default();
        let live_made = Made::read(&live.made).map_err(Failure::new)?;
        let mut wanted =
            steer.goal(&live_made, (number(age.0), number(age.1)), &live.colour, number(live.generation))?;
        self.joined(steer, &mut wanted, stands, rollout)?;
        steer.apply(repo, &wanted).await?;
        self.store.routes_confirmed(repo, age).await.map_err(Failure::from)?;
        Ok(true)
    }

    /// Waits for the answers that a colour has begun which has left the routes, for a time: it is to be stopped. Of a proxy of others
    /// that does not tell what is open, that whole time.
    ///
    /// # Errors
    /// The proxy does not answer.
    pub(super) async fn has_left(&self, repo: &str, steer: &Lead, left: &str) -> Result<(), Failure> {
        let Some(own) = steer.own() else {
            return steer.drained(left, Duration::ZERO, LAST).await.map(drop).map_err(Failure::from);
        };
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
