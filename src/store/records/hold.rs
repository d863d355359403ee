//! Repositories whose pushes wait, and commits that were pushed and are not deployed yet.

use serde::{Deserialize, Serialize};

use super::ids::{DeploymentId, Millis};

/// What a request to deploy does to a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldChange {
    /// A hold stays as it is, or as it is not.
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
    /// When pushes began to wait.
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
    /// The commit that was pushed, in full.
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
        /// The number that it got.
        deployment: DeploymentId,
        /// A queued one that this one replaced.
        superseded: Option<DeploymentId>,
        /// The hold that is in force now.
        hold: Option<Hold>,
    },
    /// The repository is held and no commit was named: nothing was queued.
    Held(Hold),
}
