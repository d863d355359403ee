//! What of the live colours, and of what stays beside them, stands still: told once when it is certain and once when it is over.
//! Who looks is in [`super::still_looks`].
//!
//! ```text
//!   seen ──(for SETTLE)──► told ◄───────────┐ seen again
//!    │ runs                 │ runs          │
//!    ▼                      ▼               │
//!   forgotten             runs again ───────┤
//!                                           └─(for SETTLE)──► told as over, forgotten
//! ```

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::colours::Still;

/// So long something has to stand still, or to run again, before that is told: a container that the engine starts again at once,
/// and one that ends again and again, make one line and not many.
const SETTLE: Duration = Duration::from_secs(5);

/// What stands still, by repository.
pub struct Stills {
    known: Mutex<BTreeMap<String, Known>>,
    changed: watch::Sender<()>,
}

impl Default for Stills {
    fn default() -> Self {
        Stills { known: Mutex::default(), changed: watch::channel(()).0 }
    }
}

/// Of one repository, by where a service belongs and its name.
type Known = BTreeMap<(bool, String), Seen>;

/// A service that stood still.
#[derive(Debug)]
struct Seen {
    said: String,
    told: bool,
    /// It stood still at the last look.
    still: bool,
    /// Since when it stands still, or runs again.
    since: Instant,
}

/// What is to be told of a repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Stand still: in words, those of the live colour, and those that stay.
    pub(super) still: [Vec<String>; 2],
    /// Run again: their names.
    pub(super) again: Vec<String>,
}

impl Stills {
    /// What stands still, by repository, in words; nothing that is not certain yet.
    pub fn told(&self) -> Vec<(String, Vec<String>)> {
        let known = self.lock();
        let each = known.iter().map(|(repo, known)| {
            let told = known.values().filter(|seen| seen.told).map(|seen| seen.said.clone());
            (repo.clone(), told.collect::<Vec<_>>())
        });
        each.filter(|(_, told)| !told.is_empty()).collect()
    }

    /// Changes whenever something else is told.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Notes what was seen of a repository at a moment. Answers what is to be told.
    pub(super) fn note(&self, repo: &str, seen: Vec<Still>, now: Instant) -> News {
        let mut all = self.lock();
        let known = all.entry(repo.to_owned()).or_default();
        let news = note(known, seen, now);
        if known.is_empty() {
            all.remove(repo);
        }
        drop(all);
        if news != News::default() {
            self.changed.send_replace(());
        }
        news
    }

    /// Nothing can be told of a repository just now: whatever is not certain yet begins anew.
    pub(super) fn not_seen(&self, repo: &str, now: Instant) {
        if let Some(known) = self.lock().get_mut(repo) {
            known.retain(|_, seen| seen.told);
            known.values_mut().for_each(|seen| (seen.still, seen.since) = (true, now));
        }
    }

    /// Forgets repositories that have no live colour any more.
    pub(super) fn keep(&self, wanted: impl Fn(&str) -> bool) {
        let mut all = self.lock();
        let before = all.len();
        all.retain(|repo, _| wanted(repo));
        let gone = all.len() < before;
        drop(all);
        if gone {
            self.changed.send_replace(());
        }
    }

    /// When something becomes certain by itself.
    pub(super) fn due(&self) -> Option<Instant> {
        let known = self.lock();
        let open = known.values().flat_map(BTreeMap::values).filter(|seen| seen.told != seen.still);
        open.map(|seen| seen.since + SETTLE).min()
    }

    /// Only whole values are written under this lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(known: &mut Known, seen: Vec<Still>, now: Instant) -> News {
    let mut news = News::default();
    let mut seen: BTreeMap<(bool, String), String> =
        seen.into_iter().map(|one| ((one.stays, one.service), one.said)).collect();
    known.retain(|key, before| {
        let said = seen.remove(key);
        let still = said.is_some();
        if before.still != still {
            (before.still, before.since) = (still, now);
        }
        before.said = said.unwrap_or_else(|| std::mem::take(&mut before.said));
        let certain = now.duration_since(before.since) >= SETTLE;
        match (before.told, still) {
            (false, false) => return false,
            (false, true) if certain => {
                before.told = true;
                news.still[usize::from(key.0)].push(before.said.clone());
            }
            (true, false) if certain => {
                news.again.push(key.1.clone());
                return false;
            }
            _ => {}
        }
        true
    });
    for (key, said) in seen {
        known.insert(key, Seen { said, told: false, still: true, since: now });
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(service: &str, stays: bool, said: &str) -> Still {
        Still { service: service.to_owned(), stays, said: said.to_owned() }
    }

    fn again(names: &[&str]) -> News {
        News { again: names.iter().map(|name| (*name).to_owned()).collect(), ..News::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_told_once_when_it_is_certain_and_once_when_it_is_over() {
        let stills = Stills::default();
        let changes = stills.changes();
        let note = |seen: &[Still]| stills.note("shop", seen.to_vec(), Instant::now());
        let (web, db) = (one("web", false, "web has no container"), one("db", true, "shop-db-1 is exited"));
        assert_eq!(note(&[]), News::default());
        assert_eq!(note(std::slice::from_ref(&web)), News::default());
        assert_eq!((stills.told(), stills.due()), (Vec::new(), Some(Instant::now() + SETTLE)));
        // It runs again before anybody is told.
        assert_eq!(note(&[]), News::default());
        assert_eq!(stills.due(), None);

        note(&[web.clone(), db.clone()]);
        assert!(!changes.has_changed().unwrap());
        tokio::time::advance(SETTLE).await;
        let both = [vec!["web has no container".to_owned()], vec!["shop-db-1 is exited".to_owned()]];
        assert_eq!(note(&[web.clone(), db.clone()]), News { still: both.clone(), again: Vec::new() });
        assert!(changes.has_changed().unwrap());
        assert_eq!(stills.told(), [("shop".to_owned(), both.concat())]);
        assert_eq!(stills.due(), None);
        // Other words for the same are no news, but what is shown.
        let gone = one("db", true, "db has no container");
        assert_eq!(note(&[web.clone(), gone]), News::default());
        assert_eq!(stills.told()[0].1, ["web has no container", "db has no container"]);

        // One that ends again and again is not over in between.
        note(std::slice::from_ref(&web));
        assert_eq!(stills.due(), Some(Instant::now() + SETTLE));
        tokio::time::advance(SETTLE / 2).await;
        note(&[web.clone(), db]);
        tokio::time::advance(SETTLE).await;
        note(std::slice::from_ref(&web));
        assert_eq!(stills.told()[0].1.len(), 2);
        tokio::time::advance(SETTLE).await;
        assert_eq!(note(std::slice::from_ref(&web)), again(&["db"]));
        note(&[]);
        tokio::time::advance(SETTLE).await;
        assert_eq!((note(&[]), stills.told(), stills.due()), (again(&["web"]), Vec::new(), None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_deployment_came_between_is_not_certain() {
        let stills = Stills::default();
        let web = one("web", false, "web is created");
        stills.note("shop", vec![web.clone()], Instant::now());
        stills.not_seen("shop", Instant::now());
        assert_eq!(stills.due(), None);
        tokio::time::advance(SETTLE).await;
        assert_eq!(stills.note("shop", vec![web.clone()], Instant::now()), News::default());
        tokio::time::advance(SETTLE).await;
        assert_ne!(stills.note("shop", vec![web], Instant::now()), News::default());
        // What was told is told until it is seen to run.
        stills.note("shop", Vec::new(), Instant::now());
        stills.not_seen("shop", Instant::now());
        assert_eq!(stills.told().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_live_no_more_is_forgotten() {
        let stills = Stills::default();
        let web = one("web", false, "web has no container");
        stills.note("shop", vec![web.clone()], Instant::now());
        tokio::time::advance(SETTLE).await;
        stills.note("shop", vec![web], Instant::now());
        let changes = stills.changes();
        stills.keep(|repo| repo == "shop");
        assert!(!changes.has_changed().unwrap());
        stills.keep(|_| false);
        assert!(changes.has_changed().unwrap() && stills.told().is_empty());
    }
}
