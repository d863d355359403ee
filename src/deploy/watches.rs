//! The watches that run after verdicts, beside the lanes: at most one a repository.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::store::DeploymentId;

/// The watches of the daemon.
#[derive(Default)]
pub struct Watches {
    under_way: Arc<Mutex<HashMap<String, UnderWay>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct UnderWay {
    deployment: DeploymentId,
    end: CancellationToken,
    /// Fires when the work has ended.
    ended: CancellationToken,
}

impl Watches {
    /// Has `work` done for a deployment of the repository, in place of what is watched of it. `work` is given the token
    /// that ends it.
    pub fn begin<F>(&self, repo: &str, deployment: DeploymentId, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.stop.is_cancelled() {
            return; // the next start goes on with it
        }
        let (end, ended) = (self.stop.child_token(), CancellationToken::new());
        let begun = UnderWay { deployment, end: end.clone(), ended: ended.clone() };
        if let Some(former) = self.lock().insert(repo.to_owned(), begun) {
            former.end.cancel();
        }
        let (work, repo, under_way) = (work(end), repo.to_owned(), Arc::clone(&self.under_way));
        self.tasks.spawn(async move {
            // Whatever becomes of the work, a panic included.
            let _ended = Ended { under_way, repo, deployment, ended };
            work.await;
        });
    }

    /// Ends what is watched of a repository, and waits until it has. Answers which deployment that was of.
    pub async fn end(&self, repo: &str) -> Option<DeploymentId> {
        let (deployment, ended) = {
            let under_way = self.lock();
            let found = under_way.get(repo)?;
            found.end.cancel();
            (found.deployment, found.ended.clone())
        };
        ended.cancelled().await;
        Some(deployment)
    }

    /// Ends all, and waits until they have. None begins after it.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Whether the daemon stops, and the next one goes on.
    pub fn stops(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Whether this deployment is watched on.
    pub fn watches(&self, deployment: DeploymentId) -> bool {
        self.lock().values().any(|watch| watch.deployment == deployment)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, UnderWay>> {
        lock(&self.under_way)
    }
}

/// Takes the work off the list when it ends.
struct Ended {
    under_way: Arc<Mutex<HashMap<String, UnderWay>>>,
    repo: String,
    deployment: DeploymentId,
    ended: CancellationToken,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        if under_way.get(&self.repo).is_some_and(|watch| watch.deployment == self.deployment) {
            under_way.remove(&self.repo);
        }
        self.ended.cancel();
    }
}

/// Only whole values are written under this lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_a_repository_and_an_end_is_waited_for() {
        let watches = Watches::default();
        let log = Arc::new(Mutex::new(Vec::new()));
        let begin = |repo: &str, deployment: DeploymentId| {
            let log = Arc::clone(&log);
            watches.begin(repo, deployment, |end| async move {
                end.cancelled().await;
                tokio::task::yield_now().await;
                lock(&log).push(deployment);
            });
        };
        begin("a", 1);
        begin("b", 2);
        begin("a", 3);
        assert!(watches.watches(3) && !watches.watches(1));
        assert_eq!(watches.end("a").await, Some(3));
        assert!(lock(&log).contains(&3) && !watches.watches(3) && watches.watches(2));
        assert_eq!(watches.end("a").await, None);
        assert!(!watches.stops());
        watches.stop().await;
        begin("a", 4);
        assert!(watches.stops() && !watches.watches(4));
        let mut ended = lock(&log).clone();
        ended.sort_unstable();
        assert_eq!(ended, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_panic_leaves_nothing_behind() {
        let watches = Watches::default();
        watches.begin("a", 1, |_| async { std::panic::panic_any("a fault") });
        watches.end("a").await;
        assert!(!watches.watches(1));
    }
}
