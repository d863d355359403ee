//! What a repository's files are made into (a project, a decision, a plan) is computed beside the runtime, and in bounds.
//!
//! Nothing that computes can be interrupted. Who waits can: for a cancellation, for the end of the daemon, and when it takes
//! too long. What still computes then is bounded by its input (`bounds`, and the loader's own), and nothing else is begun
//! for the same repository meanwhile, so that each costs one thread at most, whatever was pushed to it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::Failure;
use crate::{config::Repo, files};

/// What a deployment waits for one of its computations; the largest project that is allowed takes some seconds. It limits for
/// how long a commit can hold its lane by what it asks to be computed.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// The same for who asks how things stand, of all repositories one after the other.
const GLANCE: Duration = Duration::from_secs(10);

/// One a repository, by its path.
static PLACES: Mutex<BTreeMap<PathBuf, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a repository. Those that nobody has asked for or waits for are forgotten.
fn place(of: &Path) -> Arc<Semaphore> {
    let mut places = locked(&PLACES);
    places.retain(|path, place| path == of || Arc::strong_count(place) > 1);
    Arc::clone(places.entry(of.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
}

/// Computes something of a repository on a thread of its own. `doing`: what, as in "… takes longer than".
///
/// # Errors
/// It takes longer than it may, a file system hangs, or the work panicked.
pub async fn compute<T: Send + 'static>(
    repo: &Repo,
    doing: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    within(PATIENCE, &repo.real_path, doing, work).await
}

/// The same for who only looks, and asks for many repositories.
///
/// # Errors
/// As [`compute`].
pub async fn glance<T: Send + 'static>(
    repo: &Repo,
    doing: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    within(GLANCE, &repo.real_path, doing, work).await
}

async fn within<T: Send + 'static>(
    limit: Duration,
    path: &Path,
    doing: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let all = async {
        // The semaphore is never closed.
        let permit = place(path).acquire_owned().await.ok();
        // Held by the thread, whether or not anybody still waits for it; given back where it is given up, for a hanging
        // file system has a watch of its own, which tells of it at once.
        let permit: Arc<Mutex<Option<OwnedSemaphorePermit>>> = Arc::new(Mutex::new(permit));
        let theirs = Arc::clone(&permit);
        let done = files::blocking(move || {
            let done = work();
            drop(locked(&theirs).take());
            done
        });
        let done = done.await;
        drop(locked(&permit).take());
        done
    };
    match timeout(limit, all).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Failure::new(format!(
            "{doing} takes longer than {} s, and was given up; what was begun computes to its end, and nothing else of this \
             repository meanwhile",
            limit.as_secs()
        ))
        .hint("nothing was changed; make the Compose files smaller: fewer services, fewer that depend on each other, less that is included")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    // A paused clock stands still while a thread works.
    #[tokio::test]
    async fn one_that_computes_on_holds_its_own_repository_and_no_other() {
        let (limit, path) = (Duration::from_millis(50), Path::new("/srv/compute/a"));
        let (go_on, wait) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        let stuck = within(limit, path, "planning", move || {
            let done = wait.recv().is_ok();
            let _ = ended.send(done);
        });
        let failure = stuck.await.unwrap_err();
        assert!(failure.summary.starts_with("planning takes longer than"), "{failure:?}");
        let next = within(limit, path, "reading", || 7).await.unwrap_err();
        assert!(next.summary.starts_with("reading takes longer"), "{next:?}");
        assert_eq!(within(PATIENCE, Path::new("/srv/compute/b"), "reading", || 7).await, Ok(7));
        go_on.send(()).unwrap();
        assert!(tokio::task::spawn_blocking(move || end.recv()).await.unwrap().unwrap());
        assert_eq!(within(PATIENCE, path, "reading", || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn who_does_not_wait_any_more_leaves_the_place_to_the_thread() {
        let path = Path::new("/srv/compute/c");
        let (begun, begins) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let waiting = tokio::spawn(within(PATIENCE, path, "planning", move || {
            begun.send(()).unwrap();
            wait.recv().is_ok()
        }));
        tokio::task::spawn_blocking(move || begins.recv()).await.unwrap().unwrap();
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(place(path).available_permits(), 0);
        go_on.send(()).unwrap();
        assert_eq!(within(PATIENCE, path, "reading", || 7).await, Ok(7));
        let broken = within(PATIENCE, path, "reading", || panic!("a fault")).await.map(|()| 0).unwrap_err();
        assert!(broken.summary.starts_with("turnout has a fault"), "{broken:?}");
        assert_eq!(within(PATIENCE, path, "reading", || 8).await, Ok(8));
    }
}
