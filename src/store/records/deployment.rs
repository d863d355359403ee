//! What is stored, as values.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

use super::wish::Wish;
use crate::rollout::{Action, Phase, Rollout};

/// Milliseconds since 1970, UTC.
pub type Millis = i64;

/// Identifies a deployment; grows, and is never used twice.
pub type DeploymentId = i64;

/// Where a deployment stands. The diagram is in the folder's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its lane.
    Queued,
    /// Under way.
    Running,
    /// Did what it should.
    Succeeded,
    /// Did not.
    Failed,
    /// A newer one took its place before it began, or while it waited for the engine.
    Superseded,
    /// Somebody called it off.
    Cancelled,
    /// The daemon ended under it; another one was queued in its place.
    Interrupted,
}

impl State {
    const ALL: [State; 7] = [
        State::Queued,
        State::Running,
        State::Succeeded,
        State::Failed,
        State::Superseded,
        State::Cancelled,
        State::Interrupted,
    ];

    /// The word in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Superseded => "superseded",
            State::Cancelled => "cancelled",
            State::Interrupted => "interrupted",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, State::Queued | State::Running)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of thing asked for a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A push.
    Push,
    /// Somebody at the command line.
    Manual,
    /// An earlier one was interrupted.
    Recovery,
}

impl Cause {
    const ALL: [Cause; 3] = [Cause::Push, Cause::Manual, Cause::Recovery];

    /// The word in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Push => "push",
            Cause::Manual => "manual",
            Cause::Recovery => "recovery",
        }
    }
}

macro_rules! stored_as_word {
    ($type:ty) => {
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_str()))
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let word = value.as_str()?;
                Self::ALL.into_iter().find(|item| item.as_str() == word).ok_or(FromSqlError::InvalidType)
            }
        }
    };
}

stored_as_word!(State);
stored_as_word!(Cause);

/// A delivery to be recorded, verified already.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Which forge.
    pub forge: &'static str,
    /// The forge's id of the delivery. Not signed, so never trusted alone.
    pub guid: Option<String>,
    /// The event's name.
    pub event: String,
    /// The repository as the forge names it.
    pub repo: Option<String>,
    /// The full ref.
    pub git_ref: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// Who pushed.
    pub pusher: Option<String>,
    /// SHA-256 of the raw body.
    pub digest: [u8; 32],
    /// The effect's word.
    pub effect: &'static str,
    /// The effect's sentence.
    pub reason: String,
    /// The deployment that it asks for.
    pub deploy: Option<NewDeployment>,
    /// The hooks that it asks for.
    pub hooks: Vec<NewHook>,
}

/// A hook that a delivery asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHook {
    /// The repository's configured name.
    pub repo: String,
    /// The hook's name.
    pub name: String,
    /// Why, in words.
    pub cause: String,
}

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
    /// What was live before is to be brought back, without git and without a build.
    pub back: bool,
}

/// What a request to deploy does to a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldChange {
    /// Nothing.
    AsItIs,
    /// From now on pushes wait.
    Hold,
    /// From now on pushes are deployed again.
    Release,
}

/// A repository is held: its pushes wait.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hold {
    /// Who asked for it, where known.
    pub who: Option<String>,
    /// Since when.
    pub since: Millis,
    /// At which commit: what was deployed last, or is to be (then as it was asked for).
    pub commit: Option<String>,
    /// The commit that was pushed last meanwhile, and waits.
    pub newest: Option<String>,
    /// That push in words.
    pub newest_cause: Option<String>,
    /// When it came.
    pub newest_at: Option<Millis>,
}

impl std::fmt::Display for Hold {
    /// `held at abc1234 by ann`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("held")?;
        if let Some(commit) = &self.commit {
            // A name that was asked for is shown whole.
            let short = Some(commit).filter(|commit| commit.len() == 40).and_then(|commit| commit.get(..7));
            write!(f, " at {}", short.unwrap_or(commit))?;
        }
        if let Some(who) = &self.who {
            write!(f, " by {who}")?;
        }
        Ok(())
    }
}

/// The newest commit that a push wanted and no deployment has brought yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedCommit {
    /// The commit.
    pub commit: String,
    /// The branch it was pushed to, where known.
    pub branch: Option<String>,
    /// The push in words.
    pub cause: String,
    /// When it came.
    pub since: Millis,
    /// Deployments with a smaller number were asked for before it.
    pub before: DeploymentId,
}

/// What became of a request to deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    /// It is queued.
    Queued {
        /// The deployment.
        deployment: DeploymentId,
        /// A queued one that this one replaced.
        superseded: Option<DeploymentId>,
        /// The hold that is in force now.
        hold: Option<Hold>,
    },
    /// The repository is held and no commit was named: nothing was queued.
    Held(Hold),
}

/// The deployment before the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// The commit that it deployed.
    pub commit: String,
    /// Its number.
    pub deployment: DeploymentId,
    /// The current one.
    pub current: DeploymentId,
    /// The commit of the current one.
    pub current_commit: String,
    /// How the current one ended, or that it runs.
    pub current_state: State,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The record of it.
    pub delivery: i64,
    /// The deployment queued for it.
    pub deployment: Option<DeploymentId>,
    /// A queued one that this one replaced.
    pub superseded: Option<DeploymentId>,
    /// The delivery came before and led to this deployment; nothing was queued.
    pub duplicate_of: Option<DeploymentId>,
    /// The repository is held: nothing was queued, and what was pushed waits for the release.
    pub held: Option<Hold>,
}

/// What became of a request to deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The deployment.
    pub deployment: DeploymentId,
    /// A queued one that this one replaced.
    pub superseded: Option<DeploymentId>,
}

/// A project that was deployed, and where from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The configured name of the repository.
    pub repo: String,
    /// The Compose project, colour included.
    pub project: String,
    /// The work tree. Not known of what was deployed before this was recorded.
    pub path: Option<String>,
    /// The remote's address without credentials, where there is one.
    pub remote: Option<String>,
}

/// What was deployed of a project before, as commits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Before {
    /// The last success.
    pub success: Option<String>,
    /// Later ones that began their steps and did not succeed. Some of their images may have been built.
    pub attempts: Vec<String>,
}

/// What recovery found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Deployments that ran when the daemon ended.
    pub interrupted: Vec<DeploymentId>,
    /// Repositories whose lanes have something queued, oldest first, each once.
    pub queued: Vec<String>,
    /// Interrupted ones that were not queued again because they never got through.
    pub given_up: Vec<DeploymentId>,
}

/// A deployment as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// The configured name of the repository.
    pub repo: String,
    /// The Compose project, colour included, once known.
    pub project: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The commit that was asked for.
    pub wanted_commit: Option<String>,
    /// What kind of thing asked.
    pub kind: Cause,
    /// Why, in words.
    pub cause: String,
    /// Who.
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
}

/// A container that fell over after the verdict of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fall {
    /// Its name.
    pub container: String,
    /// Milliseconds from the verdict to the first fall.
    pub after: Millis,
    /// What happened: `exited (1) and was restarted`. Redacted text.
    pub said: String,
    /// How often.
    pub times: u32,
    /// Milliseconds from the verdict to when it had come back and stayed; `None` where it did not, as far as it was watched.
    pub mended: Option<Millis>,
    /// The engine's time of the last event that is counted in, in nanoseconds since 1970.
    #[serde(skip)]
    pub seen: i64,
}

impl std::fmt::Display for Fall {
    /// `shop-web-1 exited (1) and was restarted 23 s after the verdict, well again after 40 s`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { container, after, said, times, mended, seen: _ } = self;
        write!(f, "{container} {said} {} s after the verdict", after / 1000)?;
        if *times > 1 {
            write!(f, ", {times} times in all")?;
        }
        match mended {
            Some(mended) => write!(f, ", well again after {} s", mended / 1000),
            None => Ok(()),
        }
    }
}

/// How long a project is watched on after the verdict of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// When the last look before the verdict began, by the engine's clock: what happens later is told with its times.
    pub since: Millis,
    /// Until when, by ours.
    pub until: Millis,
}

/// A project that is watched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The configured name of the repository.
    pub repo: String,
    /// The deployment after which it is watched.
    pub deployment: DeploymentId,
    /// The Compose project, colour included.
    pub project: String,
    /// For how long.
    pub watch: Watch,
}

/// A phase and its times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Its name.
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

/// A deployment that a lane takes from the queue, or takes up where it was put down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The deployment.
    pub deployment: Deployment,
    /// Where its rollout stands now.
    pub rollout: Rollout,
    /// What is to be done, as the table has it.
    pub actions: Vec<Action>,
    /// For what it waited, where it was put down.
    pub waited: Option<WaitsFor>,
}

/// For what a deployment waits: redacted texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitsFor {
    /// What happened.
    pub summary: String,
    /// What to do if it waits in vain.
    pub hint: Option<String>,
}

/// A deployment that waits for a fact from outside, with its lane free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The configured name of the repository.
    pub repo: String,
    /// The deployment.
    pub deployment: DeploymentId,
    /// In which phase: what it waits for.
    pub phase: Phase,
    /// Until when.
    pub until: Millis,
    /// For what, in words.
    pub waits: WaitsFor,
    /// What was asked of it meanwhile, and is not taken up yet.
    pub asked: Option<Wish>,
}

/// What became of a deployment that was put down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutDown {
    /// It waits.
    Waits,
    /// A newer one was queued already, and takes its place.
    Superseded(DeploymentId),
    /// It was over.
    Over,
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
    /// It failed.
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

/// A delivery as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id here.
    pub id: i64,
    /// The forge's id.
    pub guid: Option<String>,
    /// The event's name.
    pub event: String,
    /// The repository as the forge names it.
    pub repo: Option<String>,
    /// The full ref.
    pub git_ref: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// Who pushed.
    pub pusher: Option<String>,
    /// When it came.
    pub received_at: Millis,
    /// The effect's word: `deploy`, `hook`, `duplicate`, `held`, `ping`, `self`, `unknown`, `ignored`.
    pub effect: String,
    /// The effect's sentence.
    pub reason: String,
    /// The deployment that it led to.
    pub deployment: Option<DeploymentId>,
    /// Its payload is kept: see [`super::Store::payload`].
    #[serde(default)]
    pub payload: bool,
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
    /// When.
    pub at: Millis,
    /// `phase`, `info`, `warning`, `step`, `output`.
    pub kind: String,
    /// Who said it, for output.
    pub source: Option<String>,
    /// The line.
    pub text: String,
}
