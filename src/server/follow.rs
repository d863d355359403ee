//! Follows logs: what is kept comes from the store, without a gap; what only matters live comes beside it.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use tokio::sync::{
    broadcast::error::RecvError,
    mpsc::{Sender, error::SendError},
};

use super::{control::Control, wire::Followed};
use crate::store::{Deployment, Filter, LogLine, State, Store, StoreError};

/// Lines fetched at one time.
const PAGE: usize = 500;

/// What to show.
pub(super) enum Follow {
    /// One deployment.
    One {
        /// Which.
        deployment: Box<Deployment>,
        /// Lines of the past; `None` = all.
        tail: Option<usize>,
        /// Go on until it ends.
        follow: bool,
    },
    /// All deployments, or those of one repository.
    All {
        /// Only of this repository.
        repo: Option<String>,
        /// Lines of the past.
        tail: usize,
        /// Go on for ever.
        follow: bool,
    },
}

/// Sends what is asked for until there is no more, the reader goes, or the daemon stops.
pub(super) async fn follow(control: &Control, what: Follow, out: &Sender<Followed>) -> Result<(), StoreError> {
    match what {
        Follow::One { deployment, tail, follow } => one(control, *deployment, tail, follow, out).await,
        Follow::All { repo, tail, follow } => all(control, repo, tail, follow, out).await,
    }
}

async fn one(
    control: &Control,
    mut deployment: Deployment,
    tail: Option<usize>,
    follow: bool,
    out: &Sender<Followed>,
) -> Result<(), StoreError> {
    let store = &control.deployer.store;
    let mut changes = store.changes();
    let mut live = control.deployer.live.subscribe();
    let mut seen = 0;
    if let Some(tail) = tail {
        let past = everything(control, deployment.id).await?;
        let before = past.len().checked_sub(tail.saturating_add(1)).and_then(|last| past.get(last));
        seen = before.map_or(0, |line| line.seq);
    }
    loop {
        // The state is read before the lines: what is final has all its lines.
        if let Some(now) = store.deployment(deployment.id).await? {
            deployment = now;
        }
        if send_new(control, &deployment, &mut seen, out).await?.is_err() {
            return Ok(());
        }
        if deployment.state.is_final() || !follow {
            let _ = out.send(Followed::Ended(Box::new(deployment))).await;
            return Ok(());
        }
        loop {
            tokio::select! {
                changed = changes.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return Ok(()),
                },
                event = live.recv() => match event {
                    Ok((id, event)) if id == deployment.id => {
                        if out.send(Followed::Live { deployment: id, event }).await.is_err() {
                            return Ok(());
                        }
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {} // only progress is missed
                    Err(RecvError::Closed) => return Ok(()),
                },
                () = out.closed() => return Ok(()),
                () = control.stop.cancelled() => {
                    // The last lines of what was interrupted, then good-bye.
                    let _ = send_new(control, &deployment, &mut seen, out).await?;
                    return Ok(());
                }
            }
        }
    }
}

async fn all(
    control: &Control,
    repo: Option<String>,
    tail: usize,
    follow: bool,
    out: &Sender<Followed>,
) -> Result<(), StoreError> {
    let store = &control.deployer.store;
    let mut changes = store.changes();
    let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
    // Those of which all was sent: they are not asked for again at every new line of another.
    let mut done: BTreeSet<i64> = BTreeSet::new();
    let mut past: Vec<(Deployment, LogLine)> = Vec::new();
    let filter = |state| Filter { repo: repo.clone(), state, limit: 100, ..Filter::default() };
    // Newest first, until there are enough lines.
    let recent = store.history(filter(None)).await?;
    let newest = recent.first().map_or(0, |deployment| deployment.id);
    let on = watched_on(store).await?;
    for deployment in recent {
        let lines = everything(control, deployment.id).await?;
        seen.insert(deployment.id, lines.last().map_or(0, |line| line.seq));
        if deployment.state.is_final() && !on.contains(&deployment.id) {
            done.insert(deployment.id);
        }
        past.splice(0..0, lines.into_iter().map(|line| (deployment.clone(), line)));
        if past.len() >= tail {
            break;
        }
    }
    for id in on {
        // Those whose past is not shown may have more to say, too.
        if let Entry::Vacant(unseen) = seen.entry(id) {
            unseen.insert(store.last_line(id).await?);
        }
    }
    let skip = past.len().saturating_sub(tail);
    for (deployment, line) in past.into_iter().skip(skip) {
        let line = Followed::Line { deployment: deployment.id, repo: deployment.repo, line };
        if out.send(line).await.is_err() {
            return Ok(());
        }
    }
    if !follow {
        return Ok(());
    }
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            () = out.closed() => return Ok(()),
            () = control.stop.cancelled() => return Ok(()),
        }
        let mut moving = store.history(filter(None)).await?;
        // After the states and before the lines: what is over, and not watched on any more, has all its lines.
        let on = watched_on(store).await?;
        moving.retain(|d| d.id > newest || !d.state.is_final() || seen.contains_key(&d.id));
        moving.retain(|d| !matches!(d.state, State::Queued | State::Superseded) && !done.contains(&d.id));
        moving.reverse();
        for deployment in moving {
            let from = seen.entry(deployment.id).or_insert(0);
            if send_new(control, &deployment, from, out).await?.is_err() {
                return Ok(());
            }
            if deployment.state.is_final() && !on.contains(&deployment.id) {
                done.insert(deployment.id);
            }
        }
    }
}

/// Deployments whose logs go on after their verdict.
async fn watched_on(store: &Store) -> Result<BTreeSet<i64>, StoreError> {
    Ok(store.watched().await?.into_iter().map(|watched| watched.deployment).collect())
}

async fn everything(control: &Control, id: i64) -> Result<Vec<LogLine>, StoreError> {
    let mut lines: Vec<LogLine> = Vec::new();
    loop {
        let page = control.deployer.store.log(id, lines.last().map_or(0, |line| line.seq), PAGE).await?;
        if page.is_empty() {
            return Ok(lines);
        }
        lines.extend(page);
    }
}

/// Sends lines after `seen`. The inner error means that the reader has gone.
async fn send_new(
    control: &Control,
    deployment: &Deployment,
    seen: &mut i64,
    out: &Sender<Followed>,
) -> Result<Result<(), SendError<Followed>>, StoreError> {
    loop {
        let page = control.deployer.store.log(deployment.id, *seen, PAGE).await?;
        if page.is_empty() {
            return Ok(Ok(()));
        }
        for line in page {
            *seen = line.seq;
            let line = Followed::Line { deployment: deployment.id, repo: deployment.repo.clone(), line };
            if let Err(gone) = out.send(line).await {
                return Ok(Err(gone));
            }
        }
    }
}
