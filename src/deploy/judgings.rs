//! What is known of the answers of two colours while one of them is judged by the other: readings of what the proxy counts, at most
//! one a second of each repository, and how often in a row one was worse. Not on the disk: after a restart it is read anew.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::{Duration, Instant};

use crate::{
    rollout::{
        Generation,
        analysis::{Counts, Looks},
    },
    traffic::control::Counters,
};

/// How long a reading counts as one of now. Whoever looks once a second gets a new one each time.
const FRESH: Duration = Duration::from_millis(900);

/// See the module. One entry a repository at most.
#[derive(Default)]
pub struct Judgings {
    read: Mutex<HashMap<String, (Instant, Arc<Counters>)>>,
    first: Mutex<HashMap<String, Arc<Counters>>>,
    under_way: Mutex<HashMap<String, Judging>>,
}

/// A colour that is judged.
#[derive(Debug, Clone, Default)]
pub struct Judging {
    /// Of the deployment that made it.
    pub generation: Generation,
    /// Of two colours that share requests: what had been counted of it and of the live one at the first look, and of which process.
    pub began: Option<(u64, Counts, Counts)>,
    /// Looks so far.
    pub looks: Looks,
    /// Why nothing is judged just now.
    pub suspended: Option<String>,
}

impl Judgings {
    /// A reading that is fresh.
    pub(super) fn fresh(&self, repo: &str) -> Option<Arc<Counters>> {
        let read = lock(&self.read);
        read.get(repo).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, counters)| Arc::clone(counters))
    }

    /// Keeps what the proxy has just counted, for whoever asks within the next moments.
    pub(super) fn keep(&self, repo: &str, counters: &Arc<Counters>) {
        lock(&self.read).insert(repo.to_owned(), (Instant::now(), Arc::clone(counters)));
    }

    /// Keeps what was counted when a deployment began to make its colour.
    pub(super) fn begins(&self, repo: &str, counters: Option<Arc<Counters>>) {
        let mut first = lock(&self.first);
        match counters {
            Some(counters) => drop(first.insert(repo.to_owned(), counters)),
            None => drop(first.remove(repo)),
        }
    }

    /// What was counted then.
    pub(super) fn began(&self, repo: &str) -> Option<Arc<Counters>> {
        lock(&self.first).get(repo).cloned()
    }

    /// How it stands with the colour that this deployment made.
    pub(super) fn of(&self, repo: &str, generation: Generation) -> Judging {
        let known = lock(&self.under_way).get(repo).filter(|one| one.generation == generation).cloned();
        known.unwrap_or(Judging { generation, ..Judging::default() })
    }

    /// Keeps how a judgement stands, for `status` and `turnout rollout`.
    pub(super) fn note(&self, repo: &str, judging: Judging) {
        lock(&self.under_way).insert(repo.to_owned(), judging);
    }

    /// Nothing is judged any more.
    pub(super) fn over(&self, repo: &str) {
        lock(&self.under_way).remove(repo);
    }
}

/// Only whole values are written under these locks.
fn lock<K: Eq + Hash, V>(map: &Mutex<HashMap<K, V>>) -> MutexGuard<'_, HashMap<K, V>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}
