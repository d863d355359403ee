//! Looks at what of the live colours stands still whenever the engine has told something by itself, and tells it in the log.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Deployer,
    colours::{Stands, still, taken},
    stills::News,
};
use crate::store::StoreError;

/// Pause after a look: a deployment makes many events.
const PAUSE: Duration = Duration::from_secs(1);
/// So often it is asked for what the engine holds, whatever it tells: a connection may be dead without a word.
const WHOLE: Duration = Duration::from_secs(600);

impl Deployer {
    /// Tells in the log what of the live colours stands still, and when it runs again, for ever.
    pub async fn tell_what_stands_still(&self) {
        let (mut held, mut events) = (self.holdings.changes(), self.store.newest_event());
        loop {
            held.mark_unchanged();
            events.mark_unchanged();
            if let Err(error) = self.look_for_stills().await {
                tracing::debug!("what stands still is not known: {error}");
            }
            sleep(PAUSE).await;
            let due = self.stills.due();
            tokio::select! {
                changed = held.changed() => if changed.is_err() { return },
                // A deployment has ended, or another colour is live.
                changed = events.changed() => if changed.is_err() { return },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                // Has it read anew where it has heard nothing for long.
                () = sleep(WHOLE) => drop(self.holdings.now()),
            }
        }
    }

    async fn look_for_stills(&self) -> Result<(), StoreError> {
        // What is on its way is looked at when it has come.
        let Some(stacks) = self.holdings.as_told() else { return Ok(()) };
        let mut colours: BTreeMap<String, Stands> = BTreeMap::new();
        for one in self.store.colours(None).await? {
            colours.entry(one.repo.clone()).or_default().all.push(one);
        }
        let list = self.planner.repos.current();
        colours.retain(|repo, stands| stands.live().is_some() && list.repos.by_name(repo).is_some());
        self.stills.keep(|repo| colours.contains_key(repo));
        for (name, stands) in &colours {
            let rollout = self.store.rollout(name).await?;
            let (Some(repo), Some(live)) = (list.repos.by_name(name), stands.live()) else { continue };
            let Some(seen) = still(stands, &rollout, &repo.project, &stacks) else {
                self.stills.not_seen(name, Instant::now());
                continue;
            };
            let seen = taken(stands, seen).await;
            tell(name, &live.project, &self.stills.note(name, seen, Instant::now()));
        }
        Ok(())
    }
}

fn tell(repo: &str, live: &str, news: &News) {
    let News { still: [own, stays], again } = news;
    let remedy = format!("`turnout deploy {repo}` has it run again");
    if !own.is_empty() {
        tracing::warn!(repo, "{live} is live and stands still in part: {}; {remedy}", own.join(", "));
    }
    if !stays.is_empty() {
        tracing::warn!(repo, "what stays beside {live} stands still in part: {}; {remedy}", stays.join(", "));
    }
    if !again.is_empty() {
        let verb = if again.len() == 1 { "runs" } else { "run" };
        tracing::info!(repo, "of {repo}, {} {verb} again", again.join(", "));
    }
}
