//! The newest commit of a repository that a push wanted: a fact of its own, so that no way for a deployment to end can
//! lose it. It goes when a deployment has brought it, or when a newer push takes its place.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{DomainEvent, Millis, NewDeployment, Store, StoreError, WantedCommit, journal};

impl Store {
    /// The newest commit that was pushed and is not deployed yet.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn wanted(&self, repo: &str) -> Result<Option<WantedCommit>, StoreError> {
        let repo = repo.to_owned();
        self.inner.readers.run("reading what is wanted", move |db| find(db, &repo)).await
    }

    /// Of every repository the newest commit that was pushed and that nothing brings: no deployment waits or runs, and it
    /// is not held.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn behind(&self) -> Result<Vec<(String, WantedCommit)>, StoreError> {
        let query = |db: &Connection| {
            let mut rows = db.prepare_cached(
                "SELECT commit_id, branch, cause, since, before, repo FROM wanted
                 WHERE NOT EXISTS (SELECT 1 FROM holds WHERE holds.repo = wanted.repo)
                   AND NOT EXISTS (SELECT 1 FROM deployments moving WHERE moving.repo = wanted.repo
                     AND moving.state IN ('queued', 'running'))
                 ORDER BY repo",
            )?;
            rows.query_map([], |row| Ok((row.get(5)?, record(row)?)))?.collect()
        };
        self.inner.readers.run("reading what is wanted", query).await
    }
}

/// The newest wanted commit of a repository.
pub(super) fn find(db: &Connection, repo: &str) -> rusqlite::Result<Option<WantedCommit>> {
    let mut row = db.prepare_cached("SELECT commit_id, branch, cause, since, before FROM wanted WHERE repo = ?1")?;
    row.query_row([repo], record).optional()
}

fn record(row: &Row<'_>) -> rusqlite::Result<WantedCommit> {
    Ok(WantedCommit {
        commit: row.get(0)?,
        branch: row.get(1)?,
        cause: row.get(2)?,
        since: row.get(3)?,
        before: row.get(4)?,
    })
}

/// Notes what a push wants, in place of what an earlier one wanted.
pub(super) fn note(db: &Connection, pushed: &NewDeployment, at: Millis) -> rusqlite::Result<()> {
    let Some(commit) = &pushed.commit else { return Ok(()) };
    let mut note = db.prepare_cached(
        "INSERT INTO wanted (repo, commit_id, branch, cause, since, before) VALUES (?1, ?2, ?3, ?4, ?5,
           1 + coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'deployments'), 0))
         ON CONFLICT (repo) DO UPDATE SET branch = excluded.branch, cause = excluded.cause, before = excluded.before,
           since = iif(commit_id = excluded.commit_id, since, excluded.since), commit_id = excluded.commit_id",
    )?;
    note.execute(params![pushed.repo, commit, pushed.branch, pushed.cause, at])?;
    match find(db, &pushed.repo)? {
        Some(wanted) => journal::of_repo(db, at, &pushed.repo, &DomainEvent::CommitWanted(wanted)),
        None => Ok(()),
    }
}

/// Forgets what was wanted where it is one of these commits. One that was pushed meanwhile stays wanted.
pub(super) fn reached(
    db: &Connection,
    repo: &str,
    deployed: &str,
    reached: Option<&str>,
    at: Millis,
) -> rusqlite::Result<()> {
    let mut forget = db.prepare_cached(
        "DELETE FROM wanted WHERE repo = ?1 AND (commit_id = ?2 OR commit_id = ?3) RETURNING commit_id",
    )?;
    let commit = forget.query_row(params![repo, deployed, reached], |row| row.get(0)).optional()?;
    commit.map_or(Ok(()), |commit| journal::of_repo(db, at, repo, &DomainEvent::CommitReached { commit }))
}
