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
        while page.gap.is_some()
            && let Err(error) = wake_waiting(lanes, store).await
        {
            if matches!(error, StoreError::Closed) {
                return;
            }
            tracing::error!(%error, "cannot look for what is queued; looking again in {CLAIM_RETRY:?}");
            tokio::time::sleep(CLAIM_RETRY).await;
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::future::BoxFuture;
    use tokio::sync::Notify;
    use tokio_util::sync::CancellationToken;

    use super::{super::Came, *};
    use crate::store::{Cause, NewDeployment, Only, Retention};

    /// Notes whose lane looks for work, and has none.
    #[derive(Default)]
    struct Looks {
        of: Mutex<Vec<String>>,
        one: Notify,
    }

    impl Work for Arc<Looks> {
        type Job = i64;

        fn id(job: &i64) -> i64 {
            *job
        }

        fn claim<'a>(&'a self, repo: &'a str) -> BoxFuture<'a, Result<Option<i64>, String>> {
            self.of.lock().unwrap().push(repo.to_owned());
            self.one.notify_one();
            Box::pin(async { Ok(None) })
        }

        fn run<'a>(&'a self, _: i64, _: CancellationToken, _: &'a CancellationToken) -> BoxFuture<'a, Came> {
            Box::pin(async { Came::Over })
        }

        fn call_off<'a>(&'a self, _: i64) -> BoxFuture<'a, ()> {
            Box::pin(async {})
        }

        fn broke<'a>(&'a self, _: i64, _: &'a str, _: String, _: &'a CancellationToken) -> BoxFuture<'a, ()> {
            Box::pin(async {})
        }
    }

    async fn queue(store: &Store, repo: &str) {
        let wanted = NewDeployment {
            repo: repo.to_owned(),
            branch: None,
            commit: None,
            kind: Cause::Manual,
            cause: "asked for".to_owned(),
            who: None,
            force_rebuild: false,
            pinned: false,
            new_stack: false,
            back: false,
            past: false,
        };
        store.enqueue(wanted).await.unwrap();
    }

    #[tokio::test]
    async fn whoever_queues_a_deployment_need_not_tell_its_lane() {
        let dir = tempfile::tempdir().unwrap();
        // So small that what is queued here is forgotten as an event before it is read.
        let retention = Retention { events: 10, ..Retention::default() };
        let store = Store::open(&dir.path().join("turnout.db"), retention).unwrap();
        let looks = Arc::new(Looks::default());
        let lanes = Lanes::new(Arc::clone(&looks), 4);
        let news = store.from_now(Only::queued());
        queue(&store, "early").await;
        for _ in 0..1_500 {
            store.tell(DomainEvent::DaemonEnds {}).await.unwrap();
        }
        let waking = tokio::spawn({
            let (lanes, store) = (lanes.clone(), store.clone());
            async move { wake_by_journal(&lanes, &store, news).await }
        });
        queue(&store, "late").await;
        for repo in ["early", "late"] {
            while !looks.of.lock().unwrap().iter().any(|of| of == repo) {
                looks.one.notified().await;
            }
        }
        store.close().await;
        waking.await.unwrap();
    }
}
