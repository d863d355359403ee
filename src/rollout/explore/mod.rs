//! Every state that can be reached, against what must never be: a breadth-first search over the table and a small world
//! round it, until there is nothing new. Each disturbance comes a bounded number of times, so that the search has an end;
//! which bounds, each world says.

mod in_place;
mod switched;

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt::Debug,
    hash::{BuildHasher as _, Hash, RandomState},
};

/// What can happen next, each with its name.
type Steps<W> = Vec<(&'static str, W)>;

/// A small world round the table.
trait World: Clone + Debug + Hash {
    /// All that can happen next.
    fn steps(&self) -> Steps<Self>;

    /// What must never be, where it is so.
    fn wrong(&self) -> Option<String>;

    /// What is wrong with the end that it comes to if nothing more goes wrong, or that it comes to none.
    fn badly_ends(&self) -> Option<String>;

    /// Whether a number that only rises is lower in the next world.
    fn fell(&self, then: &Self) -> bool;
}

/// Where each world that was seen came from, by its digest: the worlds themselves would fill the memory.
type Seen = HashMap<u64, (u64, &'static str)>;

fn road(seen: &Seen, mut at: u64) -> String {
    let mut names = Vec::new();
    while let Some((before, name)) = seen.get(&at).filter(|(before, _)| *before != at) {
        names.push(*name);
        at = *before;
    }
    names.reverse();
    names.join(", ")
}

/// Visits all that can be reached from here, and says how many worlds that are, and after how many steps the last one came.
fn explored<W: World>(begin: W, budget: &impl Debug) {
    let digests = RandomState::new();
    let first = digests.hash_one(&begin);
    let mut seen = Seen::from([(first, (first, ""))]);
    let mut todo = VecDeque::from([(begin, first, 0_u32)]);
    let mut deepest = 0;
    while let Some((world, digest, depth)) = todo.pop_front() {
        deepest = deepest.max(depth);
        if let Some(wrong) = world.wrong().or_else(|| world.badly_ends()) {
            panic!("{wrong}\nafter: {}\n{world:#?}", road(&seen, digest));
        }
        for (name, then) in world.steps() {
            assert!(!world.fell(&then), "{name}: the generation fell\nafter: {}", road(&seen, digest));
            let next = digests.hash_one(&then);
            if let Entry::Vacant(new) = seen.entry(next) {
                new.insert((digest, name));
                todo.push_back((then, next, depth + 1));
            }
        }
    }
    println!("worlds: {}, depth: {deepest}, {budget:?}", seen.len());
    assert!(seen.len() > 1_000, "the world has become too small: {}", seen.len());
}
