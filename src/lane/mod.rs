//! Lanes: at most one deployment of a repository at a time, repositories side by side up to a limit.
//!
//! ```text
//!            wake                 queue empty, not woken
//!  (no lane) ────► Busy ─────────────────────────────────► (no lane)
//!                  │  ▲ woken again: look once more
//!             wake ▼  │
//!               BusyAndWoken
//! ```
//!
//! A lane owns no queue. What is queued lives in the store, where a newer push supersedes an older one in the same
//! transaction that accepts it; a lane claims whatever is newest when its turn comes. So a crash loses nothing: at the
//! next start every repository with queued work is woken. A deployment that waits for the engine holds no lane: it lies in
//! the store as well, and [`timer`] wakes the lane that takes it up again.

mod deployments;
mod timer;
mod waker;

use std::{
    collections::{HashMap, hash_map::Entry},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use timer::wake_what_is_due;
pub use waker::wake_by_journal;

use crate::deploy::said;

/// Wait before a lane asks again after the store failed to answer, for instance on a full disk.
const CLAIM_RETRY: Duration = Duration::from_secs(5);

/// What lanes carry out; the daemon's is [`deployments`].
pub trait Work: Send + Sync + 'static {
    /// A deployment that was taken from the queue.
    type Job: Send;

    /// Takes the repository's queued deployment and marks it running, or takes up one that waited; `None` when there is
    /// nothing to be done.
    fn claim<'a>(&'a self, repo: &'a str) -> BoxFuture<'a, Result<Option<Self::Job>, String>>;

    /// Number of a deployment.
    fn id(job: &Self::Job) -> i64;

    /// Carries a deployment out and records its outcome, or puts it down. When `cancel` fires it ends after the step under
    /// way; with `stopping` fired too, it is the daemon that ends, and the deployment goes on at its next start.
    fn run<'a>(
        &'a self,
        job: Self::Job,
        cancel: CancellationToken,
        stopping: &'a CancellationToken,
    ) -> BoxFuture<'a, Came>;

    /// Calls off a deployment that was put down.
    fn call_off<'a>(&'a self, id: i64) -> BoxFuture<'a, ()>;

    /// Records that a deployment ended because `run` panicked, with what the panic said.
    fn broke<'a>(&'a self, id: i64, repo: &'a str, said: String, stopping: &'a CancellationToken) -> BoxFuture<'a, ()>;
}

/// What a deployment came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It has ended.
    Over,
    /// It was put down, and waits with its lane free.
    Waits,
}

/// All lanes of the daemon. Cheap to clone.
pub struct Lanes<W> {
    inner: Arc<Inner<W>>,
}

impl<W> Clone for Lanes<W> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

struct Inner<W> {
    work: W,
    permits: Arc<Semaphore>,
    lanes: Mutex<HashMap<String, Lane>>,
    running: Mutex<HashMap<i64, CancellationToken>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Busy,
    BusyAndWoken,
}

impl<W: Work> Lanes<W> {
    /// Lanes that run at most `limit` deployments at once (at least one).
    pub fn new(work: W, limit: usize) -> Self {
        Self::within(work, Arc::new(Semaphore::new(limit.max(1))))
    }

    /// Lanes that run as many deployments at once as there are permits, which they share with others.
    pub fn within(work: W, permits: Arc<Semaphore>) -> Self {
        Self {
            inner: Arc::new(Inner {
                work,
                permits,
                lanes: Mutex::default(),
                running: Mutex::default(),
                stop: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// The work that the lanes carry out.
    pub fn work(&self) -> &W {
        &self.inner.work
    }

    /// Tells a repository's lane that something is queued. Returns at once; never loses a wake-up.
    pub fn wake(&self, repo: &str) {
        if self.inner.stop.is_cancelled() {
            return; // it stays queued on disk for the next start
        }
        match lock(&self.inner.lanes).entry(repo.to_owned()) {
            Entry::Occupied(mut lane) => {
                lane.insert(Lane::BusyAndWoken);
            }
            Entry::Vacant(lane) => {
                lane.insert(Lane::Busy);
                let inner = Arc::clone(&self.inner);
                let repo = repo.to_owned();
                self.inner.tasks.spawn(async move { inner.drive(&repo).await });
            }
        }
    }

    /// Cancels a running deployment; `false` when it does not run.
    pub fn cancel(&self, deployment: i64) -> bool {
        match lock(&self.inner.running).get(&deployment) {
            Some(token) => {
                token.cancel();
                true
            }
            None => false,
        }
    }

    /// Cancels a deployment that was taken from the queue and may not have begun yet: it is begun as a cancelled one.
    /// Whoever finds that it is over already says [`Lanes::forget`].
    pub fn cancel_claimed(&self, deployment: i64) {
        let mut running = lock(&self.inner.running);
        running.entry(deployment).or_insert_with(|| self.inner.stop.child_token()).cancel();
    }

    /// Takes back what was said to [`Lanes::cancel_claimed`] of a deployment that is over.
    pub fn forget(&self, deployment: i64) {
        lock(&self.inner.running).remove(&deployment);
    }

    /// Stops: no new deployment begins, running ones end after the step under way. Returns when all have.
    pub async fn shut_down(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Answers when a lane could begin: the runtime carries out what is handed to it, and nobody sits on the lanes.
    pub async fn answer(&self) {
        let inner = Arc::clone(&self.inner);
        let turn = self.inner.tasks.spawn(async move { lock(&inner.lanes).len() });
        let _ = turn.await;
    }

    /// Deployments running now.
    pub fn running(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = lock(&self.inner.running).keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}

impl<W: Work> Inner<W> {
    /// Works a repository's queue off, then closes the lane.
    async fn drive(&self, repo: &str) {
        loop {
            let permit = tokio::select! {
                permit = self.permits.acquire() => permit,
                () = self.stop.cancelled() => break,
            };
            let claimed = match self.stop.is_cancelled() {
                true => break,
                false => guarded(self.work.claim(repo)).await.unwrap_or_else(Err),
            };
            match claimed {
                Ok(Some(job)) => {
                    let deployment = W::id(&job);
                    // There already where it was cancelled between the two.
                    let cancel =
                        lock(&self.running).entry(deployment).or_insert_with(|| self.stop.child_token()).clone();
                    let came = guarded(self.work.run(job, cancel.clone(), &self.stop)).await;
                    let waits = came == Ok(Came::Waits);
                    if let Err(said) = came {
                        let recorded = guarded(self.work.broke(deployment, repo, said, &self.stop)).await;
                        if let Err(said) = recorded {
                            tracing::error!(repo, deployment, "the end of a deployment could not be recorded: {said}");
                        }
                    }
                    lock(&self.running).remove(&deployment);
                    // Called off while it was being put down: from here on nobody finds it here any more.
                    if waits
                        && cancel.is_cancelled()
                        && !self.stop.is_cancelled()
                        && let Err(said) = guarded(self.work.call_off(deployment)).await
                    {
                        tracing::error!(repo, deployment, "a deployment could not be called off: {said}");
                    }
                }
                Ok(None) => {
                    let mut lanes = lock(&self.lanes);
                    match lanes.get(repo) {
                        Some(Lane::BusyAndWoken) => {
                            lanes.insert(repo.to_owned(), Lane::Busy);
                        }
                        _ => {
                            lanes.remove(repo);
                            return;
                        }
                    }
                }
                Err(error) => {
                    drop(permit);
                    tracing::error!(repo, error, "cannot read the queue; asking again in {CLAIM_RETRY:?}");
                    tokio::select! {
                        () = tokio::time::sleep(CLAIM_RETRY) => {}
                        () = self.stop.cancelled() => break,
                    }
                }
            }
        }
        lock(&self.lanes).remove(repo);
    }
}

/// What the work gives, or what it said in a panic. A lane outlives both: what it shares with the work is whole at any
/// time.
async fn guarded<T>(work: BoxFuture<'_, T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| said(panic.as_ref()))
}

/// A poisoned lock only means that another task panicked while holding plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Records what ran and when; a run takes a second of paused time.
    #[derive(Default)]
    struct Fake {
        queue: Mutex<HashMap<String, VecDeque<i64>>>,
        log: Mutex<Vec<String>>,
        at_once: Mutex<(usize, usize)>,
        failures: Mutex<u32>,
        /// This one panics.
        faulty: Mutex<Option<i64>>,
        /// This one is put down.
        waits: Mutex<Option<i64>>,
    }

    impl Fake {
        fn push(&self, repo: &str, id: i64) {
            lock(&self.queue).entry(repo.to_owned()).or_default().push_back(id);
        }
        fn log(&self) -> Vec<String> {
            lock(&self.log).clone()
        }
    }

    impl Work for Arc<Fake> {
        type Job = (String, i64);

        fn id(job: &Self::Job) -> i64 {
            job.1
        }

        fn claim<'a>(&'a self, repo: &'a str) -> BoxFuture<'a, Result<Option<Self::Job>, String>> {
            Box::pin(async move {
                let mut failures = lock(&self.failures);
                if *failures > 0 {
                    *failures -= 1;
                    return Err("disk full".to_owned());
                }
                let next = lock(&self.queue).get_mut(repo).and_then(VecDeque::pop_front);
                Ok(next.map(|id| (repo.to_owned(), id)))
            })
        }

        fn run<'a>(
            &'a self,
            (repo, id): Self::Job,
            cancel: CancellationToken,
            _stopping: &'a CancellationToken,
        ) -> BoxFuture<'a, Came> {
            Box::pin(async move {
                {
                    let mut at_once = lock(&self.at_once);
                    at_once.0 += 1;
                    at_once.1 = at_once.1.max(at_once.0);
                }
                lock(&self.log).push(format!("{repo} {id} begins"));
                assert_ne!(*lock(&self.faulty), Some(id), "a fault");
                let end = tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => "ends",
                    () = cancel.cancelled() => "is cancelled",
                };
                lock(&self.log).push(format!("{repo} {id} {end}"));
                lock(&self.at_once).0 -= 1;
                match *lock(&self.waits) == Some(id) {
                    true => Came::Waits,
                    false => Came::Over,
                }
            })
        }

        fn call_off<'a>(&'a self, id: i64) -> BoxFuture<'a, ()> {
            Box::pin(async move { lock(&self.log).push(format!("{id} is called off")) })
        }

        fn broke<'a>(
            &'a self,
            id: i64,
            repo: &'a str,
            said: String,
            _stopping: &'a CancellationToken,
        ) -> BoxFuture<'a, ()> {
            Box::pin(async move { lock(&self.log).push(format!("{repo} {id} broke: {said}")) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_the_deployment_and_not_its_lane() {
        let (fake, lanes) = lanes(1);
        *lock(&fake.faulty) = Some(1);
        fake.push("a", 1);
        fake.push("a", 2);
        fake.push("b", 3);
        lanes.wake("a");
        lanes.wake("b");
        idle(&lanes).await;
        let log = fake.log();
        assert!(log.iter().any(|line| line.starts_with("a 1 broke: ") && line.contains("a fault")), "{log:?}");
        for end in ["a 2 ends", "b 3 ends"] {
            assert!(log.iter().any(|line| line == end), "{end} is not in {log:?}");
        }
        assert!(lanes.running().is_empty());
        lanes.answer().await;
    }

    fn lanes(limit: usize) -> (Arc<Fake>, Lanes<Arc<Fake>>) {
        let fake = Arc::new(Fake::default());
        (Arc::clone(&fake), Lanes::new(fake, limit))
    }

    async fn idle(lanes: &Lanes<Arc<Fake>>) {
        while !lock(&lanes.inner.lanes).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_in_a_repository() {
        let (fake, lanes) = lanes(4);
        fake.push("a", 1);
        lanes.wake("a");
        tokio::time::sleep(Duration::from_millis(500)).await;
        fake.push("a", 2);
        lanes.wake("a");
        idle(&lanes).await;
        assert_eq!(fake.log(), ["a 1 begins", "a 1 ends", "a 2 begins", "a 2 ends"]);
        assert_eq!(lock(&fake.at_once).1, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn repositories_run_side_by_side_up_to_the_limit() {
        let (fake, lanes) = lanes(2);
        for repo in ["a", "b", "c"] {
            fake.push(repo, 1);
            lanes.wake(repo);
        }
        idle(&lanes).await;
        assert_eq!(fake.log().len(), 6);
        assert_eq!(lock(&fake.at_once).1, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_while_the_lane_closes_is_not_lost() {
        let (fake, lanes) = lanes(1);
        for round in 0..50 {
            fake.push("a", round);
            lanes.wake("a");
            lanes.wake("a");
            tokio::task::yield_now().await;
        }
        idle(&lanes).await;
        assert_eq!(fake.log().len(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_store_is_asked_again() {
        let (fake, lanes) = lanes(1);
        *lock(&fake.failures) = 3;
        fake.push("a", 1);
        lanes.wake("a");
        idle(&lanes).await;
        assert_eq!(fake.log(), ["a 1 begins", "a 1 ends"]);
    }

    #[tokio::test(start_paused = true)]
    async fn shutting_down_cancels_what_runs_and_begins_nothing() {
        let (fake, lanes) = lanes(1);
        fake.push("a", 1);
        fake.push("b", 2);
        lanes.wake("a");
        lanes.wake("b");
        tokio::time::sleep(Duration::from_millis(100)).await;
        lanes.shut_down().await;
        assert_eq!(fake.log().len(), 2, "{:?}", fake.log());
        assert!(fake.log()[1].ends_with("is cancelled"));
        lanes.wake("c");
        assert!(lanes.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_deployment_can_be_cancelled() {
        let (fake, lanes) = lanes(1);
        fake.push("a", 7);
        lanes.wake("a");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(lanes.running(), [7]);
        assert!(lanes.cancel(7));
        assert!(!lanes.cancel(8));
        idle(&lanes).await;
        assert_eq!(fake.log(), ["a 7 begins", "a 7 is cancelled"]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_cancelled_as_it_is_put_down_is_called_off() {
        let (fake, lanes) = lanes(1);
        *lock(&fake.waits) = Some(7);
        fake.push("a", 7);
        lanes.wake("a");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(lanes.cancel(7));
        idle(&lanes).await;
        assert_eq!(fake.log(), ["a 7 begins", "a 7 is cancelled", "7 is called off"]);
        // One that nobody cancels waits, with its lane free, also where the daemon ends.
        fake.push("a", 7);
        lanes.wake("a");
        idle(&lanes).await;
        assert!(!lanes.cancel(7) && lanes.running().is_empty());
        fake.push("a", 7);
        lanes.wake("a");
        tokio::time::sleep(Duration::from_millis(100)).await;
        lanes.shut_down().await;
        let log = fake.log();
        assert_eq!(log.iter().filter(|line| line.ends_with("called off")).count(), 1, "{log:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_taken_and_has_not_begun_can_be_cancelled() {
        let (fake, lanes) = lanes(1);
        lanes.cancel_claimed(7);
        fake.push("a", 7);
        lanes.wake("a");
        idle(&lanes).await;
        assert_eq!(fake.log(), ["a 7 begins", "a 7 is cancelled"]);
        lanes.cancel_claimed(7);
        lanes.forget(7);
        assert!(lanes.running().is_empty());
    }
}
