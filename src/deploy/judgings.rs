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

/// How long a colour has after the engine was away until its answers are judged although they are not good yet.
const ANSWERING: Duration = Duration::from_secs(60);

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
    /// The engine was away under it.
    pub away: Option<Away>,
}

/// The engine was away, and its containers with it for all that is known: what failed meanwhile, and until they answer again, is no
/// fault of the colour.
#[derive(Debug, Clone, Copy)]
pub struct Away {
    /// When it was away last.
    at: Instant,
    /// What had been counted at the last look, and by which process.
    last: Option<(u64, Counts)>,
    /// The colour has answered again.
    over: bool,
}

impl Away {
    /// It is away now.
    pub(super) fn now() -> Away {
        Away { at: Instant::now(), last: None, over: false }
    }

    /// What of all that was counted is to be judged. `None`: nothing yet; the answers of a look have to be good first, or
    /// [`ANSWERING`] to be over.
    pub(super) fn since(&mut self, began: u64, all: &Counts) -> Option<Counts> {
        let came = self.last.filter(|(of, _)| *of == began).and_then(|(_, last)| all.since(&last));
        if self.over {
            // Counts that began anew did so after that.
            return Some(came.unwrap_or(*all));
        }
        let good = came.is_some_and(|came| came.ended > 0 && came.failed == 0);
        self.over = good || self.at.elapsed() >= ANSWERING;
        self.last = Some((began, *all));
        None
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(failed: u64, ended: u64) -> Counts {
        Counts { ended, failed, ..Counts::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_while_the_engine_was_away_is_no_fault_of_the_colour() {
        let mut away = Away::now();
        for failed in [50, 90, 90] {
            // The last of these looks has no request.
            assert_eq!(away.since(1, &counts(failed, 100 + failed)), None);
        }
        // A good one: what comes after it counts.
        assert_eq!(away.since(1, &counts(90, 200)), None);
        assert_eq!(away.since(1, &counts(93, 210)), Some(counts(3, 10)));
        assert_eq!(away.since(2, &counts(1, 4)), Some(counts(1, 4)), "the proxy was started again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_colour_that_never_answers_well_is_judged_in_the_end() {
        let mut away = Away::now();
        assert_eq!(away.since(1, &counts(50, 50)), None);
        tokio::time::advance(ANSWERING).await;
        assert_eq!(away.since(1, &counts(60, 60)), None);
        assert_eq!(away.since(1, &counts(70, 70)), Some(counts(10, 10)));
    }
}
