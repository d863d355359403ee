//! Points at which a test has the daemon die, as by SIGKILL or in a power cut, or has turnout itself be at fault: before and after
//! each transaction, by the name of what it does (`after recording the delivery`), before and after each action of a rollout
//! (`before apply`), and before and after each step of a plan that touches a container (`after a start`). `panics before apply`
//! panics there, and `fails recording the delivery` has that transaction fail as on a full disk, as long as the test wants it.
//!
//! Only in builds with debug assertions, and only where [`FILE`] is set: a release has no such points.

/// The variable that names a file with the name of a point. Each test's daemon has a file of its own, in which the test
/// writes what it wants next, a line for each point.
#[cfg(debug_assertions)]
const FILE: &str = "TURNOUT_TEST_DIES_AT";

/// Whether a test wants this now.
#[cfg(debug_assertions)]
fn is_wanted(point: &str) -> bool {
    use std::{fs, path::PathBuf, sync::OnceLock};

    static WANTED: OnceLock<Option<PathBuf>> = OnceLock::new();

    let Some(file) = WANTED.get_or_init(|| std::env::var_os(FILE).map(Into::into)) else { return false };
    fs::read_to_string(file).is_ok_and(|wanted| wanted.lines().any(|line| line == point))
}

/// Dies here, or panics, where a test wants that.
///
/// # Panics
/// Where a test wants it.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "it is what the test asks for")]
pub fn here(when: &str, what: &str) {
    if is_wanted(&format!("{when} {what}")) {
        // Whatever is said of it would be one thing more that a real death does not do.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
    if is_wanted(&format!("panics {when} {what}")) {
        panic!("a test wants a panic {when} {what}");
    }
}

/// The failure of a transaction, where a test wants that.
///
/// # Errors
/// As on a full disk.
#[cfg(debug_assertions)]
pub(super) fn fails(what: &str) -> rusqlite::Result<()> {
    match is_wanted(&format!("fails {what}")) {
        true => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
            Some(format!("a test wants {what} to fail")),
        )),
        false => Ok(()),
    }
}

/// Dies here, where a test wants that; in this build none can.
#[cfg(not(debug_assertions))]
pub fn here(_when: &str, _what: &str) {}

/// Fails, where a test wants that; in this build none can.
///
/// # Errors
/// None.
#[cfg(not(debug_assertions))]
#[expect(clippy::unnecessary_wraps, reason = "as in builds in which it may fail")]
pub(super) fn fails(_what: &str) -> rusqlite::Result<()> {
    Ok(())
}
