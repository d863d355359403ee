//! The bakes that go on beside the lanes: at most one a repository, each of which can be asked.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Failure;

/// What somebody asks of a bake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// It is over now, and was good.
    End,
    /// Requests go back to the colour before, for this reason.
    Revert(String),
}

pub(super) type Question = (Ask, oneshot::Sender<Result<String, Failure>>);

/// One that is looked after.
pub(super) struct UnderWay {
    pub(super) asks: mpsc::Sender<Question>,
    /// Fires when it is over.
    pub(super) over: CancellationToken,
}

/// The bakes that go on beside the lanes: at most one a repository.
#[derive(Default)]
pub struct Bakes {
    under_way: Mutex<HashMap<String, UnderWay>>,
    /// Repositories whose next colour waits and is looked after.
    attended: Mutex<BTreeSet<String>>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Bakes {
    /// Ends all; the next start goes on with them.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits until no bake of the repository is looked after.
    pub async fn over(&self, repo: &str) {
        let over = self.lock().get(repo).map(|bake| bake.over.clone());
        if let Some(over) = over {
            over.cancelled().await;
        }
    }

    /// Only whole values are written under this lock.
    pub(super) fn attended(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.attended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
