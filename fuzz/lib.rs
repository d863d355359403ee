//! What is fuzzed, without the rest: engine, git and database would take ten times as long to build and have no part in it.

pub use turnout_compose as compose;
pub use turnout_traffic as traffic;
pub use turnout_yaml as yaml;

pub mod files;
