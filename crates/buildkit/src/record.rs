//! What happened in a session that the build has to know.

use std::sync::{Mutex, PoisonError};

use super::{error::OfferError, sent::Sent};

/// What happened in a session that the build has to know.
#[derive(Default)]
pub struct Record {
    pub(super) inner: Mutex<(Option<OfferError>, Sent)>,
}

impl Record {
    /// Keeps the first error: the engine's own words are only its consequence.
    pub fn fail(&self, error: OfferError) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).0.get_or_insert(error);
    }

    /// Adds to what was sent.
    pub fn add(&self, sent: Sent) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1.entries += sent.entries;
        inner.1.bytes += sent.bytes;
        inner.1.notes.extend(sent.notes);
    }
}
