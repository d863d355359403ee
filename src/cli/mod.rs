//! The commands, thin.

pub mod compose;
pub mod progress;
