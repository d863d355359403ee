//! The client's half of BuildKit: what a build asks for while it runs, and its own API.
//!
//! Reading order: [`Session`] is what a build asks of its client: files ([`filesync`], which [`walk`] selects), blobs
//! ([`content`]), secrets, credentials, SSH keys ([`ssh_agent`]). [`Channel`] calls BuildKit, [`solve`] is the call that
//! builds. Below both are [`grpc`] and [`protobuf`].
//!
//! How a connection to BuildKit comes about is the caller's business: an engine turns one around.

pub mod channel;
pub mod content;
pub mod dockerignore;
mod error;
pub mod filesync;
pub mod grpc;
pub mod layout;
pub mod protobuf;
mod record;
mod sent;
pub mod session;
pub mod solve;
pub mod ssh_agent;
pub mod ssh_key;
mod ssh_wire;
pub mod walk;

pub use channel::{Channel, Failure};
pub use dockerignore::DockerIgnore;
pub use error::OfferError;
pub use sent::Sent;
pub use session::{Agent, Offer, SecretSource, Session};
