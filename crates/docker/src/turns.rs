//! Who ends after whom: what depends on a service ends before it, and what does not depend on one another ends side by side. Pure,
//! but for the futures that it is handed.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};

/// What each service depends on (`depends_on`), by its key in the Compose file.
pub type Needs = BTreeMap<String, BTreeSet<String>>;

/// These services, and all that depend on one of them, directly or not.
pub fn with_dependents(services: &BTreeSet<String>, needs: &Needs) -> BTreeSet<String> {
    let mut all = services.clone();
    loop {
        let more = needs.iter().filter(|(name, on)| !all.contains(*name) && !on.is_disjoint(&all));
        let more: Vec<String> = more.map(|(name, _)| name.clone()).collect();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

/// Who ends, and who of them has to wait.
#[derive(Debug)]
struct Turns {
    /// Who has not begun to end, and those whose ends it waits for.
    wait: BTreeMap<String, BTreeSet<String>>,
}

impl Turns {
    /// `needs` may name services that do not end: what depends on them depends on what they need.
    fn new(ends: &BTreeSet<String>, needs: &Needs) -> Turns {
        let before = |name: &String| {
            let mut those = with_dependents(&BTreeSet::from([name.clone()]), needs);
            those.remove(name);
            those.retain(|one| ends.contains(one));
            (name.clone(), those)
        };
        Turns { wait: ends.iter().map(before).collect() }
    }

    /// Who begins to end now. `idle`: nobody ends at the moment, so that whoever waits still does so in a circle, in which any order is
    /// as good.
    fn next(&mut self, idle: bool) -> Vec<String> {
        let mut now: Vec<String> =
            self.wait.iter().filter(|(_, before)| before.is_empty()).map(|(name, _)| name.clone()).collect();
        if now.is_empty() && idle {
            now = self.wait.keys().cloned().collect();
        }
        now.iter().for_each(|name| drop(self.wait.remove(name)));
        now
    }

    fn ended(&mut self, name: &str) {
        for before in self.wait.values_mut() {
            before.remove(name);
        }
    }
}

/// Has all of these futures, each of a service, come to their end; one begins when those of the services that depend on its own have
/// ended, however they did. Answers what they gave, in no order.
pub(crate) async fn in_turn<F: Future>(all: Vec<(String, F)>, needs: &Needs) -> Vec<F::Output> {
    let mut turns = Turns::new(&all.iter().map(|(service, _)| service.clone()).collect(), needs);
    let mut waiting: BTreeMap<String, Vec<F>> = BTreeMap::new();
    all.into_iter().for_each(|(service, one)| waiting.entry(service).or_default().push(one));
    let (mut ending, mut gave) = (FuturesUnordered::new(), Vec::new());
    loop {
        for service in turns.next(ending.is_empty()) {
            let own = waiting.remove(&service).unwrap_or_default();
            ending.push(async move { (service, futures_util::future::join_all(own).await) });
        }
        let Some((service, own)) = ending.next().await else { return gave };
        turns.ended(&service);
        gave.extend(own);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    fn needs(of: &[(&str, &[&str])]) -> Needs {
        let all = |on: &[&str]| on.iter().map(|on| (*on).to_owned()).collect();
        of.iter().map(|(name, on)| ((*name).to_owned(), all(on))).collect()
    }

    /// (service, second in which it begins to end), of services that take so many seconds each.
    async fn begun(takes: &[(&str, u64)], needs: &Needs) -> Vec<(String, u64)> {
        let start = Instant::now();
        let all = takes.iter().map(|(name, seconds)| {
            let one = async move {
                let began = start.elapsed().as_secs();
                sleep(Duration::from_secs(*seconds)).await;
                ((*name).to_owned(), began)
            };
            ((*name).to_owned(), one)
        });
        let mut gave = in_turn(all.collect(), needs).await;
        gave.sort();
        gave
    }

    fn shown(begun: &[(String, u64)]) -> String {
        begun.iter().map(|(name, at)| format!("{name}@{at}")).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test(start_paused = true)]
    async fn dependents_end_first_and_all_others_side_by_side() {
        let takes = [("db", 1), ("queue", 2), ("web", 40), ("worker", 3)];
        let began = Instant::now();
        assert_eq!(shown(&begun(&takes, &needs(&[])).await), "db@0 queue@0 web@0 worker@0");
        assert_eq!(began.elapsed().as_secs(), 40);
        let web = needs(&[("web", &["db"]), ("worker", &["queue"])]);
        assert_eq!(shown(&begun(&takes, &web).await), "db@40 queue@3 web@0 worker@0");
        // All containers of a service, before what it needs.
        let two = [("web", 5), ("web", 7), ("db", 1)];
        assert_eq!(shown(&begun(&two, &web).await), "db@7 web@0 web@0");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_passes_on_what_it_needs_and_a_circle_ends_all_the_same() {
        let over = needs(&[("web", &["migrate"]), ("migrate", &["db"])]);
        assert_eq!(shown(&begun(&[("db", 1), ("web", 4)], &over).await), "db@4 web@0");
        let circle = needs(&[("a", &["b"]), ("b", &["a"]), ("c", &["a"])]);
        assert_eq!(shown(&begun(&[("a", 1), ("b", 1), ("c", 3)], &circle).await), "a@3 b@3 c@0");
        let dependents = with_dependents(&BTreeSet::from(["db".to_owned()]), &over);
        assert_eq!(dependents, ["db", "migrate", "web"].map(str::to_owned).into());
    }
}
