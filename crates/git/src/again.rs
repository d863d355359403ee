//! Fetches that failed for a reason that may pass: when they are tried again, and when not.

use std::time::{Duration, Instant};

use super::{error::GitError, session::Session};
use turnout_report::Event;

/// Tries in all. With the pauses between them a server's restart or a lost packet is waited out, some fifteen seconds.
const TRIES: u32 = 5;

/// Does something that needs the network; once more after a pause, and another, where what went wrong may pass.
///
/// # Errors
/// The last one. Those that cannot pass (access, host keys, certificates, what is not there) at once.
pub(super) fn with_patience<T>(
    session: &Session,
    what: &str,
    mut work: impl FnMut() -> Result<T, GitError>,
) -> Result<T, GitError> {
    let mut tried = 1;
    loop {
        let error = match work() {
            Err(error) if may_pass(&error) => error,
            done => return done,
        };
        let left = session.deadline.saturating_duration_since(Instant::now());
        let Some(pause) = pause(session.remote.pause, tried).filter(|pause| *pause < left) else { return Err(error) };
        tried += 1;
        let text = format!("{what} failed ({error}); trying again in {pause:?}, {tried} of {TRIES}");
        session.tell(Event::Warning { text });
        session.wait_for(async move { tokio::time::sleep(pause).await })?;
    }
}

/// How long to wait after so many tries; none: no more.
fn pause(first: Duration, tried: u32) -> Option<Duration> {
    (tried < TRIES).then(|| first.saturating_mul(1 << (tried - 1)))
}

/// Whether it may be otherwise in a moment, with nobody doing anything.
fn may_pass(error: &GitError) -> bool {
    match error {
        GitError::Stalled { .. } | GitError::Unreachable { .. } | GitError::BrokenOff { .. } => true,
        GitError::Submodule { source, .. } => may_pass(source),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<_> = (1..).map_while(|tried| pause(Duration::from_secs(1), tried)).collect();
        assert_eq!(pauses, [1, 2, 4, 8].map(Duration::from_secs));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let text = String::new;
        let passes = [
            GitError::Unreachable { peer: text(), message: text() },
            GitError::Stalled { peer: text(), after: Duration::ZERO },
            GitError::BrokenOff { address: text(), message: text() },
        ];
        for error in passes {
            assert!(may_pass(&error), "{error}");
        }
        let stays = [
            GitError::Denied { address: text(), tried: text(), hint: text() },
            GitError::HostKey { message: text(), hint: text() },
            GitError::Certificate { address: text(), message: text() },
            GitError::NotFound { address: text() },
            GitError::MissingBranch { address: text(), branch: text(), there: Vec::new() },
            GitError::RedirectedAway { to: text() },
            GitError::Cancelled { path: "x".into(), stage: crate::stage::Stage::Untouched },
            GitError::NoSpace { path: "x".into() },
            GitError::other("fetch", "x"),
        ];
        for error in stays {
            assert!(!may_pass(&error), "{error}");
        }
    }
}
