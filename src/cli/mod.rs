//! The commands, thin.

pub mod args;
mod backup;
mod check;
pub mod client;
mod command;
pub mod compose;
mod documents;
pub mod logging;
mod plan;
pub mod progress;
mod prune;
mod serve;
mod show;
mod unit;

pub use command::{Trouble, run};
use serve::serve;
