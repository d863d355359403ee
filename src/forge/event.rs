//! What a delivery says, in words that no longer depend on the forge.

use crate::report::redact::is_unfit;

/// An event that was verified and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The forge asks whether somebody listens.
    Ping,
    /// A branch or tag moved.
    Push(Push),
    /// Anything else.
    Other {
        /// The event's name as sent.
        name: String,
        /// The repository, where one is named.
        repo: Option<PushedRepo>,
    },
}

impl Event {
    /// The repository that the event is about.
    pub fn repo(&self) -> Option<&PushedRepo> {
        match self {
            Event::Ping => None,
            Event::Push(push) => Some(&push.repo),
            Event::Other { repo, .. } => repo.as_ref(),
        }
    }
}

/// A repository as the forge names it. Untrusted text: compare it, show it through `shown`, never build paths of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushedRepo {
    /// The short name.
    pub name: String,
    /// `owner/name`.
    pub full_name: Option<String>,
    /// The forge's default branch.
    pub default_branch: Option<String>,
}

/// A branch or tag moved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Push {
    /// Whose.
    pub repo: PushedRepo,
    /// The full ref: `refs/heads/main`.
    pub git_ref: String,
    /// The commit before; all zeros where there was none.
    pub before: Option<String>,
    /// The commit now, a full lower-case id; all zeros where the ref was deleted.
    pub after: String,
    /// The ref was deleted.
    pub deleted: bool,
    /// History was rewritten.
    pub forced: bool,
    /// Who pushed.
    pub pusher: Option<String>,
}

/// Untrusted text made fit for a log line or an answer: one line, no control characters, nothing that turns the direction
/// of writing, not endless.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 120;
    let mut out: String = text.chars().take(MOST).map(|c| if is_unfit(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}
