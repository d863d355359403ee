//! Images of a deployment that waits for the bake before it are built meanwhile, beside the lanes: at most one at a time a repository,
//! and as many in all as deployments may run at once, those counted as well.
//!
//! ```text
//!  put down, waits ──► a place ──► fetched beside the work tree, planned, pulled and built ──► waits on
//!                         │                           │
//!        taken up: given up, the deployment does it   ├── taken up: the deployment waits for the end of it
//!                                                     └── superseded, called off, the daemon ends: called off
//! ```
//!
//! Nothing of it is needed: what is lost here is fetched, pulled and built when the bake is over, as if nothing had been.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::store::DeploymentId;

/// What is built meanwhile. At most one a repository.
pub struct Meanwhile {
    known: Mutex<HashMap<String, Known>>,
    places: Arc<Semaphore>,
}

/// What is known of a repository.
#[derive(Default)]
struct Known {
    under_way: Option<Signals>,
    /// Whose images were built last, or could not be: that is not tried twice.
    last: Option<DeploymentId>,
    /// Fingerprints of images that were built and have no name yet.
    built: BTreeSet<String>,
}

/// What those tell each other who build and who wait for it.
#[derive(Clone)]
pub(super) struct Signals {
    /// The deployment goes on: its bake is over.
    pub taken_up: CancellationToken,
    /// Nobody needs it any more.
    pub cancel: CancellationToken,
    over: CancellationToken,
}

/// The right to build for a repository, until it is dropped.
pub(super) struct Turn<'a> {
    of: &'a Meanwhile,
    repo: &'a str,
    pub signals: Signals,
}

impl Meanwhile {
    /// Nothing is built yet. `parallel`: how many deployments run at one time.
    pub fn new(parallel: usize) -> Meanwhile {
        Meanwhile { known: Mutex::default(), places: Arc::new(Semaphore::new(parallel.max(1))) }
    }

    /// The places of all that deploys or builds.
    pub fn places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.places)
    }

    /// Begins to build for a repository; `None` where somebody does. It is called off with `stop`.
    pub(super) fn begin<'a>(&'a self, repo: &'a str, stop: &CancellationToken) -> Option<Turn<'a>> {
        let mut known = self.lock();
        let known = known.entry(repo.to_owned()).or_default();
        if known.under_way.is_some() {
            return None;
        }
        let signals =
            Signals { taken_up: CancellationToken::new(), cancel: stop.child_token(), over: CancellationToken::new() };
        known.under_way = Some(signals.clone());
        Some(Turn { of: self, repo, signals })
    }

    /// Whether the images of this deployment are still to be built: it is noted that somebody does.
    pub(super) fn first(&self, repo: &str, deployment: DeploymentId) -> bool {
        let mut known = self.lock();
        known.entry(repo.to_owned()).or_default().last.replace(deployment) != Some(deployment)
    }

    /// Whether somebody has built for this deployment, and for none since.
    pub(super) fn was_last(&self, repo: &str, deployment: DeploymentId) -> bool {
        self.lock().get(repo).is_some_and(|known| known.last == Some(deployment))
    }

    /// A deployment of the repository goes on, or begins: what is built for it is brought to its end, and waited for. When `cancel`
    /// fires it is called off.
    pub(super) async fn taken_up(&self, repo: &str, cancel: &CancellationToken) {
        let under_way = self.lock().get(repo).and_then(|known| known.under_way.clone());
        let Some(Signals { taken_up, cancel: off, over }) = under_way else { return };
        taken_up.cancel();
        tokio::select! {
            () = over.cancelled() => return,
            () = cancel.cancelled() => off.cancel(),
        }
        over.cancelled().await;
    }

    /// Images with these fingerprints are there, without their names.
    pub(super) fn note_built(&self, repo: &str, fingerprints: BTreeSet<String>) {
        self.lock().entry(repo.to_owned()).or_default().built.extend(fingerprints);
    }

    /// Whether an image with this fingerprint was built and has no name yet.
    pub(super) fn has_built(&self, repo: &str, fingerprint: &str) -> bool {
        self.lock().get(repo).is_some_and(|known| known.built.contains(fingerprint))
    }

    /// Fingerprints of images that were built meanwhile. Whoever asks gives them their names.
    pub(super) fn built(&self, repo: &str) -> BTreeSet<String> {
        self.lock().get_mut(repo).map(|known| std::mem::take(&mut known.built)).unwrap_or_default()
    }

    /// Only whole values are written under this lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(known) = self.of.lock().get_mut(self.repo) {
            known.under_way = None;
        }
        self.signals.over.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_on_waits_for_what_is_built_for_it() {
        let (meanwhile, stop, cancel) = (Meanwhile::new(1), CancellationToken::new(), CancellationToken::new());
        meanwhile.taken_up("shop", &cancel).await;
        let turn = meanwhile.begin("shop", &stop).unwrap();
        assert!(meanwhile.begin("shop", &stop).is_none() && meanwhile.begin("blog", &stop).is_some());
        meanwhile.taken_up("blog", &cancel).await;
        {
            let goes_on = meanwhile.taken_up("shop", &cancel);
            tokio::pin!(goes_on);
            assert!(timeout(SOON, &mut goes_on).await.is_err());
            assert!(turn.signals.taken_up.is_cancelled() && !turn.signals.cancel.is_cancelled());
            // Called off by a person: so is what is built.
            cancel.cancel();
            assert!(timeout(SOON, &mut goes_on).await.is_err(), "it has an end of its own");
            assert!(turn.signals.cancel.is_cancelled());
            drop(turn);
            timeout(SOON, goes_on).await.unwrap();
        }
        let turn = meanwhile.begin("shop", &stop).unwrap();
        stop.cancel();
        assert!(turn.signals.cancel.is_cancelled(), "with the daemon");
    }

    #[test]
    fn it_is_built_once_for_a_deployment_and_named_once() {
        let meanwhile = Meanwhile::new(0);
        assert!(meanwhile.first("shop", 7) && !meanwhile.first("shop", 7));
        assert!(meanwhile.first("blog", 7) && meanwhile.first("shop", 8));
        meanwhile.note_built("shop", BTreeSet::from(["a".to_owned()]));
        meanwhile.note_built("shop", BTreeSet::from(["b".to_owned()]));
        assert!(meanwhile.has_built("shop", "a") && !meanwhile.has_built("blog", "a"));
        assert_eq!((meanwhile.built("shop").len(), meanwhile.built("shop").len()), (2, 0));
    }
}
