//! Questions to the store. Readers see the last commit and never wait for the writer.

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};

use super::types::{Deployment, DeploymentId, Logged, State, StoreError};

const COLUMNS: &str = "id, repo, project, branch, state, phase, cause, who, wanted, before, after, rebuild, summary,
    hint, plan, created_ms, started_ms, ended_ms, timings, superseded_by, attempt";

/// Opens a connection that cannot write.
pub(super) fn open(path: &std::path::Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| StoreError::Open { file: path.display().to_string(), reason: e.to_string() })?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.execute_batch("PRAGMA cache_size = -256; PRAGMA query_only = ON;")?;
    Ok(connection)
}

pub(super) fn deployment(c: &Connection, id: DeploymentId) -> Result<Option<Deployment>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM deployments WHERE id = ?");
    Ok(c.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
}

/// Newest first; all repositories when none is named.
pub(super) fn history(c: &Connection, repo: Option<&str>, limit: u32) -> Result<Vec<Deployment>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM deployments WHERE ?1 IS NULL OR repo = ?1 ORDER BY id DESC LIMIT ?2");
    Ok(c.prepare_cached(&sql)?.query_map(params![repo, limit], from_row)?.collect::<Result<_, _>>()?)
}

/// The deployment under way, else the one queued.
pub(super) fn active(c: &Connection, repo: &str) -> Result<Option<Deployment>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deployments WHERE repo = ? AND state IN ('queued', 'running') ORDER BY state DESC, id DESC LIMIT 1"
    );
    Ok(c.prepare_cached(&sql)?.query_row([repo], from_row).optional()?)
}

/// The newest deployment that ended with an outcome.
pub(super) fn last_ended(c: &Connection, repo: &str) -> Result<Option<Deployment>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deployments WHERE repo = ? AND state IN ('succeeded', 'failed', 'cancelled')
         ORDER BY id DESC LIMIT 1"
    );
    Ok(c.prepare_cached(&sql)?.query_row([repo], from_row).optional()?)
}

/// The commit that last succeeded for a project.
pub(super) fn last_deployed(c: &Connection, repo: &str, project: &str) -> Result<Option<String>, StoreError> {
    Ok(c.prepare_cached("SELECT commit_id FROM deployed WHERE repo = ? AND project = ?")?
        .query_row([repo, project], |row| row.get(0))
        .optional()?)
}

/// Projects of a repository that have been deployed, newest first.
pub(super) fn projects(c: &Connection, repo: &str) -> Result<Vec<String>, StoreError> {
    Ok(c.prepare_cached("SELECT project FROM deployed WHERE repo = ? ORDER BY at_ms DESC")?
        .query_map([repo], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}

/// Events of one deployment after a number, in order.
pub(super) fn events(c: &Connection, id: DeploymentId, after: i64, limit: u32) -> Result<Vec<Logged>, StoreError> {
    Ok(c.prepare_cached(
        "SELECT e.deployment, d.repo, e.seq, e.at_ms, e.event FROM events e JOIN deployments d ON d.id = e.deployment
         WHERE e.deployment = ?1 AND e.seq > ?2 ORDER BY e.seq LIMIT ?3",
    )?
    .query_map(params![id, after, limit], logged)?
    .collect::<Result<_, _>>()?)
}

/// The last events over all deployments (of a repository), oldest first.
pub(super) fn tail(c: &Connection, repo: Option<&str>, limit: u32) -> Result<Vec<Logged>, StoreError> {
    let mut lines: Vec<Logged> = c
        .prepare_cached(
            "SELECT e.deployment, d.repo, e.seq, e.at_ms, e.event FROM events e
             JOIN deployments d ON d.id = e.deployment WHERE ?1 IS NULL OR d.repo = ?1
             ORDER BY e.deployment DESC, e.seq DESC LIMIT ?2",
        )?
        .query_map(params![repo, limit], logged)?
        .collect::<Result<_, _>>()?;
    lines.reverse();
    Ok(lines)
}

/// Deployments that may still log, or that began after a number: what a follower has to look at.
pub(super) fn open_since(c: &Connection, repo: Option<&str>, after: DeploymentId) -> Result<Vec<DeploymentId>, StoreError> {
    Ok(c.prepare_cached(
        "SELECT id FROM deployments WHERE (?1 IS NULL OR repo = ?1) AND (id > ?2 OR state = 'running')
         AND state NOT IN ('queued', 'superseded') ORDER BY id",
    )?
    .query_map(params![repo, after], |row| row.get(0))?
    .collect::<Result<_, _>>()?)
}

fn logged(row: &Row<'_>) -> rusqlite::Result<Logged> {
    let text: String = row.get(4)?;
    let event = serde_json::from_str(&text).unwrap_or(crate::report::Event::Info { text });
    Ok(Logged { deployment: row.get(0)?, repo: row.get(1)?, seq: row.get(2)?, at_ms: row.get(3)?, event })
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Deployment> {
    let state: String = row.get(4)?;
    let timings: String = row.get(18)?;
    Ok(Deployment {
        id: row.get(0)?,
        repo: row.get(1)?,
        project: row.get(2)?,
        branch: row.get(3)?,
        state: State::parse(&state).ok_or_else(|| {
            rusqlite::Error::FromSqlConversionFailure(
                4,
                rusqlite::types::Type::Text,
                format!("state `{state}` is unknown").into(),
            )
        })?,
        phase: row.get(5)?,
        cause: row.get(6)?,
        who: row.get(7)?,
        wanted: row.get(8)?,
        before: row.get(9)?,
        after: row.get(10)?,
        rebuild: row.get(11)?,
        summary: row.get(12)?,
        hint: row.get(13)?,
        plan: row.get(14)?,
        created_ms: row.get(15)?,
        started_ms: row.get(16)?,
        ended_ms: row.get(17)?,
        timings: serde_json::from_str(&timings).unwrap_or_default(),
        superseded_by: row.get(19)?,
        attempt: row.get(20)?,
    })
}
