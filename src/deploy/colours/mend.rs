//! What a deployment that was broken off may leave in part is brought to what it should be: all of the live colour runs, requests
//! are let through, and whatever is neither live nor baking stands still.

use std::sync::Arc;

use super::{
    super::{Deployer, Failure, busy, mends::When},
    lead::Lead,
    made::Made,
    stands::Stands,
    start::Log,
};
use crate::{
    config::Repo,
    engine::{ContainerStatus, Engine},
    report::Reporter,
    rollout::Phase,
    store::{ColourRecord, ColourStanding},
};

impl Deployer {
    /// The colours of a repository may not be as they should be: they are looked at beside the lanes. `why`: for the log; the first
    /// reason of several.
    pub fn needs_mending(&self, repo: &str, why: &str) {
        self.mends.want(repo, why);
    }

    /// Mends a repository beside everything else. Where somebody does already, or has the repository, it is left to be tried again.
    /// From here on a deployment that begins waits for the end of it.
    pub(super) fn mend_on(self: &Arc<Self>, repo: &str, when: When) {
        let Ok(Some(busy)) = busy::attempt(&self.planner.settings.state_dir, repo) else { return };
        let (deployer, repo) = (Arc::clone(self), repo.to_owned());
        // Before it runs: whoever looks now is told that it is under way.
        let Some(under_way) = self.mends.begin(&repo) else { return };
        self.bakes.tasks.spawn(async move {
            let stop = deployer.bakes.stop.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = deployer.mend_told(&repo, under_way.why(), when) => {}
            }
            drop((busy, under_way));
            // A switch may have been recorded only now.
            deployer.bake_on(&repo).await;
            deployer.attend_on(&repo).await;
            deployer.build_meanwhile(&repo).await;
        });
    }

    /// Waits until nobody mends the repository.
    pub(in crate::deploy) async fn mended(&self, repo: &str) {
        if let Some(over) = self.mends.end_of(repo) {
            over.cancelled().await;
        }
    }

    /// Mends, and tells what keeps it from that.
    async fn mend_told(&self, repo: &str, why: &str, when: When) {
        match self.mend_beside(repo, why, when).await {
            Ok(true) => self.mends.done(repo),
            Ok(false) => self.mends.want(repo, why),
            Err(failure) => {
                // Once each, for it is tried again every two seconds.
                if self.mends.failed(repo, why, &failure.summary) {
                    tracing::warn!(repo, "what was left in part is not mended yet, and tried again: {failure}");
                }
            }
        }
    }

    /// Mends where nobody else works on the colours: a deployment does it itself, and what a bake holds and stops is its own. Answers
    /// whether it is done.
    async fn mend_beside(&self, repo: &str, why: &str, when: When) -> Result<bool, Failure> {
        let Some(_act) = self.acting.attempt(repo, "mending") else { return Ok(false) };
        let rollout = self.store.rollout(repo).await.map_err(Failure::from)?;
        let works = rollout.under_way.is_some_and(|under_way| !under_way.phase.waits());
        if works && when == When::NobodyWorks {
            return Ok(false);
        }
        let Some(repo) = self.planner.repos.current().repos.by_name(repo).cloned() else {
            // In the list no more: whoever took it out may have stopped it, too. Requests are held for nobody, and only
            // turnout-proxy can hold them.
            let led_by = self.recorded(repo).await?.live().and_then(|live| Made::read(&live.made).ok()?.led_by);
            if led_by.is_none() {
                self.proxy().await?.resume(repo).await?;
            }
            return Ok(true);
        };
        if self.recorded(&repo.name).await?.all.is_empty() {
            return Ok(true);
        }
        tracing::debug!(repo = repo.name, "whether its colours are as they should be is looked at: {why}");
        self.mend_now(&repo).await.map(|()| true)
    }

    /// Mends by what is there now, for whoever has the right to change the colours.
    ///
    /// # Errors
    /// When proxy, engine or store do not answer; requests are let through all the same, as far as that is the engine's fault.
    async fn mend_now(&self, repo: &Repo) -> Result<(), Failure> {
        let lead = self.lead(repo).await?;
        let stands = self.stands(&repo.name, &lead, &Log(&repo.name)).await?;
        let engine = match self.planner.engine().await {
            Ok(engine) => engine,
            Err(failure) => {
                // Nothing can be started for whoever waits.
                lead.resume(&repo.name).await?;
                return Err(failure.into());
            }
        };
        self.mend(repo, &lead, &stands, &engine, &Log(&repo.name)).await
    }

    /// See the module.
    ///
    /// # Errors
    /// When proxy or engine refuse.
    pub(super) async fn mend(
        &self,
        repo: &Repo,
        steer: &Lead,
        stands: &Stands,
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        if let Some(row) = stands.leaving() {
            return self.mend_unswitch(repo, stands, row, engine, reporter).await;
        }
        // Before anything that takes time, and whatever becomes of the rest.
        let whole = match stands.live() {
            Some(live) => self.live_whole(repo, steer, (stands, live), engine, reporter).await,
            None => Ok(()),
        };
        let rollout = self.store.rollout(&repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
        // A next colour that waits, or has waited and is about to be switched to, stays.
        let stays = rollout.under_way.is_some_and(|one| {
            one.phase.attends() || matches!(one.phase, Phase::Stepping | Phase::ChangingOver | Phase::Switching)
        });
        // While something bakes, whoever looks after that stops what is to be stopped.
        if !stays && rollout.bake.is_none() && self.live_alone(&repo.name, steer, stands).await? {
            reporter.info("the routes lead to the live colour alone again".to_owned());
        }
        if stays && self.share_again(&repo.name, steer, stands, &rollout).await? {
            reporter.warn(
                "the routes had not the share of the requests that the next colour is to have: they have it again"
                    .to_owned(),
            );
        }
        let is_other = |one: &&ColourRecord| !matches!(one.standing, ColourStanding::Live | ColourStanding::InPlace);
        let others = stands.all.iter().filter(is_other);
        let others = others.filter(|one| !stays || one.standing != ColourStanding::Next);
        for other in others.filter(|_| rollout.bake.is_none()) {
            self.at_rest((steer, stands), other, engine, reporter).await?;
        }
        match (stands.in_place(), stands.live()) {
            (Some(old), Some(live)) => self.finish_adoption(repo, steer, (old, live), engine, reporter).await?,
            (Some(old), None) => {
                reporter.warn(format!("{} was on its way out when that was broken off", old.project));
                self.undo_adoption(repo, steer, old, engine, reporter).await?;
            }
            (None, _) => {}
        }
        self.sweep_snapshots(repo, reporter).await;
        whole
    }

    /// A colour that is neither live nor baking stands still.
    async fn at_rest(
        &self,
        (steer, stands): (&Lead, &Stands),
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
            // It may have had a share of the requests until now.
            self.has_left(&other.repo, steer, &other.colour).await?;
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
