//! Lets one caller at a time look at a file. Others wait for at most a moment and then go on with what is known, for
//! the disk may hang.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::files;

/// How long a look may take that others wait for. A healthy disk needs a small part of it, also on a busy machine.
pub(super) const MOMENT: Duration = Duration::from_secs(1);
/// How long a thread of the runtime waits itself: a look that another one has begun is nearly over.
const SHORT: Duration = Duration::from_millis(10);

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turn(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    looking: Mutex<Option<Instant>>,
    over: Condvar,
}

/// Somebody's turn, until it is dropped.
pub(super) struct Mine(Arc<Inner>);

impl Turn {
    /// Takes it. Nothing where somebody has been looking for longer than a moment.
    pub(super) fn take(&self) -> Option<Mine> {
        self.wait(SHORT).unwrap_or_else(|| files::beside_the_runtime(|| self.wait(MOMENT)).flatten())
    }

    /// `None`: not within the limit, though it may come yet.
    fn wait(&self, limit: Duration) -> Option<Option<Mine>> {
        let Turn(inner) = self;
        let until = Instant::now() + limit;
        let mut looking = inner.looking();
        loop {
            let Some(since) = *looking else {
                *looking = Some(Instant::now());
                return Some(Some(Mine(Arc::clone(inner))));
            };
            let Some(left) = MOMENT.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) else {
                return Some(None);
            };
            let left = left.min(until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            looking = inner.over.wait_timeout(looking, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Inner {
    fn looking(&self) -> MutexGuard<'_, Option<Instant>> {
        // Only whole values are written under this lock.
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        *self.0.looking() = None;
        self.0.over.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nobody_waits_long() {
        let turn = Turn::default();
        let mine = turn.take();
        assert!(mine.is_some());
        let began = Instant::now();
        assert!(turn.take().is_none() && began.elapsed() >= MOMENT / 2);
        // Whoever comes later does not wait at all.
        let began = Instant::now();
        assert!(turn.take().is_none() && began.elapsed() < MOMENT / 2);
        drop(mine);
        assert!(turn.take().is_some());
        assert!(turn.take().is_some());
    }
}
