//! What earlier deployments have left: projects, commits, and what the end of the daemon interrupted.

use super::ids::DeploymentId;

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
    /// Interrupted ones that were not queued again because they never got through, and of which nobody has told yet what became of
    /// them: a daemon that was to see to them may have died as well.
    pub given_up: Vec<DeploymentId>,
}
