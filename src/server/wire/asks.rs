//! What is asked of the daemon, and what it answers to that.

use serde::{Deserialize, Serialize};

use super::followed::Waiting;
use crate::store::Hold;

/// An error answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorReply {
    /// What happened, in a sentence for whoever asked; secrets are blotted out.
    pub error: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What `POST /v1/deployments` takes: a deployment is queued as if somebody had pushed, or another commit is brought.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployRequest {
    /// The repository's name in repos.yaml.
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

/// What `POST /v1/hold` takes: pushes are remembered and not deployed, until a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoldRequest {
    /// The repository's name in repos.yaml.
    pub repo: String,
    /// Who asks, for the record.
    #[serde(default)]
    pub who: Option<String>,
}

/// The answer to `POST /v1/hold`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoldReply {
    /// What is to be said.
    pub notes: Vec<String>,
    /// The hold that is in force.
    pub hold: Hold,
}

/// The answer to `POST /v1/deployments`.
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

/// `POST /v1/repositories/{name}/rollback`, `promote` and `abort`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AskRequest {
    /// Who asks, for the record.
    #[serde(default)]
    pub who: Option<String>,
    /// Of `promote`: a bake is meant, and no next colour that waits.
    #[serde(default)]
    pub bake_only: bool,
    /// Of `promote`: steps that are left are passed over.
    #[serde(default)]
    pub full: bool,
    /// Of `rollback`: to this commit, by its first digits, or to that of this deployment, in place of the colour that was live before.
    #[serde(default)]
    pub to: Option<String>,
}

/// What `POST /v1/repositories/{name}/maintain` takes: the proxy itself answers all requests, or stops doing so.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MaintainRequest {
    /// Whether from now on, or no longer.
    pub on: bool,
    /// Who asks, for the record.
    #[serde(default)]
    pub who: Option<String>,
    /// The page, in HTML; without one a line of text is answered.
    #[serde(default)]
    pub page: Option<String>,
}

/// The answer to `rollback`, `promote` and `abort`: at least one of the two is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskedReply {
    /// What was done, and what will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The deployment that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<i64>,
    /// Of one that was under way: the last line of its log before. What follows is what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

/// What `POST /v1/plan` takes; nothing is changed by it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanRequest {
    /// The repository's name in repos.yaml.
    pub repo: String,
    /// As if `deploy --rebuild`.
    #[serde(default)]
    pub rebuild: bool,
    /// For the tip of the branch, fetched for it, in place of what is checked out.
    #[serde(default)]
    pub fetch: bool,
    /// The answer is to be a stream of [`Planned`], so that nobody waits silently.
    #[serde(default)]
    pub told: bool,
}

/// One item of the making of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Planned {
    /// What is waited for now.
    Waiting(Waiting),
    /// The plan; the last item.
    Done(Box<PlanReply>),
    /// Why there is none; the last item.
    Refused(ErrorReply),
}

/// The plan of a repository as it would be deployed now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanReply {
    /// What is to be said before the plan.
    pub notes: Vec<String>,
    /// The plan for people.
    pub text: String,
    /// The plan itself.
    pub plan: serde_json::Value,
}

/// What `POST /v1/letters/again` takes: letters that nobody could be brought are tried anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgainRequest {
    /// Which dead letter is to be sent again; none: all of them.
    #[serde(default)]
    pub letter: Option<i64>,
}
