//! What goes into the store and what comes out.

use serde::{Deserialize, Serialize};

use crate::report::Event;

/// Number of a deployment, rising.
pub type DeploymentId = i64;

/// Where a deployment stands.
///
/// ```text
///  queued ──► running ──► succeeded | failed | cancelled
///    │           └──► interrupted ──► (a new queued one)
///    └──► superseded
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for its lane.
    Queued,
    /// Under way.
    Running,
    /// Ended well, also when there was nothing to do.
    Succeeded,
    /// Ended badly.
    Failed,
    /// A newer one took its place before it began.
    Superseded,
    /// A person stopped it.
    Cancelled,
    /// The daemon ended meanwhile; a new one was queued for it.
    Interrupted,
}

impl State {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [
            Self::Queued,
            Self::Running,
            Self::Succeeded,
            Self::Failed,
            Self::Superseded,
            Self::Cancelled,
            Self::Interrupted,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// A verified delivery, ready to be kept.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// The forge's delivery id; empty when it sent none. Not covered by the signature.
    pub guid: String,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
    /// Event name.
    pub event: String,
    /// Repository, as configured, or as the forge names it when unknown.
    pub repo: String,
    /// Ref, if any.
    pub git_ref: String,
    /// Who pushed, if known.
    pub pusher: String,
    /// Milliseconds since the Unix epoch.
    pub received_ms: i64,
    /// What was decided, in words.
    pub verdict: String,
    /// The deployment it asks for, unless it is ignored.
    pub order: Option<Order>,
}

/// A deployment asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// Repository, as configured.
    pub repo: String,
    /// Branch, if known.
    pub branch: Option<String>,
    /// Commit that the push named.
    pub wanted: Option<String>,
    /// `push`, `manual` or `recovery`.
    pub cause: String,
    /// Who asked.
    pub who: Option<String>,
    /// Rebuild everything.
    pub rebuild: bool,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// A deployment is queued; it took the place of those superseded.
    Queued {
        /// The new one.
        deployment: DeploymentId,
        /// Queued ones of the same repository that it replaces.
        superseded: Vec<DeploymentId>,
    },
    /// It came before, and its deployment did not fail.
    Duplicate {
        /// The deployment of the first, if it had one.
        deployment: Option<DeploymentId>,
    },
    /// Kept; nothing to deploy.
    Noted,
}

/// A deployment that a lane has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Which.
    pub id: DeploymentId,
    /// What was asked for.
    pub order: Order,
}

/// A deployment as kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Number.
    pub id: DeploymentId,
    /// Repository.
    pub repo: String,
    /// Compose project, once known.
    pub project: Option<String>,
    /// Branch.
    pub branch: Option<String>,
    /// State.
    pub state: State,
    /// Phase reached.
    pub phase: Option<String>,
    /// `push`, `manual` or `recovery`.
    pub cause: String,
    /// Who asked.
    pub who: Option<String>,
    /// Commit that the push named.
    pub wanted: Option<String>,
    /// Commit before the pull.
    pub before: Option<String>,
    /// Commit deployed.
    pub after: Option<String>,
    /// Rebuild everything.
    pub rebuild: bool,
    /// One sentence: what was done, or what went wrong.
    pub summary: Option<String>,
    /// What to do after a failure.
    pub hint: Option<String>,
    /// The plan as text.
    pub plan: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub started_ms: Option<i64>,
    /// Milliseconds since the Unix epoch.
    pub ended_ms: Option<i64>,
    /// Phases and their lengths in milliseconds, in order.
    pub timings: Vec<(String, u64)>,
    /// The one that took its place.
    pub superseded_by: Option<DeploymentId>,
    /// How often it was begun, over restarts of the daemon.
    pub attempt: i64,
}

/// What is learnt while a deployment runs. `None` leaves the kept value.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Phase begun.
    pub phase: Option<String>,
    /// Compose project.
    pub project: Option<String>,
    /// Branch.
    pub branch: Option<String>,
    /// Commit before the pull.
    pub before: Option<String>,
    /// Commit checked out.
    pub after: Option<String>,
    /// The plan as text.
    pub plan: Option<String>,
}

/// How a deployment ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// One of the ended states.
    pub state: State,
    /// One sentence.
    pub summary: String,
    /// What to do after a failure.
    pub hint: Option<String>,
    /// Phases and their lengths in milliseconds.
    pub timings: Vec<(String, u64)>,
    /// Milliseconds since the Unix epoch.
    pub ended_ms: i64,
}

/// One event of a deployment's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// Deployment.
    pub deployment: DeploymentId,
    /// Repository.
    pub repo: String,
    /// Number in the deployment, from 1.
    pub seq: i64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What happened.
    pub event: Event,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Deployments a repository.
    pub history: usize,
    /// Deliveries.
    pub deliveries: usize,
    /// How long deliveries are remembered, in milliseconds; also the window in which a repeated one is recognised.
    pub delivery_window_ms: i64,
    /// Events a deployment; what comes after is counted and named, not kept.
    pub events: i64,
    /// Text of a deployment's events, in bytes.
    pub event_bytes: usize,
    /// How often a deployment is begun again after the daemon died during it.
    pub attempts: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            history: 200,
            deliveries: 10_000,
            delivery_window_ms: 3 * 24 * 3_600_000,
            events: 50_000,
            event_bytes: 8 << 20,
            attempts: 3,
        }
    }
}

/// Why the store could not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error("cannot open the database {file}: {reason}")]
    Open {
        /// File.
        file: String,
        /// Why.
        reason: String,
    },
    /// The disk is full.
    #[error("the disk that holds the database is full")]
    Full,
    /// More is waiting to be written than the store takes.
    #[error("the database is busy; too much waits to be written")]
    Busy,
    /// SQLite said no.
    #[error("the database failed: {0}")]
    Sqlite(String),
    /// The writer has ended.
    #[error("the database is closed")]
    Closed,
}

impl StoreError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open { .. } => Some("does the state directory exist, and may turnout's user write in it?"),
            Self::Full => Some("free some space (`docker system df` shows what images and build cache take), then redeliver"),
            Self::Busy => Some("redeliver in a moment"),
            Self::Sqlite(_) => Some("check the disk; `sqlite3 turnout.db 'PRAGMA integrity_check'` tells whether the file is whole"),
            Self::Closed => None,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sqlite(error.to_string()),
        }
    }
}
