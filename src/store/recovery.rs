//! After a crash, and at an orderly shutdown: what ran is marked interrupted and queued anew.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Cause, DeploymentId, DomainEvent, Millis, NewDeployment, Recovered, State, Store, StoreError,
    deployments::{end_phase, ended, inherit_rebuild},
    held,
    intake::{self, Retry},
    journal, queries, rollouts,
};
use crate::rollout::{self, ATTEMPTS, Action, Fact, Next};

impl Store {
    /// To be called once after opening: marks what ran as interrupted, queues each again (once, and not where something
    /// newer waits already), leaves what waits for a fact from outside as it is, and names the repositories whose lanes have work.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn recover(&self) -> Result<Recovered, StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let recover = move |db: &Connection| {
            let mut running = db.prepare_cached("SELECT id FROM deployments WHERE state = 'running' ORDER BY id")?;
            let running = running.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<DeploymentId>>>()?;
            let mut recovered = Recovered::default();
            let began = DomainEvent::DaemonBegan { version: env!("CARGO_PKG_VERSION").to_owned() };
            journal::of_daemon(db, clock.now(), &began)?;
            for id in running {
                match interrupt(db, id, "the daemon ended while it ran", How::Crash, clock.now())? {
                    Fate::Waits => continue,
                    Fate::NotRunning | Fate::GivenUp | Fate::Queued | Fate::NewerWaits | Fate::Held => {}
                }
                recovered.interrupted.push(id);
            }
            recovered.given_up = given_up(db)?;
            let mut queued = db.prepare_cached("SELECT repo FROM deployments WHERE state = 'queued' ORDER BY id")?;
            recovered.queued = queued.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            Ok(recovered)
        };
        self.inner.writer.run("recovering deployments", recover).await
    }

    /// For a shutdown: marks one running deployment as interrupted and queues it again for the next start. That is no
    /// failed attempt, however often the daemon is restarted.
    ///
    /// # Errors
    /// As [`Store::recover`].
    pub async fn interrupt(&self, id: DeploymentId, reason: &str) -> Result<(), StoreError> {
        let (reason, clock) = (reason.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| interrupt(db, id, &reason, How::Orderly, clock.within(id)).map(drop);
        self.inner.writer.run("interrupting the deployment", work).await?;
        self.inner.clock.ends(id);
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Fate {
    NotRunning,
    /// For a fact from outside: it goes on doing so.
    Waits,
    Queued,
    NewerWaits,
    Held,
    GivenUp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Crash,
    Orderly,
}

fn interrupt(db: &Connection, id: DeploymentId, reason: &str, how: How, at: Millis) -> rusqlite::Result<Fate> {
    let running = queries::deployment(db, id)?.filter(|over| over.state == State::Running);
    let Some(over) = running else { return Ok(Fate::NotRunning) };
    let fact = match how {
        How::Crash => Fact::Started { attempt: over.attempt },
        How::Orderly => Fact::Stopped,
    };
    let Next { rollout, actions } = rollout::next(&rollouts::of(db, &over.repo)?.surely_under_way(), fact, at);
    if rollout.waits().is_some() {
        return Ok(Fate::Waits);
    }
    let mut mark = db.prepare_cached(
        // The clock may have been set back since it began.
        "UPDATE deployments SET state = 'interrupted', error = ?2, ended_at = max(?3, coalesce(started_at, ?3))
         WHERE id = ?1",
    )?;
    mark.execute(params![id, reason, at])?;
    end_phase(db, id, at)?;
    rollouts::end(db, id, None, at)?;
    if let Some((waits, already)) = waiting(db, &over.repo)? {
        ended(db, at, id, State::Interrupted, Some(reason.to_owned()))?;
        if over.force_rebuild && !already {
            inherit_rebuild(db, waits, at)?;
        }
        return Ok(Fate::NewerWaits);
    }
    let say = |why: String| {
        db.prepare_cached("UPDATE deployments SET error = ?2 WHERE id = ?1")?.execute(params![id, why])?;
        ended(db, at, id, State::Interrupted, Some(why))
    };
    if !actions.contains(&Action::Again) {
        say(format!("{reason}; not tried again after {ATTEMPTS} attempts: {BY_HAND}"))?;
        return Ok(Fate::GivenUp);
    }
    let again = NewDeployment {
        repo: over.repo,
        branch: over.branch,
        commit: over.wanted_commit,
        kind: Cause::Recovery,
        cause: match (over.kind, over.cause.split_once(": ")) {
            // Of a repeat's repeat, the first cause is what a reader wants.
            (Cause::Recovery, Some((_, first))) => format!("repeats deployment {id}: {first}"),
            _ => format!("repeats deployment {id}: {}", over.cause),
        },
        who: over.who,
        force_rebuild: over.force_rebuild,
        pinned: over.pinned,
        new_stack: over.new_stack,
        back: over.back,
        past: over.past,
    };
    let Some(again) = held::narrowed(db, again, over.commit_after, at)? else {
        say(format!("{reason}; the repository is held, so it is not repeated"))?;
        return Ok(Fate::Held);
    };
    ended(db, at, id, State::Interrupted, Some(reason.to_owned()))?;
    intake::enqueue(db, &again, Retry { of: Some(id), attempt: over.attempt + u32::from(how == How::Crash) }, at)?;
    Ok(Fate::Queued)
}

/// How the error of a deployment ends that is not tried again, until it is told what became of it.
const BY_HAND: &str = "deploy it by hand";

/// Deployments that are not tried again, now or at an earlier start, and of which nobody lived to tell what became of them. Where
/// there is a later one of the repository, that is what counts.
fn given_up(db: &Connection) -> rusqlite::Result<Vec<DeploymentId>> {
    let mut all = db.prepare_cached(
        "SELECT id FROM deployments one WHERE state = 'interrupted' AND error LIKE '%' || ?1
           AND NOT EXISTS (SELECT 1 FROM deployments later WHERE later.repo = one.repo AND later.id > one.id)
         ORDER BY id",
    )?;
    all.query_map([BY_HAND], |row| row.get(0))?.collect()
}

/// The deployment that waits, and whether it is to rebuild everything.
fn waiting(db: &Connection, repo: &str) -> rusqlite::Result<Option<(DeploymentId, bool)>> {
    let mut waits =
        db.prepare_cached("SELECT id, force_rebuild FROM deployments WHERE repo = ?1 AND state = 'queued'")?;
    waits.query_row([repo], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}
