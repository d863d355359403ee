//! Points at which a test has the proxy die, as by SIGKILL or in a power cut, by the name of what it does: `before` and `after` it.
//! They are named in docs/testing.md.
//!
//! Only in builds with debug assertions, and only where [`FILE`] is set: a release has no such points.

/// The variable that names a file with the names of points, one a line, as for the daemon.
#[cfg(debug_assertions)]
const FILE: &str = "TURNOUT_TEST_DIES_AT";

/// Dies here, where a test wants that.
#[cfg(debug_assertions)]
pub(crate) fn here(when: &str, what: &str) {
    use std::{fs, path::PathBuf, sync::OnceLock};

    static WANTED: OnceLock<Option<PathBuf>> = OnceLock::new();

    let Some(file) = WANTED.get_or_init(|| std::env::var_os(FILE).map(Into::into)) else { return };
    let point = format!("{when} {what}");
    if fs::read_to_string(file).is_ok_and(|wanted| wanted.lines().any(|line| line == point)) {
        // Whatever is said of it would be one thing more that a real death does not do.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Dies here, where a test wants that; in this build none can.
#[cfg(not(debug_assertions))]
pub(crate) fn here(_when: &str, _what: &str) {}
