//! Forgets what is older or more than should be kept. A little at a time, so that nobody waits long for it.

use rusqlite::{Connection, TransactionBehavior, params};

use super::{Millis, Retention, now, rows};

/// Rows removed at one time: more than come in between two prunings, so that the excess shrinks.
const ROWS: i64 = 2_000;

/// Removes old deliveries, and old ended deployments with their logs. What waits or runs stays; so do last successes.
pub(super) fn prune(db: &mut Connection, keep: Retention) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let age = Millis::try_from(keep.delivery_age.as_millis()).unwrap_or(Millis::MAX);
    transaction
        .prepare_cached(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries
               WHERE received_at < ?1 OR id <= (SELECT coalesce(max(id), 0) FROM deliveries) - ?2 ORDER BY id LIMIT ?3)",
        )?
        .execute(params![now().saturating_sub(age), rows(keep.deliveries), ROWS])?;
    let repos: Vec<String> = transaction
        .prepare_cached("SELECT DISTINCT repo FROM deployments")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for repo in repos {
        transaction
            .prepare_cached(
                "DELETE FROM deployments WHERE id IN (SELECT id FROM deployments WHERE repo = ?1
                   AND state NOT IN ('queued', 'running') AND id <= (SELECT id FROM deployments WHERE repo = ?1
                   ORDER BY id DESC LIMIT 1 OFFSET ?2) ORDER BY id LIMIT ?3)",
            )?
            .execute(params![repo, rows(keep.deployments), ROWS])?;
    }
    transaction.commit()
}
