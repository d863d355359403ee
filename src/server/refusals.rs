//! The log of refusals: each is told while they are few; of a flood the first ones are, and then how many more.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Refusals of one kind that are told one by one within [`WINDOW`].
const TOLD: u64 = 10;
/// How long they are counted together.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts refusals by their kind.
#[derive(Debug, Default)]
pub struct Refusals {
    kinds: Mutex<BTreeMap<&'static str, Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    count: u64,
}

/// So many more were refused than were told one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct More {
    /// The kind by which they are counted together.
    pub kind: &'static str,
    /// How many they were.
    pub count: u64,
    /// Since the last one that was told.
    pub within: Duration,
}

impl Refusals {
    /// Counts one. Whether it is to be told by itself.
    pub fn count(&self, kind: &'static str) -> bool {
        let now = Instant::now();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let window = kinds.entry(kind).or_insert(Window { began: now, count: 0 });
        window.count += 1;
        window.count <= TOLD
    }

    /// What was not told one by one; to be asked for now and then. With `all`, also what is still being counted.
    pub fn take_more(&self, all: bool) -> Vec<More> {
        let now = Instant::now();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let over: Vec<More> = kinds
            .iter()
            .map(|(kind, window)| More { kind, count: window.count, within: now - window.began })
            .filter(|more| all || more.within >= WINDOW)
            .collect();
        for more in &over {
            kinds.remove(more.kind);
        }
        let beyond = over.into_iter().filter(|more| more.count > TOLD);
        beyond.map(|more| More { count: more.count - TOLD, ..more }).collect()
    }
}

/// A word or two for the kinds of refusals, by their HTTP status.
pub fn kind(status: u16) -> &'static str {
    match status {
        400 => "cannot be read",
        401 => "bad signature",
        408 => "too slow",
        413 => "too large",
        415 => "of a type that is not read",
        507 => "the disk is full",
        _ => "busy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_a_flood_the_first_are_told_and_the_others_counted() {
        let refusals = Refusals::default();
        let told = (0..47).filter(|_| refusals.count(kind(401))).count();
        assert_eq!(told, 10);
        assert!(refusals.count(kind(413)), "each kind by itself");
        assert_eq!(refusals.take_more(false), []);
        tokio::time::advance(WINDOW).await;
        assert_eq!(refusals.take_more(false), [More { kind: "bad signature", count: 37, within: WINDOW }]);
        // A new window, and each is told again.
        assert!(refusals.count(kind(401)));
        assert_eq!(refusals.take_more(true), []);
    }
}
