//! Whether there is memory for a second colour: one that drives the machine out of memory takes the live one with it.

use super::{super::Failure, made::Made};
use crate::{
    config::{Repo, units},
    engine::{Engine, memory::Memory},
    store::ColourRecord,
};

/// The part of all memory that is to stay available, as what it is divided by.
const STAYS_FREE: u64 = 10;

/// Refuses a colour beside the live one where, with as much memory as that uses now, less than a tenth of all would stay available.
/// Only services that run in both colours at once count. Nothing has been changed then. Where it cannot be told, as with an engine
/// that is elsewhere, nothing is refused.
///
/// # Errors
/// With figures, and what to do.
pub(super) async fn require(engine: &Engine, repo: &Repo, live: &ColourRecord, next: &Made) -> Result<(), Failure> {
    let Some(there) = engine.memory().await else { return Ok(()) };
    let made = Made::read(&live.made).map_err(Failure::new)?;
    let both = both(&made, next);
    if both.is_empty() {
        return Ok(());
    }
    let containers = engine.containers(&live.project, false).await?.into_iter();
    let ids = containers.filter(|one| !one.oneoff && both.contains(&one.service)).map(|one| one.id);
    let needed = engine.memory_of(ids.collect()).await;
    let Some(keeps) = tight(there, needed) else { return Ok(()) };
    let verb = if both.len() == 1 { "uses" } else { "use" };
    let Memory { total, available } = there;
    Err(Failure::new(format!(
        "there is too little memory for a second colour: {} {verb} {} in {}, {} of {} are available, and a tenth of all ({}) is \
         to stay so",
        both.join(", "),
        units::shown(needed),
        live.project,
        units::shown(available),
        units::shown(total),
        units::shown(keeps)
    ))
    .hint(format!(
        "nothing was changed; free some memory, or have the old one end before the new one starts, with requests held \
         meanwhile: in repos.yaml, {}: {{ switch: {{ services: {{ {}: {{ order: stop-first }} }} }} }}",
        repo.name,
        both.join(": { order: stop-first }, ")
    )))
}

/// Services that run in both colours at once.
fn both(live: &Made, next: &Made) -> Vec<String> {
    let runs = |made: &Made, name: &str| made.services.iter().any(|one| one.name == *name && !one.job && !one.alone);
    let names = live.services.iter().map(|one| &one.name);
    names.filter(|name| runs(live, name) && runs(next, name)).cloned().collect()
}

/// What is to stay available, where that is not so with this much more in use.
fn tight(there: Memory, needed: u64) -> Option<u64> {
    let keeps = there.total / STAYS_FREE;
    (there.available.saturating_sub(needed) < keeps).then_some(keeps)
}

#[cfg(test)]
mod tests {
    use super::{super::made::tests::shop, *};

    #[test]
    fn a_tenth_of_all_stays_available() {
        let there = |available| Memory { total: 1_000, available };
        for (available, needed, refused) in
            [(1_000, 900, false), (1_000, 901, true), (100, 0, false), (99, 0, true), (10, 500, true)]
        {
            assert_eq!(tight(there(available), needed).is_some(), refused, "{available} {needed}");
        }
    }

    #[test]
    fn only_what_runs_twice_counts() {
        let next = shop();
        assert_eq!(both(&shop(), &next), ["web"]);
        let mut alone = shop();
        alone.services.iter_mut().for_each(|one| one.alone = true);
        assert!(both(&shop(), &alone).is_empty(), "the old one ends first");
        assert!(both(&Made::default(), &next).is_empty());
    }
}
