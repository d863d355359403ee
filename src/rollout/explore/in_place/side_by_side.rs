//! Two repositories under one daemon. What they share is its life, the disk that it finds again, the engine, the clock, and places
//! among lanes, of which there is one here: whoever works has it, whoever waits for something outside has not. Their rollouts share
//! nothing: [`next`](crate::rollout::next) is told of one alone. So this looks for what one may do to the other by what is shared:
//! that it holds the place while it waits, that what is woken without a place is forgotten, or that a start sees to one alone.
//!
//! Two blue/green repositories share the proxy besides. Its routes, what it holds and its generations are each repository's own, and
//! that the proxy ends, or comes back with less, may come at any moment of a world of one: a second one could only be the reason for
//! it. The same is true of the engine's going and of loopback ports, which the store gives to one alone in one transaction. So that
//! product would be larger, and no road in it new.

use super::{Budget, LATEST, Steps, World, explored};
use crate::rollout::Fact;

/// Disturbances come to both together so often, but for the engine's and the daemon's, which both of them meet.
const SEARCHES: [Budget; 3] = [
    Budget { pushes: 2, deaths: 1, outages: 1, cancels: 1, ..NONE },
    Budget { pushes: 3, deaths: 1, stops: 1, ..NONE },
    Budget { pushes: 2, failures: 1, stale: 1, outages: 1, stops: 1, ..NONE },
];

const NONE: Budget = Budget { pushes: 0, deaths: 0, stops: 0, cancels: 0, stale: 0, failures: 0, outages: 0 };

/// Moves after which two that are left alone have come to their ends.
const PATIENT: u32 = 80;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pair([World; 2]);

impl World {
    /// Whether its lane has a place.
    fn has_place(&self) -> bool {
        self.alive && self.running.is_some() && self.rollout.waits().is_none()
    }

    /// An orderly end of the daemon, whatever this one does.
    fn ends(mut self) -> World {
        if self.rollout.waits().is_none() && self.running.is_some() {
            self.doing.pop_front();
        }
        self.take(Fact::Stopped).settle().goes()
    }
}

impl Pair {
    fn begin(left: Budget) -> Pair {
        Pair([World::begin(left), World::begin(left)])
    }

    /// One of them has gone on: the other has the same daemon, and as much is left to come for it.
    fn with(&self, number: usize, then: World) -> Pair {
        let mut other = World { left: then.left, ..self.0[1 - number].clone() };
        if other.alive && !then.alive {
            other = if then.died { other.dies() } else { other.ends() };
        }
        match number {
            0 => Pair([then, other]),
            _ => Pair([other, then]),
        }
    }

    /// The same came to both.
    fn both(&self, of: impl Fn(&World) -> World) -> Pair {
        Pair([of(&self.0[0]), of(&self.0[1])])
    }

    fn lacks_place(&self, number: usize) -> bool {
        self.0[1 - number].has_place()
    }

    /// Whoever finds the place takes it; where both would, either may be the first.
    fn claims(&self) -> Vec<Pair> {
        let told = |pair: &Pair| {
            let mut pair = pair.clone();
            let lack = [pair.lacks_place(0), pair.lacks_place(1)];
            (pair.0[0].crowded, pair.0[1].crowded) = (lack[0], lack[1]);
            pair
        };
        let settled = told(&self.both(|one| one.clone().settle()));
        let firsts: Vec<Pair> = (0..2)
            .filter_map(|number| {
                let before = &settled.0[number];
                let then = before.clone().claim();
                (then != *before).then(|| told(&settled.with(number, then)))
            })
            .collect();
        if firsts.is_empty() { vec![settled] } else { firsts }
    }

    fn starts(&self) -> Vec<Pair> {
        let [one, other] = [self.0[0].starts(), self.0[1].starts()];
        one.iter().flat_map(|(_, one)| other.iter().map(|(_, other)| Pair([one.clone(), other.clone()]))).collect()
    }

    /// Where they come to if nothing more goes wrong; `None` where they come to no end.
    fn left_alone(&self) -> Option<Pair> {
        let mut pair = self.both(|one| World { engine: true, ..one.clone() });
        for _ in 0..PATIENT {
            let works = (0..2).find(|number| pair.0[*number].has_place());
            let waits = (0..2).find(|number| pair.0[*number].rollout.waits().is_some());
            let then = match (pair.0[0].alive, works, waits) {
                (false, ..) => pair.starts().pop()?,
                (true, Some(number), _) => {
                    let done = pair.0[number].outcomes().into_iter().find(|(name, _)| *name == "done")?;
                    pair.with(number, done.1)
                }
                (true, None, Some(number)) => pair.with(number, pair.0[number].clone().take(Fact::EngineBack)),
                (true, None, None) => return Some(pair),
            };
            pair = then.claims().pop()?;
        }
        None
    }
}

impl super::super::World for Pair {
    fn steps(&self) -> Steps<Pair> {
        let mut all: Steps<Pair> = Vec::new();
        for number in 0..2 {
            let own = self.0[number].own().into_iter();
            all.extend(own.map(|(name, then)| (name, self.with(number, then))));
        }
        let one = &self.0[0];
        if one.alive {
            all.extend(one.may(|left| &mut left.deaths).map(|dead| ("dies", self.with(0, dead.dies()))));
        } else {
            all.extend(self.starts().into_iter().map(|pair| ("starts", pair)));
        }
        if one.engine {
            let gone = one.may(|left| &mut left.outages).map(|then| self.with(0, then));
            let gone = gone.map(|pair| pair.both(|one| World { engine: false, ..one.clone() }));
            all.extend(gone.map(|pair| ("engine goes", pair)));
        } else {
            all.push(("engine comes", self.both(|one| World { engine: true, ..one.clone() })));
        }
        if one.now < LATEST {
            all.push(("time", self.both(|one| World { now: one.now + 1, ..one.clone() })));
        }
        all.into_iter().flat_map(|(name, pair)| pair.claims().into_iter().map(move |then| (name, then))).collect()
    }

    fn wrong(&self) -> Option<String> {
        if let Some(wrong) = self.0.iter().find_map(super::super::World::wrong) {
            return Some(wrong);
        }
        let [one, other] = &self.0;
        let fault = |said: &str| Some(said.to_owned());
        if (one.alive, one.engine, one.now, one.left) != (other.alive, other.engine, other.now, other.left) {
            return fault("they have not the same daemon, engine, clock and disturbances");
        }
        if one.has_place() && other.has_place() {
            return fault("two work, and there is one place");
        }
        let stands = |one: &World| one.queued.is_some() && one.running.is_none();
        if one.alive && (stands(one) || stands(other)) && !one.has_place() && !other.has_place() {
            return fault("something is queued, nobody works, and it is not taken up");
        }
        None
    }

    fn badly_ends(&self) -> Option<String> {
        match self.left_alone() {
            Some(end) if end.0.iter().all(|one| one.reached == one.wanted || one.told == one.wanted) => None,
            end => Some(format!("left alone they come to {end:#?}")),
        }
    }

    fn fell(&self, then: &Pair) -> bool {
        self.0.iter().zip(&then.0).any(|(one, then)| super::super::World::fell(one, then))
    }
}

#[test]
fn no_road_of_one_leads_another_to_what_must_never_be() {
    for budget in SEARCHES {
        explored(Pair::begin(budget), &budget);
    }
}
