//! The engine's clock beside ours.
//!
//! The only call that tells it finely (`/info`) costs the engine ten times what another one does, so what it told is
//! remembered for a while, unless our own clock was set meanwhile.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

/// How long a difference is believed.
pub(super) const BELIEVED: Duration = Duration::from_secs(300);
/// What our clock may differ from the time that has passed; more, and it was set.
const DRIFT: i64 = 50_000_000;

/// What is known of an engine's clock. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Mutex<Option<Known>>>);

#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// How far the engine's clock is ahead of ours, in nanoseconds.
    pub(super) ahead: i64,
    pub(super) at: Instant,
    /// Our clock at that moment, in nanoseconds since 1970.
    pub(super) here: i64,
}

impl Clock {
    pub(super) fn known(&self, now: Instant, here: i64) -> Option<i64> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|known| known.holds(now, here)).map(|known| known.ahead)
    }

    pub(super) fn learn(&self, known: Known) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }
}

impl Known {
    /// Whether nothing speaks against it.
    fn holds(&self, now: Instant, here: i64) -> bool {
        let passed = now.saturating_duration_since(self.at);
        let shown = here.saturating_sub(self.here);
        let really = i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX);
        passed < BELIEVED && shown.saturating_sub(really).abs() <= DRIFT
    }
}

/// How far ahead a clock is that told this time between two looks at ours; nothing where it may be the same.
pub(super) fn ahead(told: i64, before: i64, after: i64) -> i64 {
    if (before..=after).contains(&told) { 0 } else { told.saturating_sub(before.midpoint(after)) }
}

/// Times fit until the year 2262.
pub(super) fn narrow(at: i128) -> Option<i64> {
    i64::try_from(at).ok()
}

/// Now by our clock. What waits goes by tokio's instead.
#[expect(clippy::disallowed_methods, reason = "compared with times that the engine tells")]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// Now by our clock, in nanoseconds since 1970.
pub(super) fn here() -> i64 {
    let since = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared() {
        // Told between two looks at ours it may be the same.
        for (told, expected) in [(100, 0), (150, 0), (200, 0), (99, -51), (201, 51), (1_000, 850)] {
            assert_eq!(ahead(told, 100, 200), expected);
        }
    }

    #[test]
    fn a_difference_is_believed_for_a_while_and_until_our_clock_is_set() {
        let (clock, at, here) = (Clock::default(), Instant::now(), 1_000_000_000_000);
        assert_eq!(clock.known(at, here), None);
        clock.learn(Known { ahead: 7, at, here });
        let later = |passed: Duration, set: i64| {
            let shown = i64::try_from(passed.as_nanos()).unwrap() + set;
            clock.clone().known(at + passed, here + shown)
        };
        assert_eq!(later(Duration::ZERO, 0), Some(7));
        assert_eq!(later(Duration::from_secs(299), DRIFT), Some(7), "a clock that is disciplined");
        assert_eq!(later(BELIEVED, 0), None, "it is old");
        for set in [DRIFT + 1, -DRIFT - 1, 86_400_000_000_000, -86_400_000_000_000] {
            assert_eq!(later(Duration::from_secs(10), set), None, "our clock was set by {set}");
        }
    }
}
