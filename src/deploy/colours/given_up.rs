//! Somebody goes back while a deployment is on its way to the live colour: that one is given up, and what is live stays live. Going back
//! from that as well would be a second step, and nobody asked for it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{super::Deployer, ask::Asked, stands::Stands};
use crate::{
    config::Repo,
    deploy::Failure,
    git::short,
    store::{ColourStanding, Deployment, DeploymentId, Filter, State, TakenBack},
};

/// How long the end of a deployment that was called off is waited for. It ends within seconds; what a change-over has ended is started
/// again before that, and has to answer.
const ENDS: Duration = Duration::from_secs(60);

impl Deployer {
    /// Notes that the commit of a deployment under way is not wanted any more, before that is called off because somebody goes back. Where
    /// somebody was on the way back by it, what that would have brought is no worse for it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn not_wanted(&self, repo: &Repo, who: Option<&str>) -> Result<Option<String>, Failure> {
        let filter =
            Filter { repo: Some(repo.name.clone()), state: Some(State::Running), limit: 1, ..Filter::default() };
        let under_way = self.store.history(filter).await.map_err(Failure::from)?.into_iter().find(|one| !one.back);
        let stands = self.recorded(&repo.name).await?;
        let live = stands.live().and_then(|live| live.commit.as_ref());
        let commit = under_way.and_then(|one| one.commit_after.or(one.wanted_commit));
        let Some(commit) = commit.filter(|commit| live != Some(commit)) else { return Ok(None) };
        let why = format!("{} went back while it was on its way", who.unwrap_or("somebody"));
        let left = TakenBack { commits: vec![commit.clone()], why };
        self.store.note_reverted(&repo.name, left).await.map_err(Failure::from)?;
        Ok(Some(commit))
    }

    /// Waits for the end of a deployment that was called off because somebody goes back, and says what became of it. One that had the
    /// requests by then is taken back. `left`: the commit that is not wanted any more.
    ///
    /// # Errors
    /// The store does not answer, or there is no way back from one that had the requests.
    pub async fn gives_up(
        self: &Arc<Self>,
        repo: &Repo,
        id: DeploymentId,
        left: Option<&str>,
        who: Option<String>,
    ) -> Result<Asked, Failure> {
        let name = &repo.name;
        if self.ends(id).await?.is_none() {
            return Ok(Asked::Done(format!(
                "deployment {id} is called off, and has not ended within {} s: `turnout status {name}` says what is live",
                ENDS.as_secs()
            )));
        }
        let stands = self.recorded(name).await?;
        let bakes = self.store.rollout(name).await.map_err(Failure::from)?.bake.is_some();
        if bakes || stands.live().is_some_and(|live| live.deployment == Some(id)) {
            return Ok(match self.roll_back(repo, who).await? {
                Asked::Done(said) => {
                    Asked::Done(format!("deployment {id} was live before it could be called off\n{said}"))
                }
                queued => queued,
            });
        }
        Ok(Asked::Done(given_up(name, id, &stands, left)))
    }

    /// Waits until a deployment is over; `None` where that takes too long, or nothing is known of it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn ends(&self, id: DeploymentId) -> Result<Option<Deployment>, Failure> {
        let (mut newest, until) = (self.store.newest_event(), Instant::now() + ENDS);
        loop {
            newest.mark_unchanged();
            match self.store.deployment(id).await.map_err(Failure::from)? {
                Some(one) if !one.state.is_final() => {}
                over => return Ok(over),
            }
            if !timeout_at(until, newest.changed()).await.is_ok_and(|changed| changed.is_ok()) {
                return Ok(None);
            }
        }
    }
}

/// What there is after that, in words. `left`: the commit that is not wanted any more.
fn given_up(name: &str, id: DeploymentId, stands: &Stands, left: Option<&str>) -> String {
    let of = |commit: Option<&str>| commit.map_or_else(String::new, |commit| format!(" ({})", short(commit)));
    let stays = match (stands.live(), stands.in_place()) {
        (Some(live), _) => {
            format!("{}{} was live all the while, and stays live", live.project, of(live.commit.as_deref()))
        }
        (None, Some(old)) => format!("{} runs in place, as before", old.project),
        (None, None) => "nothing of it was live, and no colour was before it".to_owned(),
    };
    let mut lines = vec![format!("deployment {id}{} is given up: {stays}", of(left))];
    if let Some(commit) = left {
        lines.push(format!(
            "{} is not deployed again by itself, what is pushed from now on is; all the same: turnout deploy {name} --commit {}",
            short(commit),
            short(commit)
        ));
    }
    if stands.live().is_some() {
        lines.push(match stands.at(ColourStanding::Kept) {
            Some(kept) => format!(
                "further back: `turnout rollback {name}` once more goes to {}{}",
                kept.project,
                of(kept.commit.as_deref())
            ),
            None => further_back(name),
        });
    }
    lines.join("\n")
}

/// How to go back where no colour is kept, in words.
pub fn further_back(name: &str) -> String {
    format!("further back: `turnout rollback {name} --to COMMIT`; `turnout history {name}` lists them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ColourRecord;

    fn one(colour: &str, standing: ColourStanding, commit: &str) -> ColourRecord {
        ColourRecord {
            repo: "shop".to_owned(),
            colour: colour.to_owned(),
            project: format!("{colour}shop"),
            standing,
            generation: 1,
            deployment: None,
            commit: Some(commit.repeat(40)),
            since: 0,
            made: String::new(),
        }
    }

    #[test]
    fn it_is_said_what_stays_live_and_what_would_be_further_back() {
        use ColourStanding::{Failed, InPlace, Kept, Live};
        let said = |all: &[ColourRecord], left| given_up("shop", 12, &Stands { all: all.to_vec(), switch: None }, left);
        let left = "c".repeat(40);
        let (live, kept) = (one("blue", Live, "b"), one("red", Kept, "a"));
        assert_eq!(
            said(&[live.clone(), one("red", Failed, "c")], Some(&left)),
            "deployment 12 (ccccccc) is given up: blueshop (bbbbbbb) was live all the while, and stays live\n\
             ccccccc is not deployed again by itself, what is pushed from now on is; all the same: turnout deploy shop --commit ccccccc\n\
             further back: `turnout rollback shop --to COMMIT`; `turnout history shop` lists them"
        );
        assert_eq!(
            said(&[live, kept], None),
            "deployment 12 is given up: blueshop (bbbbbbb) was live all the while, and stays live\n\
             further back: `turnout rollback shop` once more goes to redshop (aaaaaaa)"
        );
        assert_eq!(
            said(&[one("red", InPlace, "a")], None),
            "deployment 12 is given up: redshop runs in place, as before"
        );
        assert!(said(&[], None).ends_with("nothing of it was live, and no colour was before it"));
    }
}
