//! Repositories that are held: their pushes are taken and wait, and only what somebody asks for by name is deployed.
//!
//! A hold lasts until it is released, over restarts and over deployments that fail: whoever asked for it wants pushes to
//! wait, above all when something goes wrong.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{
    Deployment, DeploymentId, DomainEvent, Enqueued, Hold, HoldChange, Millis, NewDeployment, Requested, State, Store,
    StoreError,
    deployments::ended,
    held::{find, tell},
    intake::{self, Retry},
    journal, waits,
};

impl Store {
    /// Queues a deployment that somebody asked for, and holds or releases its repository in the same transaction. Of a
    /// held repository only a commit that was asked for by name is queued.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn request(&self, wanted: NewDeployment, change: HoldChange) -> Result<Requested, StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| request(db, &wanted, change, clock.now());
        self.inner.writer.run("queueing the deployment", work).await
    }

    /// Holds a repository at what was deployed last. What waits to be deployed is called off, and is what waits for the
    /// release. A repository that is held already stays so, since when it was.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn hold(&self, repo: &str, who: Option<String>) -> Result<Hold, StoreError> {
        let (repo, clock) = (repo.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| {
            let at = clock.now();
            put(db, &repo, who.as_deref(), None, at)?;
            call_off(db, &repo, at)?;
            tell(db, &repo, at)?;
            Ok(find(db, &repo)?.unwrap_or_default())
        };
        self.inner.writer.run("holding the repository", work).await
    }

    /// Hands the hold of a former name of a repository over to its present one, with what `pushed` wanted as what waits.
    /// `None` where the former one is not held.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn inherit_hold(&self, former: &str, pushed: &Deployment) -> Result<Option<Hold>, StoreError> {
        let (former, pushed) = (former.to_owned(), pushed.clone());
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| {
            if find(db, &former)?.is_none() {
                return Ok(None);
            }
            let Deployment { repo, wanted_commit, cause, created_at, .. } = &pushed;
            db.prepare_cached("UPDATE OR REPLACE holds SET repo = ?2 WHERE repo = ?1")?.execute([&former, repo])?;
            if wanted_commit.is_some() {
                let mut note = db.prepare_cached(
                    "UPDATE holds SET newest = ?2, newest_cause = ?3, newest_at = ?4 WHERE repo = ?1",
                )?;
                note.execute(params![repo, wanted_commit, cause, created_at])?;
            }
            let at = clock.now();
            journal::of_repo(db, at, &former, &DomainEvent::RepositoryReleased {})?;
            tell(db, repo, at)?;
            find(db, repo)
        };
        self.inner.writer.run("holding the repository", work).await
    }

    /// Whether a repository is held, and what waits.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn held(&self, repo: &str) -> Result<Option<Hold>, StoreError> {
        let repo = repo.to_owned();
        self.inner.readers.run("reading the hold", move |db| find(db, &repo)).await
    }
}

fn request(db: &Connection, wanted: &NewDeployment, change: HoldChange, at: Millis) -> rusqlite::Result<Requested> {
    let repo = &wanted.repo;
    let before = find(db, repo)?;
    match change {
        HoldChange::Release => {
            if db.prepare_cached("DELETE FROM holds WHERE repo = ?1")?.execute([repo])? > 0 {
                journal::of_repo(db, at, repo, &DomainEvent::RepositoryReleased {})?;
            }
        }
        HoldChange::Hold => {
            put(db, repo, wanted.who.as_deref(), wanted.commit.as_deref(), at)?;
            note_waiting(db, repo, true)?;
            tell(db, repo, at)?;
        }
        HoldChange::AsItIs => match before {
            Some(hold) if !wanted.pinned => return Ok(Requested::Held(hold)),
            Some(_) => {
                note_waiting(db, repo, true)?;
                tell(db, repo, at)?;
            }
            None => {}
        },
    }
    let Enqueued { deployment, superseded } = intake::enqueue(db, wanted, Retry::default(), at)?;
    Ok(Requested::Queued { deployment, superseded, hold: find(db, repo)? })
}

/// Holds a repository; `commit` is what is to be deployed, or else it is what runs: what was carried out last, also where it
/// failed when it was judged.
fn put(db: &Connection, repo: &str, who: Option<&str>, commit: Option<&str>, at: Millis) -> rusqlite::Result<()> {
    let mut put = db.prepare_cached(
        "INSERT INTO holds (repo, who, since, held_commit) VALUES (?1, ?2, ?3, coalesce(?4,
           (SELECT commit_after FROM deployments WHERE repo = ?1 AND commit_after IS NOT NULL AND (state = 'succeeded'
              OR state IN ('failed', 'cancelled', 'interrupted') AND EXISTS (SELECT 1 FROM phases
                WHERE deployment = id AND name = 'settle')) ORDER BY id DESC LIMIT 1),
           (SELECT commit_id FROM successes WHERE repo = ?1 ORDER BY deployment DESC LIMIT 1)))
         ON CONFLICT (repo) DO UPDATE SET held_commit = coalesce(?4, held_commit)",
    )?;
    put.execute(params![repo, who, at, commit]).map(drop)
}

/// Of a push that waits in the queue and is going to leave it, the commit is kept; of one that waits for the engine as well,
/// where that gives way, too.
fn note_waiting(db: &Connection, repo: &str, put_down: bool) -> rusqlite::Result<()> {
    let waiting = waits::of(db, repo)?.filter(|_| put_down).map(|waiting| waiting.deployment);
    let mut note = db.prepare_cached(
        "UPDATE holds SET newest = push.wanted_commit, newest_cause = push.cause, newest_at = push.created_at
         FROM (SELECT wanted_commit, cause, created_at FROM deployments WHERE repo = ?1
           AND (state = 'queued' OR id = ?2) AND pinned = 0 AND wanted_commit IS NOT NULL) push
         WHERE holds.repo = ?1",
    )?;
    note.execute(params![repo, waiting]).map(drop)
}

fn call_off(db: &Connection, repo: &str, at: Millis) -> rusqlite::Result<()> {
    note_waiting(db, repo, false)?;
    let mut end = db.prepare_cached(
        "UPDATE deployments SET state = 'cancelled', ended_at = ?2,
           error = 'the repository was held before this began; it waits for the release'
         WHERE repo = ?1 AND state = 'queued' AND pinned = 0 RETURNING id, error",
    )?;
    let off = end.query_map(params![repo, at], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (id, why) in off.collect::<rusqlite::Result<Vec<(DeploymentId, String)>>>()? {
        ended(db, at, id, State::Cancelled, Some(why))?;
    }
    Ok(())
}
