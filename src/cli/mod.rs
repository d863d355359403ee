//! The commands, thin.

pub mod args;
pub mod client;
pub mod compose;
pub mod compose_config;
pub mod logging;
pub mod progress;
mod serve;

pub use serve::serve;
