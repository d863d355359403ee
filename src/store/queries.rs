//! Questions to the database that change nothing: deployments, their logs, the times of their phases, deliveries.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use std::path::Path;

use super::{
    Before, Delivery, Deployment, DeploymentId, Filter, GivenUp, LogLine, PhaseTime, Previous, State, Store,
    StoreError, count::rows, error::there_is, schema, watches,
};

/// Most rows in one answer.
const MOST: usize = 1_000;
/// Most log lines in one answer.
const MOST_LINES: usize = 5_000;
const COLUMNS: &str = "id, repo, project, branch, wanted_commit, kind, cause, who, force_rebuild, state, phase,
   commit_before, commit_after, commit_base, decision, plan, error, superseded_by, retry_of, attempt, created_at,
   started_at, ended_at, pinned, new_stack, back, taken_back_at, taken_back_why";
/// In the column `back`: 1 is to the colour that was live before, and this is past it.
const BACK_PAST: i64 = 2;

/// How the column `back` says it.
pub(super) fn back(back: bool, past: bool) -> i64 {
    match (back, past) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => BACK_PAST,
    }
}

impl Store {
    /// One deployment with its phases.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn deployment(&self, id: DeploymentId) -> Result<Option<Deployment>, StoreError> {
        self.inner.readers.run("reading the deployment", move |db| deployment(db, id)).await
    }

    /// Deployments, newest first, without their phases.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn history(&self, filter: Filter) -> Result<Vec<Deployment>, StoreError> {
        let limit = if filter.limit == 0 { 50 } else { filter.limit.min(MOST) };
        let query = move |db: &Connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM deployments WHERE (?1 IS NULL OR repo = ?1) AND (?2 IS NULL OR state = ?2)
                 AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4"
            );
            let mut query = db.prepare_cached(&sql)?;
            let found = query.query_map(params![filter.repo, filter.state, filter.before, rows(limit)], record)?;
            with_falls(db, found.collect::<rusqlite::Result<_>>()?)
        };
        self.inner.readers.run("reading the history", query).await
    }

    /// Of every repository the newest deployment; and the running and queued ones.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn overview(&self) -> Result<Vec<Deployment>, StoreError> {
        let query = |db: &Connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM deployments WHERE state IN ('queued', 'running')
                 OR id IN (SELECT max(id) FROM deployments WHERE state <> 'superseded' GROUP BY repo) ORDER BY repo, id"
            );
            let mut query = db.prepare_cached(&sql)?;
            let found = query.query_map([], record)?;
            with_falls(db, found.collect::<rusqlite::Result<_>>()?)
        };
        self.inner.readers.run("reading the overview", query).await
    }

    /// Lines of a deployment's log after `after` (0 for all), oldest first; at most a few thousand, so ask again from
    /// the last one's number until none come.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn log(&self, id: DeploymentId, after: i64, limit: usize) -> Result<Vec<LogLine>, StoreError> {
        let query = move |db: &Connection| {
            let mut query = db.prepare_cached(
                "SELECT seq, at, kind, source, text FROM log_lines WHERE deployment = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            let line = |row: &Row<'_>| {
                Ok(LogLine {
                    seq: row.get(0)?,
                    at: row.get(1)?,
                    kind: row.get(2)?,
                    source: row.get(3)?,
                    text: row.get(4)?,
                })
            };
            query.query_map(params![id, after, rows(limit.clamp(1, MOST_LINES))], line)?.collect()
        };
        self.inner.readers.run("reading the log", query).await
    }

    /// The last deployment of a repository before another one that began and has ended, and how. One that was cancelled or
    /// superseded while it waited for its turn did nothing, and is none.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn last_begun(
        &self,
        repo: &str,
        before: DeploymentId,
    ) -> Result<Option<(DeploymentId, State)>, StoreError> {
        let repo = repo.to_owned();
        let query = move |db: &Connection| {
            let mut last = db.prepare_cached(
                "SELECT id, state FROM deployments WHERE repo = ?1 AND id < ?2
                 AND started_at IS NOT NULL AND state NOT IN ('queued', 'running')
                 ORDER BY id DESC LIMIT 1",
            )?;
            last.query_row(params![repo, before], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        };
        self.inner.readers.run("reading the deployment before", query).await
    }

    /// The commit of the last success of a project: the base of the next diff.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn last_success(&self, repo: &str, project: &str) -> Result<Option<String>, StoreError> {
        let (repo, project) = (repo.to_owned(), project.to_owned());
        let query = move |db: &Connection| {
            let mut row = db.prepare_cached("SELECT commit_id FROM successes WHERE repo = ?1 AND project = ?2")?;
            row.query_row([&repo, &project], |row| row.get(0)).optional()
        };
        self.inner.readers.run("reading the last success", query).await
    }

    /// Commits that were deployed with success and begin with these digits: each with the last deployment that did it. The newest
    /// first, five at most.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn deployed_as(&self, repo: &str, digits: &str) -> Result<Vec<(String, DeploymentId)>, StoreError> {
        let (repo, digits) = (repo.to_owned(), digits.to_owned());
        let query = move |db: &Connection| {
            let mut rows = db.prepare_cached(
                "SELECT commit_after, max(id) FROM deployments
                 WHERE repo = ?1 AND state = 'succeeded' AND substr(commit_after, 1, length(?2)) = ?2
                 GROUP BY commit_after ORDER BY max(id) DESC LIMIT 5",
            )?;
            rows.query_map([&repo, &digits], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        self.inner.readers.run("reading what was deployed", query).await
    }

    /// What was deployed of a project before: the bases of the next diff.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn deployed_before(&self, repo: &str, project: &str) -> Result<Before, StoreError> {
        let (repo, project) = (repo.to_owned(), project.to_owned());
        self.inner.readers.run("reading the last success", move |db| before(db, &repo, &project)).await
    }

    /// Compose projects of a repository that were deployed with success, newest first; several after a change of colour.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn projects(&self, repo: &str) -> Result<Vec<String>, StoreError> {
        let repo = repo.to_owned();
        let query = move |db: &Connection| {
            let mut rows =
                db.prepare_cached("SELECT project FROM successes WHERE repo = ?1 ORDER BY deployment DESC")?;
            rows.query_map([&repo], |row| row.get(0))?.collect()
        };
        self.inner.readers.run("reading the projects", query).await
    }

    /// The last success before the current deployment, of another commit; the current one is the newest that began its
    /// steps, however it ended. `None` where the store has none.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn previous(&self, repo: &str) -> Result<Option<Previous>, StoreError> {
        let repo = repo.to_owned();
        self.inner.readers.run("reading the history", move |db| previous(db, &repo)).await
    }

    /// Deliveries, newest first.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn deliveries(&self, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let query = move |db: &Connection| {
            let mut query = db.prepare_cached(
                "SELECT id, guid, event, repo, git_ref, commit_id, pusher, received_at, verdict, reason,
                   coalesce(deployment, duplicate_of),
                   EXISTS (SELECT 1 FROM payloads WHERE delivery = deliveries.id) FROM deliveries ORDER BY id DESC LIMIT ?1",
            )?;
            let delivery = |row: &Row<'_>| {
                Ok(Delivery {
                    id: row.get(0)?,
                    guid: row.get(1)?,
                    event: row.get(2)?,
                    repo: row.get(3)?,
                    git_ref: row.get(4)?,
                    commit: row.get(5)?,
                    pusher: row.get(6)?,
                    received_at: row.get(7)?,
                    effect: row.get(8)?,
                    reason: row.get(9)?,
                    deployment: row.get(10)?,
                    payload: row.get(11)?,
                })
            };
            query.query_map([rows(limit.clamp(1, MOST))], delivery)?.collect()
        };
        self.inner.readers.run("reading the deliveries", query).await
    }
}

/// As [`Store::deployed_before`], from the database of a daemon that need not run. Nothing also where there is no
/// database yet.
///
/// # Errors
/// As [`Store::deployment`].
pub fn peek_deployed_before(file: &Path, repo: &str, project: &str) -> Result<Before, StoreError> {
    if !there_is(file, "reading the last success")? {
        return Ok(Before::default());
    }
    let look = || before(&schema::open_reader(file)?, repo, project);
    look().map_err(|error| StoreError::sqlite("reading the last success", file, error))
}

/// Every project that was ever deployed with success, by repository, from the database of a daemon that need not run;
/// nothing where there is none.
///
/// # Errors
/// As [`Store::deployment`].
pub fn peek_projects(file: &Path) -> Result<Vec<(String, String)>, StoreError> {
    if !there_is(file, "reading the projects")? {
        return Ok(Vec::new());
    }
    let look = || {
        let db = schema::open_reader(file)?;
        let mut rows = db.prepare_cached("SELECT repo, project FROM successes ORDER BY deployment DESC")?;
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()
    };
    look().map_err(|error| StoreError::sqlite("reading the projects", file, error))
}

fn before(db: &Connection, repo: &str, project: &str) -> rusqlite::Result<Before> {
    let mut last = db.prepare_cached("SELECT commit_id, deployment FROM successes WHERE repo = ?1 AND project = ?2")?;
    let last: Option<(String, DeploymentId)> =
        last.query_row([repo, project], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let since = last.as_ref().map_or(0, |(_, deployment)| *deployment);
    // The project is noted when the steps begin, so those that failed before are not among these.
    let mut attempts = db.prepare_cached(
        "SELECT DISTINCT commit_after FROM deployments WHERE repo = ?1 AND project = ?2 AND id > ?3
         AND commit_after IS NOT NULL AND state IN ('failed', 'cancelled', 'interrupted', 'superseded') ORDER BY commit_after",
    )?;
    let attempts: Vec<String> =
        attempts.query_map(params![repo, project, since], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let success = last.map(|(commit, _)| commit);
    Ok(Before { attempts: attempts.into_iter().filter(|attempt| Some(attempt) != success.as_ref()).collect(), success })
}

fn previous(db: &Connection, repo: &str) -> rusqlite::Result<Option<Previous>> {
    // The project is noted when the steps begin.
    let mut query = db.prepare_cached(
        "SELECT before.commit_after, before.id, now.id, now.commit_after, now.state
         FROM (SELECT id, commit_after, state FROM deployments WHERE repo = ?1 AND commit_after IS NOT NULL
               AND project IS NOT NULL ORDER BY id DESC LIMIT 1) now
         JOIN deployments before ON before.repo = ?1 AND before.state = 'succeeded' AND before.id < now.id
           AND before.commit_after IS NOT NULL AND before.commit_after <> now.commit_after
         ORDER BY before.id DESC LIMIT 1",
    )?;
    let row = |row: &Row<'_>| {
        Ok(Previous {
            commit: row.get(0)?,
            deployment: row.get(1)?,
            current: row.get(2)?,
            current_commit: row.get(3)?,
            current_state: row.get(4)?,
        })
    };
    query.query_row([repo], row).optional()
}

/// One deployment with its phases.
pub(super) fn deployment(db: &Connection, id: DeploymentId) -> rusqlite::Result<Option<Deployment>> {
    let mut row = db.prepare_cached(&format!("SELECT {COLUMNS} FROM deployments WHERE id = ?1"))?;
    let Some(mut deployment) = row.query_row([id], record).optional()? else { return Ok(None) };
    let mut query =
        db.prepare_cached("SELECT name, started_at, ended_at FROM phases WHERE deployment = ?1 ORDER BY number")?;
    let phase = |row: &Row<'_>| Ok(PhaseTime { name: row.get(0)?, started_at: row.get(1)?, ended_at: row.get(2)? });
    deployment.phases = query.query_map([id], phase)?.collect::<rusqlite::Result<_>>()?;
    watches::add_falls(db, std::slice::from_mut(&mut deployment))?;
    Ok(Some(deployment))
}

fn with_falls(db: &Connection, mut deployments: Vec<Deployment>) -> rusqlite::Result<Vec<Deployment>> {
    watches::add_falls(db, &mut deployments)?;
    Ok(deployments)
}

/// Reads every deployment, to know that it can be read. Answers how many there are.
pub(super) fn all_readable(db: &Connection) -> rusqlite::Result<usize> {
    let mut all = db.prepare(&format!("SELECT {COLUMNS} FROM deployments"))?;
    let rows = all.query_map([], record)?;
    rows.into_iter().try_fold(0, |count, row| row.map(|_| count + 1))
}

fn record(row: &Row<'_>) -> rusqlite::Result<Deployment> {
    Ok(Deployment {
        id: row.get(0)?,
        repo: row.get(1)?,
        project: row.get(2)?,
        branch: row.get(3)?,
        wanted_commit: row.get(4)?,
        kind: row.get(5)?,
        cause: row.get(6)?,
        who: row.get(7)?,
        force_rebuild: row.get(8)?,
        state: row.get(9)?,
        phase: row.get(10)?,
        commit_before: row.get(11)?,
        commit_after: row.get(12)?,
        commit_base: row.get(13)?,
        decision: row.get(14)?,
        plan: row.get(15)?,
        error: row.get(16)?,
        superseded_by: row.get(17)?,
        retry_of: row.get(18)?,
        attempt: row.get(19)?,
        created_at: row.get(20)?,
        started_at: row.get(21)?,
        ended_at: row.get(22)?,
        pinned: row.get(23)?,
        new_stack: row.get(24)?,
        back: row.get::<_, i64>(25)? > 0,
        past: row.get::<_, i64>(25)? == BACK_PAST,
        phases: Vec::new(),
        falls: Vec::new(),
        taken_back: match (row.get(26)?, row.get(27)?) {
            (Some(at), Some(why)) => Some(GivenUp { at, why }),
            _ => None,
        },
    })
}
