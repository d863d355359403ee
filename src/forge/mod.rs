//! A delivery: bytes and secret -> verified event -> wanted or ignored, with the reason. Pure.
//!
//! The road: while a body arrives, [`incoming`] computes its [`signature`] over the raw bytes and takes the few values
//! that count out of it ([`body`]: JSON or form; [`json`]); once it is proven, the forge's own reader ([`github`]) makes
//! an [`Event`] of them, which no longer knows the forge; then the [`effect`]. A further forge is a file beside
//! `github` and a variant of [`Forge`].

pub mod body;
mod effect;
mod event;
pub mod github;
pub mod incoming;
pub mod json;
mod refusal;
pub mod signature;
mod utf8;

pub use effect::{Effect, Wanted, effect, find_repo};
pub use event::{Event, Push, PushedRepo};
pub use incoming::{Incoming, Naming, Whole};
pub use refusal::Refusal;
pub use signature::SigningKey;

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

    /// The places in a body that are looked at.
    pub fn wanted(self) -> &'static [json::Path] {
        match self {
            Forge::GitHub => github::WANTED,
        }
    }

    /// The repository that a body names. `None` where it has not all arrived, `Some(None)` where it cannot be read.
    pub fn named(self, found: &[Option<json::Found>]) -> Option<Option<PushedRepo>> {
        match self {
            Forge::GitHub => github::named(found),
        }
    }

    /// Reads what was found in a verified body.
    ///
    /// # Errors
    /// 400 where the body is not what the event's name promises.
    pub fn read(self, event: &str, scanned: &json::Scanned) -> Result<Event, Refusal> {
        match self {
            Forge::GitHub => github::read(event, scanned),
        }
    }
}
