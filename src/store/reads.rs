//! Which files each container read at its last start. The text is its writer's (`deploy/mounted`).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use rusqlite::{Connection, params};

use super::{Store, StoreError, error::there_is, schema};

impl Store {
    /// What is known of a project's containers, by container ID.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn reads(&self, project: &str) -> Result<BTreeMap<String, String>, StoreError> {
        let project = project.to_owned();
        self.inner.readers.run("reading what containers read", move |db| all(db, &project)).await
    }

    /// Notes what containers read, and forgets those of the project that are not in `present`. What is noted already is not
    /// written again: a deployment waits for this.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn note_reads(
        &self,
        project: &str,
        reads: BTreeMap<String, String>,
        present: BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let known = self.reads(project).await?;
        let new = reads.iter().any(|(container, text)| known.get(container) != Some(text));
        if !new && known.keys().all(|container| present.contains(container) || reads.contains_key(container)) {
            return Ok(());
        }
        let (project, clock) = (project.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| {
            for gone in all(db, &project)?.keys().filter(|id| !present.contains(*id) && !reads.contains_key(*id)) {
                let mut forget = db.prepare_cached("DELETE FROM reads WHERE project = ?1 AND container = ?2")?;
                forget.execute([&project, gone])?;
            }
            for (container, text) in &reads {
                let mut note = db.prepare_cached(
                    "INSERT INTO reads (project, container, reads, at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (project, container) DO UPDATE SET reads = excluded.reads, at = excluded.at",
                )?;
                note.execute(params![project, container, text, clock.now()])?;
            }
            Ok(())
        };
        self.inner.writer.run("recording what containers read", work).await
    }
}

/// As [`Store::reads`], from the database of a daemon that need not run; nothing where there is none, or an older one.
///
/// # Errors
/// As [`Store::reads`].
pub fn peek_reads(file: &Path, project: &str) -> Result<BTreeMap<String, String>, StoreError> {
    if !there_is(file, "reading what containers read")? {
        return Ok(BTreeMap::new());
    }
    let look = || {
        let db = schema::open_reader(file)?;
        let known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'reads'";
        match db.query_row(known, [], |row| row.get::<_, i64>(0))? {
            0 => Ok(BTreeMap::new()),
            _ => all(&db, project),
        }
    };
    look().map_err(|error| StoreError::sqlite("reading what containers read", file, error))
}

fn all(db: &Connection, project: &str) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut query = db.prepare_cached("SELECT container, reads FROM reads WHERE project = ?1")?;
    query.query_map([project], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
