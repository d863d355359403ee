//! Times as people read them.

use std::time::Duration;

use time::{OffsetDateTime, UtcOffset, macros::format_description};

use super::progress::seconds;

/// A time stamp for people, in local time.
pub(super) fn when(millis: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let local = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000))
        .ok()
        .and_then(|time| time.to_offset(local).format(format).ok())
        .unwrap_or_default()
}

/// How long ago a time is.
pub(super) fn ago(at: i64) -> String {
    let passed = crate::deploy::now_ms().saturating_sub(at);
    format!("{} ago", seconds(Duration::from_millis(u64::try_from(passed).unwrap_or(0))))
}
