//! Which projects were deployed, for which repository, from which work tree and remote. Never pruned: a stack may
//! outlive its entry in `repos.yaml`, and its volumes its containers.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, params};

use super::{DomainEvent, Place, Store, StoreError, error::there_is, journal, schema};

impl Store {
    /// Every project that was deployed, with what is known of where from.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn places(&self) -> Result<Vec<Place>, StoreError> {
        self.inner.readers.run("reading what was deployed", all).await
    }

    /// Notes that a project is brought up. What is noted already is not written again: a deployment waits for this.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn note_place(&self, place: Place) -> Result<(), StoreError> {
        let looked = place.clone();
        let known = move |db: &Connection| {
            let Place { repo, project, path, remote } = &looked;
            let mut same = db.prepare_cached(
                "SELECT 1 FROM places WHERE repo = ?1 AND project = ?2 AND path = ?3 AND remote IS ?4",
            )?;
            same.exists(params![repo, project, path.as_deref().unwrap_or_default(), remote])
        };
        if self.inner.readers.run("reading what was deployed", known).await? {
            return Ok(());
        }
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| {
            let Place { repo, project, path, remote } = &place;
            let mut note = db.prepare_cached(
                "INSERT INTO places (repo, project, path, remote, at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (repo, project) DO UPDATE SET path = excluded.path, remote = excluded.remote,
                   at = excluded.at",
            )?;
            let at = clock.now();
            note.execute(params![repo, project, path.as_deref().unwrap_or_default(), remote, at])?;
            let placed =
                DomainEvent::ProjectPlaced { project: project.clone(), path: path.clone(), remote: remote.clone() };
            journal::of_repo(db, at, repo, &placed)
        };
        self.inner.writer.run("recording where the project lies", work).await
    }
}

/// As [`Store::places`], from the database of a daemon that need not run; nothing where there is none, or an older one.
///
/// # Errors
/// As [`Store::places`].
pub fn peek_places(file: &Path) -> Result<Vec<Place>, StoreError> {
    if !there_is(file, "reading what was deployed")? {
        return Ok(Vec::new());
    }
    let look = || {
        let db = schema::open_reader(file)?;
        let known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'places'";
        match db.query_row(known, [], |row| row.get::<_, i64>(0))? {
            0 => Ok(Vec::new()),
            _ => all(&db),
        }
    };
    look().map_err(|error| StoreError::sqlite("reading what was deployed", file, error))
}

fn all(db: &Connection) -> rusqlite::Result<Vec<Place>> {
    let mut query = db.prepare_cached(
        "SELECT repo, project, path, remote FROM places UNION ALL
         SELECT repo, project, NULL, NULL FROM successes s
           WHERE NOT EXISTS (SELECT 1 FROM places p WHERE p.repo = s.repo AND p.project = s.project)
         ORDER BY repo, project",
    )?;
    let place = |row: &rusqlite::Row<'_>| {
        Ok(Place { repo: row.get(0)?, project: row.get(1)?, path: row.get(2)?, remote: row.get(3)? })
    };
    query.query_map([], place)?.collect()
}
