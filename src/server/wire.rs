//! What travels over the control socket. Both ends are this program; fields are only ever added.

use serde::{Deserialize, Serialize};

use crate::{
    report::Event,
    store::{Deployment, LogLine},
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
}

/// Its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployReply {
    /// The deployment queued.
    pub deployment: i64,
    /// A queued one that it replaced.
    #[serde(default)]
    pub superseded: Option<i64>,
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
    /// Mistakes in repos.yaml that keep an older version in force; empty = none.
    pub config_mistakes: Vec<String>,
    /// The repositories.
    pub repos: Vec<RepoStatus>,
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
    /// Deployment under way or queued.
    pub active: Option<Deployment>,
    /// Newest deployment that ended.
    pub last: Option<Deployment>,
    /// Containers of the project.
    pub containers: Vec<ContainerStatus>,
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
