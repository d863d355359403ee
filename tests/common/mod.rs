//! What the tests against real parts share: the real engine, real git repositories, the real program.
//!
//! Names: everything made in Docker has a name with [`run_id`] in it, so that two runs side by side never meet and
//! `script/test` can remove what a killed test left. Guards remove the rest when they go out of scope.
//!
//! Nothing here sleeps to synchronise: [`wait_until`] polls a condition up to a deadline and says what it waited for.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "test code: a failure is the report"
)]

pub mod daemon;
pub mod docker;
pub mod engine;
pub mod hanging;
pub mod http;
pub mod inspect;
pub mod push;
pub mod repo;

use std::{
    fmt::Debug,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// How long anything on a busy two-core machine may take before a test calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(50);

/// The run's own word, in every name: from `script/test`, or made here for a bare `cargo test`.
pub fn run_id() -> &'static str {
    static ID: LazyLock<String> = LazyLock::new(|| {
        std::env::var("TURNOUT_TEST_RUN").unwrap_or_else(|_| {
            let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
            format!("t{:x}x{nanos:x}", std::process::id())
        })
    });
    &ID
}

/// A name nobody else uses, fit for a Compose project, a container or an image: `what` + number + run.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}{:x}n{}{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed), run_id())
}

/// Polls `look` until it gives a value; panics with `what` and the last look when `limit` has passed.
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
pub fn wait_until<T, E: Debug>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        let began = Instant::now();
        match look() {
            Ok(value) => return value,
            Err(last) if Instant::now() >= deadline => panic!("waited {limit:?} for {what}; last seen: {last:?}"),
            // A look that starts a program takes the processor from those who are waited for.
            Err(_) => std::thread::sleep(POLL.max((2 * began.elapsed()).min(4 * POLL))),
        }
    }
}
