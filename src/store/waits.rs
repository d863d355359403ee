//! Deployments that wait for a fact from outside, with their lane free: put down in their repository's row, and taken up from
//! there by whoever comes first, each in one transaction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    Claimed, DeploymentId, DomainEvent, Finish, Millis, PutDown, State, Store, StoreError, Update, Waiting, WaitsFor,
    Wish, clock::Clock, deployments, journal, queries, rollouts,
};
use crate::rollout::{self, Action, Ending, Fact, Next, Phase, Rollout};

impl Store {
    /// What waits, by repository.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn waiting(&self) -> Result<Vec<Waiting>, StoreError> {
        let query = |db: &Connection| {
            let mut all = db.prepare_cached(&format!("{SELECT} ORDER BY repo"))?;
            let all: Vec<Waiting> = all.query_map([], waiting)?.collect::<rusqlite::Result<_>>()?;
            Ok(all.into_iter().filter(|one| one.phase.waits()).collect())
        };
        self.inner.readers.run("reading what waits", query).await
    }

    /// Puts a running deployment down: from here on it waits, as `update` has it. One than which a newer one is queued is
    /// superseded by that at once.
    ///
    /// # Errors
    /// As [`Store::next`].
    pub async fn put_down(&self, id: DeploymentId, update: Update, waits: WaitsFor) -> Result<PutDown, StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| put_down(db, id, &update, &waits, clock.within(id));
        let put = self.inner.writer.run("putting the deployment down", work).await?;
        // Its time goes on without this daemon.
        self.inner.clock.ends(id);
        Ok(put)
    }

    /// Says anew for what a deployment waits that waits for a bake. Nothing of one that does not (any more).
    ///
    /// # Errors
    /// As [`Store::next`].
    pub async fn say_wait(&self, id: DeploymentId, summary: String) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let say = move |db: &Connection| {
            let mut say = db.prepare_cached(
                "UPDATE rollouts SET waits_for = ?2 WHERE deployment = ?1 AND phase = ?3 RETURNING repo",
            )?;
            let awaited = params![id, summary, Phase::BakeAwaited.name()];
            let repo: Option<String> = say.query_row(awaited, |row| row.get(0)).optional()?;
            repo.map_or(Ok(()), |repo| rollouts::tell(db, &repo, Some(id), clock.now()))
        };
        self.inner.writer.run("saying for what the deployment waits", say).await
    }

    /// Calls off a deployment that waits for a fact from outside. False if it does not (any more).
    ///
    /// # Errors
    /// As [`Store::next`].
    pub async fn cancel_wait(&self, id: DeploymentId) -> Result<bool, StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let cancel = move |db: &Connection| {
            let Some(over) = queries::deployment(db, id)?.filter(|over| over.state == State::Running) else {
                return Ok(false);
            };
            let (at, stands) = (clock.now(), rollouts::of(db, &over.repo)?);
            let awaited = stands.under_way.and_then(|under_way| under_way.phase.awaited());
            let Some(awaited) = awaited.filter(|_| ends(&stands, Fact::Cancelled, at, Ending::Cancelled)) else {
                return Ok(false);
            };
            let reason = format!("cancelled while waiting for {awaited}");
            deployments::finish(db, id, &Finish::Cancelled { reason }, at)
        };
        self.inner.writer.run("cancelling the deployment", cancel).await
    }
}

/// Those of all repositories.
const SELECT: &str = "SELECT repo, deployment, due_at, waits_for, waits_hint, phase, asked, asked_why, asked_until
  FROM rollouts WHERE phase IS NOT NULL AND deployment IS NOT NULL";
/// Of one repository, found by its name.
const OF_ONE: &str = "SELECT repo, deployment, due_at, waits_for, waits_hint, phase, asked, asked_why, asked_until
  FROM rollouts WHERE repo = ?1 AND phase IS NOT NULL AND deployment IS NOT NULL";

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    let summary: Option<String> = row.get(3)?;
    let (word, why): (Option<String>, Option<String>) = (row.get(6)?, row.get(7)?);
    let asked = Wish::read(word, why.clone(), row.get(8)?);
    Ok(Waiting {
        repo: row.get(0)?,
        deployment: row.get(1)?,
        until: row.get::<_, Option<Millis>>(2)?.unwrap_or_default(),
        phase: row.get::<_, Option<String>>(5)?.and_then(|name| Phase::named(&name)).unwrap_or(Phase::Fetching),
        // An earlier turnout kept none.
        waits: WaitsFor { summary: summary.unwrap_or_else(|| "the engine went away".to_owned()), hint: row.get(4)? },
        asked_by: why.filter(|_| asked.as_ref().is_some_and(|asked| !matches!(asked, Wish::TurnDown { .. }))),
        asked,
    })
}

/// What waits of a repository.
pub(super) fn of(db: &Connection, repo: &str) -> rusqlite::Result<Option<Waiting>> {
    let mut one = db.prepare_cached(OF_ONE)?;
    Ok(one.query_row([repo], waiting).optional()?.filter(|one| one.phase.waits()))
}

/// Takes up what waits of a repository, where this woke it.
pub(super) fn take_up(
    db: &Connection,
    repo: &str,
    woken: Option<(DeploymentId, Fact)>,
    clock: &Clock,
) -> rusqlite::Result<Option<Claimed>> {
    let Some((Waiting { deployment: id, until, mut waits, asked, asked_by, .. }, (woken, fact))) =
        of(db, repo)?.zip(woken)
    else {
        return Ok(None);
    };
    let Some(deployment) = queries::deployment(db, id)?.filter(|one| one.state == State::Running && id == woken) else {
        return Ok(None);
    };
    let at = clock.now();
    // Whoever waited for what is due has looked at a clock that nobody can set.
    let now = if fact == Fact::Due { at.max(until) } else { at };
    let by = asked.as_ref().filter(|asked| asked.fact() == fact).zip(asked_by);
    let said = by.map(|(asked, by)| format!("asked for by {by}: {}", asked.word()));
    if let (Fact::TurnedDown, Some(Wish::TurnDown { why })) = (fact, asked) {
        waits.summary = why;
    }
    let Next { rollout, actions } = rollout::next(&rollouts::of(db, repo)?, fact, now);
    if actions.is_empty() {
        return Ok(None);
    }
    // What is asked from here on is asked of the wait that comes next, and kept until that has begun.
    let mut taken =
        db.prepare_cached("UPDATE rollouts SET asked = NULL, asked_why = NULL, asked_until = NULL WHERE repo = ?1")?;
    taken.execute([repo])?;
    // Of one that ends its record is the end.
    if rollout.under_way.is_some() {
        rollouts::keep(db, repo, Some(id), &rollout, at)?;
    }
    clock.begins(id, at.max(deployment.started_at.unwrap_or(at)));
    Ok(Some(Claimed { deployment, rollout, actions, waited: Some(waits), asked: said }))
}

fn put_down(
    db: &Connection,
    id: DeploymentId,
    update: &Update,
    waits: &WaitsFor,
    at: Millis,
) -> rusqlite::Result<PutDown> {
    let Some(deployment) = queries::deployment(db, id)?.filter(|one| one.state == State::Running) else {
        return Ok(PutDown::Over);
    };
    deployments::note(db, id, update, at)?;
    let WaitsFor { summary, hint } = waits;
    let mut say = db.prepare_cached("UPDATE rollouts SET waits_for = ?2, waits_hint = ?3 WHERE repo = ?1")?;
    say.execute(params![deployment.repo, summary, hint])?;
    let mut newer =
        db.prepare_cached("SELECT id, force_rebuild FROM deployments WHERE repo = ?1 AND state = 'queued'")?;
    let newer = newer.query_row([&deployment.repo], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((newer, rebuilds)): Option<(DeploymentId, bool)> = newer else { return Ok(PutDown::Waits) };
    let gave_way = of(db, &deployment.repo)?.map(|waits| supersede(db, waits, newer, at)).transpose()?;
    if gave_way != Some(true) {
        return Ok(PutDown::Waits);
    }
    if deployment.force_rebuild && !rebuilds {
        deployments::inherit_rebuild(db, newer, at)?;
    }
    Ok(PutDown::Superseded(newer))
}

/// What waits of a repository gives way to a newer deployment. Answers whether it did.
pub(super) fn supersede(db: &Connection, waiting: Waiting, by: DeploymentId, at: Millis) -> rusqlite::Result<bool> {
    let Waiting { repo, deployment: id, waits, .. } = waiting;
    if !ends(&rollouts::of(db, &repo)?, Fact::Newer, at, Ending::Superseded) {
        return Ok(false);
    }
    let why = format!("a newer one took its place while it waited: {}", waits.summary);
    let mut end = db.prepare_cached(
        "UPDATE deployments SET state = 'superseded', superseded_by = ?2, error = ?3,
           ended_at = max(?4, coalesce(started_at, ?4)) WHERE id = ?1 AND state = 'running'",
    )?;
    if end.execute(params![id, by, why, at])? == 0 {
        return Ok(false);
    }
    deployments::end_phase(db, id, at)?;
    let ended = DomainEvent::DeploymentEnded {
        outcome: State::Superseded,
        why: Some(why),
        project: None,
        commit: None,
        superseded_by: Some(by),
    };
    journal::of_deployment(db, at, id, &ended)?;
    rollouts::end(db, id, None, at)?;
    Ok(true)
}

/// Whether this fact ends what is under way in this way.
fn ends(stands: &Rollout, fact: Fact, at: Millis, how: Ending) -> bool {
    rollout::next(stands, fact, at).actions.contains(&Action::Record(how))
}
