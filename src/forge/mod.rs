//! A delivery: bytes and secret -> proven events -> effects, each with its reason. Pure.
//!
//! The road: while a body arrives, [`incoming`] computes its [`proof`] and takes the few values that count out of it
//! ([`body`]: JSON or form; [`json`]); once it is proven, the forge's own readers make [`Event`]s of them, which no longer
//! know the forge; then the [`effects`].
//!
//! All that differs between forges stands in a [`Forge`]: a description, and of code only what reads its bodies. A further
//! forge is a file beside [`github`] and a line in [`ALL`] (ADR 20).

pub mod body;
mod description;
mod effect;
mod event;
mod fields;
pub mod github;
mod head;
mod hook;
pub mod incoming;
pub mod json;
pub mod json_found;
mod json_parts;
pub mod proof;
mod refusal;
mod told;
mod unreached;
mod utf8;

pub use description::{Forge, Kind, Repository, Statuses};
pub use effect::{Effect, Note, Wanted, effects, find_repo};
pub use event::{CiResult, Event, Merge, Push, PushedRepo, Release, Tag};
pub use fields::{Fields, is_zero};
pub use github::GITHUB;
pub use head::Head;
pub use hook::{Hook, HooksOf, no_hooks};
pub use incoming::{Incoming, Naming, Whole};
pub use proof::Proof;
pub use refusal::Refusal;
pub use unreached::unreached;

/// The forges that deliveries are taken from. The first one's come to `/webhook`, those of a further one to
/// `/webhook/` and its name: a header must not be able to choose how it is proven.
pub static ALL: &[&Forge] = &[&GITHUB];
