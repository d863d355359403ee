//! Who works on a deployment: it is taken from the queue, or taken up where it waits.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Claimed, Deployment, DeploymentId, DomainEvent, Millis, Store, StoreError, journal, queries, rollouts, waits,
};
use crate::rollout::{self, Fact, Next, Rollout};

impl Store {
    /// Takes the repository's queued deployment and marks it running. `None` if nothing waits or one runs already.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn next(&self, repo: &str) -> Result<Option<Deployment>, StoreError> {
        Ok(self.claim(repo, None).await?.map(|claimed| claimed.deployment))
    }

    /// Takes the repository's queued deployment and marks it running; or takes up the one that waits, where this woke it.
    /// `None` if there is nothing to be done.
    ///
    /// # Errors
    /// As [`Store::next`].
    pub async fn claim(&self, repo: &str, woken: Option<(DeploymentId, Fact)>) -> Result<Option<Claimed>, StoreError> {
        let repo = repo.to_owned();
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| {
            let at = clock.now();
            let Some(next) = next(db, &repo, at)? else { return waits::take_up(db, &repo, woken, &clock) };
            clock.begins(next.deployment.id, at);
            Ok(Some(next))
        };
        self.inner.writer.run("starting the deployment", work).await
    }
}

fn next(db: &Connection, repo: &str, at: Millis) -> rusqlite::Result<Option<Claimed>> {
    let mut start = db.prepare_cached(
        "UPDATE deployments SET state = 'running', started_at = ?2 WHERE repo = ?1 AND state = 'queued'
           AND NOT EXISTS (SELECT 1 FROM deployments WHERE repo = ?1 AND state = 'running') RETURNING id",
    )?;
    let Some(id) = start.query_row(params![repo, at], |row| row.get(0)).optional()? else { return Ok(None) };
    journal::of_deployment(db, at, id, &DomainEvent::DeploymentBegan {})?;
    let before = rollouts::of(db, repo)?;
    // What runs is told by the deployments; of an earlier one that is still there nobody is left to say anything.
    let before = Rollout { under_way: None, ..before };
    let Next { rollout, actions } = rollout::next(&before, Fact::Begin, at);
    rollouts::keep(db, repo, Some(id), &rollout, at)?;
    Ok(queries::deployment(db, id)?.map(|deployment| Claimed {
        deployment,
        rollout,
        actions,
        waited: None,
        asked: None,
    }))
}
