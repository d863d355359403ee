//! What was learned of a daemon by calls for which it runs several programs (`/info`, `/version`), each of which costs it ten times
//! what another one does. It is believed for a while.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::clock::{BELIEVED, Clock};

/// What is known of a daemon. Clones share it: whoever connects anew gives it on with
/// [`with_learned`](super::Engine::with_learned).
#[derive(Debug, Clone, Default)]
pub struct Learned {
    pub(super) clock: Clock,
    /// `os/architecture`.
    pub(super) platform: Lasting<String>,
    /// Bytes of its machine's memory.
    pub(super) memory: Lasting<i64>,
}

/// Something that hardly ever changes.
#[derive(Debug, Clone)]
pub(super) struct Lasting<T>(Arc<Mutex<Option<(Instant, T)>>>);

impl<T> Default for Lasting<T> {
    fn default() -> Self {
        Lasting(Arc::default())
    }
}

impl<T: Clone> Lasting<T> {
    /// What was told last, unless that is too long ago.
    pub(super) fn known(&self, now: Instant) -> Option<T> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) < BELIEVED).map(|(_, told)| told.clone())
    }

    pub(super) fn learn(&self, now: Instant, told: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_believed_for_a_while_by_all_who_share_it() {
        let (lasting, at) = (Lasting::default(), Instant::now());
        assert_eq!(lasting.known(at), None);
        lasting.clone().learn(at, 7);
        assert_eq!(lasting.known(at + BELIEVED / 2), Some(7));
        assert_eq!(lasting.known(at + BELIEVED), None);
    }
}
