//! One at a time: the lock that keeps two updates of a repository apart, in this process and between processes.
//!
//! It is `flock(2)` on the `.git` folder itself, so it leaves no file behind and ends with the process.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::error::GitError;

/// How often to look whether a former update has ended. It normally has: lanes admit one at a time.
const RETRY: Duration = Duration::from_millis(50);

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

/// Locks a folder, waiting for whoever has it until `stop`.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, as all of libgit2's work has")]
pub(super) fn wait(folder: &Path, stop: &CancellationToken) -> Result<Lock, GitError> {
    loop {
        if let Some(lock) = attempt(folder)? {
            return Ok(lock);
        }
        if stop.is_cancelled() {
            return Err(GitError::Busy { message: format!("another update of {} is still running", folder.display()) });
        }
        std::thread::sleep(RETRY);
    }
}

/// Locks a folder if nobody has it.
pub(super) fn attempt(folder: &Path) -> Result<Option<Lock>, GitError> {
    let file = File::open(folder).map_err(|error| GitError::io(folder, "lock", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(GitError::io(folder, "lock", &error)),
    }
}
