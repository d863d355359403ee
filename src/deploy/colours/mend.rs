//! What a deployment that was broken off may leave in part is brought to what it should be: requests are let through, all of
//! the live colour runs, and whatever is neither live nor baking stands still.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    super::{Deployer, Failure, busy},
    lead::Lead,
    made::Made,
    other,
    share::Seen,
    snapshots,
    stands::Stands,
    start::Log,
};
use crate::{
    config::Repo,
    engine::{ContainerStatus, Engine, Wake},
    report::Reporter,
    rollout::Phase,
    steer::Steer,
    store::{ColourRecord, ColourStanding},
};

/// Under what turnout-proxy's own faults are told: no repository is called so.
const PROXY: &str = "";

/// Says once what keeps requests from being led.
fn tell(told: &mut BTreeMap<String, String>, repo: &str, failure: &Failure) {
    if told.get(repo) == Some(&failure.summary) {
        return;
    }
    match repo {
        PROXY => tracing::error!("turnout-proxy does not answer, and no repository that it leads is served: {failure}"),
        _ => tracing::error!(repo, "{failure}"),
    }
    told.insert(repo.to_owned(), failure.summary.clone());
}

/// Time between two looks at proxy and colours.
const LOOK: Duration = Duration::from_secs(2);

/// When a repository is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// At the start of the daemon: a deployment that has begun waits for the end of it.
    Starts,
    /// Where no deployment works on its colours.
    NobodyWorks,
}

impl Deployer {
    /// Looks after the proxy and the colours beside the lanes, as long as the daemon runs: a proxy that is gone is started
    /// again where no service manager does it, one that came back with less than it had confirmed is told again, and what a
    /// broken-off deployment left is mended.
    pub async fn keep_colours(self: &Arc<Self>) {
        let mut told: BTreeMap<String, String> = BTreeMap::new();
        let mut doubts: BTreeMap<String, String> = BTreeMap::new();
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
            self.mends.keep(|repo| all.iter().any(|one| one.repo == repo));
            let to_mend = self.mends.wanted();
            let live: BTreeSet<&str> =
                all.iter().filter(|one| one.standing == ColourStanding::Live).map(|one| one.repo.as_str()).collect();
            let names: BTreeSet<&str> = live.iter().copied().chain(to_mend.iter().map(String::as_str)).collect();
            let list = self.planner.repos.current();
            let known: Vec<&Repo> = names.iter().filter_map(|name| list.repos.by_name(name)).collect();
            let own = self.own_proxy(&known, names.len() > known.len(), &mut told).await;
            seen = own.clone().filter(|_| !ended);
            for name in live.iter().copied() {
                let lead = match list.repos.by_name(name).map(other::of) {
                    Some(Ok(Some(other))) => Lead::Other(other),
                    // Taken out of repos.yaml, its routes are there all the same.
                    None | Some(Ok(None)) => match &own {
                        Some(steer) => Lead::Own(steer.clone()),
                        None => continue,
                    },
                    Some(Err(failure)) => {
                        tell(&mut told, name, &failure);
                        continue;
                    }
                };
                // First what was confirmed: routes that move between the two looks are newer then, and not lost.
                let Ok(Some(switch)) = self.store.switch(name).await else { continue };
                match lead.seen(name).await.map_err(Failure::from) {
                    // Somebody changed it there, and may have meant to: said, and put right by the next deployment. Once may
                    // be in the middle of a switch.
                    Ok(Seen { otherwise: Some(why), .. }) => {
                        if doubts.insert(name.to_owned(), why.clone()).as_ref() == Some(&why) {
                            let why = format!("{} leads elsewhere than it was told: {why}", lead.name());
                            tell(&mut told, name, &Failure::new(why));
                        }
                    }
                    Ok(Seen { routed, otherwise: None, shares, .. }) => {
                        told.remove(name);
                        doubts.remove(name);
                        let age = routed.map(|routed| (routed.generation, routed.revision));
                        // One that was away when a share was to be taken back comes back with it.
                        let lost = age < Some((switch.generation, switch.revision));
                        if lost || (!shares.is_empty() && !self.has_under_way(name).await) {
                            self.needs_mending(name);
                        }
                    }
                    Err(failure) => tell(&mut told, name, &failure),
                }
            }
            // Beside this: what has to be stopped may take its time, and others are not to wait for it.
            for repo in self.mends.wanted() {
                self.mend_on(&repo, When::NobodyWorks);
            }
        }
    }

    /// turnout-proxy, where some of these repositories are led by it; it is started where no service manager does that.
    /// `others`: there are some that repos.yaml does not name any more.
    async fn own_proxy(&self, repos: &[&Repo], others: bool, told: &mut BTreeMap<String, String>) -> Option<Steer> {
        if !others && repos.iter().all(|repo| !matches!(other::of(repo), Ok(None))) {
            return None;
        }
        match self.proxy().await {
            Ok(steer) => {
                told.remove(PROXY);
                Some(steer)
            }
            Err(failure) => {
                tell(told, PROXY, &failure);
                None
            }
        }
    }

    /// Whether a deployment works on the colours of a repository, or waits; also where that is not known.
    async fn has_under_way(&self, repo: &str) -> bool {
        self.store.rollout(repo).await.map_or(true, |rollout| rollout.under_way.is_some())
    }

    /// The colours of a repository may not be as they should be.
    pub fn needs_mending(&self, repo: &str) {
        self.mends.want(repo);
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
                () = deployer.mend_told(&repo, when) => {}
            }
            drop((busy, under_way));
            // A switch may have been recorded only now.
            deployer.bake_on(&repo).await;
            deployer.attend_on(&repo).await;
        });
    }

    /// Waits until nobody mends the repository.
    pub(in crate::deploy) async fn mended(&self, repo: &str) {
        if let Some(over) = self.mends.end_of(repo) {
            over.cancelled().await;
        }
    }

    /// Mends, and tells what keeps it from that.
    async fn mend_told(&self, repo: &str, when: When) {
        match self.mend_beside(repo, when).await {
            Ok(true) => self.mends.done(repo),
            Ok(false) => self.mends.want(repo),
            Err(failure) => {
                // Once each, for it is tried again every two seconds.
                if self.mends.failed(repo, &failure.summary) {
                    tracing::warn!(repo, "what was left in part is not mended yet, and tried again: {failure}");
                }
            }
        }
    }

    /// Mends where no deployment works on the colours; else that does it. Answers whether it is done.
    async fn mend_beside(&self, repo: &str, when: When) -> Result<bool, Failure> {
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
        let lead = self.lead(&repo).await?;
        let stands = self.stands(&repo.name, &lead, &Log(&repo.name)).await?;
        let engine = self.planner.engine().await?;
        self.mend(&repo, &lead, &stands, &engine, &Log(&repo.name)).await.map(|()| true)
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
        self.let_through_what_is_held(repo, steer, stands, reporter).await?;
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
        let Some(live) = stands.live() else { return Ok(()) };
        let made = Made::read(&live.made).map_err(Failure::new)?;
        let containers = engine.containers(&live.project, true).await?;
        let wakes: Vec<Wake> = [made.wakes(false), made.wakes(true)].concat();
        let wakes: Vec<Wake> = wakes.into_iter().filter(|wake| stands_still(&containers, &wake.service)).collect();
        if wakes.is_empty() {
            return Ok(());
        }
        if let Err(failure) = snapshots::refuse_gone(&live.project, &made) {
            // The engine would put empty folders in their place; what comes next is made anew.
            reporter.warn(format!("{} stands still in part, and is not started: {failure}", live.project));
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

    /// Lets requests through that a deployment held which was broken off.
    ///
    /// # Errors
    /// When the proxy does not answer.
    pub(super) async fn let_through_what_is_held(
        &self,
        repo: &Repo,
        steer: &Lead,
        stands: &Stands,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        // On the way back in place they are held until that has come to its end.
        let waits = stands.live().is_some() && stands.leaving().is_none();
        if waits && steer.resume(&repo.name).await? {
            reporter
                .warn("requests had been held by a deployment that was broken off: they are let through".to_owned());
        }
        Ok(())
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
