//! The commands, thin.

pub mod compose_config;
