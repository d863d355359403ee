//! The looks at proxy and colours beside the lanes, as long as the daemon runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    super::{Deployer, Failure, mends::When},
    lead::Lead,
    other,
    share::Seen,
};
use crate::{config::Repo, steer::Steer, store::ColourStanding};

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
                        if lost {
                            self.needs_mending(name, "the proxy has older routes than it had confirmed");
                        } else if !shares.is_empty() && !self.has_under_way(name).await {
                            self.needs_mending(name, "a colour has a share of the requests, and nothing is under way");
                        }
                    }
                    Err(failure) => tell(&mut told, name, &failure),
                }
            }
            // Beside this: what has to be waited for or stopped may take its time, and a proxy that is gone cannot wait.
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
}
