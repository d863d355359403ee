//! One looks at a file at a time. Whoever comes meanwhile waits for a moment, as long as a look takes, and then goes on with
//! what is known: the disk may hang.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a look may take that others wait for.
const MOMENT: Duration = Duration::from_millis(50);

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turn {
    looking: Mutex<Option<Instant>>,
    over: Condvar,
}

/// Somebody's turn, until it is dropped.
pub(super) struct Mine<'t>(&'t Turn);

impl Turn {
    /// Takes it. Nothing where somebody has been looking for longer than a moment.
    pub(super) fn take(&self) -> Option<Mine<'_>> {
        let mut looking = self.looking();
        loop {
            let Some(since) = *looking else {
                *looking = Some(Instant::now());
                return Some(Mine(self));
            };
            let left = MOMENT.checked_sub(since.elapsed()).filter(|left| !left.is_zero())?;
            looking = self.over.wait_timeout(looking, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn looking(&self) -> MutexGuard<'_, Option<Instant>> {
        // Only whole values are written under this lock.
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mine<'_> {
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
        assert!(turn.take().is_none());
        drop(mine);
        assert!(turn.take().is_some());
        assert!(turn.take().is_some());
    }
}
