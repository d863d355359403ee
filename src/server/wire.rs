//! What travels over the control socket. Both ends are this program; fields are only ever added.

use serde::{Deserialize, Serialize};

use crate::{
    report::Event,
    store::{Deployment, Hold, LogLine, WantedCommit},
};

/// An error answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorReply {
    /// What happened.
    pub error: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `POST /v1/deployments`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployRequest {
    /// Repository name.
    pub repo: String,
    /// Rebuild every image that the repository builds.
    #[serde(default)]
    pub rebuild: bool,
    /// Who asks, for the record.
    #[serde(default)]
    pub who: Option<String>,
    /// This commit, tag or branch in place of the followed branch.
    #[serde(default)]
    pub commit: Option<String>,
    /// The commit of the last success before the current deployment.
    #[serde(default)]
    pub previous: bool,
    /// Pushes wait from now on.
    #[serde(default)]
    pub hold: bool,
    /// Pushes are deployed again.
    #[serde(default)]
    pub release: bool,
    /// Also where that makes a second stack beside a former one of the same repository.
    #[serde(default)]
    pub new_stack: bool,
}

/// `POST /v1/hold`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoldRequest {
    /// Repository name.
    pub repo: String,
    /// Who asks, for the record.
    #[serde(default)]
    pub who: Option<String>,
}

/// Its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoldReply {
    /// What is to be said.
    pub notes: Vec<String>,
    /// The hold that is in force.
    pub hold: Hold,
}

/// Its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployReply {
    /// The deployment queued.
    pub deployment: i64,
    /// A queued one that it replaced.
    #[serde(default)]
    pub superseded: Option<i64>,
    /// What is to be said before its log.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// `POST /v1/plan`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanRequest {
    /// Repository name.
    pub repo: String,
    /// As if `deploy --rebuild`.
    #[serde(default)]
    pub rebuild: bool,
}

/// Its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanReply {
    /// What is to be said before the plan.
    pub notes: Vec<String>,
    /// The plan for people.
    pub text: String,
    /// The plan itself.
    pub plan: serde_json::Value,
}

/// One item of a followed log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Followed {
    /// A line that is kept.
    Line {
        /// Deployment.
        deployment: i64,
        /// Repository.
        repo: String,
        /// The line.
        line: LogLine,
    },
    /// Something that only matters while one watches.
    Live {
        /// Deployment.
        deployment: i64,
        /// The event.
        event: Event,
    },
    /// The deployment ended; the last item when one deployment is followed.
    Ended(Box<Deployment>),
}

/// `GET /v1/status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusReply {
    /// Version of the daemon.
    pub version: String,
    /// Milliseconds since the Unix epoch.
    pub started_at: i64,
    /// The engine, or why there is none.
    pub engine: Health,
    /// Mistakes in repos.yaml; empty = none.
    pub config_mistakes: Vec<String>,
    /// What counts while it has mistakes, in words.
    #[serde(default)]
    pub config_consequence: Option<String>,
    /// The repositories.
    pub repos: Vec<RepoStatus>,
    /// Stacks that were deployed for repositories which are not configured any more. `None`: not known, since the engine
    /// does not answer.
    #[serde(default)]
    pub strays: Option<Vec<StrayStatus>>,
}

/// A stack that no configured repository goes on with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StrayStatus {
    /// Its Compose project.
    pub project: String,
    /// The repository for which it was deployed.
    pub repository: String,
    /// Where that lay, where known.
    pub path: Option<String>,
    /// Its containers.
    pub containers: Vec<ContainerStatus>,
    /// Its volumes.
    pub volumes: Vec<String>,
    /// The command that removes its containers and networks; `-v` after it removes its volumes, too.
    pub remove: String,
    /// What to write in repos.yaml to go on with it.
    pub adopt: String,
}

/// Whether something works.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Health {
    /// It does.
    pub ok: bool,
    /// Its version, or what is wrong.
    pub text: String,
}

/// One repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RepoStatus {
    /// Name.
    pub name: String,
    /// Path.
    pub path: String,
    /// Compose project and files, or why they are not known.
    pub project: Health,
    /// Commit checked out.
    pub commit: Option<String>,
    /// Pushes wait: since when, at which commit, and what waits.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// The newest commit that was pushed and that no deployment has brought yet.
    #[serde(default)]
    pub behind: Option<WantedCommit>,
    /// What runs was asked for by name, and is not what the branch has.
    #[serde(default)]
    pub by_hand: Option<ByHand>,
    /// Deployment under way or queued.
    pub active: Option<Deployment>,
    /// Newest deployment that ended.
    pub last: Option<Deployment>,
    /// Newest one that succeeded.
    #[serde(default)]
    pub deployed: Option<Deployment>,
    /// What was deployed last is watched on after its verdict, until then or as long as something that fell may yet stand
    /// again.
    #[serde(default)]
    pub watched_until: Option<i64>,
    /// Containers of the project, in all colours.
    pub containers: Vec<ContainerStatus>,
    /// Why it is not known what runs; `containers` is empty then, which says nothing.
    #[serde(default)]
    pub runs_unknown: Option<String>,
}

/// A commit that was asked for by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ByHand {
    /// The commit.
    pub commit: String,
    /// What was asked for: digits, a tag, a branch.
    pub asked: Option<String>,
    /// The deployment.
    pub deployment: i64,
    /// The followed branch, where known.
    pub branch: Option<String>,
    /// Where that was at the last fetch.
    pub branch_commit: Option<String>,
}

/// One container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Service.
    pub service: String,
    /// Name.
    pub name: String,
    /// State and health in the engine's words, for instance `Up 3 minutes (healthy)`.
    pub status: String,
    /// Image reference.
    pub image: String,
    /// Published ports in words.
    pub ports: String,
}
