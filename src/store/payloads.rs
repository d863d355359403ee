//! What the newest deliveries said, whole: for whoever wants to know why turnout understood one as it did.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Store, StoreError, rows};

/// Keeps the payload of a delivery that was recorded just now.
pub(super) fn keep(db: &Connection, delivery: i64, payload: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO payloads (delivery, body) VALUES (?1, ?2)")?.execute(params![delivery, payload])?;
    Ok(())
}

/// Forgets the payloads of all but the newest deliveries, at most `most` of them. Those of deliveries that are forgotten
/// themselves go with them.
pub(super) fn prune(db: &Connection, newest: usize, most: usize) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM payloads WHERE delivery IN (SELECT delivery FROM payloads
           WHERE delivery <= (SELECT max(id) FROM deliveries) - ?1 ORDER BY delivery LIMIT ?2)",
    )?
    .execute(params![rows(newest), rows(most)])
}

impl Store {
    /// The payload of a delivery as JSON, if it was kept.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn payload(&self, delivery: i64) -> Result<Option<String>, StoreError> {
        let query = move |db: &Connection| {
            let mut query = db.prepare_cached("SELECT body FROM payloads WHERE delivery = ?1")?;
            query.query_row([delivery], |row| row.get(0)).optional()
        };
        self.inner.readers.run("reading a payload", query).await
    }
}
