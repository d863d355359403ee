//! The commands, thin.

pub mod progress;
