//! How long requests wait for services to end, where those use up their `stop_grace_period`. What depends on a service ends before
//! it, and what does not depend on one another ends side by side.

use std::collections::{BTreeMap, BTreeSet};

use turnout_compose::model::Duration;

use crate::{
    class::Class,
    derived::{Fate, Grace, Note},
    said::Order,
    view::View,
};

const SECOND: i64 = 1_000_000_000;
/// How long the engine waits for a service that says nothing.
const USUAL: Duration = Duration(10 * SECOND);
/// What ends may take of the 30 s that turnout-proxy has a request wait: the start comes after them.
const MOST: Duration = Duration(20 * SECOND);

/// Notes where ends may take more than that: of what must not run twice at each deployment, of what stays where that is replaced, and
/// of all that has to end where what stays changes hands.
pub(crate) fn notes(view: &View<'_>, fates: &BTreeMap<String, Fate>, notes: &mut Vec<Note>) {
    let asked = of(fates, |fate| matches!(fate.class, Class::Held | Class::Routed | Class::Internal));
    let once = of(fates, |fate| fate.order.is_some_and(|(order, _)| order == Order::StopFirst));
    let stays = of(fates, |fate| matches!(fate.class, Class::Shared | Class::Single));
    let alone: BTreeSet<&str> = asked.intersection(&once).copied().collect();
    let ends = longest(view, &alone);
    if is_long(&ends) {
        notes.push(Note::LongEnd(ends));
    }
    let replaced = stays.iter().filter_map(|name| grace(view, name)).max_by_key(|grace| grace.lasts);
    if let Some(grace) = replaced.filter(|grace| grace.lasts > MOST) {
        notes.push(Note::LongReplaced(grace));
    }
    if stays.is_empty() {
        // Nothing waits: the first colour starts beside what runs.
        return;
    }
    let all: BTreeSet<&str> = asked.union(&stays).copied().collect();
    let must: BTreeSet<&str> = alone.union(&stays).copied().collect();
    let needed = all.iter().copied().filter(|name| must.contains(name) || depends(view, name, &must));
    let (first, back) = (longest(view, &needed.collect()), longest(view, &all));
    if is_long(&first) {
        notes.push(Note::LongEnds { chain: first, first: true });
    } else if is_long(&back) {
        notes.push(Note::LongEnds { chain: back, first: false });
    }
}

fn of(fates: &BTreeMap<String, Fate>, wanted: impl Fn(&Fate) -> bool) -> BTreeSet<&str> {
    fates.iter().filter(|(_, fate)| wanted(fate)).map(|(name, _)| name.as_str()).collect()
}

fn is_long(chain: &[Grace]) -> bool {
    lasts(chain) > MOST
}

fn lasts(chain: &[Grace]) -> Duration {
    Duration(chain.iter().fold(0, |sum: i64, one| sum.saturating_add(one.lasts.0)))
}

/// Those of some services that take longest to end, one after the other, for each depends on the next.
fn longest(view: &View<'_>, ends: &BTreeSet<&str>) -> Vec<Grace> {
    let mut known = BTreeMap::new();
    let chains = ends.iter().map(|name| up_to(view, ends, name, &mut known));
    chains.max_by_key(|chain| lasts(chain)).unwrap_or_default()
}

/// What has ended when this service has, the longest way there. One that does not end passes on what it would wait for.
fn up_to<'a>(
    view: &View<'a>,
    ends: &BTreeSet<&str>,
    name: &'a str,
    known: &mut BTreeMap<&'a str, Vec<Grace>>,
) -> Vec<Grace> {
    if let Some(chain) = known.get(name) {
        return chain.clone();
    }
    // Compose refuses circles; the walk ends in one all the same.
    known.insert(name, Vec::new());
    let dependents = view.names().filter(|other| needs(view, other, name));
    let before = dependents.map(|other| up_to(view, ends, other, known)).collect::<Vec<_>>();
    let mut chain = before.into_iter().max_by_key(|chain| lasts(chain)).unwrap_or_default();
    chain.extend(grace(view, name).filter(|_| ends.contains(name)));
    known.insert(name, chain.clone());
    chain
}

fn needs(view: &View<'_>, name: &str, on: &str) -> bool {
    view.service(name).is_some_and(|service| service.depends_on.contains_key(on))
}

/// Whether a service depends on one of these, directly or not.
fn depends(view: &View<'_>, name: &str, on: &BTreeSet<&str>) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![name]);
    while let Some(service) = open.pop().and_then(|name| view.service(name)) {
        for needed in service.depends_on.keys().map(String::as_str) {
            if on.contains(needed) {
                return true;
            }
            if seen.insert(needed) {
                open.push(needed);
            }
        }
    }
    false
}

fn grace(view: &View<'_>, name: &str) -> Option<Grace> {
    let said = view.service(name)?.stop_grace_period;
    Some(Grace { service: name.to_owned(), lasts: said.unwrap_or(USUAL) })
}
