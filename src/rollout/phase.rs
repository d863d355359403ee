//! The phases of a deployment under way, in one list.

use std::fmt;

/// Where a deployment stands. `Display` is the word that history, log and `status` have for it, and that is kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// The work tree is brought to the commit.
    Fetching,
    /// Files and containers are looked at; a plan is made.
    Planning,
    /// The plan is carried out.
    Applying,
    /// What was started is watched until it is judged.
    Settling,
    /// The engine is not there, and is waited for, with the lane free.
    EngineAway,
}

impl Phase {
    /// All of them, in the order in which they come.
    pub const ALL: [Phase; 5] = [Phase::Fetching, Phase::Planning, Phase::Applying, Phase::Settling, Phase::EngineAway];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Fetching => "fetch",
            Phase::Planning => "plan",
            Phase::Applying => "apply",
            Phase::Settling => "settle",
            Phase::EngineAway => "wait for the engine",
        }
    }

    /// The phase of that name. A later turnout may have kept one that this one does not know.
    pub fn named(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
