//! What the writer can do, each as SQL inside a transaction that it does not own.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::types::{Accepted, Claimed, DeploymentId, Ending, Limits, NewDelivery, Order, Progress, State, StoreError};

/// Keeps a delivery and queues what it asks for.
pub(super) fn accept(c: &Connection, d: &NewDelivery, limits: &Limits) -> Result<Accepted, StoreError> {
    if d.order.is_some()
        && let Some(deployment) = earlier(c, d, limits)?
    {
        return Ok(Accepted::Duplicate { deployment });
    }
    let queued = match &d.order {
        Some(order) => Some(enqueue(c, order, d.received_ms, 1)?),
        None => None,
    };
    c.prepare_cached(
        "INSERT INTO deliveries (guid, digest, event, repo, git_ref, pusher, verdict, received_ms, deployment)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        d.guid,
        d.digest.as_slice(),
        d.event,
        d.repo,
        d.git_ref,
        d.pusher,
        d.verdict,
        d.received_ms,
        queued.as_ref().map(|(id, _)| id)
    ])?;
    forget_deliveries(c, c.last_insert_rowid(), d.received_ms, limits)?;
    Ok(match queued {
        Some((deployment, superseded)) => Accepted::Queued { deployment, superseded },
        None => Accepted::Noted,
    })
}

/// The deployment of an earlier delivery with the same id or the same body, within the window. A delivery whose
/// deployment failed may come again: forges redeliver with the same id on purpose.
#[expect(clippy::option_option, reason = "found or not, and with or without a deployment")]
fn earlier(c: &Connection, d: &NewDelivery, limits: &Limits) -> Result<Option<Option<DeploymentId>>, StoreError> {
    let since = d.received_ms.saturating_sub(limits.delivery_window_ms);
    let found = c
        .prepare_cached(
            "SELECT v.deployment, p.state FROM deliveries v LEFT JOIN deployments p ON p.id = v.deployment
             WHERE v.id = (SELECT max(id) FROM (
                 SELECT id FROM deliveries WHERE guid = ?1 AND guid <> '' AND received_ms >= ?3
                 UNION ALL SELECT id FROM deliveries WHERE digest = ?2 AND received_ms >= ?3))",
        )?
        .query_row(params![d.guid, d.digest.as_slice(), since], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<String>>(1)?))
        })
        .optional()?;
    Ok(match found {
        // An ignored delivery whose repeat now asks for something: the configuration has changed meanwhile.
        Some((None, _)) => None,
        Some((_, Some(state))) if [State::Failed, State::Cancelled].iter().any(|s| s.as_str() == state) => None,
        Some((deployment, _)) => Some(deployment),
        None => None,
    })
}

/// Removes what is beyond the limits, a few rows at a time so that no single delivery pays for many.
fn forget_deliveries(c: &Connection, newest: i64, now_ms: i64, limits: &Limits) -> Result<(), StoreError> {
    let keep = i64::try_from(limits.deliveries).unwrap_or(i64::MAX);
    c.prepare_cached(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE id <= ?1 OR received_ms < ?2
         ORDER BY id LIMIT 4)",
    )?
    .execute(params![newest.saturating_sub(keep), now_ms.saturating_sub(limits.delivery_window_ms)])?;
    Ok(())
}

/// Queues a deployment; queued ones of the same repository are superseded, and what they insisted on is inherited.
pub(super) fn enqueue(
    c: &Connection,
    order: &Order,
    now_ms: i64,
    attempt: i64,
) -> Result<(DeploymentId, Vec<DeploymentId>), StoreError> {
    let waiting: Vec<(DeploymentId, bool)> = c
        .prepare_cached("SELECT id, rebuild FROM deployments WHERE repo = ? AND state = 'queued'")?
        .query_map([&order.repo], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let rebuild = order.rebuild || waiting.iter().any(|(_, rebuild)| *rebuild);
    c.prepare_cached(
        "INSERT INTO deployments (repo, branch, state, cause, who, wanted, rebuild, created_ms, attempt)
         VALUES (?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![order.repo, order.branch, order.cause, order.who, order.wanted, rebuild, now_ms, attempt])?;
    let id = c.last_insert_rowid();
    for (old, _) in &waiting {
        c.prepare_cached(
            "UPDATE deployments SET state = 'superseded', ended_ms = ?, superseded_by = ?, summary = ? WHERE id = ?",
        )?
        .execute(params![now_ms, id, format!("superseded by #{id}, which deploys the newer state"), old])?;
    }
    Ok((id, waiting.into_iter().map(|(id, _)| id).collect()))
}

/// Takes the repository's queued deployment.
pub(super) fn claim(c: &Connection, repo: &str, now_ms: i64) -> Result<Option<Claimed>, StoreError> {
    Ok(c.prepare_cached(
        "UPDATE deployments SET state = 'running', started_ms = ?2, phase = 'starting'
         WHERE id = (SELECT max(id) FROM deployments WHERE repo = ?1 AND state = 'queued')
         RETURNING id, repo, branch, wanted, cause, who, rebuild",
    )?
    .query_row(params![repo, now_ms], |row| {
        Ok(Claimed {
            id: row.get(0)?,
            order: Order {
                repo: row.get(1)?,
                branch: row.get(2)?,
                wanted: row.get(3)?,
                cause: row.get(4)?,
                who: row.get(5)?,
                rebuild: row.get(6)?,
            },
        })
    })
    .optional()?)
}

/// Notes how far a deployment has come.
pub(super) fn progress(c: &Connection, id: DeploymentId, p: &Progress) -> Result<(), StoreError> {
    let Progress { phase, project, branch, before, after, plan } = p;
    c.prepare_cached(
        "UPDATE deployments SET phase = coalesce(?2, phase), project = coalesce(?3, project),
         branch = coalesce(?4, branch), before = coalesce(?5, before), after = coalesce(?6, after),
         plan = coalesce(?7, plan) WHERE id = ?1",
    )?
    .execute(params![id, phase, project, branch, before, after, plan])?;
    Ok(())
}

/// Ends a deployment. An interrupted one is queued again in the same transaction, unless it was tried too often or
/// something newer waits.
pub(super) fn finish(c: &Connection, id: DeploymentId, ending: &Ending, limits: &Limits) -> Result<(), StoreError> {
    let timings = serde_json::to_string(&ending.timings).unwrap_or_else(|_| "[]".to_owned());
    let (repo, project, after) = c
        .prepare_cached(
            "UPDATE deployments SET state = ?2, summary = ?3, hint = ?4, timings = ?5, ended_ms = ?6 WHERE id = ?1
             RETURNING repo, project, after",
        )?
        .query_row(
            params![id, ending.state.as_str(), ending.summary, ending.hint, timings, ending.ended_ms],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, Option<String>>(2)?)),
        )?;
    match ending.state {
        State::Succeeded => {
            if let (Some(project), Some(after)) = (project, after) {
                c.prepare_cached(
                    "INSERT INTO deployed (repo, project, commit_id, deployment, at_ms) VALUES (?, ?, ?, ?, ?)
                     ON CONFLICT (repo, project) DO UPDATE SET commit_id = excluded.commit_id,
                     deployment = excluded.deployment, at_ms = excluded.at_ms",
                )?
                .execute(params![repo, project, after, id, ending.ended_ms])?;
            }
        }
        State::Interrupted => requeue(c, id, ending.ended_ms, limits)?,
        _ => {}
    }
    forget_deployments(c, &repo, limits)
}

fn requeue(c: &Connection, id: DeploymentId, now_ms: i64, limits: &Limits) -> Result<(), StoreError> {
    let (order, attempt) = c.query_row(
        "SELECT repo, branch, wanted, who, rebuild, attempt FROM deployments WHERE id = ?",
        [id],
        |row| {
            let order = Order {
                repo: row.get(0)?,
                branch: row.get(1)?,
                wanted: row.get(2)?,
                cause: "recovery".to_owned(),
                who: row.get(3)?,
                rebuild: row.get(4)?,
            };
            Ok((order, row.get::<_, i64>(5)?))
        },
    )?;
    let newer: bool = c.query_row(
        "SELECT EXISTS (SELECT 1 FROM deployments WHERE repo = ? AND state = 'queued')",
        [&order.repo],
        |row| row.get(0),
    )?;
    if newer {
        // The newer one takes over what this one insisted on.
        c.execute(
            "UPDATE deployments SET rebuild = 1 WHERE repo = ?1 AND state = 'queued' AND ?2",
            params![order.repo, order.rebuild],
        )?;
    } else if attempt >= limits.attempts {
        c.execute(
            "UPDATE deployments SET state = 'failed', summary = ?2, hint = ?3 WHERE id = ?1",
            params![
                id,
                format!("given up: the daemon ended during it {attempt} times"),
                "look into the journal for why turnout ended, then run `turnout deploy`"
            ],
        )?;
    } else {
        enqueue(c, &order, now_ms, attempt + 1)?;
    }
    Ok(())
}

fn forget_deployments(c: &Connection, repo: &str, limits: &Limits) -> Result<(), StoreError> {
    let keep = i64::try_from(limits.history).unwrap_or(i64::MAX);
    let old: Vec<DeploymentId> = c
        .prepare_cached(
            "SELECT id FROM deployments WHERE repo = ?1 AND state NOT IN ('queued', 'running')
             ORDER BY id DESC LIMIT 16 OFFSET ?2",
        )?
        .query_map(params![repo, keep], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in old {
        c.prepare_cached("DELETE FROM events WHERE deployment = ?")?.execute([id])?;
        c.prepare_cached("DELETE FROM deployments WHERE id = ?")?.execute([id])?;
    }
    Ok(())
}

/// After a start: what was running is interrupted and queued again. Returns every repository with queued work.
pub(super) fn recover(c: &Connection, now_ms: i64, limits: &Limits) -> Result<Vec<String>, StoreError> {
    let running: Vec<DeploymentId> = c
        .prepare("SELECT id FROM deployments WHERE state = 'running' ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in running {
        let ending = Ending {
            state: State::Interrupted,
            summary: "the daemon ended while this was under way".to_owned(),
            hint: None,
            timings: Vec::new(),
            ended_ms: now_ms,
        };
        finish(c, id, &ending, limits)?;
    }
    Ok(c.prepare("SELECT DISTINCT repo FROM deployments WHERE state = 'queued' ORDER BY repo")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}
