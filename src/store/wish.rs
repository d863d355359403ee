//! What is asked of a deployment whose next colour waits.

use crate::rollout::{Fact, Millis};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The next colour is to go on: to its next step, or to all requests.
    Promote,
    /// It is to get all requests, whatever steps are left.
    PromoteFully,
    /// It is to stay as it is.
    Pause {
        /// How long at most.
        until: Millis,
    },
    /// It is to go on.
    Resume,
    /// It is not well: it is to be given up.
    TurnDown {
        /// What was seen.
        why: String,
    },
}

impl Wish {
    /// What that is for the table of [`rollout`].
    pub fn fact(&self) -> Fact {
        match self {
            Wish::Promote => Fact::Promoted,
            Wish::PromoteFully => Fact::PromotedFully,
            Wish::Pause { until } => Fact::Paused { until: *until },
            Wish::Resume => Fact::Resumed,
            Wish::TurnDown { .. } => Fact::TurnedDown,
        }
    }

    /// As it is kept.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Wish::Promote => "promote",
            Wish::PromoteFully => "promote fully",
            Wish::Pause { .. } => "pause",
            Wish::Resume => "resume",
            Wish::TurnDown { .. } => "turn down",
        }
    }

    /// From its columns. A word of a later turnout is none.
    pub(super) fn read(word: Option<String>, why: Option<String>, until: Option<Millis>) -> Option<Wish> {
        match word.as_deref()? {
            "promote" => Some(Wish::Promote),
            "promote fully" => Some(Wish::PromoteFully),
            "pause" => Some(Wish::Pause { until: until.unwrap_or_default() }),
            "resume" => Some(Wish::Resume),
            "turn down" => Some(Wish::TurnDown { why: why.unwrap_or_default() }),
            _ => None,
        }
    }
}
