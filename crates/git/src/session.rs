//! What one piece of work on a repository has with it from its beginning to its end: the way to the network, the time it
//! has, and whom it tells.

use std::time::Instant;

use git2::Repository;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    error::GitError,
    relay::Relay,
    remote::Remote,
    stage::{Progress, Stage},
};
use turnout_report::Event;

/// What one update needs on its way.
pub(super) struct Session {
    /// The way to the network.
    pub(super) relay: Relay,
    /// Cancelled when the update must end.
    pub(super) stop: CancellationToken,
    /// Takes events; they are dropped when nobody reads quickly enough.
    pub(super) events: mpsc::Sender<Event>,
    /// What to bring up to date.
    pub(super) remote: Remote,
    /// When the time for it is over.
    pub(super) deadline: Instant,
    /// How far it has come.
    pub(super) progress: Progress,
}

impl Session {
    /// Tells the reader something.
    pub(super) fn tell(&self, event: Event) {
        let _ = self.events.try_send(event);
    }

    /// Waits on this thread for something asynchronous, until the update must end; then it is dropped in the middle.
    pub(super) fn wait_for<T>(&self, work: impl Future<Output = T>) -> Result<T, GitError> {
        self.relay.handle().block_on(async {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => Err(self.cancelled()),
                done = work => Ok(done),
            }
        })
    }

    /// Ends here if the update was cancelled.
    pub(super) fn go_on(&self) -> Result<(), GitError> {
        if self.stop.is_cancelled() { Err(self.cancelled()) } else { Ok(()) }
    }

    /// That it was cancelled, and what came of it.
    pub(super) fn cancelled(&self) -> GitError {
        GitError::Cancelled { path: self.remote.path.clone(), stage: self.progress.now() }
    }

    /// A repository has come so far.
    pub(super) fn reach(&self, stage: Stage, repo: &Repository) {
        self.progress.reach(stage, repo.workdir(), &self.remote.path);
    }
}
