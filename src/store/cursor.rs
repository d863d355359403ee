//! A place in the journal, and whoever waits there for what comes. A reader asks for a page at a time, and between two pages
//! holds nothing: however slow it is, no writer waits for it.

use tokio::sync::watch;

use super::{EventId, Only, Page, Store, StoreError};

/// Reads the journal from a number on.
#[derive(Debug)]
pub struct Cursor {
    store: Store,
    after: EventId,
    only: Only,
    /// Up to which event missing ones were named.
    named: EventId,
    newest: watch::Receiver<EventId>,
}

impl Store {
    /// Changes after every commit with an event: the number of the newest.
    pub fn newest_event(&self) -> watch::Receiver<EventId> {
        self.inner.newest.clone()
    }

    /// Reads what happens from now on. Whoever looks at the tables after asking for this misses nothing.
    pub fn from_now(&self, only: Only) -> Cursor {
        let newest = self.newest_event();
        let after = *newest.borrow();
        Cursor { store: self.clone(), after, only, named: 0, newest }
    }

    /// Reads what happened after a number, and what comes.
    pub fn after(&self, event: EventId, only: Only) -> Cursor {
        Cursor { after: event, ..self.from_now(only) }
    }
}

impl Cursor {
    /// The events since the last call, once there are any; `None` where the store has ended. May be given up at any time:
    /// what was not answered comes with the next call.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn next(&mut self) -> Result<Option<Page>, StoreError> {
        while self.ready().await {
            let page = self.take().await?;
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// Waits until something was written, of whatever repository. False where the store has ended.
    pub async fn ready(&mut self) -> bool {
        loop {
            if *self.newest.borrow_and_update() > self.after {
                return true;
            }
            if self.newest.changed().await.is_err() {
                return false;
            }
        }
    }

    /// The events since the last call, if there are any: a page of them.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn take(&mut self) -> Result<Page, StoreError> {
        let mut page = self.store.events(self.after, self.only.clone()).await?;
        self.after = page.upto;
        // Each missing one is named once.
        page.gap = page.gap.filter(|gap| gap.upto > self.named);
        self.named = page.gap.map_or(self.named, |gap| gap.upto);
        Ok(page)
    }

    /// Up to which event everything was answered.
    pub fn position(&self) -> EventId {
        self.after
    }
}
