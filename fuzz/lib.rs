//! What is fuzzed, without the rest: engine, git and database would take ten times as long to build and have no part in it.

pub use turnout_compose as compose;
pub use turnout_traffic as traffic;
pub use turnout_yaml as yaml;

pub mod files;
pub mod passing;

// `forward` names it from the root of its own crate.
#[allow(dead_code, reason = "not all of a file is asked")]
#[path = "../crates/proxy/src/date.rs"]
mod date;
mod proxy;
