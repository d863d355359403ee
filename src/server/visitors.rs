//! Who holds one of the webhook server's connections, and who must go when there are too many.
//!
//! ```text
//!   accepted ──► unproven ──► proven (being recorded) ──► answered: unproven, as if it had just come
//!                   │
//!                   └──► sent away to make room
//! ```
//!
//! A newcomer is never refused for those who are here: most good deliveries need milliseconds, so whoever has been here
//! longest without proving anything is the least loss. Nobody is sent away whose delivery is proven.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::http::HeaderMap;
use ipnet::IpNet;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::source::Source;

/// The share of all connections from which on a sender is the first to lose one when there are too many.
const GREEDY_SHARE: usize = 8;

/// How many may be here.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Connections in all.
    pub all: usize,
    /// Connections of one sender; trusted proxies are not counted by this one.
    pub one_sender: usize,
    /// Networks whose hosts speak for others, and are believed about whom.
    pub proxies: Vec<IpNet>,
}

/// Everybody who is here.
#[derive(Debug)]
pub struct Visitors {
    bounds: Bounds,
    here: Mutex<BTreeMap<u64, Arc<Visitor>>>,
    next: AtomicU64,
    sent_away: AtomicU64,
    /// Somebody left, or can be sent away now.
    changed: Notify,
}

/// One connection that is open.
#[derive(Debug)]
struct Visitor {
    number: u64,
    peer: Source,
    now: Mutex<Now>,
    leave: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct Now {
    source: Source,
    proven: bool,
    /// Since when nothing was proven.
    since: Instant,
}

impl Visitors {
    /// With these bounds, and nobody there.
    pub fn new(bounds: Bounds) -> Arc<Visitors> {
        Arc::new(Visitors {
            bounds,
            here: Mutex::default(),
            next: AtomicU64::new(0),
            sent_away: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    /// Lets a connection in, and sends another one away where there are too many. Waits while nobody can be.
    pub async fn let_in(self: &Arc<Self>, peer: IpAddr) -> Arc<Place> {
        let source = Source::of_peer(peer, &self.bounds.proxies);
        loop {
            let changed = self.changed.notified();
            if let Some(visitor) = self.try_let_in(source) {
                return Arc::new(Place { visitors: Arc::clone(self), visitor });
            }
            changed.await;
        }
    }

    fn try_let_in(&self, source: Source) -> Option<Arc<Visitor>> {
        let mut here = lock(&self.here);
        self.limit_sender(&mut here, source, None);
        if here.len() >= self.bounds.all {
            let all: Vec<Seen> = here.values().filter_map(|visitor| visitor.seen()).collect();
            self.send_away(&mut here, to_leave(&all, self.bounds.all / GREEDY_SHARE)?);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Now { source, proven: false, since: Instant::now() };
        let visitor = Arc::new(Visitor { number, peer: source, now: Mutex::new(now), leave: CancellationToken::new() });
        here.insert(number, Arc::clone(&visitor));
        Some(visitor)
    }

    /// How many were sent away to make room since this was asked last.
    pub fn take_sent_away(&self) -> u64 {
        self.sent_away.swap(0, Ordering::Relaxed)
    }

    /// Makes room where a sender has as many as one sender may have, for `newcomer` or for one that is not here yet.
    fn limit_sender(&self, here: &mut BTreeMap<u64, Arc<Visitor>>, source: Source, newcomer: Option<u64>) {
        if matches!(source, Source::Proxy(_)) {
            return;
        }
        let others = || here.values().filter(|visitor| Some(visitor.number) != newcomer);
        if others().filter(|visitor| lock(&visitor.now).source == source).count() < self.bounds.one_sender {
            return;
        }
        let own: Vec<Seen> =
            others().filter_map(|visitor| visitor.seen()).filter(|seen| seen.source == source).collect();
        if let Some(number) = oldest(own.iter()) {
            self.send_away(here, number);
        }
    }

    fn send_away(&self, here: &mut BTreeMap<u64, Arc<Visitor>>, number: u64) {
        if let Some(visitor) = here.remove(&number) {
            visitor.leave.cancel();
            self.sent_away.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A visitor that is here; it leaves when this is dropped.
#[derive(Debug)]
pub struct Place {
    visitors: Arc<Visitors>,
    visitor: Arc<Visitor>,
}

impl Place {
    /// Done when it is to leave.
    pub async fn sent_away(&self) {
        self.visitor.leave.cancelled().await;
    }

    /// Who it is, or speaks for.
    pub fn source(&self) -> Source {
        lock(&self.visitor.now).source
    }

    /// A request begins. Where a trusted proxy brings it, its headers say whom it comes from.
    pub fn requests(&self, headers: &HeaderMap) {
        if matches!(self.visitor.peer, Source::Proxy(_))
            && let Some(source) = Source::forwarded(headers, &self.visitors.bounds.proxies)
        {
            lock(&self.visitor.now).source = source;
            self.visitors.limit_sender(&mut lock(&self.visitors.here), source, Some(self.visitor.number));
        }
    }

    /// Its delivery is proven: from now on it stays until the answer.
    pub fn proven(&self) {
        lock(&self.visitor.now).proven = true;
    }

    /// Its request is answered. What was good counts as a new arrival; what was refused does not.
    pub fn answered(&self) {
        {
            let mut now = lock(&self.visitor.now);
            if now.proven {
                now.since = Instant::now();
            }
            now.proven = false;
            now.source = self.visitor.peer;
        }
        self.visitors.changed.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.visitors.here).remove(&self.visitor.number);
        self.visitors.changed.notify_waiters();
    }
}

impl Visitor {
    /// `None` while it cannot be sent away.
    fn seen(&self) -> Option<Seen> {
        let Now { source, proven, since } = *lock(&self.now);
        (!proven).then_some(Seen { number: self.number, source, since })
    }
}

/// What counts when one must leave.
#[derive(Debug, Clone, Copy)]
struct Seen {
    number: u64,
    source: Source,
    since: Instant,
}

/// The oldest one of the sender with the most, where that has more than `greedy`; else the oldest of all.
fn to_leave(all: &[Seen], greedy: usize) -> Option<u64> {
    let mut counts = BTreeMap::new();
    for seen in all {
        *counts.entry(seen.source).or_insert(0) += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > greedy.max(1));
    oldest(all.iter().filter(|seen| most.is_none_or(|(source, _)| seen.source == source)))
}

fn oldest<'s>(seen: impl Iterator<Item = &'s Seen>) -> Option<u64> {
    seen.min_by_key(|seen| (seen.since, seen.number)).map(|seen| seen.number)
}

/// Only whole values are written under these locks, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn visitors(all: usize, one_sender: usize) -> Arc<Visitors> {
        Visitors::new(Bounds { all, one_sender, proxies: vec!["127.0.0.0/8".parse().unwrap()] })
    }

    async fn arrive(visitors: &Arc<Visitors>, peer: &str) -> Arc<Place> {
        tokio::time::advance(Duration::from_millis(1)).await;
        visitors.let_in(peer.parse().unwrap()).await
    }

    fn gone(places: &[&Arc<Place>]) -> Vec<bool> {
        places.iter().map(|place| place.visitor.leave.is_cancelled()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_unproven_one_makes_room() {
        let visitors = visitors(16, 16);
        let mut places = Vec::new();
        for number in 0..16 {
            places.push(arrive(&visitors, &format!("192.0.2.{number}")).await);
        }
        places[0].proven();
        places[1].proven();
        places[1].answered();
        // A refused request does not make it younger.
        places[2].answered();
        let _new = arrive(&visitors, "192.0.2.100").await;
        assert_eq!(gone(&[&places[0], &places[1], &places[2], &places[3]]), [false, false, true, false]);
        assert_eq!(visitors.take_sent_away(), 1);
        assert_eq!(visitors.take_sent_away(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_most_of_them_loses_first() {
        let visitors = visitors(16, 16);
        let patient = arrive(&visitors, "192.0.2.1").await;
        let mut greedy = Vec::new();
        for number in 0..15 {
            // One network, whatever the address.
            greedy.push(arrive(&visitors, &format!("2001:db8::{number}")).await);
        }
        let _new = arrive(&visitors, "192.0.2.2").await;
        assert_eq!(gone(&[&patient, &greedy[0], &greedy[1]]), [false, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_sender_has_so_many_and_proxies_any_number() {
        let visitors = visitors(100, 2);
        let first = arrive(&visitors, "192.0.2.1").await;
        let second = arrive(&visitors, "192.0.2.1").await;
        let _third = arrive(&visitors, "192.0.2.1").await;
        assert_eq!(gone(&[&first, &second]), [true, false]);
        let proxied = [
            arrive(&visitors, "127.0.0.1").await,
            arrive(&visitors, "127.0.0.1").await,
            arrive(&visitors, "127.0.0.1").await,
        ];
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "192.0.2.9".parse().unwrap());
        proxied.iter().for_each(|place| place.requests(&headers));
        assert_eq!(gone(&proxied.each_ref()), [true, false, false]);
        assert_eq!(proxied[2].source().to_string(), "192.0.2.9");
        // Only a proxy may speak for others.
        second.requests(&headers);
        assert_eq!(second.source().to_string(), "192.0.2.1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_while_all_are_proven() {
        let visitors = visitors(1, 1);
        let only = arrive(&visitors, "192.0.2.1").await;
        only.proven();
        let waiting = tokio::time::timeout(Duration::from_secs(1), visitors.let_in("192.0.2.2".parse().unwrap())).await;
        assert!(waiting.is_err());
        let waiting = tokio::spawn({
            let visitors = Arc::clone(&visitors);
            async move { visitors.let_in("192.0.2.2".parse().unwrap()).await }
        });
        tokio::task::yield_now().await;
        drop(only);
        assert!(waiting.await.is_ok());
    }
}
