//! turnout deploys several repositories' Docker Compose stacks on one host.
//!
//! Crates and folders are listed from the ground up; a folder uses only those above it. `tests/offline/architecture.rs`
//! holds that. See ARCHITECTURE.md for the road a push travels.

pub use turnout_report as report;

pub use turnout_files as files;

pub use turnout_yaml as yaml;

pub mod config;

pub use turnout_net as net;

pub use turnout_registry as registry;

pub mod forge;

pub use turnout_compose as compose;

pub use turnout_plan as plan;

pub use turnout_switch as switch;

pub use turnout_traffic as traffic;

pub use turnout_steer as steer;

pub use turnout_fronts as fronts;

pub use turnout_gate as gate;

pub use turnout_measure as measure;

pub use turnout_nat as nat;

pub mod decide;

pub use turnout_buildkit as buildkit;

pub mod rollout;

pub use turnout_git as git;

pub use turnout_docker as engine;

pub mod inputs;

pub mod store;

pub mod outbox;

pub mod deploy;

pub mod lane;

pub use turnout_composer as composer;

pub mod server;

pub mod cli;
