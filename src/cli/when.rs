//! Times as people read them.

use std::time::Duration;

use super::progress::seconds;
pub(super) use crate::deploy::when;

/// How long ago a time is.
pub(super) fn ago(at: i64) -> String {
    let passed = crate::deploy::now_ms().saturating_sub(at);
    format!("{} ago", seconds(Duration::from_millis(u64::try_from(passed).unwrap_or(0))))
}
