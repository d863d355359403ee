//! Wakes lanes whose deployment waits: when the engine answers, or when that is due.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{CLAIM_RETRY, Lanes};
use crate::{
    deploy::{Deployer, ENGINE_RETRY, now_ms},
    rollout::{Fact, Millis, Phase},
    store::{DeploymentId, StoreError, Waiting, Wish},
};

/// Wakes whoever is due until the store ends, and asks the engine for those that wait for it. What waits is read where something
/// was written since; who waits for a time, or for a person, costs nothing until then. Whoever is woken and not taken up, because
/// there is no place or the store could not be written, is woken again.
pub async fn wake_what_is_due(lanes: &Lanes<Arc<Deployer>>) {
    let deployer = lanes.work();
    let mut ends = Ends::default();
    let (mut newest, mut known) = (deployer.store.newest_event(), None);
    loop {
        // What is written while it is read counts as written since.
        let is_old = newest.has_changed().unwrap_or(true);
        newest.mark_unchanged();
        let waiting = match known.take().filter(|_| !is_old) {
            Some(waiting) => waiting,
            None => match deployer.store.waiting().await {
                Ok(waiting) => waiting,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot read what waits; reading it again in {CLAIM_RETRY:?}");
                    sleep(CLAIM_RETRY).await;
                    continue;
                }
            },
        };
        ends.know(&waiting, now_ms(), |phase| match phase {
            Phase::EngineAway => deployer.planner.settings.engine_wait,
            // Its end is that of the bake, which is told; this is for one that never ends.
            _ => Duration::MAX,
        });
        let Some(first) = ends.first() else {
            deployer.waits.more().await;
            continue;
        };
        let awaits_bake = waiting.iter().any(|one| one.phase == Phase::BakeAwaited);
        let baking = if awaits_bake { bakes(deployer).await } else { None };
        // Asked before the time is looked at, also where that passed while no daemon ran: what can go on goes on.
        let limit = first.max(Instant::now() + ENGINE_RETRY);
        let asks = waiting.iter().any(|one| one.phase == Phase::EngineAway);
        let back = asks && matches!(timeout_at(limit, deployer.planner.engine()).await, Ok(Ok(_)));
        // Who is woken may not be taken up; and of a bake it may not have been known whether it is over.
        let mut retries = asks || (awaits_bake && baking.is_none());
        for Waiting { repo, deployment, until, phase, asked, .. } in &waiting {
            let is_back = match phase {
                Phase::BakeAwaited => baking.as_ref().is_some_and(|baking| !baking.contains(repo)),
                Phase::EngineAway => back,
                _ => false,
            };
            let fact = match is_back {
                true if *phase == Phase::BakeAwaited => Fact::BakeOver,
                true => Fact::EngineBack,
                false if asked.is_some() => asked.as_ref().map_or(Fact::Due, Wish::fact),
                false if ends.is_over(*deployment, *until) => Fact::Due,
                false => continue,
            };
            deployer.waits.wake(repo, *deployment, fact);
            lanes.wake(repo);
            retries = true;
        }
        let again = retries.then(|| Instant::now() + ENGINE_RETRY);
        let again = ends.next().into_iter().chain(again).min();
        tokio::select! {
            () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => known = Some(waiting),
            () = deployer.waits.more() => {}
            // What waits may have been called off, or that for which it waits be over. Not with each line of some log.
            _ = async { sleep(ENGINE_RETRY).await; newest.changed().await } => {}
        }
    }
}

/// Repositories whose bake is under way; `None` where that is not known.
async fn bakes(deployer: &Deployer) -> Option<Vec<String>> {
    let stands = deployer.store.rollouts().await.ok()?;
    Some(stands.into_iter().filter(|one| one.rollout.bake.is_some()).map(|one| one.repo).collect())
}

/// When each wait ends, by a clock that nobody can set.
#[derive(Default)]
struct Ends(HashMap<(DeploymentId, Millis), Instant>);

impl Ends {
    /// These wait now. A clock that was set back makes no wait longer than `longest` says for its phase.
    fn know(&mut self, waiting: &[Waiting], now: Millis, longest: impl Fn(Phase) -> Duration) {
        self.0.retain(|key, _| waiting.iter().any(|one| (one.deployment, one.until) == *key));
        for Waiting { deployment, until, phase, .. } in waiting {
            let left = u64::try_from(until.saturating_sub(now)).unwrap_or(0);
            let left = Duration::from_millis(left).min(longest(*phase));
            self.0.entry((*deployment, *until)).or_insert_with(|| Instant::now() + left);
        }
    }

    fn first(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// The first that is not over.
    fn next(&self) -> Option<Instant> {
        self.0.values().filter(|end| **end > Instant::now()).min().copied()
    }

    fn is_over(&self, deployment: DeploymentId, until: Millis) -> bool {
        self.0.get(&(deployment, until)).is_none_or(|end| *end <= Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::WaitsFor;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_in_its_time_whatever_is_done_to_the_clock() {
        const MINUTE: Duration = Duration::from_secs(60);
        let one = |deployment, until| Waiting {
            repo: "shop".to_owned(),
            deployment,
            phase: Phase::EngineAway,
            until,
            waits: WaitsFor::default(),
            asked: None,
            asked_by: None,
        };
        let mut ends = Ends::default();
        let waiting = [one(1, 30_000), one(2, 90_000_000), one(3, -5)];
        ends.know(&waiting, 0, |_| MINUTE);
        assert!(ends.is_over(3, -5), "what was due before the daemon began is due");
        tokio::time::sleep(Duration::from_secs(29)).await;
        // Set back by an hour, and known already.
        ends.know(&waiting[..2], -3_600_000, |_| MINUTE);
        assert!(!ends.is_over(1, 30_000));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(ends.is_over(1, 30_000) && !ends.is_over(2, 90_000_000));
        tokio::time::sleep(MINUTE / 2).await;
        assert!(ends.is_over(2, 90_000_000), "a clock that was set back made it longer");
        // The same deployment, waiting once more.
        ends.know(&[one(1, 100_000)], 61_000, |_| MINUTE);
        assert!(!ends.is_over(1, 100_000) && ends.first() == ends.next());
    }
}
