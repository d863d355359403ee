//! Taking deliveries and requests in: recognise repeats, supersede what waits, queue.

use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    Accepted, DeploymentId, DomainEvent, Enqueued, NewDelivery, NewDeployment, NewHook, State, Store, StoreError, held,
    journal, queries, records::Millis, repeats::Repeats, waits, wanted as newest,
};

impl Store {
    /// Records a delivery and, if it wants a deployment, queues that; a queued one of the same repository, or one that waits
    /// for the engine, is superseded in the same transaction. Answers when all of it is on disk.
    ///
    /// A repeat (same body; or same id, repository and commit) queues nothing, unless what it led to did not come to a
    /// good end: it failed, was cancelled or given up, or another one that took its place was, or did not bring what is
    /// wanted. Of a repository that is held nothing is queued; what was pushed waits for its release. Hooks are told to the
    /// journal, in the same transaction, unless it is a repeat.
    ///
    /// # Errors
    /// The disk is full, or the store is closed. Nothing is recorded then.
    pub async fn accept(&self, delivery: NewDelivery) -> Result<Accepted, StoreError> {
        let (repeats, clock) = (Arc::clone(&self.inner.repeats), Arc::clone(&self.inner.clock));
        let record = move |db: &Connection| {
            // Only the writing thread takes this lock.
            let mut repeats = repeats.lock().unwrap_or_else(PoisonError::into_inner);
            accept(db, &mut repeats, &delivery, clock.now())
        };
        self.inner.writer.run("recording the delivery", record).await
    }

    /// Queues a deployment that somebody asked for; a queued one of the same repository is superseded.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn enqueue(&self, wanted: NewDeployment) -> Result<Enqueued, StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| enqueue(db, &wanted, Retry::default(), clock.now());
        self.inner.writer.run("queueing the deployment", work).await
    }
}

/// Where a deployment repeats an interrupted one.
#[derive(Clone, Copy)]
pub(super) struct Retry {
    pub(super) of: Option<DeploymentId>,
    pub(super) attempt: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Retry { of: None, attempt: 1 }
    }
}

fn accept(db: &Connection, repeats: &mut Repeats, delivery: &NewDelivery, at: Millis) -> rusqlite::Result<Accepted> {
    let mut record = Accepted { delivery: 0, deployment: None, superseded: None, duplicate_of: None, held: None };
    let (mut effect, mut reason) = (delivery.effect, delivery.reason.as_str());
    let said;
    if let Some(wanted) = &delivery.deploy {
        let first = earlier(db, repeats, delivery)?;
        let again = match &first {
            None => true,
            Some((first, state)) => may_be_tried_again(db, *first, *state, wanted)?,
        };
        if let (Some((first, _)), false) = (first, again) {
            record.duplicate_of = Some(first);
            said = format!("repeats the delivery that led to deployment {first}");
            (effect, reason) = ("duplicate", &said);
        } else if let Some(hold) = held::find(db, &wanted.repo)? {
            // One that was sent again may be older than what waits.
            if (first.is_none() || hold.newest.is_none()) && held::note_push(db, delivery, wanted, at)? {
                newest::note(db, wanted, at)?;
            }
            said = format!("{}; {hold}, not deployed", delivery.reason);
            (effect, reason) = ("held", &said);
            record.held = Some(hold);
        } else {
            if first.is_none() {
                newest::note(db, wanted, at)?;
            }
            let queued = enqueue(db, wanted, Retry::default(), at)?;
            record.deployment = Some(queued.deployment);
            record.superseded = queued.superseded;
        }
    }
    let NewDelivery {
        forge,
        guid,
        event,
        repo,
        git_ref,
        commit,
        pusher,
        digest,
        effect: _,
        reason: _,
        deploy: _,
        hooks,
    } = delivery;
    let mut insert = db.prepare_cached(
        "INSERT INTO deliveries (forge, guid, event, repo, git_ref, commit_id, pusher, digest, verdict, reason,
           received_at, deployment, duplicate_of) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    insert.execute(params![
        forge,
        guid,
        event,
        repo,
        git_ref,
        commit,
        pusher,
        digest,
        effect,
        reason,
        at,
        record.deployment,
        record.duplicate_of,
    ])?;
    record.delivery = db.last_insert_rowid();
    let told = DomainEvent::DeliveryAccepted {
        delivery: record.delivery,
        forge: (*forge).to_owned(),
        event: event.clone(),
        full_name: repo.clone(),
        commit: commit.clone(),
        effect: effect.to_owned(),
        reason: reason.to_owned(),
        queued: record.deployment,
        duplicate_of: record.duplicate_of,
    };
    match &delivery.deploy {
        Some(wanted) => journal::of_repo(db, at, &wanted.repo, &told)?,
        None => journal::of_daemon(db, at, &told)?,
    }
    if record.duplicate_of.is_none() {
        for NewHook { repo, name, cause } in hooks {
            let wanted =
                DomainEvent::HookWanted { delivery: record.delivery, name: name.clone(), cause: cause.clone() };
            journal::of_repo(db, at, repo, &wanted)?;
        }
    }
    if record.deployment.is_some() {
        let oldest = || db.prepare_cached("SELECT min(id) FROM deliveries")?.query_row([], |row| row.get(0));
        repeats.note(record.delivery, delivery, oldest);
    }
    Ok(record)
}

/// The deployment that the same delivery led to before, and where that stands, unless it is forgotten.
fn earlier(
    db: &Connection,
    repeats: &Repeats,
    delivery: &NewDelivery,
) -> rusqlite::Result<Option<(DeploymentId, Option<State>)>> {
    let answer = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let mut found: Option<(DeploymentId, Option<State>)> = None;
    if let Some(row) = repeats.same_body(delivery) {
        let mut by_digest = db.prepare_cached(
            "SELECT d.deployment, p.state FROM deliveries d LEFT JOIN deployments p ON p.id = d.deployment
             WHERE d.id = ?1 AND d.deployment IS NOT NULL AND d.digest = ?2",
        )?;
        found = by_digest.query_row(params![row, delivery.digest], answer).optional()?;
    }
    if let (None, Some(row)) = (&found, repeats.same_push(delivery)) {
        // The id is not signed: alone it must not be able to swallow another push.
        let mut by_guid = db.prepare_cached(
            "SELECT d.deployment, p.state FROM deliveries d LEFT JOIN deployments p ON p.id = d.deployment
             WHERE d.id = ?1 AND d.deployment IS NOT NULL AND d.guid IS ?2 AND d.repo IS ?3 AND d.git_ref IS ?4
               AND d.commit_id IS ?5",
        )?;
        let NewDelivery { guid, repo, git_ref, commit, .. } = delivery;
        found = by_guid.query_row(params![row, guid, repo, git_ref, commit], answer).optional()?;
    }
    Ok(found)
}

/// Whether a push that is sent again is to be deployed again: what it led to first, or what took the place of that, did
/// not come to a good end; or its commit is the one that is wanted, and nothing is on the way that may bring it.
fn may_be_tried_again(
    db: &Connection,
    first: DeploymentId,
    state: Option<State>,
    pushed: &NewDeployment,
) -> rusqlite::Result<bool> {
    let ended = match state {
        // Its place was taken by the next one that was not superseded itself.
        Some(State::Superseded | State::Interrupted) => {
            let mut next = db.prepare_cached(
                "SELECT state FROM deployments WHERE repo = ?1 AND id > ?2 AND state NOT IN ('superseded', 'interrupted')
                 ORDER BY id LIMIT 1",
            )?;
            let next = next.query_row(params![pushed.repo, first], |row| row.get(0)).optional()?;
            // Nothing did: it was given up.
            next.or(Some(State::Interrupted))
        }
        other => other,
    };
    if matches!(ended, Some(State::Failed | State::Cancelled | State::Interrupted)) {
        return Ok(true);
    }
    let mut wanted = db.prepare_cached(
        "SELECT 1 FROM wanted WHERE repo = ?1 AND commit_id = ?2 AND NOT EXISTS
           (SELECT 1 FROM deployments WHERE repo = ?1 AND state IN ('queued', 'running'))",
    )?;
    wanted.exists(params![pushed.repo, pushed.commit])
}

/// Queues a deployment in place of the one that waits, whose wish for a rebuild it inherits.
pub(super) fn enqueue(db: &Connection, wanted: &NewDeployment, retry: Retry, at: Millis) -> rusqlite::Result<Enqueued> {
    let mut waiting =
        db.prepare_cached("SELECT id, force_rebuild FROM deployments WHERE repo = ?1 AND state = 'queued'")?;
    let waiting: Option<(DeploymentId, bool)> =
        waiting.query_row([&wanted.repo], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((waiting, _)) = waiting {
        // It must leave the queue before the new one enters, as the index allows one; so the number that AUTOINCREMENT
        // is going to give is written down before it is given.
        let mut leave = db.prepare_cached(
            "UPDATE deployments SET state = 'superseded', ended_at = ?2,
               superseded_by = (SELECT seq + 1 FROM sqlite_sequence WHERE name = 'deployments') WHERE id = ?1",
        )?;
        leave.execute(params![waiting, at])?;
    }
    let NewDeployment { repo, branch, commit, kind, cause, who, force_rebuild, pinned, new_stack, back, past } = wanted;
    // One that is put down gives way like one that is queued; there is never both.
    let waits = waits::of(db, repo)?;
    let put_down = waits.as_ref().map(|waits| queries::deployment(db, waits.deployment)).transpose()?.flatten();
    let force = *force_rebuild
        || waiting.is_some_and(|(_, force)| force)
        || put_down.as_ref().is_some_and(|one| one.force_rebuild);
    let mut insert = db.prepare_cached(
        "INSERT INTO deployments (repo, branch, wanted_commit, kind, cause, who, force_rebuild, state, retry_of, attempt,
           created_at, pinned, new_stack, back)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued', ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    insert.execute(params![
        repo,
        branch,
        commit,
        kind,
        cause,
        who,
        force,
        retry.of,
        retry.attempt,
        at,
        pinned,
        new_stack,
        queries::back(*back, *past)
    ])?;
    let deployment = db.last_insert_rowid();
    if let Some((waiting, _)) = waiting {
        let ended = DomainEvent::DeploymentEnded {
            outcome: State::Superseded,
            why: None,
            project: None,
            commit: None,
            superseded_by: Some(deployment),
        };
        journal::of_deployment(db, at, waiting, &ended)?;
    }
    let queued = DomainEvent::DeploymentQueued {
        cause_kind: *kind,
        cause: cause.clone(),
        commit: commit.clone(),
        branch: branch.clone(),
        who: who.clone(),
        pinned: *pinned,
        force_rebuild: force,
        retry_of: retry.of,
        attempt: retry.attempt,
    };
    journal::of_deployment(db, at, deployment, &queued)?;
    let gave_way = waits.map(|waits| waits::supersede(db, waits, deployment, at)).transpose()?;
    let put_down = put_down.filter(|_| gave_way == Some(true)).map(|one| one.id);
    let superseded = waiting.map(|(waiting, _)| waiting).or(put_down);
    Ok(Enqueued { deployment, superseded })
}
