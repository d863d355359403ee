//! What a person asks of the colours: to go back, to take a bake for good, to give a deployment up.

use std::sync::Arc;

use super::super::{Deployer, Failure, bakes::Ask};
use crate::{
    config::Repo,
    store::{Cause, ColourStanding, NewDeployment, Wish},
};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It is done, in words.
    Done(String),
    /// This deployment does it: it was queued, or goes on.
    Queued(i64),
}

impl Deployer {
    /// Goes back to the colour that was live before: at once while it still runs, else by a deployment that starts it again.
    ///
    /// # Errors
    /// There is none, or it could not be done.
    pub async fn roll_back(self: &Arc<Self>, repo: &Repo, who: Option<String>) -> Result<Asked, Failure> {
        let why = who.as_ref().map_or_else(|| "somebody went back".to_owned(), |who| format!("{who} went back"));
        if let Some(done) = self.ask_bake(&repo.name, Ask::Revert(why)).await {
            return done.map(Asked::Done);
        }
        let stands = self.recorded(&repo.name).await?;
        let kept = stands.at(ColourStanding::Kept);
        if kept.is_none() {
            let said = match stands.at(ColourStanding::Removed) {
                Some(one) => format!(
                    "{} has no colour to go back to: {} was kept as long as `keep` says after its bake, and is removed",
                    repo.name, one.project
                ),
                None => format!("{} has no colour to go back to: none is kept", repo.name),
            };
            let hint = match repo.switch {
                Some(_) => format!("deploy an earlier commit: turnout deploy {} --commit COMMIT", repo.name),
                None => format!(
                    "without `switch` in repos.yaml there is one stack; turnout deploy {} --previous deploys the commit before",
                    repo.name
                ),
            };
            return Err(Failure::new(said).hint(hint));
        }
        let wanted = NewDeployment {
            repo: repo.name.clone(),
            branch: None,
            // Which colour is meant, should another one be kept by then.
            commit: kept.and_then(|kept| kept.commit.clone()),
            kind: Cause::Manual,
            cause: "back to the colour that was live before".to_owned(),
            who,
            force_rebuild: false,
            pinned: true,
            new_stack: false,
            back: true,
            past: false,
        };
        let queued = self.store.enqueue(wanted).await.map_err(|error| Failure::new(error.to_string()))?;
        Ok(Asked::Queued(queued.deployment))
    }

    /// Has a next colour that waits go on, to its next step or to all requests; else ends a bake as good. `bake_only`: only that.
    /// `full`: to all requests, whatever steps are left.
    ///
    /// # Errors
    /// There is neither, or the colour before could not be stopped.
    pub async fn promote(
        self: &Arc<Self>,
        repo: &Repo,
        bake_only: bool,
        full: bool,
        who: Option<String>,
    ) -> Result<Asked, Failure> {
        let wish = if full { Wish::PromoteFully } else { Wish::Promote };
        let before = self.store.rollout(&repo.name).await.ok().and_then(|rollout| rollout.under_way);
        if !bake_only && let Some(deployment) = self.wish(&repo.name, wish, who).await? {
            return Ok(match before.filter(|one| !full && one.step < one.steps) {
                // The end of that one is another wait.
                Some(one) => Asked::Done(format!(
                    "deployment {deployment} goes on with step {} of {}; `turnout status {}` says what it gets",
                    one.step + 1,
                    one.steps,
                    repo.name
                )),
                None => Asked::Queued(deployment),
            });
        }
        match self.ask_bake(&repo.name, Ask::End).await {
            Some(done) => done.map(Asked::Done),
            None => Err(Failure::new(format!(
                "nothing of {} waits to be promoted: neither does a next colour wait, nor is a bake under way",
                repo.name
            ))
            .hint(format!("`turnout status {}` shows its colours", repo.name))),
        }
    }

    /// Gives up what is under way: a switch that bakes is taken back. `None` where nothing bakes: whoever asks calls off the
    /// deployment then.
    ///
    /// # Errors
    /// It could not be taken back.
    pub async fn abort_bake(self: &Arc<Self>, repo: &Repo, who: Option<String>) -> Option<Result<Asked, Failure>> {
        let why = who.map_or_else(|| "it was aborted".to_owned(), |who| format!("{who} aborted it"));
        self.ask_bake(&repo.name, Ask::Revert(why)).await.map(|done| done.map(Asked::Done))
    }
}
