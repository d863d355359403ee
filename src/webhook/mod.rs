//! A delivery: bytes and secret -> verified event -> wanted or ignored, with the reason. Pure.
//!
//! The road: [`signature`] over the raw bytes, then [`body`] (JSON or form), then the forge's own reader
//! ([`github`]), whose [`Event`] no longer knows the forge, then the [`verdict`]. A further forge is a file beside
//! `github` and a variant of [`Forge`].

pub mod body;
mod event;
pub mod github;
mod refusal;
pub mod signature;
mod verdict;

pub use event::{Event, Push, PushedRepo};
pub use refusal::Refusal;
pub use signature::SigningKey;
pub use verdict::{Verdict, Wanted, find_repo, verdict};

/// Who sends deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forge {
    /// GitHub, and Gitea, Forgejo and Gogs where they speak its dialect with JSON bodies.
    GitHub,
}

impl Forge {
    /// A word for records.
    pub fn name(self) -> &'static str {
        match self {
            Forge::GitHub => "github",
        }
    }

    /// The header with the event's name.
    pub fn event_header(self) -> &'static str {
        match self {
            Forge::GitHub => "x-github-event",
        }
    }

    /// The header with the delivery's identity. It is not signed.
    pub fn delivery_header(self) -> &'static str {
        match self {
            Forge::GitHub => "x-github-delivery",
        }
    }

    /// The header with the proof.
    pub fn signature_header(self) -> &'static str {
        match self {
            Forge::GitHub => "x-hub-signature-256",
        }
    }

    /// Reads a verified, decoded body.
    ///
    /// # Errors
    /// 400 where the body is not what the event's name promises.
    pub fn read(self, event: &str, json: &str) -> Result<Event, Refusal> {
        match self {
            Forge::GitHub => github::read(event, json),
        }
    }
}
