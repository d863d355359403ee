//! What travels over the control socket. Both ends are this program; fields are only ever added.

use serde::{Deserialize, Serialize};

use crate::report::Event;

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
    pub who: String,
}

/// Its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployReply {
    /// The deployment queued.
    pub deployment: i64,
    /// Repository, as configured.
    pub repo: String,
    /// Deployments that this one superseded.
    #[serde(default)]
    pub superseded: Vec<i64>,
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
    /// For people.
    pub text: String,
    /// The plan itself.
    pub plan: serde_json::Value,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentView {
    /// Number, rising.
    pub id: i64,
    /// Repository.
    pub repo: String,
    /// Compose project, once known.
    pub project: Option<String>,
    /// Branch.
    pub branch: Option<String>,
    /// `queued`, `running`, `succeeded`, `failed`, `superseded`, `cancelled` or `interrupted`.
    pub state: String,
    /// Phase reached.
    pub phase: Option<String>,
    /// What asked for it: `push`, `manual` or `recovery`.
    pub cause: String,
    /// Who asked.
    pub who: Option<String>,
    /// Commit that the push named.
    pub wanted: Option<String>,
    /// Commit before the pull.
    pub before: Option<String>,
    /// Commit deployed.
    pub after: Option<String>,
    /// One sentence: what was decided or what went wrong.
    pub summary: Option<String>,
    /// What to do after a failure.
    pub hint: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub started_ms: Option<i64>,
    /// Milliseconds since the Unix epoch.
    pub ended_ms: Option<i64>,
    /// Phases with their lengths in milliseconds, in order.
    pub timings: Vec<(String, u64)>,
    /// The deployment that took this one's place.
    pub superseded_by: Option<i64>,
}

impl DeploymentView {
    /// Whether nothing more will happen to it.
    pub fn ended(&self) -> bool {
        !matches!(self.state.as_str(), "queued" | "running")
    }
}

/// One event of a deployment's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogLine {
    /// Deployment.
    pub deployment: i64,
    /// Repository.
    pub repo: String,
    /// Number in the deployment, from 1.
    pub seq: i64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What happened.
    pub event: Event,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusReply {
    /// Version of the daemon.
    pub version: String,
    /// Milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Engine version, or why there is none.
    pub engine: Result<String, String>,
    /// Mistakes in repos.yaml that keep an older version in force; empty = none.
    pub config_mistakes: Vec<String>,
    /// The repositories.
    pub repos: Vec<RepoStatus>,
}

/// One repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RepoStatus {
    /// Name.
    pub name: String,
    /// Path.
    pub path: String,
    /// Compose project, or why it is not known.
    pub project: Result<String, String>,
    /// Compose files chosen.
    pub files: Vec<String>,
    /// Commit checked out.
    pub commit: Option<String>,
    /// Deployment under way or queued.
    pub active: Option<DeploymentView>,
    /// Last deployment that ended.
    pub last: Option<DeploymentView>,
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
