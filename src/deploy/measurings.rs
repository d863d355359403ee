//! What others were asked of the colours that are judged, and what they said so far. Not on the disk: after a restart they are asked
//! anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::{Duration, Instant};

use crate::{
    measure::{Certain, Measured, Tally},
    rollout::{Generation, Millis},
    switch::{
        derived::Measures,
        said::{Asks, Measure},
    },
};

/// See the module. One entry a repository at most.
#[derive(Clone, Default)]
pub struct Measurings(Arc<Mutex<HashMap<String, OfColour>>>);

/// Of the colour that this deployment made.
struct OfColour {
    generation: Generation,
    each: Vec<Seen>,
    /// That nothing is known has been told.
    told: bool,
}

/// One measure, as it stands.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it is asked next.
    due: Instant,
    /// It is being asked.
    asked: bool,
    /// What was said so far.
    pub tally: Tally,
    /// What is certain by that.
    certain: Option<Certain>,
    /// When that came, in milliseconds since 1970.
    pub at: Option<Millis>,
}

impl Measurings {
    /// Which are to be asked now; they count as asked from here on.
    pub(super) fn due(
        &self,
        repo: &str,
        generation: Generation,
        measures: &[Measure],
        wanted: impl Fn(&Measure) -> bool,
    ) -> Vec<usize> {
        let (now, mut all) = (Instant::now(), self.lock());
        let known = all.get(repo).is_some_and(|one| one.generation == generation && one.each.len() == measures.len());
        if !known {
            let first = |measure: &Measure| match measure.asks {
                // What requests come to, nobody knows before there were some.
                Asks::Prometheus { .. } => now + Duration::from_millis(measure.every),
                Asks::Command { .. } | Asks::Page { .. } => now,
            };
            let seen = |measure: &Measure| Seen {
                due: first(measure),
                asked: false,
                tally: Tally::default(),
                certain: None,
                at: None,
            };
            let each = measures.iter().map(seen).collect();
            all.insert(repo.to_owned(), OfColour { generation, each, told: false });
        }
        let Some(one) = all.get_mut(repo) else { return Vec::new() };
        let mut due = Vec::new();
        for (index, (seen, measure)) in one.each.iter_mut().zip(measures).enumerate() {
            if !seen.asked && seen.due <= now && wanted(measure) {
                seen.asked = true;
                due.push(index);
            }
        }
        due
    }

    /// Takes an answer in.
    pub(super) fn took(
        &self,
        repo: &str,
        generation: Generation,
        (index, measures): (usize, &Measures),
        measured: Measured,
        at: Millis,
    ) {
        let mut all = self.lock();
        let Some(one) = all.get_mut(repo).filter(|one| one.generation == generation) else { return };
        let (Some(seen), Some(measure)) = (one.each.get_mut(index), measures.all.get(index)) else { return };
        seen.asked = false;
        seen.due = Instant::now() + Duration::from_millis(measure.every);
        seen.certain = seen.tally.take(measured, measures.looks, measures.unknowns);
        seen.at = Some(at);
    }

    /// What is certain of a colour by now, and which measure says it: one that does badly before one that is not known.
    pub(super) fn certain(&self, repo: &str, generation: Generation) -> Option<(usize, Certain)> {
        let all = self.lock();
        let one = all.get(repo).filter(|one| one.generation == generation)?;
        let found: Vec<_> =
            one.each.iter().enumerate().filter_map(|(index, seen)| Some((index, seen.certain.clone()?))).collect();
        let bad = found.iter().find(|(_, certain)| matches!(certain, Certain::Bad(_))).cloned();
        bad.or_else(|| found.into_iter().next())
    }

    /// Whether it is told for the first time that nothing is known of a colour.
    pub(super) fn tells(&self, repo: &str, generation: Generation) -> bool {
        let mut all = self.lock();
        match all.get_mut(repo).filter(|one| one.generation == generation) {
            Some(one) => !std::mem::replace(&mut one.told, true),
            None => false,
        }
    }

    /// What was not known is asked anew before that counts again.
    pub(super) fn anew(&self, repo: &str, generation: Generation) {
        let mut all = self.lock();
        let Some(one) = all.get_mut(repo).filter(|one| one.generation == generation) else { return };
        one.told = false;
        for seen in one.each.iter_mut().filter(|seen| matches!(seen.certain, Some(Certain::Unknown(_)))) {
            (seen.certain, seen.tally.unknown) = (None, 0);
        }
    }

    /// All that was said of a colour so far, measure by measure.
    pub(super) fn seen(&self, repo: &str, generation: Generation) -> Vec<Seen> {
        let all = self.lock();
        all.get(repo).filter(|one| one.generation == generation).map(|one| one.each.clone()).unwrap_or_default()
    }

    /// Only whole values are written under this lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, OfColour>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::said::OnUnknown;

    fn measure(asks: Asks) -> Measure {
        Measure { asks, every: 10_000, timeout: 1_000 }
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_asked_in_its_time_and_never_twice_at_once() {
        let command = measure(Asks::Command { run: vec!["/bin/true".to_owned()] });
        let query = Asks::Prometheus { url: String::new(), query: String::new(), within: Default::default() };
        let all = vec![command, measure(query)];
        let measures = Measures { all: all.clone(), looks: 2, unknowns: 2, on_unknown: OnUnknown::Pause };
        let seen = Measurings::default();
        let due = |generation| seen.due("shop", generation, &all, |_| true);
        assert_eq!(due(1), [0]);
        assert_eq!(due(1), Vec::<usize>::new());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(due(1), [1]);
        let took = |index, said: Measured| seen.took("shop", 1, (index, &measures), said, 7);
        took(0, Measured::Unknown("a".to_owned()));
        assert_eq!((due(1), seen.certain("shop", 1)), (vec![], None));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(due(1), [0]);
        took(0, Measured::Unknown("b".to_owned()));
        assert_eq!(seen.certain("shop", 1), Some((0, Certain::Unknown("b".to_owned()))));
        assert_eq!((seen.tells("shop", 1), seen.tells("shop", 1)), (true, false));
        for _ in 0..2 {
            took(1, Measured::Bad("c".to_owned()));
        }
        assert_eq!(seen.certain("shop", 1), Some((1, Certain::Bad("c".to_owned()))));
        seen.anew("shop", 1);
        assert!(seen.tells("shop", 1));
        assert_eq!(seen.seen("shop", 1)[0].tally.unknown, 0);
        // Another colour begins anew, and what is still said of the one before is not of it.
        assert_eq!(due(2), [0]);
        took(0, Measured::Bad("d".to_owned()));
        assert_eq!((seen.certain("shop", 2), seen.seen("shop", 2)[0].tally.asked), (None, 0));
        // What is not wanted just now is due later.
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(seen.due("shop", 2, &all, |_| false), Vec::<usize>::new());
        assert_eq!(due(2), [1]);
    }
}
