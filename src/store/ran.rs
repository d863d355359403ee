//! Which containers ran before a deployment began its steps. The text is its writer's (`deploy/not_repeated`). It
//! outlives the daemon, so that what a deployment had stopped can be started again where it is not repeated.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{DeploymentId, DomainEvent, Store, StoreError, journal};

impl Store {
    /// Notes what ran before the first step of a running deployment. Once: what is noted later is of its own making.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn note_ran(&self, id: DeploymentId, containers: String) -> Result<(), StoreError> {
        let work = move |db: &Connection| {
            let mut note = db.prepare_cached(
                "UPDATE deployments SET ran_before = coalesce(ran_before, ?2) WHERE id = ?1 AND state = 'running'",
            )?;
            note.execute(params![id, containers]).map(drop)
        };
        self.inner.writer.run("recording what runs", work).await
    }

    /// What ran before the first of a deployment and of those that it repeats.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn ran_before(&self, id: DeploymentId) -> Result<Option<String>, StoreError> {
        let look = move |db: &Connection| {
            let mut first = db.prepare_cached(
                "WITH RECURSIVE chain (id, retry_of, ran) AS (
                   SELECT id, retry_of, ran_before FROM deployments WHERE id = ?1
                   UNION SELECT d.id, d.retry_of, d.ran_before FROM deployments d JOIN chain ON d.id = chain.retry_of)
                 SELECT ran FROM chain WHERE ran IS NOT NULL ORDER BY id LIMIT 1",
            )?;
            first.query_row([id], |row| row.get(0)).optional()
        };
        self.inner.readers.run("reading what ran before", look).await
    }

    /// The project of a deployment, as it, or one that it repeats, has recorded it: a daemon may die before that of the last one is on the
    /// disk.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn project_of(&self, id: DeploymentId) -> Result<Option<String>, StoreError> {
        let look = move |db: &Connection| {
            let mut newest = db.prepare_cached(
                "WITH RECURSIVE chain (id, retry_of, project) AS (
                   SELECT id, retry_of, project FROM deployments WHERE id = ?1
                   UNION SELECT d.id, d.retry_of, d.project FROM deployments d JOIN chain ON d.id = chain.retry_of)
                 SELECT project FROM chain WHERE project IS NOT NULL ORDER BY id DESC LIMIT 1",
            )?;
            newest.query_row([id], |row| row.get(0)).optional()
        };
        self.inner.readers.run("reading what ran before", look).await
    }

    /// Adds to what is told of an interrupted deployment's end.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn add_to_end(&self, id: DeploymentId, more: &str) -> Result<(), StoreError> {
        let (more, clock) = (more.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| {
            let mut add = db.prepare_cached(
                "UPDATE deployments SET error = coalesce(error || '; ', '') || ?2, ended_at = coalesce(ended_at, ?3)
                 WHERE id = ?1 AND state = 'interrupted'",
            )?;
            let at = clock.now();
            match add.execute(params![id, more, at])? {
                0 => Ok(()),
                _ => journal::of_deployment(db, at, id, &DomainEvent::EndExplained { more: more.clone() }),
            }
        };
        self.inner.writer.run("recording what became of the deployment", work).await
    }
}
