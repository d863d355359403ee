//! The wall clock, as everything that is kept counts it.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, UtcOffset, macros::format_description};

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    at_ms(now())
}

/// The time of now. What waits for something goes by tokio's clock instead.
#[expect(clippy::disallowed_methods, reason = "where the daemon reads it")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// A time in milliseconds since the Unix epoch; one before it counts as that.
pub(super) fn at_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time in milliseconds since the Unix epoch for people, in local time.
pub fn when(millis: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let local = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000))
        .ok()
        .and_then(|time| time.to_offset(local).format(format).ok())
        .unwrap_or_default()
}
