//! A lock for each repository: only one process at a time changes its stacks, be it the daemon or a command that works
//! without it (`turnout prune`). `flock(2)` on a file of the state directory; it ends with the process.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::Path,
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{files, report::Reporter};

/// How often to look whether the other has ended.
const RETRY: Duration = Duration::from_millis(200);
/// Waiting that is not spoken of.
const SILENT: Duration = Duration::from_secs(1);
/// How long the other may take. Removing images takes minutes at most.
const PATIENCE: Duration = Duration::from_secs(600);

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
            files::make_folder(&folder, 0o755)?;
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            files::give_to_owner_above(&path)?;
            file
        }
        other => other?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Busy(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Takes a repository, waiting for whoever has it. `None` when that was cancelled, or the lock cannot be had at all, or not
/// in [`PATIENCE`]: it guards against a command that removes what a build is about to use again, and neither a full disk nor
/// a command that hangs must keep a deployment from happening.
pub async fn wait(state: &Path, repo: &str, reporter: &dyn Reporter, cancel: &CancellationToken) -> Option<Busy> {
    let began = Instant::now();
    let mut told = false;
    loop {
        match attempt(state, repo) {
            Ok(Some(busy)) => return Some(busy),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, repo, "cannot lock the repository against `turnout prune`; going on without");
                return None;
            }
        }
        if began.elapsed() >= PATIENCE {
            let minutes = PATIENCE.as_secs() / 60;
            reporter
                .warn(format!("`turnout prune` has this repository for {minutes} min: does it hang? going on without"));
            return None;
        }
        if !told && began.elapsed() >= SILENT {
            reporter.info(
                "waiting for what else is at work on this repository: `turnout prune`, or what was left in part is put right"
                    .to_owned(),
            );
            told = true;
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
    use crate::report::Silent;

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
        let waiting = wait(state.path(), "shop", &Silent, &cancel);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(RETRY * 2, &mut waiting).await.is_err(), "somebody has it");
        drop(first);
        assert!(waiting.await.is_some());
        let _first = attempt(state.path(), "shop").unwrap().unwrap();
        cancel.cancel();
        assert!(wait(state.path(), "shop", &Silent, &cancel).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_is_not_waited_for_without_end() {
        let state = tempfile::tempdir().unwrap();
        let _first = attempt(state.path(), "shop").unwrap().unwrap();
        let began = Instant::now();
        assert!(wait(state.path(), "shop", &Silent, &CancellationToken::new()).await.is_none());
        assert!((PATIENCE..PATIENCE + 2 * RETRY).contains(&began.elapsed()));
    }
}
