//! The commands: they read their arguments, ask the daemon or a room below, and print. Rules live in those rooms.

pub mod args;
mod backup;
mod built_in;
mod by_repo;
mod check;
mod check_switch;
pub mod client;
mod colours;
mod command;
mod deliveries;
mod documents;
mod ends;
mod follow;
mod history;
mod letters;
mod log_fields;
mod log_file;
pub mod logging;
mod notify;
mod outlet;
mod plan;
pub mod progress;
mod prune;
mod room_first;
mod serve;
mod show;
mod since;
mod standing;
mod trouble;
mod unit;
mod waiting;

pub use command::run;
use serve::serve;
pub use trouble::Trouble;
