//! The commands, thin.

pub mod args;
mod check;
pub mod client;
mod command;
pub mod compose;
pub mod logging;
mod plan;
pub mod progress;
mod prune;
mod serve;
mod show;

pub use command::{Trouble, run};
use serve::serve;
