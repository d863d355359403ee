//! What is looked at after the verdict of a deployment, and what fell over meanwhile.

use serde::{Deserialize, Serialize};

use super::ids::{DeploymentId, Millis};

/// A container that fell over after the verdict of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fall {
    /// The container's name at the engine.
    pub container: String,
    /// Milliseconds from the verdict to the first fall.
    pub after: Millis,
    /// What happened: `exited (1) and was restarted`. Redacted text.
    pub said: String,
    /// How often it fell while it was watched.
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
