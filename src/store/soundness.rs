//! Whether a database is sound: SQLite's own check, and that what is in it can be read.

use rusqlite::Connection;

use super::queries;

/// Complaints of SQLite's check that are told; one damaged page has many.
const TOLD: usize = 3;
/// Tables whose rows are read one by one; logs, phases and events are many, and nothing depends on them.
const READ: [&str; 9] =
    ["deliveries", "successes", "reads", "holds", "places", "wanted", "rollouts", "cursors", "outbox"];

/// Checks an open database of the present schema. Answers how many deployments are in it.
///
/// # Errors
/// The complaint, of which [`super::damage`] tells whether it is one of the file.
pub(super) fn check(db: &Connection) -> rusqlite::Result<usize> {
    let mut complaints: Vec<String> = Vec::new();
    let mut checked = db.prepare(&format!("PRAGMA quick_check({TOLD})"))?;
    let mut rows = checked.query([])?;
    while let Some(row) = rows.next()? {
        complaints.push(row.get(0)?);
    }
    if complaints != ["ok"] {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(complaints.join("; ").replace('\n', " ")),
        ));
    }
    for table in READ {
        let mut all = db.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = all.column_count();
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            (0..columns).try_for_each(|column| row.get_ref(column).map(drop))?;
        }
    }
    queries::all_readable(db)
}
