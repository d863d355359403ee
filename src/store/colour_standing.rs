//! Where a colour of a repository stands.

use serde::{Deserialize, Serialize};

/// Where a colour stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColourStanding {
    /// It is being made, and gets no requests.
    Next,
    /// It gets the requests.
    Live,
    /// It was live before, and runs on until the bake is over.
    Previous,
    /// It was live before, is stopped, and can be brought back.
    Kept,
    /// It runs in place, from the time before the switch: its ports are on their way to the proxy.
    InPlace,
    /// What comes back in place, where `switch` was taken out: the colours are on their way out.
    Leaving,
    /// It never got requests, or was taken back; stopped, and left to be looked at.
    Failed,
    /// It was kept long enough after it had been live: its containers are gone, or go.
    Removed,
}

impl ColourStanding {
    const ALL: [ColourStanding; 8] = [
        ColourStanding::Next,
        ColourStanding::Live,
        ColourStanding::Previous,
        ColourStanding::Kept,
        ColourStanding::InPlace,
        ColourStanding::Leaving,
        ColourStanding::Failed,
        ColourStanding::Removed,
    ];

    /// The word in the database and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            ColourStanding::Next => "next",
            ColourStanding::Live => "live",
            ColourStanding::Previous => "previous",
            ColourStanding::Kept => "kept",
            ColourStanding::InPlace => "in_place",
            ColourStanding::Leaving => "leaving",
            ColourStanding::Failed => "failed",
            ColourStanding::Removed => "removed",
        }
    }

    /// One that a later turnout wrote counts as a failed one: nothing is sent there, and nothing is brought back.
    pub(super) fn named(word: &str) -> ColourStanding {
        ColourStanding::ALL.into_iter().find(|one| one.as_str() == word).unwrap_or(ColourStanding::Failed)
    }
}
