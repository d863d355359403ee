//! `turnout compose` as a person meets it, beside the real `docker compose`, on a real engine.
#![allow(
    clippy::disallowed_methods,
    reason = "tests go by the clock of the machine; sleeps are looked for in architecture.rs"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "test code: a failure is the report"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../compose_cli_support/mod.rs"]
mod compose_cli_support;
#[path = "../endpoint_support/mod.rs"]
mod endpoint_support;
#[path = "../image_support/false_registry.rs"]
mod false_registry;
#[path = "../git_support/mod.rs"]
mod git_support;
#[path = "../image_support/mod.rs"]
mod image_support;

mod cli_checklist;
mod cli_commands;
mod cli_convergence;
mod cli_interchange;
mod cli_more;
mod cli_parity;
mod cli_progress;
mod cli_sequences;
mod cli_up;
mod five;
mod pre_start;
mod registry;
mod remote;
mod upstream;
mod upstream_files;
mod upstream_life;
mod watch;
