//! Follows logs: what is kept comes from the store, without a gap, whenever the journal says that there is more of it; what
//! only matters live comes beside it.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use tokio::sync::{
    broadcast::error::RecvError,
    mpsc::{Sender, error::SendError},
};

use super::{
    command::Control,
    wire::{ALL, Followed, Position, Waiting},
};
use crate::rollout::Phase;
use crate::store::{Cursor, Deployment, DeploymentId, Filter, LogLine, Only, Page, State, Store, StoreError};

/// Lines fetched at one time.
const PAGE: usize = 500;

/// What to show.
pub(super) enum Follow {
    /// One deployment, to its end.
    One {
        /// The deployment as it stood when it was asked for.
        deployment: Box<Deployment>,
        /// Lines of the past; `None` = all.
        tail: Option<usize>,
        /// Go on until it ends.
        follow: bool,
        /// The last line that the reader has, in place of `tail`.
        after: Option<i64>,
        /// Say what it waits for.
        waiting: bool,
    },
    /// All deployments, or those of one repository.
    All {
        /// Only of this repository.
        repo: Option<String>,
        /// Lines of the past.
        tail: usize,
        /// Go on for ever.
        follow: bool,
        /// Say where the log stands, so that the reader can go on there; or go on there, in place of `tail`.
        position: Option<Begin>,
    },
}

/// Where a reader who keeps a position begins.
pub(super) enum Begin {
    /// With the past.
    Past,
    /// Where another connection was cut off.
    Position(Position),
}

/// Sends what is asked for until there is no more, the reader goes, or the daemon stops.
pub(super) async fn follow(control: &Control, what: Follow, out: &Sender<Followed>) -> Result<(), StoreError> {
    match what {
        Follow::One { deployment, tail, follow, after, waiting } => {
            let seen = match (after, tail) {
                (Some(after), _) => after,
                (None, Some(tail)) => before_tail(control, deployment.id, tail).await?,
                (None, None) => 0,
            };
            one(control, *deployment, seen, follow, waiting, out).await
        }
        Follow::All { repo, tail, follow, position } => all(control, repo, tail, follow, position, out).await,
    }
}

async fn one(
    control: &Control,
    mut deployment: Deployment,
    mut seen: i64,
    follow: bool,
    waiting: bool,
    out: &Sender<Followed>,
) -> Result<(), StoreError> {
    let store = &control.deployer.store;
    // What it waits for depends on others.
    let of_it = Only { deployment: Some(deployment.id), ..Only::default() };
    let mut news = store.from_now(if waiting { Only::default() } else { of_it.clone() });
    let mut all = waiting;
    let mut live = control.deployer.live.subscribe();
    let mut told = None;
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
        if all && deployment.state != State::Queued {
            news = store.after(news.position(), of_it.clone());
            all = false;
        }
        if waiting && deployment.state == State::Queued {
            let now = Some(queue(control, &deployment).await?);
            if now != told
                && let Some(now) = &now
                && out.send(Followed::Waiting(now.clone())).await.is_err()
            {
                return Ok(());
            }
            told = now;
        }
        loop {
            tokio::select! {
                ready = news.ready() => {
                    if !ready {
                        return Ok(());
                    }
                    // After a gap as well: how it stands, and its lines, are read from the tables.
                    if !news.take().await?.is_empty() {
                        break;
                    }
                }
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
    position: Option<Begin>,
    out: &Sender<Followed>,
) -> Result<(), StoreError> {
    let store = &control.deployer.store;
    // Before anything is read: what happens from here on is told.
    let news = store.from_now(Only { repo: repo.clone(), ..Only::default() });
    let ends = position.is_some();
    if let Some(Begin::Position(Position { newest, seen })) = position {
        let lines = Lines { repo, newest, done: done_of(&seen), seen, judged: BTreeSet::new(), ends };
        return from_now_on(control, lines, news, true, out).await;
    }
    let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
    // Those of which all was sent: they are not asked for again at every new line of another.
    let mut done: BTreeSet<i64> = BTreeSet::new();
    let mut past: Vec<(Deployment, LogLine)> = Vec::new();
    // Newest first, until there are enough lines.
    let recent = store.history(recent_of(repo.as_ref())).await?;
    let newest = recent.first().map_or(0, |deployment| deployment.id);
    let on = watched_on(store).await?;
    let judged =
        recent.iter().filter(|deployment| deployment.state.is_final()).map(|deployment| deployment.id).collect();
    for deployment in recent {
        // Those that are not over are looked at in any case: what is shown later begins behind what was there.
        let enough = past.len() >= tail;
        if enough && (!follow || deployment.state.is_final()) {
            continue;
        }
        let lines = everything(control, deployment.id).await?;
        seen.insert(deployment.id, lines.last().map_or(0, |line| line.seq));
        if deployment.state.is_final() && !on.contains(&deployment.id) {
            done.insert(deployment.id);
        }
        if enough {
            continue;
        }
        past.splice(0..0, lines.into_iter().map(|line| (deployment.clone(), line)));
    }
    if ends {
        let open = seen.iter().filter(|(id, _)| !done.contains(id)).map(|(id, line)| (*id, *line));
        let position = Position { newest, seen: open.collect() };
        if out.send(Followed::Position(position)).await.is_err() {
            return Ok(());
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
    from_now_on(control, Lines { repo, newest, done, seen, judged, ends }, news, false, out).await
}

/// Which lines of many deployments were sent.
struct Lines {
    repo: Option<String>,
    /// The newest deployment when the reader came.
    newest: i64,
    /// Last lines sent.
    seen: BTreeMap<i64, i64>,
    /// Of which all was sent: they are not asked for again at every new line of another.
    done: BTreeSet<i64>,
    /// Whose verdict was there before the reader came.
    judged: BTreeSet<i64>,
    /// Say how each deployment began and ended.
    ends: bool,
}

/// Sends lines as they come. `strict`: the reader has told which of the deployments that were there before are wanted.
async fn from_now_on(
    control: &Control,
    mut lines: Lines,
    mut news: Cursor,
    strict: bool,
    out: &Sender<Followed>,
) -> Result<(), StoreError> {
    let mut judged = lines.judged.clone();
    // What happened while the reader was away, and what it has not seen of what is under way, is looked for once.
    let mut moving = recent(control, lines.repo.as_ref()).await?;
    loop {
        // After the states and before the lines: what is over, and not watched on any more, has all its lines.
        let on = watched_on(&control.deployer.store).await?;
        moving.retain(|d| d.id > lines.newest || lines.seen.contains_key(&d.id) || !strict && !d.state.is_final());
        moving.retain(|d| !matches!(d.state, State::Queued | State::Superseded) && !lines.done.contains(&d.id));
        for deployment in moving {
            let fresh = !lines.seen.contains_key(&deployment.id);
            if lines.ends && fresh && out.send(Followed::Begun(Box::new(deployment.clone()))).await.is_err() {
                return Ok(());
            }
            let from = lines.seen.entry(deployment.id).or_insert(0);
            if send_new(control, &deployment, from, out).await?.is_err() {
                return Ok(());
            }
            let over = deployment.state.is_final();
            if over && on.contains(&deployment.id) && lines.ends && judged.insert(deployment.id) {
                let verdict = Followed::Verdict(Box::new(deployment.clone()));
                if out.send(verdict).await.is_err() {
                    return Ok(());
                }
            }
            if over && !on.contains(&deployment.id) {
                lines.done.insert(deployment.id);
                if lines.ends && out.send(Followed::Ended(Box::new(deployment))).await.is_err() {
                    return Ok(());
                }
            }
        }
        let page = tokio::select! {
            page = news.next() => page?,
            () = out.closed() => return Ok(()),
            () = control.stop.cancelled() => return Ok(()),
        };
        let Some(page) = page else { return Ok(()) };
        moving = match page.gap {
            None => moved(control, &page).await?,
            Some(gap) => {
                // What is still to be had of it is looked for as at the beginning.
                if out.send(Followed::Missed(gap.to_string())).await.is_err() {
                    return Ok(());
                }
                recent(control, lines.repo.as_ref()).await?
            }
        };
    }
}

/// The newest deployments, oldest first.
async fn recent(control: &Control, repo: Option<&String>) -> Result<Vec<Deployment>, StoreError> {
    let mut recent = control.deployer.store.history(recent_of(repo)).await?;
    recent.reverse();
    Ok(recent)
}

/// The deployments that a page of the journal tells of, as they stand now, oldest first.
async fn moved(control: &Control, page: &Page) -> Result<Vec<Deployment>, StoreError> {
    let ids: BTreeSet<DeploymentId> = page.events.iter().filter_map(|event| event.deployment).collect();
    let mut moved = Vec::new();
    for id in ids {
        // One that was forgotten meanwhile has nothing more to show.
        moved.extend(control.deployer.store.deployment(id).await?);
    }
    Ok(moved)
}

fn done_of(seen: &BTreeMap<i64, i64>) -> BTreeSet<i64> {
    seen.iter().filter(|(_, line)| **line == ALL).map(|(id, _)| *id).collect()
}

fn recent_of(repo: Option<&String>) -> Filter {
    Filter { repo: repo.cloned(), limit: 100, ..Filter::default() }
}

/// The number of the line before the last `tail` ones.
async fn before_tail(control: &Control, id: i64, tail: usize) -> Result<i64, StoreError> {
    let past = everything(control, id).await?;
    let before = past.len().checked_sub(tail.saturating_add(1)).and_then(|last| past.get(last));
    Ok(before.map_or(0, |line| line.seq))
}

/// What a queued deployment waits for.
async fn queue(control: &Control, queued: &Deployment) -> Result<Waiting, StoreError> {
    let running = Filter { state: Some(State::Running), limit: 100, ..Filter::default() };
    let mut running = control.deployer.store.history(running).await?;
    // One that waits for a fact from outside holds no place.
    running.retain(|other| !other.phase.as_deref().and_then(Phase::named).is_some_and(Phase::waits));
    let repo = &queued.repo;
    let what = match running.iter().find(|other| other.repo == *repo) {
        Some(other) => {
            let phase = other.phase.as_deref().map(|phase| format!(" ({phase})")).unwrap_or_default();
            format!("the end of deployment {} of {repo}{phase}", other.id)
        }
        None if running.is_empty() => format!("its turn: {repo} is next"),
        None => {
            let others: Vec<&str> = running.iter().map(|other| other.repo.as_str()).collect();
            format!(
                "a free place: {} {} being deployed",
                others.join(", "),
                if others.len() == 1 { "is" } else { "are" }
            )
        }
    };
    Ok(Waiting { what, at_most: None })
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
