//! turnout deploys several repositories' Docker Compose stacks on one host.
//!
//! Folders are listed from the ground up; each uses only those above it in this list. `tests/offline/architecture.rs`
//! holds that. See ARCHITECTURE.md for the road a push travels.

pub mod report;

pub mod files;

pub mod yaml;

pub mod config;

pub mod tls;

pub mod webhook;

pub mod compose;

pub mod decide;

pub mod plan;

pub mod git;

pub mod inputs;

pub mod engine;

pub mod store;

pub mod deploy;

pub mod worker;

pub mod server;

pub mod cli;
