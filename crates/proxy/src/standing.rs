//! How a repository's requests stand: let through, waiting, or answered by a page. Known in memory only: a proxy that starts
//! anew lets them through.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::sync::watch;

/// Of one repository.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Requests wait. Looked at after a request has counted itself in, so that "none is in flight" stays true once it was.
    held: AtomicBool,
    /// Changes with it, for those that wait.
    changes: watch::Sender<()>,
    page: RwLock<Option<Page>>,
    /// Whether there is one, for those that only pass.
    maintained: AtomicBool,
}

/// What is answered while a repository is maintained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page(pub(crate) Option<String>);

impl Standing {
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
    pub(crate) fn page(&self) -> Option<Page> {
        if !self.maintained.load(SeqCst) {
            return None;
        }
        self.page.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether that changed anything.
    pub(crate) fn maintain(&self, page: Option<Page>) -> bool {
        let mut present = self.page.write().unwrap_or_else(PoisonError::into_inner);
        self.maintained.store(page.is_some(), SeqCst);
        let before = std::mem::replace(&mut *present, page);
        before != *present
    }

    pub(crate) fn maintained(&self) -> bool {
        self.maintained.load(SeqCst)
    }
}
