//! The Compose engine against a real Docker engine: applied steps, versions, ways there, and waits that end.
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

#[path = "../bad_input_support/mod.rs"]
mod bad_input_support;
#[path = "../common/mod.rs"]
mod common;
#[path = "../compose_cli_support/mod.rs"]
mod compose_cli_support;
#[path = "../e2e_support/mod.rs"]
mod e2e_support;
#[path = "../endpoint_support/mod.rs"]
mod endpoint_support;
#[path = "../waits_support/mod.rs"]
mod waits_support;

mod agrees;
mod apply;
mod client_settings;
mod convergence;
mod endpoints;
mod harness;
mod holdings;
mod interchange;
mod lane_waits;
mod nameless;
mod rests;
mod versions;
mod waits;
mod watch;
