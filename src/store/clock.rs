//! The store's time. What happened when is told by the wall clock, which somebody may set at any moment by days. How long
//! something took is not: the times of a deployment are counted from its start by the clock that nobody can set.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{DeploymentId, Millis};

/// Both clocks, and when the deployments that run began.
pub(super) struct Clock {
    wall: fn() -> Millis,
    since: fn() -> Duration,
    began: Mutex<HashMap<DeploymentId, (Millis, Duration)>>,
}

impl Clock {
    /// The machine's clocks, or another wall clock.
    pub(super) fn new(wall: fn() -> Millis) -> Clock {
        Clock { wall, since, began: Mutex::default() }
    }

    /// Now, as the database keeps it.
    pub(super) fn now(&self) -> Millis {
        (self.wall)()
    }

    /// A deployment begins.
    pub(super) fn begins(&self, id: DeploymentId, at: Millis) {
        self.began().insert(id, (at, (self.since)()));
    }

    /// Now for a deployment that runs: its start, and how long it has run. Of one that began before this daemon: the wall
    /// clock's.
    pub(super) fn within(&self, id: DeploymentId) -> Millis {
        let Some((at, since)) = self.began().get(&id).copied() else { return self.now() };
        let elapsed = (self.since)().saturating_sub(since);
        at.saturating_add(Millis::try_from(elapsed.as_millis()).unwrap_or(Millis::MAX))
    }

    /// A deployment has ended.
    pub(super) fn ends(&self, id: DeploymentId) {
        self.began().remove(&id);
    }

    fn began(&self) -> MutexGuard<'_, HashMap<DeploymentId, (Millis, Duration)>> {
        // Only whole values are written under this lock.
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wall clock: milliseconds since 1970, UTC.
#[expect(clippy::disallowed_methods, reason = "where the store reads it; tests give it another")]
pub(super) fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// The clock that nobody can set.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a step took; the store works on threads too, and tests give it another"
)]
fn since() -> Duration {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::*;

    static WALL: AtomicI64 = AtomicI64::new(1_000_000_000_000);
    static SINCE: AtomicU64 = AtomicU64::new(5_000);

    #[test]
    fn a_deployment_takes_as_long_as_it_takes_whatever_is_done_to_the_clock() {
        const DAY: i64 = 86_400_000;
        let clock = Clock {
            wall: || WALL.load(Ordering::Relaxed),
            since: || Duration::from_millis(SINCE.load(Ordering::Relaxed)),
            began: Mutex::default(),
        };
        let began = clock.now();
        clock.begins(7, began);
        for (jump, passed) in [(10 * DAY, 1_500), (-30 * DAY, 1_000), (DAY, 0)] {
            WALL.fetch_add(jump, Ordering::Relaxed);
            let before = clock.within(7);
            SINCE.fetch_add(passed, Ordering::Relaxed);
            assert_eq!(clock.within(7) - before, i64::try_from(passed).unwrap());
        }
        assert_eq!(clock.within(7), began + 2_500);
        assert_eq!(clock.within(8), clock.now(), "not known: it began before this daemon");
        clock.ends(7);
        assert_eq!(clock.within(7), clock.now());
    }
}
