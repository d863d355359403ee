//! The way of an update, and the async shell around it.

use std::{path::Path, time::Duration};

use git2::{ErrorCode, Repository};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    address::Address,
    advance, branch, clone, convert, detached,
    error::GitError,
    gitlinks::{self, Reason},
    lock,
    open::{is_absent, open, ready},
    relay::Relay,
    remote::{Remote, Updated},
    repack,
    session::Session,
    short::short_id,
    stage::Progress,
    stale, submodule,
    transfer::{self, Want},
};
use turnout_report::{Event, Reporter, counted};

/// After a stop: time for the thread to end by itself. It normally needs milliseconds, because the relay has closed its
/// connection, and a check-out asks between files.
const GRACE: Duration = Duration::from_secs(5);

/// Names at most this many submodules that stay as they are.
const MOST_LEFT_OUT: usize = 10;

/// Brings the work tree to the state of its remote branch. Clones it if it is absent.
///
/// Returns soon after `cancel`, whatever the server does; the connection is closed then. A later update waits for what
/// may be left of this one.
///
/// # Errors
/// See [`GitError`]; the work tree is as before, except for submodules, for [`GitError::Unfiltered`], which is about what
/// was there before, and where the file system fails in the middle of a check-out: the next update goes on with that.
pub async fn update(remote: &Remote, reporter: &dyn Reporter, cancel: CancellationToken) -> Result<Updated, GitError> {
    on_a_thread(remote, reporter, cancel, run).await
}

/// Does work that blocks, with everything that ends it in time.
pub(super) async fn on_a_thread<T: Send + 'static>(
    remote: &Remote,
    reporter: &dyn Reporter,
    cancel: CancellationToken,
    work: impl FnOnce(&Session) -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    let stop = CancellationToken::new();
    // Also when the caller drops this future.
    let _stop_on_drop = stop.clone().drop_guard();
    let progress = Progress::default();
    let (events, mut told) = mpsc::channel(64);
    let (done, mut result) = oneshot::channel();
    let session = Session {
        relay: Relay::new(Handle::current(), stop.clone(), remote.stall.min(remote.timeout)),
        stop: stop.clone(),
        events,
        remote: remote.clone(),
        deadline: std::time::Instant::now() + remote.timeout,
        progress: progress.clone(),
    };
    std::thread::Builder::new()
        .name("git".to_owned())
        .spawn(move || {
            let _ = done.send(work(&session));
        })
        .map_err(|error| GitError::io(&remote.path, "start a thread for", &error))?;

    let deadline = tokio::time::sleep(remote.timeout);
    tokio::pin!(deadline);
    let reason = loop {
        tokio::select! {
            Some(event) = told.recv() => reporter.report(event),
            ended = &mut result => {
                while let Ok(event) = told.try_recv() {
                    reporter.report(event);
                }
                return ended.unwrap_or_else(|_| Err(died(&remote.path)));
            }
            () = cancel.cancelled() => break Ended::Cancelled,
            () = &mut deadline => break Ended::TimedOut,
        }
    };
    stop.cancel();
    match timeout(GRACE, &mut result).await {
        // It was past the point of no return: what happened is what is told.
        Ok(Ok(Ok(updated))) => Ok(updated),
        Ok(Ok(Err(GitError::Busy { message }))) => Err(GitError::Busy { message }),
        // Only now is it known how far it has come.
        _ => {
            let (path, stage) = (remote.path.clone(), progress.now());
            Err(match reason {
                Ended::Cancelled => GitError::Cancelled { path, stage },
                Ended::TimedOut => GitError::TimedOut { path, stage, after: remote.timeout },
            })
        }
    }
}

/// What ended it before its end.
enum Ended {
    Cancelled,
    TimedOut,
}

fn died(path: &Path) -> GitError {
    GitError::other(format!("update {}", path.display()), "the git thread ended without a result; this is a bug")
}

/// The whole way, on the thread.
fn run(session: &Session) -> Result<Updated, GitError> {
    let remote = &session.remote;
    if is_absent(&remote.path)? {
        let updated = clone::into_place(session)?;
        let repo = open(&remote.path)?;
        let _lock = lock::wait(repo.path(), &session.stop)?;
        let _under_way = stale::begin(&repo, session)?;
        finish(&repo, &origin(&repo, remote)?, session)?;
        return Ok(updated);
    }
    let repo = open(&remote.path)?;
    let _lock = lock::wait(repo.path(), &session.stop)?;
    let _under_way = stale::begin(&repo, session)?;
    ready(&repo, &remote.path)?;
    let branch = branch_to_follow(&repo, remote)?;
    let address = origin(&repo, remote)?;
    let old = repo.head().ok().and_then(|head| Some(head.peel_to_commit().ok()?.id().to_string()));
    transfer::warn_of_plain_http(&address, &remote.auth, session);
    let fetched = transfer::fetch(&repo, &address, true, &Want::Branch(&branch), session)?;
    session.go_on()?;
    let (new, moved) = advance::to(&repo, &fetched, session)?;
    finish(&repo, &address, session)?;
    Ok(Updated { old, new: new.to_string(), remote_tip: fetched.tip.to_string(), branch, moved })
}

/// The branch that is configured, else the one that is checked out or was left for a commit.
pub(super) fn branch_to_follow(repo: &Repository, remote: &Remote) -> Result<String, GitError> {
    let here = || branch::checked_out(repo).or_else(|| detached::left_branch(repo));
    let Some(branch) = remote.branch.clone().or_else(here) else {
        return Err(GitError::Detached {
            path: remote.path.clone(),
            commit: repo.head().ok().and_then(|head| head.target()).map(|id| short_id(repo, id)).unwrap_or_default(),
            reason: " and no branch is configured",
            branch: "<branch>".to_owned(),
        });
    };
    if git2::Reference::is_valid_name(&format!("refs/heads/{branch}")) {
        Ok(branch)
    } else {
        Err(GitError::other("follow a branch", format!("{branch:?} is not a valid branch name")))
    }
}

/// The configured address, else that of `origin`, in which git's `insteadOf` has been applied.
pub(super) fn origin(repo: &Repository, remote: &Remote) -> Result<Address, GitError> {
    if let Some(url) = &remote.url {
        return Address::parse(url);
    }
    let found = repo.find_remote("origin").map_err(|error| match error.code() {
        ErrorCode::NotFound => GitError::other(
            format!("update {}", remote.path.display()),
            "it has no remote named origin; add one (git remote add origin …) or set `remote`",
        ),
        _ => GitError::local(&remote.path, "read the remote of", &error),
    })?;
    Address::parse(found.url().unwrap_or_default()).map(|address| match address {
        // Relative to the repository, as git does it.
        Address::Local(text) if !text.contains("://") && !text.starts_with('/') => {
            Address::Local(remote.path.join(text).to_string_lossy().into_owned())
        }
        other => other,
    })
}

/// After the work tree has moved: submodules follow, and files that need a program are looked for.
pub(super) fn finish(repo: &Repository, address: &Address, session: &Session) -> Result<(), GitError> {
    if session.remote.submodules {
        submodule::update_all(repo, address, session)?;
    }
    tell_left_out(repo, session)?;
    convert::restore_stored(repo, session)?;
    repack::when_due(repo, session);
    Ok(())
}

/// Says which submodules stay as they are, those that nobody configured first.
fn tell_left_out(repo: &Repository, session: &Session) -> Result<(), GitError> {
    let mut found = gitlinks::in_repository(repo, &session.remote.path, session.remote.submodules)?;
    found.sort_by_key(|left_out| left_out.reason);
    for left_out in found.iter().take(MOST_LEFT_OUT) {
        let text = left_out.to_sentence();
        session.tell(match left_out.reason {
            Reason::NotConfigured | Reason::NoAddress => Event::Warning { text },
            Reason::UpdateNone | Reason::NotWanted => Event::Info { text },
        });
    }
    if let Some(more) = found.len().checked_sub(MOST_LEFT_OUT).filter(|more| *more > 0) {
        session.tell(Event::Info { text: format!("left as before: {}", counted(more, "more submodule")) });
    }
    Ok(())
}
