//! One at a time: what changes the stacks of a repository is kept apart, also between the daemon and a command that
//! works without it (`turnout prune`). `flock(2)` on a file of the state directory; it ends with the process.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::Path,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

/// How often to look whether the other has ended.
const RETRY: Duration = Duration::from_millis(200);

/// Held until dropped.
#[derive(Debug)]
pub struct Busy(#[expect(dead_code, reason = "held for its lock")] File);

/// Takes a repository, or says that somebody has it (`None`).
///
/// # Errors
/// When the state directory cannot be written.
pub fn attempt(state: &Path, repo: &str) -> io::Result<Option<Busy>> {
    let folder = state.join("busy");
    let path = folder.join(hex::encode(repo));
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(&folder)?;
            OpenOptions::new().create(true).truncate(false).write(true).open(&path)?
        }
        other => other?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Busy(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Takes a repository, waiting for whoever has it. `None` when that was cancelled, or the lock cannot be had at all: it
/// guards against a command that removes what a build is about to use again, and a full disk must not keep a deployment
/// from happening.
pub async fn wait(state: &Path, repo: &str, cancel: &CancellationToken) -> Option<Busy> {
    loop {
        match attempt(state, repo) {
            Ok(Some(busy)) => return Some(busy),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, repo, "cannot lock the repository against `turnout prune`; going on without");
                return None;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = cancel.cancelled() => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_has_a_repository() {
        let state = tempfile::tempdir().unwrap();
        let first = attempt(state.path(), "acme/shop").unwrap().unwrap();
        assert!(attempt(state.path(), "acme/shop").unwrap().is_none());
        assert!(attempt(state.path(), "blog").unwrap().is_some());
        drop(first);
        assert!(attempt(state.path(), "acme/shop").unwrap().is_some());
    }

    #[tokio::test]
    async fn a_deployment_waits_until_it_is_free_or_unwanted() {
        let state = tempfile::tempdir().unwrap();
        let first = attempt(state.path(), "shop").unwrap().unwrap();
        let cancel = CancellationToken::new();
        let waiting = wait(state.path(), "shop", &cancel);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(RETRY * 2, &mut waiting).await.is_err(), "somebody has it");
        drop(first);
        assert!(waiting.await.is_some());
        let _first = attempt(state.path(), "shop").unwrap().unwrap();
        cancel.cancel();
        assert!(wait(state.path(), "shop", &cancel).await.is_none());
    }
}
