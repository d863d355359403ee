//! Updates of work trees against real git: over files, HTTP and SSH, with hooks, locks, kills and hostile remotes.
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

#[path = "../git_support/mod.rs"]
mod git_support;

mod again;
mod by_hand;
mod checkout;
mod filters;
mod hostile;
mod killed;
mod lfs;
mod lfs_ssh;
mod like_git;
mod local;
mod repack;
mod servers;
