//! What becomes of a letter after an attempt. Pure: time and chance are given.

use std::time::Duration;

use crate::store::{Fate, Millis};

/// Attempts before a letter is dead: with the times between them, some 11 hours.
pub const ATTEMPTS: u32 = 20;
/// Before the second attempt.
const FIRST: Duration = Duration::from_secs(10);
/// Between two attempts, at most, whatever the destination asks for.
pub const LONGEST: Duration = Duration::from_secs(3_600);
/// Before anything else is sent to a destination that failed, at first and at most: one that is down is not asked once for each
/// letter.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Parts of a hundred by which a time is longer or shorter than it would be, so that what failed together is not tried
/// together again.
const JITTER: u64 = 20;

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Taken,
    /// It was not, and may be later.
    Failed {
        /// What the destination, or the way to it, said.
        why: String,
        /// Not before this time has passed, as the destination has it (`Retry-After`).
        not_before: Option<Duration>,
    },
    /// It will never be taken: it makes no sense to the destination.
    Refused {
        /// What the destination said.
        why: String,
    },
}

/// What becomes of a letter after its attempt number `attempt`, from 1; `None`: it was taken. `seed` makes the difference
/// between letters, and is the same for the same attempt.
pub fn next(attempt: u32, now: Millis, outcome: &Outcome, seed: u64) -> Option<Fate> {
    let not_before = match outcome {
        Outcome::Taken => return None,
        Outcome::Refused { .. } => return Some(Fate::Dead),
        Outcome::Failed { .. } if attempt >= ATTEMPTS => return Some(Fate::Dead),
        Outcome::Failed { not_before, .. } => not_before.unwrap_or_default(),
    };
    let pause = doubled(FIRST, LONGEST, attempt.saturating_sub(1)).max(not_before.min(LONGEST));
    let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    // From 80 to 120 of a hundred.
    let part = 100 - JITTER + chance(seed, attempt) % (2 * JITTER + 1);
    let millis = millis.saturating_mul(part) / 100;
    // Never before the destination allows it.
    let millis = millis.max(u64::try_from(not_before.min(LONGEST).as_millis()).unwrap_or(0));
    Some(Fate::Again { at: now.saturating_add(Millis::try_from(millis).unwrap_or(Millis::MAX)) })
}

/// How long a destination is left alone after so many failures in a row.
pub fn rest(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        failures => doubled(REST.0, REST.1, failures - 1),
    }
}

/// How long to wait for what is due. No longer than two attempts can be apart: the clock may have been set back since.
pub fn wait(due_at: Millis, now: Millis) -> Duration {
    let longest = LONGEST.saturating_mul(2);
    Duration::from_millis(u64::try_from(due_at.saturating_sub(now)).unwrap_or(0)).min(longest)
}

fn doubled(first: Duration, most: Duration, times: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(most)
}

/// A number without a pattern, from two that have one (splitmix64).
fn chance(seed: u64, attempt: u32) -> u64 {
    let mut mixed = seed.wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(not_before: Option<u64>) -> Outcome {
        Outcome::Failed { why: "no".to_owned(), not_before: not_before.map(Duration::from_secs) }
    }

    /// Seconds until the next attempt; `None`: dead.
    fn after(attempt: u32, outcome: &Outcome, seed: u64) -> Option<f64> {
        match next(attempt, 1_000_000, outcome, seed).expect("it was not taken") {
            Fate::Again { at } => Some((at - 1_000_000) as f64 / 1000.0),
            Fate::Dead => None,
        }
    }

    #[test]
    fn twice_as_long_each_time_up_to_an_hour_and_then_dead() {
        assert_eq!(next(1, 0, &Outcome::Taken, 0), None);
        assert_eq!(after(1, &Outcome::Refused { why: "what is this?".to_owned() }, 0), None);
        for (attempt, usual) in [(1, 10.0), (2, 20.0), (3, 40.0), (9, 2_560.0), (10, 3_600.0), (19, 3_600.0)] {
            for seed in 0..200 {
                let pause = after(attempt, &failed(None), seed).unwrap();
                assert!((usual * 0.8..=usual * 1.2).contains(&pause), "{attempt}: {pause}");
            }
        }
        for attempt in [ATTEMPTS, ATTEMPTS + 1, u32::MAX] {
            assert_eq!(after(attempt, &failed(None), 7), None);
        }
    }

    #[test]
    fn what_failed_together_is_not_tried_together_and_the_same_seed_gives_the_same() {
        let all: Vec<f64> = (0..50).map(|seed| after(5, &failed(None), seed).unwrap()).collect();
        let spread = all.iter().cloned().fold(f64::MIN, f64::max) - all.iter().cloned().fold(f64::MAX, f64::min);
        assert!(spread > 0.2 * 160.0, "{all:?}");
        assert_eq!(after(5, &failed(None), 3), after(5, &failed(None), 3));
    }

    #[test]
    fn a_destination_may_ask_for_more_time_and_not_for_ever() {
        for seed in 0..100 {
            assert!(after(1, &failed(Some(120)), seed).unwrap() >= 120.0);
            assert!(after(1, &failed(Some(1)), seed).unwrap() >= 8.0, "less is not given");
            assert!(after(1, &failed(Some(1_000_000)), seed).unwrap() <= 1.2 * 3_600.0);
        }
    }

    #[test]
    fn a_destination_that_is_down_rests_and_clocks_do_not_stop_it() {
        let rests: Vec<u64> = [0, 1, 2, 3, 7, 40].into_iter().map(|failures| rest(failures).as_secs()).collect();
        assert_eq!(rests, [0, 1, 2, 4, 60, 60]);
        assert_eq!(wait(5_000, 2_000), Duration::from_secs(3));
        assert_eq!(wait(2_000, 5_000), Duration::ZERO);
        assert_eq!(wait(Millis::MAX, 0), LONGEST * 2);
    }
}
