//! Where the rollout of each repository stands, on disk. What follows from what is [`rollout::next`]'s to say.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{DeploymentId, DomainEvent, Millis, Store, StoreError, journal};
use crate::rollout::{Generation, Phase, Rollout, UnderWay, Watch};

/// A repository's rollout, and the deployment that is under way in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The repository.
    pub repo: String,
    /// The deployment under way.
    pub deployment: Option<DeploymentId>,
    /// The state.
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

const SELECT: &str = "SELECT r.repo, r.deployment, generation, phase, plans, losses, due_at, until, watched
  FROM rollouts r LEFT JOIN watches w ON w.repo = r.repo WHERE ?1 IS NULL OR r.repo = ?1 ORDER BY r.repo";

fn standing(row: &Row<'_>) -> rusqlite::Result<Standing> {
    let generation = row.get(2)?;
    let phase: Option<String> = row.get(3)?;
    let (until, watched): (Option<Millis>, Option<Generation>) = (row.get(7)?, row.get(8)?);
    let (plans, losses, due_at) = (row.get(4)?, row.get(5)?, row.get(6)?);
    Ok(Standing {
        repo: row.get(0)?,
        deployment: row.get(1)?,
        rollout: Rollout {
            generation,
            // A phase of a later turnout: what was under way in it is begun anew like any other.
            under_way: phase.map(|phase| {
                let phase = Phase::named(&phase).unwrap_or(Phase::Fetching);
                UnderWay { phase, plans, losses, due_at }
            }),
            watch: until.map(|until| Watch { generation: watched.unwrap_or(generation), until }),
        },
    })
}

/// Where a repository stands; one that never began stands at the beginning.
pub(super) fn of(db: &Connection, repo: &str) -> rusqlite::Result<Rollout> {
    let mut one = db.prepare_cached(SELECT)?;
    let found = one.query_row([repo], standing).optional()?;
    Ok(found.map(|standing| standing.rollout).unwrap_or_default())
}

/// Keeps where a repository stands. What is watched is kept with the watches.
pub(super) fn keep(
    db: &Connection,
    repo: &str,
    deployment: Option<DeploymentId>,
    rollout: &Rollout,
    at: Millis,
) -> rusqlite::Result<()> {
    let Rollout { generation, under_way, watch: _ } = rollout;
    let phase = under_way.map(|under_way| under_way.phase.name());
    let (plans, losses) = under_way.map_or((0, 0), |under_way| (under_way.plans, under_way.losses));
    let due_at = under_way.and_then(|under_way| under_way.due_at);
    let mut keep = db.prepare_cached(
        "INSERT INTO rollouts (repo, generation, deployment, phase, plans, losses, due_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (repo) DO UPDATE SET generation = excluded.generation, deployment = excluded.deployment,
           phase = excluded.phase, plans = excluded.plans, losses = excluded.losses, due_at = excluded.due_at",
    )?;
    keep.execute(params![repo, generation, deployment, phase, plans, losses, due_at])?;
    tell(db, repo, deployment, at)
}

/// Nothing is under way any more in the rollout of this deployment's repository; its success is watched, or not.
pub(super) fn end(db: &Connection, id: DeploymentId, watched: bool, at: Millis) -> rusqlite::Result<()> {
    let mut end = db.prepare_cached(
        "UPDATE rollouts SET deployment = NULL, phase = NULL, plans = 0, losses = 0, due_at = NULL,
           watched = CASE WHEN ?2 THEN generation ELSE watched END WHERE deployment = ?1 RETURNING repo",
    )?;
    let repo: Option<String> = end.query_row(params![id, watched], |row| row.get(0)).optional()?;
    repo.map_or(Ok(()), |repo| tell(db, &repo, Some(id), at))
}

/// The journal's word of where a repository stands now.
fn tell(db: &Connection, repo: &str, deployment: Option<DeploymentId>, at: Millis) -> rusqlite::Result<()> {
    let mut row =
        db.prepare_cached("SELECT generation, phase, plans, losses, due_at, watched FROM rollouts WHERE repo = ?1")?;
    let moved = |row: &Row<'_>| {
        Ok(DomainEvent::RolloutMoved {
            generation: row.get(0)?,
            phase: row.get(1)?,
            plans: row.get(2)?,
            losses: row.get(3)?,
            due_at: row.get(4)?,
            watched: row.get(5)?,
        })
    };
    let moved = row.query_row([repo], moved)?;
    match deployment {
        Some(deployment) => journal::of_deployment(db, at, deployment, &moved),
        None => journal::of_repo(db, at, repo, &moved),
    }
}
