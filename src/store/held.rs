//! What is known of a held repository: its row, and what is noted there.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Cause, DomainEvent, Hold, Millis, NewDelivery, NewDeployment, journal};

/// The journal's word of a hold as it is now.
pub(super) fn tell(db: &Connection, repo: &str, at: Millis) -> rusqlite::Result<()> {
    match find(db, repo)? {
        Some(hold) => journal::of_repo(db, at, repo, &DomainEvent::RepositoryHeld(hold)),
        None => Ok(()),
    }
}

/// The hold of a repository.
pub(super) fn find(db: &Connection, repo: &str) -> rusqlite::Result<Option<Hold>> {
    let mut row = db
        .prepare_cached("SELECT who, since, held_commit, newest, newest_cause, newest_at FROM holds WHERE repo = ?1")?;
    row.query_row([repo], record).optional()
}

fn record(row: &Row<'_>) -> rusqlite::Result<Hold> {
    Ok(Hold {
        who: row.get(0)?,
        since: row.get(1)?,
        commit: row.get(2)?,
        newest: row.get(3)?,
        newest_cause: row.get(4)?,
        newest_at: row.get(5)?,
    })
}

/// Notes a push to a held repository as what waits. Not one that was sent again: it may be older than what waits. Answers
/// whether it was noted.
pub(super) fn note_push(
    db: &Connection,
    delivery: &NewDelivery,
    wanted: &NewDeployment,
    at: Millis,
) -> rusqlite::Result<bool> {
    let mut again = db.prepare_cached("SELECT 1 FROM deliveries WHERE verdict = 'held' AND digest = ?1 LIMIT 1")?;
    if again.exists([delivery.digest])? {
        return Ok(false);
    }
    let mut note =
        db.prepare_cached("UPDATE holds SET newest = ?2, newest_cause = ?3, newest_at = ?4 WHERE repo = ?1")?;
    note.execute(params![wanted.repo, wanted.commit, wanted.cause, at])?;
    tell(db, &wanted.repo, at)?;
    Ok(true)
}

/// What a held repository has of a deployment that was interrupted: itself, where it was asked for by name or had
/// begun with a commit, which is then the one that is repeated. Nothing else: the branch may have moved on.
pub(super) fn narrowed(
    db: &Connection,
    wanted: NewDeployment,
    begun: Option<String>,
    at: Millis,
) -> rusqlite::Result<Option<NewDeployment>> {
    if wanted.pinned || find(db, &wanted.repo)?.is_none() {
        return Ok(Some(wanted));
    }
    if let Some(commit) = begun {
        return Ok(Some(NewDeployment { commit: Some(commit), pinned: true, ..wanted }));
    }
    let mut note = db.prepare_cached(
        "UPDATE holds SET newest = ?2, newest_cause = ?3, newest_at = ?4 WHERE repo = ?1 AND newest IS NULL",
    )?;
    if wanted.kind != Cause::Manual {
        note.execute(params![wanted.repo, wanted.commit, wanted.cause, at])?;
        tell(db, &wanted.repo, at)?;
    }
    Ok(None)
}

/// A success in a held repository is what it is held at from now on.
pub(super) fn note_success(db: &Connection, repo: &str, commit: &str, at: Millis) -> rusqlite::Result<()> {
    match db.prepare_cached("UPDATE holds SET held_commit = ?2 WHERE repo = ?1")?.execute([repo, commit])? {
        0 => Ok(()),
        _ => tell(db, repo, at),
    }
}
