//! Points at which a test has the daemon die, as by SIGKILL or in a power cut: before and after each transaction, by the name of
//! what it does (`after recording the delivery`), before and after each action of a rollout (`before apply`), and before and
//! after each step of a plan that touches a container (`after a start`).
//!
//! Only in builds with debug assertions, and only where [`FILE`] is set: a release has no such points.

/// The variable that names a file with the name of a point. Each test's daemon has a file of its own, in which the test
/// writes what it wants next.
#[cfg(debug_assertions)]
const FILE: &str = "TURNOUT_TEST_DIES_AT";

/// Dies here, where a test wants that.
#[cfg(debug_assertions)]
pub fn here(when: &str, what: &str) {
    use std::{fs, sync::OnceLock};

    static WANTED: OnceLock<Option<std::path::PathBuf>> = OnceLock::new();

    let Some(file) = WANTED.get_or_init(|| std::env::var_os(FILE).map(Into::into)) else { return };
    if fs::read_to_string(file).is_ok_and(|point| point == format!("{when} {what}")) {
        // Whatever is said of it would be one thing more that a real death does not do.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Dies here, where a test wants that; in this build none can.
#[cfg(not(debug_assertions))]
pub fn here(_when: &str, _what: &str) {}
