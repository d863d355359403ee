//! Taking deliveries and requests in: recognise repeats, supersede what waits, queue.

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use super::{
    Accepted, DeploymentId, Enqueued, NewDelivery, NewDeployment, Retention, State, Store, StoreError, now,
    records::Millis,
};

impl Store {
    /// Records a delivery and, if it wants a deployment, queues that; a queued one of the same repository is superseded
    /// in the same transaction. Answers when all of it is on disk.
    ///
    /// A repeat (same body; or same id, repository and commit) queues nothing, unless the deployment it led to failed
    /// or was cancelled.
    ///
    /// # Errors
    /// The disk is full, or the store is closed. Nothing is recorded then.
    pub async fn accept(&self, delivery: NewDelivery) -> Result<Accepted, StoreError> {
        let window = self.inner.retention;
        self.inner.writer.run("recording the delivery", move |db| accept(db, &delivery, window, now())).await
    }

    /// Queues a deployment that somebody asked for; a queued one of the same repository is superseded.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn enqueue(&self, wanted: NewDeployment) -> Result<Enqueued, StoreError> {
        self.inner.writer.run("queueing the deployment", move |db| enqueue(db, &wanted, Retry::default(), now())).await
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

fn accept(db: &Connection, delivery: &NewDelivery, window: Retention, at: Millis) -> rusqlite::Result<Accepted> {
    let mut record = Accepted { delivery: 0, deployment: None, superseded: None, duplicate_of: None };
    let (mut verdict, mut reason) = (delivery.verdict, delivery.reason.as_str());
    let repeated;
    if let Some(wanted) = &delivery.deploy {
        record.duplicate_of = earlier(db, delivery, window, at)?;
        if let Some(first) = record.duplicate_of {
            repeated = format!("repeats the delivery that led to deployment {first}");
            (verdict, reason) = ("duplicate", &repeated);
        } else {
            let queued = enqueue(db, wanted, Retry::default(), at)?;
            record.deployment = Some(queued.deployment);
            record.superseded = queued.superseded;
        }
    }
    let NewDelivery { forge, guid, event, repo, git_ref, commit, pusher, digest, verdict: _, reason: _, deploy: _ } =
        delivery;
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
        verdict,
        reason,
        at,
        record.deployment,
        record.duplicate_of,
    ])?;
    record.delivery = db.last_insert_rowid();
    Ok(record)
}

/// The deployment that the same delivery led to before, unless that one may be tried again.
fn earlier(
    db: &Connection,
    delivery: &NewDelivery,
    window: Retention,
    at: Millis,
) -> rusqlite::Result<Option<DeploymentId>> {
    let age = Millis::try_from(window.delivery_age.as_millis()).unwrap_or(Millis::MAX);
    let since = at.saturating_sub(age);
    let first = |mut query: CachedStatement<'_>, params: &[&dyn rusqlite::ToSql]| {
        query.query_row(params, |row| Ok((row.get(0)?, row.get(1)?))).optional()
    };
    let by_digest = db.prepare_cached(
        "SELECT d.deployment, p.state FROM deliveries d LEFT JOIN deployments p ON p.id = d.deployment
         WHERE d.digest = ?1 AND d.deployment IS NOT NULL AND d.received_at >= ?2 ORDER BY d.id DESC LIMIT 1",
    )?;
    let mut found: Option<(DeploymentId, Option<State>)> = first(by_digest, params![delivery.digest, since])?;
    if let (None, Some(guid)) = (&found, &delivery.guid) {
        // The id is not signed: alone it must not be able to swallow another push.
        let by_guid = db.prepare_cached(
            "SELECT d.deployment, p.state FROM deliveries d LEFT JOIN deployments p ON p.id = d.deployment
             WHERE d.guid = ?1 AND d.deployment IS NOT NULL AND d.received_at >= ?2
               AND d.repo IS ?3 AND d.git_ref IS ?4 AND d.commit_id IS ?5 ORDER BY d.id DESC LIMIT 1",
        )?;
        let params = params![guid, since, delivery.repo, delivery.git_ref, delivery.commit];
        found = first(by_guid, params)?;
    }
    let again = |state: &Option<State>| matches!(state, Some(State::Failed | State::Cancelled));
    Ok(found.filter(|(_, state)| !again(state)).map(|(deployment, _)| deployment))
}

/// Queues a deployment in place of the one that waits, whose wish for a rebuild it inherits.
pub(super) fn enqueue(db: &Connection, wanted: &NewDeployment, retry: Retry, at: Millis) -> rusqlite::Result<Enqueued> {
    let mut waiting =
        db.prepare_cached("SELECT id, force_rebuild FROM deployments WHERE repo = ?1 AND state = 'queued'")?;
    let waiting: Option<(DeploymentId, bool)> =
        waiting.query_row([&wanted.repo], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((waiting, _)) = waiting {
        // It must leave the queue before the new one enters: the index allows one.
        let mut leave =
            db.prepare_cached("UPDATE deployments SET state = 'superseded', ended_at = ?2 WHERE id = ?1")?;
        leave.execute(params![waiting, at])?;
    }
    let NewDeployment { repo, branch, commit, kind, cause, who, force_rebuild } = wanted;
    let force = *force_rebuild || waiting.is_some_and(|(_, force)| force);
    let mut insert = db.prepare_cached(
        "INSERT INTO deployments (repo, branch, wanted_commit, kind, cause, who, force_rebuild, state, retry_of, attempt,
           created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued', ?8, ?9, ?10)",
    )?;
    insert.execute(params![repo, branch, commit, kind, cause, who, force, retry.of, retry.attempt, at])?;
    let deployment = db.last_insert_rowid();
    if let Some((waiting, _)) = waiting {
        let mut name = db.prepare_cached("UPDATE deployments SET superseded_by = ?2 WHERE id = ?1")?;
        name.execute([waiting, deployment])?;
    }
    Ok(Enqueued { deployment, superseded: waiting.map(|(waiting, _)| waiting) })
}
