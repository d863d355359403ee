//! The journal: what happened, written in the transaction that makes it true.
//!
//! ```text
//!   a change ──► tables ─┐
//!                        ├─ one transaction ──► commit ──► the newest number (watch) ──► readers ([`Cursor`])
//!                event ──┘
//! ```
//!
//! [`Cursor`]: super::Cursor

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    DeploymentId, DomainEvent, EventId, Journaled, Millis, Store, StoreError,
    count::rows,
    domain_event::{self, DEPLOYMENT_QUEUED, LOG_WRITTEN},
};

/// Most events in one page.
pub(super) const MOST: usize = 500;

/// Which events a reader wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only {
    /// Of this repository.
    pub repo: Option<String>,
    /// Of this deployment.
    pub deployment: Option<DeploymentId>,
    /// Those that say that a deployment is queued.
    pub queued: bool,
}

impl Only {
    /// Deployments that are queued, whosever.
    pub fn queued() -> Only {
        Only { queued: true, ..Only::default() }
    }
}

/// Events, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Events that are not there any more, before the first of these.
    pub gap: Option<Gap>,
    /// The events themselves; empty where nothing more has happened.
    pub events: Vec<Journaled>,
    /// Up to here there is nothing more of what was asked for.
    pub upto: EventId,
}

impl Page {
    /// Whether there is nothing to be said.
    pub fn is_empty(&self) -> bool {
        self.gap.is_none() && self.events.is_empty()
    }
}

/// Events that were forgotten before a reader came to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where the reader was.
    pub after: EventId,
    /// Up to here some are missing.
    pub upto: EventId,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { after, upto } = self;
        write!(f, "of the events {} to {upto} some were forgotten before they were read here", after + 1)
    }
}

impl Store {
    /// Records something that happened to the daemon itself.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn tell(&self, event: DomainEvent) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| of_daemon(db, clock.now(), &event);
        self.inner.writer.run("writing the journal", work).await
    }

    /// Records something that happened to a repository, and to no deployment of it.
    ///
    /// # Errors
    /// As [`Store::tell`].
    pub async fn tell_of(&self, repo: &str, event: DomainEvent) -> Result<(), StoreError> {
        let (repo, clock) = (repo.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| of_repo(db, clock.now(), &repo, &event);
        self.inner.writer.run("writing the journal", work).await
    }

    /// Events after a number, at most a few hundred.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn events(&self, after: EventId, only: Only) -> Result<Page, StoreError> {
        self.inner.readers.run("reading the journal", move |db| page(db, after, &only)).await
    }

    /// Words of events that this turnout does not understand, each once: its readers skip those.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn unknown_events(&self) -> Result<Vec<String>, StoreError> {
        let query = |db: &Connection| {
            let mut kinds = db.prepare_cached("SELECT DISTINCT kind, version FROM journal ORDER BY kind, version")?;
            let kinds = kinds.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let kinds = kinds.collect::<rusqlite::Result<Vec<(String, i64)>>>()?;
            let mut unknown: Vec<String> = kinds
                .into_iter()
                .filter(|(kind, version)| !domain_event::is_known(kind, *version))
                .map(|(kind, _)| kind)
                .collect();
            unknown.dedup();
            Ok(unknown)
        };
        self.inner.readers.run("reading the journal", query).await
    }

    /// How far a reader has come that keeps its position here; `None`: it never read anything.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn position(&self, name: &str) -> Result<Option<EventId>, StoreError> {
        let name = name.to_owned();
        self.inner.readers.run("reading a position in the journal", move |db| position(db, &name)).await
    }

    /// Keeps how far a reader has come. It never goes back.
    ///
    /// # Errors
    /// As [`Store::tell`].
    pub async fn keep_position(&self, name: &str, event: EventId) -> Result<(), StoreError> {
        let (name, clock) = (name.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| keep_position(db, &name, event, clock.now());
        self.inner.writer.run("keeping a position in the journal", work).await
    }
}

/// Something of a deployment happened. Of one that was forgotten nothing is written.
pub(super) fn of_deployment(
    db: &Connection,
    at: Millis,
    id: DeploymentId,
    event: &DomainEvent,
) -> rusqlite::Result<()> {
    let Some(row) = domain_event::to_row(event) else { return Ok(()) };
    let mut write = db.prepare_cached(
        "INSERT INTO journal (at, repo, deployment, kind, version, body)
         SELECT ?2, repo, id, ?3, ?4, ?5 FROM deployments WHERE id = ?1",
    )?;
    write.execute(params![id, at, row.kind, row.version, row.body]).map(drop)
}

/// Something of a repository happened.
pub(super) fn of_repo(db: &Connection, at: Millis, repo: &str, event: &DomainEvent) -> rusqlite::Result<()> {
    write(db, at, Some(repo), event)
}

/// Something of the daemon happened.
pub(super) fn of_daemon(db: &Connection, at: Millis, event: &DomainEvent) -> rusqlite::Result<()> {
    write(db, at, None, event)
}

fn write(db: &Connection, at: Millis, repo: Option<&str>, event: &DomainEvent) -> rusqlite::Result<()> {
    let Some(row) = domain_event::to_row(event) else { return Ok(()) };
    let mut write = db.prepare_cached(
        "INSERT INTO journal (at, repo, deployment, kind, version, body) VALUES (?1, ?2, NULL, ?3, ?4, ?5)",
    )?;
    write.execute(params![at, repo, row.kind, row.version, row.body]).map(drop)
}

/// The log of a deployment is written up to a line; what was said of it before goes.
pub(super) fn log_written(db: &Connection, at: Millis, id: DeploymentId, last: i64) -> rusqlite::Result<()> {
    let mut former = db.prepare_cached("DELETE FROM journal WHERE deployment = ?1 AND kind = ?2")?;
    former.execute(params![id, LOG_WRITTEN])?;
    of_deployment(db, at, id, &DomainEvent::LogWritten { last })
}

/// The number of the newest event that was ever written.
pub(super) fn newest(db: &Connection) -> rusqlite::Result<EventId> {
    let mut newest = db.prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'journal'")?;
    Ok(newest.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
}

pub(super) fn page(db: &Connection, after: EventId, only: &Only) -> rusqlite::Result<Page> {
    // One moment for all: what is written in between comes with the next page.
    let moment = db.unchecked_transaction()?;
    let newest = newest(db)?;
    let forgotten: EventId =
        db.prepare_cached("SELECT upto FROM journal_forgotten")?.query_row([], |row| row.get(0))?;
    let mut query = db.prepare_cached(
        "SELECT id, at, repo, deployment, kind, version, body FROM journal
         WHERE id > ?1 AND (?2 IS NULL OR repo = ?2) AND (?3 IS NULL OR deployment = ?3) AND (?5 IS NULL OR kind = ?5)
         ORDER BY id LIMIT ?4",
    )?;
    let event = |row: &rusqlite::Row<'_>| {
        let (kind, version, body) = (row.get_ref(4)?.as_str()?, row.get(5)?, row.get_ref(6)?.as_str()?);
        let what = domain_event::from_row(kind, version, body);
        Ok(Journaled { id: row.get(0)?, at: row.get(1)?, repo: row.get(2)?, deployment: row.get(3)?, what })
    };
    let found = query.query_map(
        params![after, only.repo, only.deployment, rows(MOST), only.queued.then_some(DEPLOYMENT_QUEUED)],
        event,
    )?;
    let events = found.collect::<rusqlite::Result<Vec<_>>>()?;
    moment.finish()?;
    let upto = match events.last() {
        Some(last) if events.len() == MOST => last.id,
        _ => newest.max(after),
    };
    let gap = (forgotten > after).then_some(Gap { after, upto: forgotten });
    Ok(Page { gap, events, upto })
}

fn position(db: &Connection, name: &str) -> rusqlite::Result<Option<EventId>> {
    db.prepare_cached("SELECT event FROM cursors WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// Keeps how far a reader has come, in the transaction that records what it did.
pub(super) fn keep_position(db: &Connection, name: &str, event: EventId, at: Millis) -> rusqlite::Result<()> {
    let mut keep = db.prepare_cached(
        "INSERT INTO cursors (name, event, at) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET event = max(event, excluded.event), at = excluded.at",
    )?;
    keep.execute(params![name, event, at]).map(drop)
}

/// Forgets the events of deployments that are forgotten. Answers how many.
pub(super) fn forget_deployments(db: &Connection, ids: &[DeploymentId]) -> rusqlite::Result<usize> {
    let mut forget = db.prepare_cached("DELETE FROM journal WHERE deployment = ?1 RETURNING id")?;
    let (mut newest, mut gone) = (None, 0);
    for id in ids {
        for event in forget.query_map([id], |row| row.get::<_, EventId>(0))? {
            newest = newest.max(Some(event?));
            gone += 1;
        }
    }
    newest.map_or(Ok(()), |newest| mark_forgotten(db, newest))?;
    Ok(gone)
}

/// How many events there are. Reads all of them.
pub(super) fn count(db: &Connection) -> rusqlite::Result<usize> {
    let count: i64 = db.prepare_cached("SELECT count(*) FROM journal")?.query_row([], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Forgets events of no deployment that are older than `before`, but for the newest `keep`; and the oldest `excess` of all. At
/// most `most` rows of each. Answers how many.
pub(super) fn forget_old(
    db: &Connection,
    before: Millis,
    keep: usize,
    excess: usize,
    most: usize,
) -> rusqlite::Result<usize> {
    let mut aged = db.prepare_cached(
        "DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE deployment IS NULL AND at < ?1
           AND id <= (SELECT max(id) FROM journal) - ?2 ORDER BY at LIMIT ?3) RETURNING id",
    )?;
    let mut gone = aged
        .query_map(params![before, rows(keep), rows(most)], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<EventId>>>()?;
    if excess > 0 {
        let mut oldest = db.prepare_cached(
            "DELETE FROM journal WHERE id IN (SELECT id FROM journal ORDER BY id LIMIT ?1) RETURNING id",
        )?;
        let ids = oldest.query_map([rows(excess.min(most))], |row| row.get(0))?;
        gone.extend(ids.collect::<rusqlite::Result<Vec<EventId>>>()?);
    }
    if let Some(newest) = gone.iter().max() {
        mark_forgotten(db, *newest)?;
    }
    Ok(gone.len())
}

fn mark_forgotten(db: &Connection, upto: EventId) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE journal_forgotten SET upto = max(upto, ?1)")?.execute([upto]).map(drop)
}
