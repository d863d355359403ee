//! Lanes are woken by the journal: that a deployment is queued is written in the transaction that queues it, so that none is
//! queued without its lane hearing of it. Whoever queues one may wake the lane as well; that saves the way.

use std::collections::BTreeSet;

use super::{CLAIM_RETRY, Lanes, Work};
use crate::store::{Cursor, DomainEvent, Filter, Page, State, Store, StoreError};

/// Queued deployments that are looked for where events were missed: one a repository at most, so more than there are.
const MOST: usize = 1_000;

/// Wakes lanes until the store ends. `news` begins before what was queued at the start was looked for.
pub async fn wake_by_journal<W: Work>(lanes: &Lanes<W>, store: &Store, mut news: Cursor) {
    loop {
        let page = match news.next().await {
            Ok(Some(page)) => page,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "cannot read the journal; reading it again in {CLAIM_RETRY:?}");
                tokio::time::sleep(CLAIM_RETRY).await;
                continue;
            }
        };
        if page.gap.is_some()
            && let Err(error) = wake_waiting(lanes, store).await
        {
            tracing::error!(%error, "cannot look for what is queued; a lane may sleep until its next push");
        }
        queued(&page).into_iter().for_each(|repo| lanes.wake(repo));
    }
}

fn queued(page: &Page) -> BTreeSet<&str> {
    let queued =
        page.events.iter().filter(|event| matches!(event.what.known(), Some(DomainEvent::DeploymentQueued { .. })));
    queued.filter_map(|event| event.repo.as_deref()).collect()
}

async fn wake_waiting<W: Work>(lanes: &Lanes<W>, store: &Store) -> Result<(), StoreError> {
    let filter = Filter { state: Some(State::Queued), limit: MOST, ..Filter::default() };
    store.history(filter).await?.iter().for_each(|waiting| lanes.wake(&waiting.repo));
    Ok(())
}
