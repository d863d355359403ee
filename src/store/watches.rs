//! What is watched on after the verdict of its deployment, and what fell over meanwhile. Kept on disk, so that a daemon
//! that was killed goes on watching and a history tells of it.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{Connection, Row, params};

use super::{
    Deployment, DeploymentId, DomainEvent, Fall, Millis, Store, StoreError, Watch, Watched, journal, rollouts,
};
use crate::rollout::{self, Fact};

impl Store {
    /// What is to be watched, by repository.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn watched(&self) -> Result<Vec<Watched>, StoreError> {
        let query = |db: &Connection| {
            // The deployment may have been forgotten meanwhile: nothing can be told of it any more.
            let mut rows = db.prepare_cached(
                "SELECT repo, watch_deployment, watch_project, watch_since, watch_until FROM rollouts
                 WHERE EXISTS (SELECT 1 FROM deployments WHERE id = watch_deployment) ORDER BY repo",
            )?;
            let watched = |row: &Row<'_>| {
                Ok(Watched {
                    repo: row.get(0)?,
                    deployment: row.get(1)?,
                    project: row.get(2)?,
                    watch: Watch { since: row.get(3)?, until: row.get(4)? },
                })
            };
            rows.query_map([], watched)?.collect()
        };
        self.inner.readers.run("reading what is watched", query).await
    }

    /// What fell over after the last success of each repository and has not come back, as long as no later deployment has
    /// changed the stack.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn fallen(&self) -> Result<Vec<(String, Fall)>, StoreError> {
        let query = |db: &Connection| {
            // The project is noted when the steps begin.
            let mut rows = db.prepare_cached(
                "SELECT deployment, container, after, said, times, mended, seen, repo
                 FROM falls JOIN deployments done ON done.id = falls.deployment
                 WHERE mended IS NULL AND NOT EXISTS (SELECT 1 FROM deployments later WHERE later.repo = done.repo
                   AND later.id > done.id AND later.project IS NOT NULL)
                 ORDER BY repo, after, container",
            )?;
            rows.query_map([], |row| Ok((row.get(7)?, fall(row)?)))?.collect()
        };
        self.inner.readers.run("reading what fell", query).await
    }

    /// A deployment is not watched any more, as the table has it. Does not wait for the disk: a watch that comes back after a
    /// crash finds out that it is over.
    ///
    /// # Errors
    /// The store is closed. A failure to write is logged.
    pub async fn end_watch(&self, id: DeploymentId) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| {
            let Some((repo, rollout)) = rollouts::watching(db, id)? else { return Ok(()) };
            let at = clock.now();
            if rollout::next(&rollout, Fact::WatchOver, at).rollout.watch.is_none()
                && rollouts::end_watch(db, &repo, at)?
            {
                rollouts::tell(db, &repo, None, at)?;
            }
            Ok(())
        };
        self.inner.writer.hand_in("ending the watch", work).await
    }

    /// A watch ends then. Does not wait for the disk: after a crash it is found out again.
    ///
    /// # Errors
    /// The store is closed. A failure to write is logged.
    pub async fn watch_until(&self, id: DeploymentId, until: Millis) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| {
            let mut note = db.prepare_cached("UPDATE rollouts SET watch_until = ?2 WHERE watch_deployment = ?1")?;
            match note.execute(params![id, until])? {
                0 => Ok(()),
                _ => journal::of_deployment(db, clock.now(), id, &DomainEvent::WatchMoved { until }),
            }
        };
        self.inner.writer.hand_in("noting the end of the watch", work).await
    }

    /// Notes that a container fell over after the verdict, or what has become of it, in place of what was noted of it.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn note_fall(&self, id: DeploymentId, fall: Fall) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| {
            let Fall { container, after, said, times, mended, seen } = &fall;
            // The deployment may have been forgotten meanwhile.
            let mut note = db.prepare_cached(
                "INSERT INTO falls (deployment, container, after, said, times, mended, seen)
                 SELECT id, ?2, ?3, ?4, ?5, ?6, ?7 FROM deployments WHERE id = ?1
                 ON CONFLICT (deployment, container) DO UPDATE SET after = excluded.after, said = excluded.said,
                   times = excluded.times, mended = excluded.mended, seen = excluded.seen",
            )?;
            note.execute(params![id, container, after, said, times, mended, seen])?;
            journal::of_deployment(db, clock.now(), id, &DomainEvent::ContainerFell(fall.clone()))
        };
        self.inner.writer.run("recording what happened after the verdict", work).await
    }

    /// The number of the last line of a deployment's log; 0 where it has none.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn last_line(&self, id: DeploymentId) -> Result<i64, StoreError> {
        let query = move |db: &Connection| {
            let mut last = db.prepare_cached("SELECT coalesce(max(seq), 0) FROM log_lines WHERE deployment = ?1")?;
            last.query_row([id], |row| row.get(0))
        };
        self.inner.readers.run("reading the log", query).await
    }
}

/// Adds what fell over after their verdicts to deployments.
pub(super) fn add_falls(db: &Connection, deployments: &mut [Deployment]) -> rusqlite::Result<()> {
    let ids = || deployments.iter().map(|deployment| deployment.id);
    let (Some(first), Some(last)) = (ids().min(), ids().max()) else { return Ok(()) };
    let mut query = db.prepare_cached(
        "SELECT deployment, container, after, said, times, mended, seen FROM falls WHERE deployment BETWEEN ?1 AND ?2
         ORDER BY deployment, after, container",
    )?;
    let of = |row: &Row<'_>| Ok((row.get::<_, DeploymentId>(0)?, fall(row)?));
    let mut falls: BTreeMap<DeploymentId, Vec<Fall>> = BTreeMap::new();
    for found in query.query_map([first, last], of)? {
        let (id, fall) = found?;
        falls.entry(id).or_default().push(fall);
    }
    for deployment in deployments {
        deployment.falls = falls.remove(&deployment.id).unwrap_or_default();
    }
    Ok(())
}

/// A fall, from the second column on.
fn fall(row: &Row<'_>) -> rusqlite::Result<Fall> {
    Ok(Fall {
        container: row.get(1)?,
        after: row.get(2)?,
        said: row.get(3)?,
        times: row.get(4)?,
        mended: row.get(5)?,
        seen: row.get(6)?,
    })
}
