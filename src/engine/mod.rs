//! Observe, apply one step, build, pull, health, logs (bollard).
//!
//! Nothing here decides: [`Engine::observe`] fills the planner's snapshot, [`Engine::apply`] carries a plan out.
//! How a service becomes a container is in [`translate`], as pure functions.

pub mod connect;
pub mod error;
pub mod image;

pub use connect::{ApiVersion, Endpoint, Engine};
pub use error::EngineError;
