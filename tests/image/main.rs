//! Images against a real engine: built, pulled, kept, and handed on.
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
#[path = "../git_support/mod.rs"]
mod git_support;
#[path = "../image_support/mod.rs"]
mod image_support;

mod attributes;
mod build;
mod gha;
mod interchange;
mod large;
mod pull;
mod sources;
mod store;
