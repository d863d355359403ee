//! How a repository's requests stand: let through, waiting, or answered by a page. What is so here is so at once; `change` sees
//! that the route file says the same, for the next start.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::sync::watch;
use turnout_traffic::{Maintained, table};

/// Whether the requests of one repository are let through, wait, or are answered by a page.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Requests wait. Looked at after a request has counted itself in, so that "none is in flight" stays true once it was.
    held: AtomicBool,
    /// Changes with it, for those that wait.
    changes: watch::Sender<()>,
    page: RwLock<Option<Maintained>>,
    /// Whether there is one, for those that only pass.
    maintained: AtomicBool,
}

impl Standing {
    /// As the route file says.
    pub(crate) fn from_file(said: Option<&table::Standing>) -> Standing {
        let standing = Standing::default();
        standing.becomes(said);
        standing
    }

    /// As the route file says from now on.
    pub(crate) fn becomes(&self, said: Option<&table::Standing>) {
        let said = said.cloned().unwrap_or_default();
        self.hold(said.held);
        self.maintain(said.maintained);
    }

    /// For the route file.
    pub(crate) fn told(&self) -> table::Standing {
        table::Standing { held: self.held(), maintained: self.page() }
    }

    pub(crate) fn held(&self) -> bool {
        self.held.load(SeqCst)
    }

    /// Whether that changed anything.
    pub(crate) fn hold(&self, held: bool) -> bool {
        let before = self.held.swap(held, SeqCst);
        self.changes.send_replace(());
        before != held
    }

    /// Waits until requests are let through.
    pub(crate) async fn resumed(&self) {
        let mut changes = self.changes.subscribe();
        while self.held() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// What is to be answered, if the repository is maintained.
    pub(crate) fn page(&self) -> Option<Maintained> {
        if !self.maintained.load(SeqCst) {
            return None;
        }
        self.page.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether that changed anything.
    pub(crate) fn maintain(&self, page: Option<Maintained>) -> bool {
        let mut present = self.page.write().unwrap_or_else(PoisonError::into_inner);
        self.maintained.store(page.is_some(), SeqCst);
        let before = std::mem::replace(&mut *present, page);
        before != *present
    }

    pub(crate) fn maintained(&self) -> bool {
        self.maintained.load(SeqCst)
    }
}
