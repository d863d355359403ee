//! Forgets what is older or more than should be kept. A little at a time, so that nobody waits long for it.

use rusqlite::{Connection, params};

use super::{DeploymentId, Millis, Retention, count::rows, journal, outbox, payloads};

/// Deliveries that no age makes forgotten: a clock that was set ahead must not make repeats look like new ones.
const NEWEST: usize = 200;

/// Events without a deployment that no age makes forgotten, for the same reason.
const NEWEST_EVENTS: usize = 1_000;

/// Events that one thinning removes at most, for each other row.
const EVENTS_FOR_ONE: usize = 8;

/// What is to stay.
#[derive(Clone, Copy)]
pub(super) struct Keep {
    pub(super) retention: Retention,
    /// The time from which ages are counted.
    pub(super) at: Millis,
    /// The journal is counted, and what is too much of it goes.
    pub(super) count: bool,
}

/// What a thinning has found.
#[derive(Clone, Copy, Default)]
pub(super) struct Thinned {
    /// There may be more to remove.
    pub(super) more: bool,
    /// Events that are left, where they were counted.
    pub(super) events: Option<usize>,
    /// Events that were removed.
    pub(super) forgotten: usize,
}

/// Removes old deliveries, and old ended deployments with their logs and events: at most `most` of the former, and of the
/// latter for each repository. What waits or runs stays; so do last successes.
pub(super) fn prune(db: &Connection, keep: Keep, most: usize) -> rusqlite::Result<Thinned> {
    let Keep { retention: keep, at, count } = keep;
    let age = Millis::try_from(keep.delivery_age.as_millis()).unwrap_or(Millis::MAX);
    // Only the oldest are looked at: their order is that of time.
    let mut removed = db
        .prepare_cached(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM
               (SELECT id, received_at FROM deliveries ORDER BY id LIMIT ?3)
               WHERE (received_at < ?1 AND id <= (SELECT max(id) FROM deliveries) - ?4) OR id <= (SELECT max(id) FROM deliveries) - ?2)",
        )?
        .execute(params![at.saturating_sub(age), rows(keep.deliveries), rows(most), rows(NEWEST.min(keep.deliveries))])?;
    removed += payloads::prune(db, keep.payloads, most)?;
    // From one repository to the next along the index, past its many rows.
    let repos: Vec<String> = db
        .prepare_cached(
            "WITH RECURSIVE known (repo) AS (SELECT min(repo) FROM deployments UNION ALL
               SELECT (SELECT min(repo) FROM deployments WHERE repo > known.repo) FROM known WHERE repo IS NOT NULL)
             SELECT repo FROM known WHERE repo IS NOT NULL",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut forgotten = 0;
    for repo in repos {
        let mut ended = db.prepare_cached(
            "DELETE FROM deployments WHERE id IN (SELECT id FROM deployments WHERE repo = ?1
                   AND state NOT IN ('queued', 'running') AND id <= (SELECT id FROM deployments WHERE repo = ?1
                   ORDER BY id DESC LIMIT 1 OFFSET ?2) ORDER BY id LIMIT ?3) RETURNING id",
        )?;
        let ended = ended.query_map(params![repo, rows(keep.deployments), rows(most)], |row| row.get(0))?;
        let ended = ended.collect::<rusqlite::Result<Vec<DeploymentId>>>()?;
        forgotten += journal::forget_deployments(db, &ended)?;
        removed += ended.len();
    }
    let events = count.then(|| journal::count(db)).transpose()?;
    let excess = events.map_or(0, |events| events.saturating_sub(keep.events));
    let newest = NEWEST_EVENTS.min(keep.events);
    let old = journal::forget_old(db, at.saturating_sub(age), newest, excess, most * EVENTS_FOR_ONE)?;
    removed += old + outbox::forget_dead(db, at.saturating_sub(age), most)?;
    let left = events.map(|events| events.saturating_sub(old));
    Ok(Thinned { more: removed >= most, events: left, forgotten: forgotten + old })
}

#[cfg(test)]
mod tests {
    use super::{super::schema, *};

    #[test]
    fn what_goes_with_its_deployment_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let db = schema::open(&dir.path().join("turnout.db"), |_| Ok(())).unwrap();
        db.execute_batch(
            "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 7)
             INSERT INTO deployments (repo, kind, cause, state, created_at) SELECT 'shop', 'push', '', 'failed', n FROM n;
             INSERT INTO journal (at, repo, deployment, kind, version, body)
               SELECT id, repo, id, 'step_began', 1, '{}' FROM deployments UNION ALL
               SELECT id, repo, id, 'step_ended', 1, '{}' FROM deployments",
        )
        .unwrap();
        let retention = Retention { deployments: 3, ..Retention::default() };
        let thinned = prune(&db, Keep { retention, at: 8, count: false }, 100).unwrap();
        assert_eq!((thinned.forgotten, thinned.events), (8, None));
        assert_eq!(journal::count(&db).unwrap(), 6);
        let thinned = prune(&db, Keep { retention, at: 8, count: true }, 100).unwrap();
        assert_eq!((thinned.forgotten, thinned.events), (0, Some(6)));
    }
}
