//! Where the rollout of each repository stands, on disk. What follows from what is [`rollout::next`]'s to say.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{self as store, DeploymentId, DomainEvent, Millis, Store, StoreError, journal};
use crate::rollout::{Bake, Generation, Phase, Rollout, UnderWay, Watch};

/// A repository's rollout, and the deployment that is under way in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The name of the repository, by which there is one row.
    pub repo: String,
    /// The deployment under way.
    pub deployment: Option<DeploymentId>,
    /// Its state, as [`crate::rollout::next`] takes and gives it.
    pub rollout: Rollout,
}

impl Store {
    /// Where the rollouts of all repositories stand, by name.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn rollouts(&self) -> Result<Vec<Standing>, StoreError> {
        let query = |db: &Connection| {
            let mut all = db.prepare_cached(SELECT)?;
            all.query_map([None::<&str>], standing)?.collect()
        };
        self.inner.readers.run("reading the rollouts", query).await
    }

    /// Where the rollout of a repository stands; at the beginning, where it has none yet.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn rollout(&self, repo: &str) -> Result<Rollout, StoreError> {
        let repo = repo.to_owned();
        self.inner.readers.run("reading the rollout", move |db: &Connection| of(db, &repo)).await
    }
}

const SELECT: &str =
    "SELECT repo, deployment, generation, phase, plans, losses, due_at, watch_until, watched, bake_until,
  bake_generation, step, steps FROM rollouts WHERE ?1 IS NULL OR repo = ?1 ORDER BY repo";

fn standing(row: &Row<'_>) -> rusqlite::Result<Standing> {
    let generation = row.get(2)?;
    let phase: Option<String> = row.get(3)?;
    let (until, watched): (Option<Millis>, Option<Generation>) = (row.get(7)?, row.get(8)?);
    let (plans, losses, due_at) = (row.get(4)?, row.get(5)?, row.get(6)?);
    let (bake, baked): (Option<Millis>, Option<Generation>) = (row.get(9)?, row.get(10)?);
    let (step, steps) = (row.get(11)?, row.get(12)?);
    Ok(Standing {
        repo: row.get(0)?,
        deployment: row.get(1)?,
        rollout: Rollout {
            generation,
            // A phase of a later turnout: what was under way in it is begun anew like any other.
            under_way: phase.map(|phase| {
                let phase = Phase::named(&phase).unwrap_or(Phase::Fetching);
                UnderWay { phase, plans, losses, due_at, step, steps }
            }),
            watch: until.map(|until| Watch { generation: watched.unwrap_or(generation), until }),
            bake: bake.map(|until| Bake { generation: baked.unwrap_or(generation), until }),
        },
    })
}

/// Where a repository stands; one that never began stands at the beginning.
pub(super) fn of(db: &Connection, repo: &str) -> rusqlite::Result<Rollout> {
    let mut one = db.prepare_cached(SELECT)?;
    let found = one.query_row([repo], standing).optional()?;
    Ok(found.map(|standing| standing.rollout).unwrap_or_default())
}

/// Keeps where a repository stands. A watch is only ever ended by it: `rollout` may have been read before that came to its
/// end by itself. A bake is begun and ended with the colours' own rows.
pub(super) fn keep(
    db: &Connection,
    repo: &str,
    deployment: Option<DeploymentId>,
    rollout: &Rollout,
    at: Millis,
) -> rusqlite::Result<()> {
    let Rollout { generation, under_way, watch, bake: _ } = rollout;
    if watch.is_none() {
        end_watch(db, repo, at)?;
    }
    let phase = under_way.map(|under_way| under_way.phase.name());
    let (plans, losses) = under_way.map_or((0, 0), |under_way| (under_way.plans, under_way.losses));
    let due_at = under_way.and_then(|under_way| under_way.due_at);
    let (step, steps) = under_way.map_or((0, 0), |under_way| (under_way.step, under_way.steps));
    let mut keep = db.prepare_cached(
        "INSERT INTO rollouts (repo, generation, deployment, phase, plans, losses, due_at, step, steps)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (repo) DO UPDATE SET generation = excluded.generation, deployment = excluded.deployment,
           phase = excluded.phase, plans = excluded.plans, losses = excluded.losses, due_at = excluded.due_at,
           step = excluded.step, steps = excluded.steps, waits_for = NULL, waits_hint = NULL,
           (asked, asked_why, asked_until) = (SELECT asked, asked_why, asked_until WHERE deployment IS excluded.deployment
             AND phase IS excluded.phase AND step IS excluded.step)",
    )?;
    keep.execute(params![repo, generation, deployment, phase, plans, losses, due_at, step, steps])?;
    tell(db, repo, deployment, at)
}

/// Nothing is under way any more in the rollout of this deployment's repository; where its success is watched, that is in
/// place of what was watched.
pub(super) fn end(
    db: &Connection,
    id: DeploymentId,
    watch: Option<(&str, store::Watch)>,
    at: Millis,
) -> rusqlite::Result<()> {
    let mut end = db.prepare_cached(
        "UPDATE rollouts SET deployment = NULL, phase = NULL, plans = 0, losses = 0, due_at = NULL, step = 0, steps = 0,
           waits_for = NULL, waits_hint = NULL, asked = NULL, asked_why = NULL, asked_until = NULL WHERE deployment = ?1 RETURNING repo",
    )?;
    let repo: Option<String> = end.query_row([id], |row| row.get(0)).optional()?;
    let Some(repo) = repo else { return Ok(()) };
    let Some((project, watch)) = watch else { return tell(db, &repo, Some(id), at) };
    end_watch(db, &repo, at)?;
    let store::Watch { since, until } = watch;
    let mut begin = db.prepare_cached(
        "UPDATE rollouts SET watched = generation, watch_deployment = ?2, watch_project = ?3, watch_since = ?4,
           watch_until = ?5 WHERE repo = ?1",
    )?;
    begin.execute(params![repo, id, project, since, until])?;
    tell(db, &repo, Some(id), at)?;
    journal::of_deployment(db, at, id, &DomainEvent::WatchBegan { project: project.to_owned(), since, until })
}

/// Nothing is watched of this repository any more. Answers whether something was.
pub(super) fn end_watch(db: &Connection, repo: &str, at: Millis) -> rusqlite::Result<bool> {
    let mut watched =
        db.prepare_cached("SELECT watch_deployment FROM rollouts WHERE repo = ?1 AND watch_deployment IS NOT NULL")?;
    let watched: Option<DeploymentId> = watched.query_row([repo], |row| row.get(0)).optional()?;
    let Some(watched) = watched else { return Ok(false) };
    let mut end = db.prepare_cached(
        "UPDATE rollouts SET watched = NULL, watch_deployment = NULL, watch_project = NULL, watch_since = NULL,
           watch_until = NULL WHERE repo = ?1",
    )?;
    end.execute([repo])?;
    journal::of_deployment(db, at, watched, &DomainEvent::WatchEnded {})?;
    Ok(true)
}

/// The repository in whose rollout this deployment is watched, and that.
pub(super) fn watching(db: &Connection, id: DeploymentId) -> rusqlite::Result<Option<(String, Rollout)>> {
    let mut repo = db.prepare_cached("SELECT repo FROM rollouts WHERE watch_deployment = ?1")?;
    let Some(repo) = repo.query_row([id], |row| row.get::<_, String>(0)).optional()? else { return Ok(None) };
    let rollout = of(db, &repo)?;
    Ok(Some((repo, rollout)))
}

/// The journal's word of where a repository stands now.
pub(super) fn tell(db: &Connection, repo: &str, deployment: Option<DeploymentId>, at: Millis) -> rusqlite::Result<()> {
    let mut row = db.prepare_cached(
        "SELECT generation, phase, plans, losses, due_at, watched, bake_until FROM rollouts WHERE repo = ?1",
    )?;
    let moved = |row: &Row<'_>| {
        Ok(DomainEvent::RolloutMoved {
            generation: row.get(0)?,
            phase: row.get(1)?,
            plans: row.get(2)?,
            losses: row.get(3)?,
            due_at: row.get(4)?,
            watched: row.get(5)?,
            bakes_until: row.get(6)?,
        })
    };
    let moved = row.query_row([repo], moved)?;
    match deployment {
        Some(deployment) => journal::of_deployment(db, at, deployment, &moved),
        None => journal::of_repo(db, at, repo, &moved),
    }
}
