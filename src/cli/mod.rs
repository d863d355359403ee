//! The commands, thin.

pub mod compose;
pub mod progress;
pub mod compose_config;
