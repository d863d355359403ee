//! Repositories whose colours may not be as they should be, until they are; and those that are being put right just now.
//!
//! ```text
//!   wanted ──► under way ──► done: forgotten
//!     ▲            │
//!     └── not yet ─┘
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// What is to be mended, and what is being mended.
#[derive(Default)]
pub struct Mends {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// With the first reason.
    wanted: BTreeMap<String, String>,
    /// Each fires when it is over.
    under_way: BTreeMap<String, CancellationToken>,
    /// Why it came to nothing, as that was said last.
    told: BTreeMap<String, String>,
}

/// When a repository is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// At the start of the daemon: a deployment that has begun waits for the end of it.
    Starts,
    /// Where no deployment works on its colours.
    NobodyWorks,
}

/// A repository that is being mended, until this is dropped.
pub(super) struct UnderWay {
    mends: Arc<Mends>,
    repo: String,
    why: String,
}

impl UnderWay {
    /// Why it is mended.
    pub(super) fn why(&self) -> &str {
        &self.why
    }
}

impl Mends {
    /// The colours of a repository may not be as they should be. `why`: counts where there is no reason yet.
    pub(super) fn want(&self, repo: &str, why: &str) {
        self.lock().wanted.entry(repo.to_owned()).or_insert_with(|| why.to_owned());
    }

    /// Those that nobody mends.
    pub(super) fn wanted(&self) -> Vec<String> {
        let known = self.lock();
        known.wanted.keys().filter(|repo| !known.under_way.contains_key(*repo)).cloned().collect()
    }

    /// Forgets all but these.
    pub(super) fn keep(&self, is: impl Fn(&str) -> bool) {
        self.lock().wanted.retain(|repo, _| is(repo));
    }

    /// Somebody begins; `None` where somebody has begun already. What is found from now on is for the next one.
    pub(super) fn begin(self: &Arc<Self>, repo: &str) -> Option<UnderWay> {
        let mut known = self.lock();
        if known.under_way.contains_key(repo) {
            return None;
        }
        known.under_way.insert(repo.to_owned(), CancellationToken::new());
        let why = known.wanted.remove(repo).unwrap_or_default();
        Some(UnderWay { mends: Arc::clone(self), repo: repo.to_owned(), why })
    }

    /// Fires when nobody mends the repository any more; `None` where nobody does.
    pub(super) fn end_of(&self, repo: &str) -> Option<CancellationToken> {
        self.lock().under_way.get(repo).cloned()
    }

    /// It is as it should be.
    pub(super) fn done(&self, repo: &str) {
        self.lock().told.remove(repo);
    }

    /// It came to nothing, and is to be tried again. Answers whether that is news: it is tried often.
    pub(super) fn failed(&self, repo: &str, why: &str, failure: &str) -> bool {
        let mut known = self.lock();
        known.wanted.entry(repo.to_owned()).or_insert_with(|| why.to_owned());
        known.told.insert(repo.to_owned(), failure.to_owned()).as_deref() != Some(failure)
    }

    /// Whether it came to nothing before, and that was said.
    pub(super) fn is_told(&self, repo: &str) -> bool {
        self.lock().told.contains_key(repo)
    }

    /// Only whole values are written under this lock.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(over) = self.mends.lock().under_way.remove(&self.repo) {
            over.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_mends_and_what_is_found_meanwhile_is_not_lost() {
        let mends = Arc::<Mends>::default();
        mends.want("shop", "routes are old");
        mends.want("blog", "routes are old");
        assert_eq!(mends.wanted(), ["blog", "shop"]);
        assert!(mends.end_of("shop").is_none());
        let under_way = mends.begin("shop").unwrap();
        assert_eq!(under_way.why(), "routes are old");
        assert!(mends.begin("shop").is_none() && mends.begin("blog").is_some());
        let over = mends.end_of("shop").unwrap();
        mends.want("shop", "routes are old");
        assert_eq!(mends.wanted(), Vec::<String>::new(), "it is being mended");
        assert!(!over.is_cancelled());
        drop(under_way);
        assert!(over.is_cancelled() && mends.end_of("shop").is_none());
        assert_eq!(mends.wanted(), ["shop"]);
        mends.keep(|repo| repo != "shop");
        assert_eq!(mends.wanted(), Vec::<String>::new());
    }

    #[test]
    fn why_it_came_to_nothing_is_told_once() {
        let mends = Mends::default();
        assert!(mends.failed("shop", "routes are old", "the engine does not answer"));
        assert!(!mends.failed("shop", "routes are old", "the engine does not answer"));
        assert!(mends.failed("shop", "routes are old", "the proxy does not answer"));
        assert!(mends.is_told("shop"));
        mends.done("shop");
        assert!(!mends.is_told("shop"));
        assert!(mends.failed("shop", "routes are old", "the proxy does not answer"));
        assert_eq!(mends.wanted(), ["shop"]);
    }
}
