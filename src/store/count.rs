//! Numbers of rows as SQLite has them: signed, where ours are not.

/// A number of rows, as SQLite counts.
pub(super) fn rows(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
