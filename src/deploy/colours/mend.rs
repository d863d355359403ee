//! What a deployment that was broken off may leave in part is brought to what it should be: requests are let through, all of
//! the live colour runs, and whatever is neither live nor baking stands still.

use std::{collections::BTreeSet, sync::PoisonError, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    super::{Deployer, Failure, busy},
    made::Made,
    stands::{Routed, Stands},
    start::Log,
};
use crate::{
    config::Repo,
    engine::{ContainerStatus, Engine, Wake},
    report::Reporter,
    steer::Steer,
    store::{ColourRecord, ColourStanding},
};

/// Time between two looks at proxy and colours.
const LOOK: Duration = Duration::from_secs(2);

impl Deployer {
    /// Looks after the proxy and the colours beside the lanes, as long as the daemon runs: a proxy that is gone is started
    /// again where no service manager does it, one that came back with less than it had confirmed is told again, and what a
    /// broken-off deployment left is mended.
    pub async fn keep_colours(&self) {
        let mut told = String::new();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen: Option<Steer> = None;
        loop {
            // Without it nobody reaches what is live: its end is learned at once. One that ends again soon waits for its turn.
            let ended = match seen.take() {
                Some(steer) => tokio::select! {
                    _ = looks.tick() => false,
                    () = steer.until_closed() => true,
                },
                None => {
                    looks.tick().await;
                    false
                }
            };
            let Ok(all) = self.store.colours(None).await else { continue };
            // Who has no repository with colours has no proxy either, and none is started.
            self.lock_mends().retain(|repo| all.iter().any(|one| one.repo == *repo));
            let live: BTreeSet<&str> =
                all.iter().filter(|one| one.standing == ColourStanding::Live).map(|one| one.repo.as_str()).collect();
            if live.is_empty() && self.to_mend().is_empty() {
                continue;
            }
            let steer = match self.proxy().await {
                Ok(steer) => steer,
                Err(failure) if failure.summary != told => {
                    tracing::error!(
                        "turnout-proxy does not answer, and no repository with `switch` is served: {failure}"
                    );
                    told = failure.summary;
                    continue;
                }
                Err(_) => continue,
            };
            told.clear();
            seen = (!ended).then(|| steer.clone());
            if let Ok(status) = steer.status().await {
                for repo in live {
                    let Ok(Some(switch)) = self.store.switch(repo).await else { continue };
                    let age = Routed::of(&status, repo).map(|routed| (routed.generation, routed.revision));
                    if age < Some((switch.generation, switch.revision)) {
                        self.needs_mending(repo);
                    }
                }
            }
            for repo in self.to_mend() {
                match self.mend_beside(&repo, &steer).await {
                    Ok(true) => drop(self.lock_mends().remove(&repo)),
                    Ok(false) => {}
                    Err(failure) => tracing::debug!(repo, "not mended yet: {failure}"),
                }
            }
        }
    }

    /// The colours of a repository may not be as they should be.
    pub fn needs_mending(&self, repo: &str) {
        self.lock_mends().insert(repo.to_owned());
    }

    fn to_mend(&self) -> Vec<String> {
        self.lock_mends().iter().cloned().collect()
    }

    /// Only whole values are written under this lock.
    fn lock_mends(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.mends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mends where no deployment works on the colours; else that does it. Answers whether it is done.
    async fn mend_beside(&self, repo: &str, steer: &Steer) -> Result<bool, Failure> {
        let unknown = |error: crate::store::StoreError| Failure::new(error.to_string());
        let rollout = self.store.rollout(repo).await.map_err(unknown)?;
        if rollout.under_way.is_some_and(|under_way| !under_way.phase.waits()) {
            return Ok(false);
        }
        let Some(repo) = self.planner.repos.current().repos.by_name(repo).cloned() else { return Ok(true) };
        if self.recorded(&repo.name).await?.all.is_empty() {
            return Ok(true);
        }
        // Nobody else changes it meanwhile: a deployment that begins now waits for the end of this.
        let Ok(Some(_busy)) = busy::attempt(&self.planner.settings.state_dir, &repo.name) else { return Ok(false) };
        let stands = self.stands(&repo, steer, &Log(&repo.name)).await?;
        let engine = self.planner.engine().await?;
        self.mend(&repo, steer, &stands, &engine, &Log(&repo.name)).await.map(|()| true)
    }

    /// See the module.
    ///
    /// # Errors
    /// When proxy or engine refuse.
    pub(super) async fn mend(
        &self,
        repo: &Repo,
        steer: &Steer,
        stands: &Stands,
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        // Before anything that takes time, and whatever becomes of the rest.
        if stands.live().is_some() && steer.resume(&repo.name).await? {
            reporter
                .warn("requests had been held by a deployment that was broken off: they are let through".to_owned());
        }
        let rollout = self.store.rollout(&repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
        // While something bakes, whoever looks after that stops what is to be stopped.
        let others = stands.all.iter().filter(|one| one.standing != ColourStanding::Live);
        for other in others.filter(|_| rollout.bake.is_none()) {
            self.at_rest(stands, other, engine, reporter).await?;
        }
        let Some(live) = stands.live() else { return Ok(()) };
        let made = Made::read(&live.made).map_err(Failure::new)?;
        let containers = engine.containers(&live.project, true).await?;
        let wakes: Vec<Wake> = [made.wakes(false), made.wakes(true)].concat();
        let wakes: Vec<Wake> = wakes.into_iter().filter(|wake| stands_still(&containers, &wake.service)).collect();
        if wakes.is_empty() {
            return Ok(());
        }
        // Whatever must not run twice ends elsewhere first; of a colour that bakes only that.
        for other in stands.all.iter().filter(|other| other.colour != live.colour) {
            let alone = Made::read(&other.made).map(|made| made.alone()).unwrap_or_default();
            if !alone.is_empty() {
                engine.rest(&other.project, &alone).await?;
            }
        }
        let names: Vec<&str> = wakes.iter().map(|wake| wake.service.as_str()).collect();
        reporter.warn(format!("{} is live and stands still in part: {} is started", live.project, names.join(", ")));
        engine.wake(&live.project, &wakes).await?;
        Ok(())
    }

    /// A colour that is neither live nor baking stands still.
    async fn at_rest(
        &self,
        stands: &Stands,
        other: &ColourRecord,
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        let jobs: Vec<String> = Made::read(&other.made)
            .map(|made| made.services.into_iter().filter(|one| one.job).map(|one| one.name).collect())
            .unwrap_or_default();
        let running = engine.containers(&other.project, false).await?;
        let runs = running.iter().any(|one| !one.oneoff && !jobs.contains(&one.service));
        if runs {
            self.never_live(stands, &other.project)?;
            reporter.warn(format!("{} is not live and ran all the same: it is stopped", other.project));
            let services = Made::read(&other.made).map(|made| made.not_jobs()).unwrap_or_default();
            engine.rest(&other.project, &services).await?;
        }
        let standing = match other.standing {
            ColourStanding::Next => ColourStanding::Failed,
            ColourStanding::Previous => ColourStanding::Kept,
            _ => return Ok(()),
        };
        let stood = self.store.stand_colour(&other.repo, &other.colour, standing).await;
        stood.map_err(|error| Failure::new(error.to_string()))
    }
}

/// Whether a service has containers, and one of them has ended.
pub(super) fn stands_still(containers: &[ContainerStatus], service: &str) -> bool {
    let mut own = containers.iter().filter(|one| one.service == service && !one.oneoff);
    own.any(|one| matches!(one.state.as_str(), "exited" | "created" | "dead"))
}
