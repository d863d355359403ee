//! The colours of repositories that are deployed blue/green: which is live, which is to be, which was. Who serves is the
//! routes' to say; what stands here is what turnout knew last, and what brings a colour back.

use std::sync::Arc;

use super::{ColourStanding, DeploymentId, DomainEvent, Millis, Store, StoreError, journal, rollouts, wanted};
use crate::rollout::{Bake, Generation};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// One colour of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColourRecord {
    /// The configured name of the repository.
    pub repo: String,
    /// The colour's word: `red`.
    pub colour: String,
    /// The Compose project, `redshop`.
    pub project: String,
    /// Where it stands.
    pub standing: ColourStanding,
    /// Of the deployment that made it.
    pub generation: Generation,
    /// The deployment that made it, while its row is kept.
    pub deployment: Option<DeploymentId>,
    /// The commit that it runs, where that was known.
    pub commit: Option<String>,
    /// Since when it stands there.
    pub since: Millis,
    /// What brings it back: the deployer's own JSON.
    pub made: String,
}

/// What is known of a repository's switch as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SwitchRecord {
    /// The COLOR that what stays is read with.
    pub staying: String,
    /// How far the routes have come, as the proxy has confirmed it last.
    pub generation: Generation,
    /// Changes within the generation.
    pub revision: Generation,
}

/// Commits that are not deployed again by themselves, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBack {
    /// Their names in full, as git has them.
    pub commits: Vec<String>,
    /// Why, in words.
    pub why: String,
}

/// A run of loopback ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopbackPorts {
    /// The first of them.
    pub first: u16,
    /// How many there are in a row.
    pub count: u16,
    /// The repository's name.
    pub repo: String,
    /// The colour's word: `red`.
    pub colour: String,
    /// The Compose service that they lead to.
    pub service: String,
    /// The port in its containers.
    pub port: u16,
}

impl Store {
    /// Colours of one repository, or of all.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn colours(&self, repo: Option<&str>) -> Result<Vec<ColourRecord>, StoreError> {
        let repo = repo.map(str::to_owned);
        let query = move |db: &Connection| {
            let mut all =
                db.prepare_cached(&format!("{COLOURS} WHERE ?1 IS NULL OR repo = ?1 ORDER BY repo, colour"))?;
            all.query_map([&repo], record)?.collect()
        };
        self.inner.readers.run("reading the colours", query).await
    }

    /// What is known of a repository's switch; `None` where it was never switched.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn switch(&self, repo: &str) -> Result<Option<SwitchRecord>, StoreError> {
        let repo = repo.to_owned();
        let query = move |db: &Connection| {
            let mut one = db.prepare_cached("SELECT staying, generation, revision FROM switches WHERE repo = ?1")?;
            let record = |row: &Row<'_>| {
                Ok(SwitchRecord { staying: row.get(0)?, generation: row.get(1)?, revision: row.get(2)? })
            };
            one.query_row([&repo], record).optional()
        };
        self.inner.readers.run("reading the switch", query).await
    }

    /// A colour is to be made: the next one. `staying`: the COLOR that what stays is read with, if none is known yet.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn begin_colour(&self, next: ColourRecord, staying: &str) -> Result<(), StoreError> {
        let (staying, clock) = (staying.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| {
            let mut first =
                db.prepare_cached("INSERT INTO switches (repo, staying) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
            first.execute(params![next.repo, staying])?;
            keep(db, &next, clock.now())
        };
        self.inner.writer.run("recording the next colour", work).await
    }

    /// The routes lead to this colour, as the proxy has confirmed: whoever was live before is the previous one. With a
    /// bake both run until then. Somebody may have gone back by it: then these commits are taken back.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn switched(
        &self,
        repo: &str,
        colour: &str,
        (generation, revision): (Generation, Generation),
        bake: Option<Bake>,
        left: Option<TakenBack>,
    ) -> Result<(), StoreError> {
        let (repo, colour, clock) = (repo.to_owned(), colour.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| {
            let at = clock.now();
            for one in of(db, &repo)? {
                let standing = match one.standing {
                    _ if one.colour == colour => ColourStanding::Live,
                    ColourStanding::Live => ColourStanding::Previous,
                    _ => continue,
                };
                stand(db, &repo, &one.colour, standing, at)?;
            }
            all_taken_back(db, &repo, left.as_ref(), at)?;
            confirmed(db, &repo, generation, revision)?;
            bakes(db, &repo, bake, at)
        };
        self.inner.writer.run("recording the switch", work).await
    }

    /// What brings a colour back is known better now.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn note_made(&self, repo: &str, colour: &str, made: &str) -> Result<(), StoreError> {
        let (repo, colour, made) = (repo.to_owned(), colour.to_owned(), made.to_owned());
        let work = move |db: &Connection| {
            let mut keep = db.prepare_cached("UPDATE colours SET made = ?3 WHERE repo = ?1 AND colour = ?2")?;
            keep.execute(params![repo, colour, made]).map(drop)
        };
        self.inner.writer.run("recording what a colour was made as", work).await
    }

    /// Commits were taken back by a way that is none of [`Store::reverted`].
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn note_reverted(&self, repo: &str, left: TakenBack) -> Result<(), StoreError> {
        let (repo, clock) = (repo.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| all_taken_back(db, &repo, Some(&left), clock.now());
        self.inner.writer.run("recording what was taken back", work).await
    }

    /// The routes of a repository are confirmed as they are, by the proxy.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn routes_confirmed(&self, repo: &str, age: (Generation, Generation)) -> Result<(), StoreError> {
        let repo = repo.to_owned();
        let work = move |db: &Connection| confirmed(db, &repo, age.0, age.1);
        self.inner.writer.run("recording the routes", work).await
    }

    /// A colour stands elsewhere from now on.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn stand_colour(&self, repo: &str, colour: &str, standing: ColourStanding) -> Result<(), StoreError> {
        let (repo, colour, clock) = (repo.to_owned(), colour.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| stand(db, &repo, &colour, standing, clock.now());
        self.inner.writer.run("recording a colour", work).await
    }

    /// What ran in place has handed over, or runs on as if nothing had been: nothing more is to be known of it as a colour.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn forget_in_place(&self, repo: &str) -> Result<(), StoreError> {
        let repo = repo.to_owned();
        let work = move |db: &Connection| {
            let mut forget = db.prepare_cached("DELETE FROM colours WHERE repo = ?1 AND standing = ?2")?;
            forget.execute(params![repo, ColourStanding::InPlace.as_str()]).map(drop)
        };
        self.inner.writer.run("recording the end of an adoption", work).await
    }

    /// The bake is over, and the previous colour kept, stopped.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn bake_over(&self, repo: &str) -> Result<(), StoreError> {
        let (repo, clock) = (repo.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| {
            let at = clock.now();
            for one in of(db, &repo)?.iter().filter(|one| one.standing == ColourStanding::Previous) {
                stand(db, &repo, &one.colour, ColourStanding::Kept, at)?;
            }
            bakes(db, &repo, None, at)
        };
        self.inner.writer.run("recording the end of a bake", work).await
    }

    /// The routes lead back to the previous colour. The commit of the one that was live is not deployed again unless somebody
    /// asks for it. The bake goes on until that one is stopped.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn reverted(&self, repo: &str, age: (Generation, Generation), why: &str) -> Result<(), StoreError> {
        let (repo, why, clock) = (repo.to_owned(), why.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| {
            let at = clock.now();
            let all = of(db, &repo)?;
            let back = all.iter().find(|one| one.standing == ColourStanding::Previous);
            if back.is_none() && all.iter().any(|one| one.standing == ColourStanding::Live) {
                // Recorded already, by whoever looked at the routes meanwhile: what is live now is what was gone back to.
                return confirmed(db, &repo, age.0, age.1);
            }
            for one in all.iter().filter(|one| one.standing == ColourStanding::Live) {
                stand(db, &repo, &one.colour, ColourStanding::Failed, at)?;
                // Also where both are of one commit, as after a change of settings.
                success_given_up(db, one.deployment, &why, at)?;
                let Some(commit) = one.commit.as_ref().filter(|_| back.is_none_or(|back| back.commit != one.commit))
                else {
                    continue;
                };
                taken_back(db, &repo, commit, &why, at)?;
            }
            if let Some(back) = back {
                stand(db, &repo, &back.colour, ColourStanding::Live, at)?;
            }
            confirmed(db, &repo, age.0, age.1)
        };
        self.inner.writer.run("recording the way back", work).await
    }

    /// Why a commit is not deployed again, if it was taken back.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn why_reverted(&self, repo: &str, commit: &str) -> Result<Option<(String, Millis)>, StoreError> {
        let (repo, commit) = (repo.to_owned(), commit.to_owned());
        let query = move |db: &Connection| {
            let mut one = db.prepare_cached("SELECT why, at FROM reverted WHERE repo = ?1 AND commit_id = ?2")?;
            one.query_row([&repo, &commit], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        };
        self.inner.readers.run("reading what was taken back", query).await
    }

    /// Loopback ports that are taken, of all repositories.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn loopback_ports(&self) -> Result<Vec<LoopbackPorts>, StoreError> {
        let query = |db: &Connection| {
            let mut all = db.prepare_cached(
                "SELECT first, count, repo, colour, service, port FROM loopback_ports ORDER BY first",
            )?;
            let ports = |row: &Row<'_>| {
                Ok(LoopbackPorts {
                    first: row.get(0)?,
                    count: row.get(1)?,
                    repo: row.get(2)?,
                    colour: row.get(3)?,
                    service: row.get(4)?,
                    port: row.get(5)?,
                })
            };
            all.query_map([], ports)?.collect()
        };
        self.inner.readers.run("reading the loopback ports", query).await
    }

    /// Takes loopback ports, in place of what the same service had. False where another has one of them by now.
    ///
    /// # Errors
    /// As [`Store::begin_colour`].
    pub async fn take_loopback_ports(&self, taken: LoopbackPorts) -> Result<bool, StoreError> {
        let work = move |db: &Connection| {
            let LoopbackPorts { first, count, repo, colour, service, port } = &taken;
            let mut former = db.prepare_cached(
                "DELETE FROM loopback_ports WHERE repo = ?1 AND colour = ?2 AND service = ?3 AND port = ?4",
            )?;
            former.execute(params![repo, colour, service, port])?;
            let last = u32::from(*first) + u32::from(*count);
            let mut meets =
                db.prepare_cached("SELECT 1 FROM loopback_ports WHERE first < ?2 AND first + count > ?1")?;
            if meets.exists(params![first, last])? {
                return Ok(false);
            }
            let mut take = db.prepare_cached(
                "INSERT INTO loopback_ports (first, count, repo, colour, service, port) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            take.execute(params![first, count, repo, colour, service, port]).map(|_| true)
        };
        self.inner.writer.run("taking loopback ports", work).await
    }
}

fn all_taken_back(db: &Connection, repo: &str, left: Option<&TakenBack>, at: Millis) -> rusqlite::Result<()> {
    let Some(TakenBack { commits, why }) = left else { return Ok(()) };
    commits.iter().try_for_each(|commit| {
        // Nobody is to be told that it still waits for a deployment.
        wanted::reached(db, repo, commit, None, at)?;
        taken_back(db, repo, commit, why, at)
    })
}

fn taken_back(db: &Connection, repo: &str, commit: &str, why: &str, at: Millis) -> rusqlite::Result<()> {
    let mut note = db.prepare_cached(
        "INSERT INTO reverted (repo, commit_id, why, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (repo, commit_id) DO UPDATE SET why = excluded.why, at = excluded.at",
    )?;
    note.execute(params![repo, commit, why, at])?;
    let mut last = db.prepare_cached(
        "SELECT max(id) FROM deployments WHERE repo = ?1 AND commit_after = ?2 AND state = 'succeeded'",
    )?;
    let last = last.query_row([repo, commit], |row| row.get(0))?;
    success_given_up(db, last, why, at)?;
    journal::of_repo(db, at, repo, &DomainEvent::CommitReverted { commit: commit.to_owned(), why: why.to_owned() })
}

/// Whoever reads the history later is not to take this success for what runs.
fn success_given_up(db: &Connection, id: Option<DeploymentId>, why: &str, at: Millis) -> rusqlite::Result<()> {
    let Some(id) = id else { return Ok(()) };
    let mut note = db.prepare_cached(
        "UPDATE deployments SET taken_back_at = ?2, taken_back_why = ?3 WHERE id = ?1 AND state = 'succeeded'",
    )?;
    note.execute(params![id, at, why]).map(|_| ())
}

pub(super) const COLOURS: &str =
    "SELECT repo, colour, project, standing, generation, deployment, commit_id, since, made FROM colours";

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<ColourRecord> {
    Ok(ColourRecord {
        repo: row.get(0)?,
        colour: row.get(1)?,
        project: row.get(2)?,
        standing: ColourStanding::named(&row.get::<_, String>(3)?),
        generation: row.get(4)?,
        deployment: row.get(5)?,
        commit: row.get(6)?,
        since: row.get(7)?,
        made: row.get(8)?,
    })
}

/// A colour is as this says from now on.
pub(super) fn keep(db: &Connection, one: &ColourRecord, at: Millis) -> rusqlite::Result<()> {
    let ColourRecord { repo, colour, project, standing, generation, deployment, commit, made, since: _ } = one;
    let mut keep = db.prepare_cached(
        "INSERT INTO colours (repo, colour, project, standing, generation, deployment, commit_id, since, made)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (repo, colour) DO UPDATE SET project = excluded.project, standing = excluded.standing,
           generation = excluded.generation, deployment = excluded.deployment, commit_id = excluded.commit_id,
           since = excluded.since, made = excluded.made",
    )?;
    keep.execute(params![repo, colour, project, standing.as_str(), generation, deployment, commit, at, made])?;
    moved(db, repo, colour, at)
}

pub(super) fn of(db: &Connection, repo: &str) -> rusqlite::Result<Vec<ColourRecord>> {
    db.prepare_cached(&format!("{COLOURS} WHERE repo = ?1 ORDER BY colour"))?.query_map([repo], record)?.collect()
}

pub(super) fn stand(
    db: &Connection,
    repo: &str,
    colour: &str,
    standing: ColourStanding,
    at: Millis,
) -> rusqlite::Result<()> {
    let mut stand = db.prepare_cached(
        "UPDATE colours SET standing = ?3, since = ?4 WHERE repo = ?1 AND colour = ?2 AND standing <> ?3",
    )?;
    match stand.execute(params![repo, colour, standing.as_str(), at])? {
        0 => Ok(()),
        _ => moved(db, repo, colour, at),
    }
}

/// The journal's word of where a colour stands now.
fn moved(db: &Connection, repo: &str, colour: &str, at: Millis) -> rusqlite::Result<()> {
    let Some(one) = of(db, repo)?.into_iter().find(|one| one.colour == colour) else { return Ok(()) };
    let ColourRecord { colour, project, standing, generation, commit, .. } = one;
    journal::of_repo(db, at, repo, &DomainEvent::ColourMoved { colour, project, standing, generation, commit })
}

fn confirmed(db: &Connection, repo: &str, generation: Generation, revision: Generation) -> rusqlite::Result<()> {
    let mut keep = db.prepare_cached("UPDATE switches SET generation = ?2, revision = ?3 WHERE repo = ?1")?;
    keep.execute(params![repo, generation, revision]).map(drop)
}

/// Both colours run until then, or one of them alone.
fn bakes(db: &Connection, repo: &str, bake: Option<Bake>, at: Millis) -> rusqlite::Result<()> {
    let (until, generation) = (bake.map(|bake| bake.until), bake.map(|bake| bake.generation));
    let mut keep = db.prepare_cached(
        "UPDATE rollouts SET bake_until = ?2, bake_generation = ?3 WHERE repo = ?1
           AND (bake_until IS NOT ?2 OR bake_generation IS NOT ?3)",
    )?;
    match keep.execute(params![repo, until, generation])? {
        0 => Ok(()),
        _ => rollouts::tell(db, repo, None, at),
    }
}
