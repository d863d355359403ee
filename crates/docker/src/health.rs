//! What the engine has of a health check, in words and times. Pure.

use std::time::Duration;

use bollard::models::Health;
use turnout_report::cut_texts::CUT;

/// Interval and timeout of a check that sets none: the engine's own.
pub(super) const CHECK_TIME: Duration = Duration::from_secs(30);
/// Longest part of a health check's output that is repeated.
const CHECK_OUTPUT: usize = 500;

/// A time of a check, in nanoseconds; unless it is said, or 0, the engine's own.
pub(super) fn positive(nanoseconds: Option<i64>, default: Duration) -> Duration {
    let set = nanoseconds.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
    set.map_or(default, Duration::from_nanos)
}

/// What a health check said last; empty where it said nothing.
pub(super) fn check_output(health: Option<Health>) -> String {
    let last = health.and_then(|health| health.log).and_then(|log| log.into_iter().last());
    cut_output(&last.and_then(|check| check.output).unwrap_or_default())
}

/// As much of a check's output as is repeated.
pub(super) fn cut_output(output: &str) -> String {
    let output = output.trim();
    let mut kept: String = output.chars().take(CHECK_OUTPUT).collect();
    if output.chars().nth(CHECK_OUTPUT).is_some() {
        kept.push(CUT);
    }
    kept
}
