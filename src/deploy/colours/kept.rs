//! A colour that was retired is kept for a time, stopped, and then removed: its containers and its networks. Images and volumes stay.
//!
//! What is due follows from what the store has: since when the colour is kept, and what the live one was made with. That it is
//! removed is recorded before anything of it goes, so nobody goes back to half of it; what a daemon did not live to remove goes at
//! the next start.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::sleep;

use super::{
    super::{Deployer, Failure, busy, now_ms},
    made::Made,
    start::Log,
};
use crate::{
    report::counted,
    rollout::{Generation, Millis},
    store::{ColourRecord, ColourStanding, Filter, State, StoreError, live_of},
};

/// Time between two looks where something changes all the while.
const LOOK: Duration = Duration::from_secs(1);
/// Time between two tries where somebody works on the colours, or the engine is not there.
const AGAIN: Duration = Duration::from_secs(2);
/// The clock may be set meanwhile.
const LONGEST: Duration = Duration::from_secs(600);

/// Until when a kept colour is there to go back to, by what the live one was made with. `None`: until it is made anew.
pub fn until(kept: &ColourRecord, live: Option<&ColourRecord>) -> Option<Millis> {
    let keep = Made::read(&live?.made).ok()?.reach.keep?;
    (kept.standing == ColourStanding::Kept).then(|| kept.since.saturating_add(keep))
}

/// When each kept colour is due, of all repositories.
fn due(all: &[ColourRecord]) -> Vec<(&ColourRecord, Millis)> {
    all.iter().filter_map(|one| Some((one, until(one, live_of(all, &one.repo))?))).collect()
}

impl Deployer {
    /// Removes kept colours when their time is over, as long as the daemon runs.
    pub async fn remove_what_is_kept(&self) {
        let mut newest = self.store.newest_event();
        // Colours that were removed and of which nothing is there any more.
        let mut gone: BTreeSet<(String, String, Generation)> = BTreeSet::new();
        loop {
            newest.borrow_and_update();
            let mut wait = LONGEST;
            match self.store.colours(None).await {
                Err(StoreError::Closed) => return,
                Err(_) => wait = AGAIN,
                Ok(all) => {
                    for (_, until) in due(&all) {
                        let left = u64::try_from(until.saturating_sub(now_ms())).unwrap_or(0);
                        wait = wait.min(Duration::from_millis(left).max(LOOK));
                    }
                    let now = now_ms();
                    let over = due(&all).into_iter().filter(|(_, until)| *until <= now).map(|(one, _)| one);
                    let key = |one: &ColourRecord| (one.repo.clone(), one.colour.clone(), one.generation);
                    let removed = all.iter().filter(|one| one.standing == ColourStanding::Removed);
                    let left: Vec<&ColourRecord> =
                        over.chain(removed.filter(|one| !gone.contains(&key(one)))).collect();
                    for one in left {
                        match self.remove_kept(one).await {
                            Ok(true) => drop(gone.insert(key(one))),
                            Ok(false) => wait = AGAIN,
                            Err(failure) => {
                                tracing::warn!(repo = one.repo, "{} cannot be removed yet: {failure}", one.project);
                                wait = AGAIN;
                            }
                        }
                    }
                }
            }
            tokio::select! {
                () = sleep(wait) => {}
                changed = async { sleep(LOOK).await; newest.changed().await } => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Removes one, unless somebody works on the colours of its repository, or will. Answers whether it is gone.
    async fn remove_kept(&self, one: &ColourRecord) -> Result<bool, Failure> {
        let Some(repo) = self.planner.repos.current().repos.by_name(&one.repo).cloned() else { return Ok(false) };
        if self.is_wanted(&one.repo).await? {
            return Ok(false);
        }
        // A deployment that begins now waits for the end of this.
        let Ok(Some(_busy)) = busy::attempt(&self.planner.settings.state_dir, &one.repo) else { return Ok(false) };
        let stands = self.recorded(&one.repo).await?;
        let same =
            stands.of(&one.colour).filter(|now| (now.generation, now.standing) == (one.generation, one.standing));
        if same.is_none() || self.is_wanted(&one.repo).await? {
            return Ok(false);
        }
        self.never_live(&stands, &one.project)?;
        let engine = self.planner.engine().await?;
        if one.standing == ColourStanding::Kept {
            let stood = self.store.stand_colour(&one.repo, &one.colour, ColourStanding::Removed).await;
            stood.map_err(Failure::from)?;
            crate::store::dies::here("after", "recording that a kept colour goes");
        }
        let removed = engine.remove_stopped(&one.project, &one.repo).await?;
        self.sweep_snapshots(&repo, &Log(&one.repo)).await;
        if !removed.containers.is_empty() || !removed.networks.is_empty() {
            tracing::info!(
                repo = one.repo,
                "{} was kept long enough to go back to, and is removed: {} ({}), {} ({}); its images and all volumes stay",
                one.project,
                counted(removed.containers.len(), "container"),
                removed.containers.join(", "),
                counted(removed.networks.len(), "network"),
                removed.networks.join(", "),
            );
        }
        for stays in removed.stays {
            tracing::warn!(repo = one.repo, "of {}, which was kept long enough, {stays}", one.project);
        }
        Ok(true)
    }

    /// Whether the colours of a repository are worked on, bake, or are about to be: one of them may be what is kept.
    pub(super) async fn is_wanted(&self, repo: &str) -> Result<bool, Failure> {
        let rollout = self.store.rollout(repo).await.map_err(Failure::from)?;
        if rollout.under_way.is_some() || rollout.bake.is_some() {
            return Ok(true);
        }
        for state in [State::Running, State::Queued] {
            let filter = Filter { repo: Some(repo.to_owned()), state: Some(state), limit: 1, ..Filter::default() };
            if !self.store.history(filter).await.map_err(Failure::from)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::reach::Reach, *};

    #[test]
    fn a_kept_colour_is_due_by_what_the_live_one_was_made_with() {
        let colour = |repo: &str, colour: &str, standing, keep| ColourRecord {
            repo: repo.to_owned(),
            colour: colour.to_owned(),
            project: format!("{colour}{repo}"),
            standing,
            generation: 1,
            deployment: None,
            commit: None,
            since: 1_000,
            made: Made { reach: Reach { keep, ..Reach::default() }, ..Made::default() }.to_text(),
        };
        let all = [
            colour("shop", "blue", ColourStanding::Live, Some(500)),
            colour("shop", "red", ColourStanding::Kept, Some(9)),
            // Of an earlier turnout, nobody said how long.
            colour("blog", "blue", ColourStanding::Live, None),
            colour("blog", "red", ColourStanding::Kept, Some(9)),
            colour("wiki", "blue", ColourStanding::Live, Some(500)),
            colour("wiki", "red", ColourStanding::Failed, Some(9)),
            colour("docs", "blue", ColourStanding::Live, Some(500)),
            colour("docs", "red", ColourStanding::Previous, Some(9)),
            // What is not live has no say.
            colour("news", "red", ColourStanding::Kept, Some(9)),
        ];
        let found: Vec<_> = due(&all).into_iter().map(|(one, until)| (one.project.as_str(), until)).collect();
        assert_eq!(found, [("redshop", 1_500)]);
    }
}
