//! A deployment from its queueing to its end, with what it says on the way.

use serde::{Deserialize, Serialize};

use super::{
    ids::{DeploymentId, Millis},
    state::{Cause, State},
    watch::{Fall, Watch},
};
use crate::rollout::{Phase, Rollout};

/// A deployment to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeployment {
    /// The configured name.
    pub repo: String,
    /// The branch, where known.
    pub branch: Option<String>,
    /// The commit that was asked for.
    pub commit: Option<String>,
    /// What kind of thing asked.
    pub kind: Cause,
    /// Why, in words.
    pub cause: String,
    /// Who, where known.
    pub who: Option<String>,
    /// Everything is to be rebuilt.
    pub force_rebuild: bool,
    /// `commit` itself is to be deployed (also a tag or a branch), not what the branch has by then.
    pub pinned: bool,
    /// A stack beside a former one of the same repository is wanted.
    pub new_stack: bool,
    /// What was live before is to be brought back: without git and without a build where it is kept, else made anew.
    pub back: bool,
    /// With `back`: further back than to the colour that was live before. What is newer than the commit is taken back, too.
    pub past: bool,
}

/// The deployment before the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// The commit that it deployed.
    pub commit: String,
    /// The number of the deployment that brought it.
    pub deployment: DeploymentId,
    /// The current one.
    pub current: DeploymentId,
    /// The commit of the current one.
    pub current_commit: String,
    /// How the current one ended, or that it runs.
    pub current_state: State,
}

/// What became of a request to deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The number that it got.
    pub deployment: DeploymentId,
    /// A queued one that this one replaced.
    pub superseded: Option<DeploymentId>,
}

/// A deployment as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its number, which commands take and answers name.
    pub id: DeploymentId,
    /// The configured name of the repository.
    pub repo: String,
    /// The Compose project, colour included, once known.
    pub project: Option<String>,
    /// The branch whose commit is deployed, where known.
    pub branch: Option<String>,
    /// The commit that was asked for.
    pub wanted_commit: Option<String>,
    /// What kind of thing asked.
    pub kind: Cause,
    /// Why, in words.
    pub cause: String,
    /// Who asked: whoever pushed, or who typed the command, where known.
    pub who: Option<String>,
    /// Everything is to be rebuilt.
    pub force_rebuild: bool,
    /// `wanted_commit` itself was asked for, by hand.
    #[serde(default)]
    pub pinned: bool,
    /// A stack beside a former one of the same repository was asked for.
    #[serde(default)]
    pub new_stack: bool,
    /// What was live before was asked for.
    #[serde(default)]
    pub back: bool,
    /// With `back`: a commit was named, and what is newer is taken back with it.
    #[serde(default)]
    pub past: bool,
    /// Where it stands.
    pub state: State,
    /// The phase it is in or ended in.
    pub phase: Option<String>,
    /// The commit before the fetch.
    pub commit_before: Option<String>,
    /// The commit deployed.
    pub commit_after: Option<String>,
    /// The commit that the decision compared with.
    pub commit_base: Option<String>,
    /// The decision in words.
    pub decision: Option<String>,
    /// The plan as printed.
    pub plan: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// The one that took its place.
    pub superseded_by: Option<DeploymentId>,
    /// The interrupted one that this one repeats.
    pub retry_of: Option<DeploymentId>,
    /// 1, and one more for every interruption.
    pub attempt: u32,
    /// When it was accepted.
    pub created_at: Millis,
    /// When it began.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub ended_at: Option<Millis>,
    /// Its phases in order. Filled where one deployment is asked for, empty in lists.
    pub phases: Vec<PhaseTime>,
    /// Containers of the project that fell over after the verdict, as long as it was watched.
    #[serde(default)]
    pub falls: Vec<Fall>,
    /// It succeeded, and its commit was given up afterwards: its colour was turned away from, by hand or by itself.
    #[serde(default)]
    pub taken_back: Option<GivenUp>,
}

/// That a commit was live, and is not to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// When it was given up.
    pub at: Millis,
    /// Why, in words.
    pub why: String,
}

/// A phase and its times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// The phase's word, as `fetch`.
    pub name: String,
    /// When it began.
    pub started_at: Millis,
    /// When it ended; open while it runs.
    pub ended_at: Option<Millis>,
}

/// What became known about a running deployment. What is `None` stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// A new phase begins; the one before ends.
    pub phase: Option<Phase>,
    /// Where its rollout stands from now on.
    pub rollout: Option<Rollout>,
    /// See [`Deployment::project`].
    pub project: Option<String>,
    /// See [`Deployment::branch`].
    pub branch: Option<String>,
    /// See [`Deployment::commit_before`].
    pub commit_before: Option<String>,
    /// See [`Deployment::commit_after`].
    pub commit_after: Option<String>,
    /// See [`Deployment::commit_base`].
    pub commit_base: Option<String>,
    /// See [`Deployment::decision`].
    pub decision: Option<String>,
    /// See [`Deployment::plan`].
    pub plan: Option<String>,
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// It did what it should. Project and commit become the last success.
    Succeeded {
        /// The Compose project, colour included.
        project: String,
        /// The commit deployed.
        commit: String,
        /// The newest wanted commit, where what was deployed has it: it is not wanted any more.
        reached: Option<String>,
        /// The project is watched on.
        watch: Option<Watch>,
    },
    /// It did not do what it should.
    Failed {
        /// Why: redacted text.
        error: String,
    },
    /// Somebody called it off.
    Cancelled {
        /// Who or why: redacted text.
        reason: String,
    },
}

/// Which deployments to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this repository only.
    pub repo: Option<String>,
    /// In this state only.
    pub state: Option<State>,
    /// Older than this one; for paging.
    pub before: Option<DeploymentId>,
    /// At most so many, newest first; 0 means 50, and never more than 1000.
    pub limit: usize,
}

/// A line of a deployment's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number, from 1. Gaps are lines that were left out.
    pub seq: i64,
    /// When it was said.
    pub at: Millis,
    /// `phase`, `info`, `warning`, `step`, `output`.
    pub kind: String,
    /// Who said it, for output.
    pub source: Option<String>,
    /// What was said, with secrets blotted out.
    pub text: String,
}

#[cfg(test)]
impl Deployment {
    /// One of which nothing is known but its number and state, for tests that look at something else.
    pub(crate) fn bare(id: DeploymentId, repo: &str, state: State) -> Self {
        Self {
            id,
            repo: repo.to_owned(),
            project: None,
            branch: None,
            wanted_commit: None,
            kind: Cause::Push,
            cause: String::new(),
            who: None,
            force_rebuild: false,
            pinned: false,
            new_stack: false,
            back: false,
            past: false,
            state,
            phase: None,
            commit_before: None,
            commit_after: None,
            commit_base: None,
            decision: None,
            plan: None,
            error: None,
            superseded_by: None,
            retry_of: None,
            attempt: 1,
            created_at: 0,
            started_at: None,
            ended_at: None,
            phases: Vec::new(),
            falls: Vec::new(),
            taken_back: None,
        }
    }
}
