//! Lets one caller at a time look at a file. Others wait for at most a moment and then go on with what is known, for
//! the disk may hang.
#![expect(clippy::disallowed_methods, reason = "threads wait here, by a condition variable")]

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::files;

/// How long a look may take that others wait for. A healthy disk needs a small part of it, also on a busy machine.
pub(super) const MOMENT: Duration = Duration::from_secs(1);
/// How long a thread of the runtime waits itself: a look that another one has begun is nearly over.
const SHORT: Duration = Duration::from_millis(10);

/// For how long a daemon goes by its last look: a look is handed to another thread, because the disk may hang, and that
/// costs more than all else a small delivery costs. Whoever edits a file and then sends something is slower than this.
pub const LATELY: Duration = Duration::from_millis(1);

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turn {
    inner: Arc<Inner>,
    /// How long a look counts; nothing by default.
    counts: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    now: Mutex<Now>,
    over: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct Now {
    /// Since when somebody looks.
    looking: Option<Instant>,
    /// When the last look began that has ended.
    looked: Option<Instant>,
}

/// Somebody's turn, until it is dropped.
pub(super) struct Mine(Arc<Inner>);

impl Turn {
    /// Has a look count for so long.
    pub(super) fn counting(counts: Duration) -> Turn {
        Turn { counts, ..Turn::default() }
    }

    /// Takes it. Nothing where somebody has been looking for longer than a moment, or the last look still counts.
    pub(super) fn take(&self) -> Option<Mine> {
        self.wait(SHORT).unwrap_or_else(|| files::beside_the_runtime(|| self.wait(MOMENT)).flatten())
    }

    /// `None`: not within the limit, though it may come yet.
    fn wait(&self, limit: Duration) -> Option<Option<Mine>> {
        let Turn { inner, counts } = self;
        let until = Instant::now() + limit;
        let mut now = inner.now();
        loop {
            // Also a look that was waited for, if it began so lately.
            if now.looked.is_some_and(|looked| looked.elapsed() < *counts) {
                return Some(None);
            }
            let Some(since) = now.looking else {
                now.looking = Some(Instant::now());
                return Some(Some(Mine(Arc::clone(inner))));
            };
            let Some(left) = MOMENT.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) else {
                return Some(None);
            };
            let left = left.min(until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            now = inner.over.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Inner {
    fn now(&self) -> MutexGuard<'_, Now> {
        // Only whole values are written under this lock.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        let Mine(inner) = self;
        let mut now = inner.now();
        *now = Now { looking: None, looked: now.looking };
        drop(now);
        inner.over.notify_all();
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

    #[test]
    fn a_look_counts_for_as_long_as_it_was_said() {
        let turn = Turn::counting(Duration::from_secs(3600));
        let mine = turn.take();
        assert!(mine.is_some(), "there was none before");
        drop(mine);
        assert!(turn.take().is_none());
        // It counts from its beginning, and that is long ago.
        let long_ago = Instant::now().checked_sub(Duration::from_secs(3600));
        turn.inner.now().looked = long_ago;
        assert!(turn.take().is_some() || long_ago.is_none());
    }
}
