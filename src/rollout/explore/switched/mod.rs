//! A repository that is deployed blue/green: what a deployment in place has round it, and two colours, of which each has a part
//! that requests go to and workers that must not run twice; the proxy and its routes; a bake and a mending beside the lane.
//!
//! There is no clock: a bake may be over, and a wait be due, at any moment, which is more than any clock could do. Each action
//! is a list of deeds, calls to engine, proxy or store; it may be broken off between any two of them, by a failure, a person,
//! the end of the daemon or that of the engine. The two kinds of stacks, whether requests go to something that must not run
//! twice (and are held while that changes over) or not, are worlds of their own.

mod beside;
mod checks;
mod colours;
mod lane;

use std::collections::VecDeque;

use super::{Steps, explored};
use crate::rollout::{Action, Generation, Rollout};
use colours::Colour;

/// How often each disturbance may come, and in what kind of stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Budget {
    routed_alone: bool,
    pushes: u8,
    deaths: u8,
    stops: u8,
    cancels: u8,
    stale: u8,
    failures: u8,
    outages: u8,
    /// Containers of the new colour that fall over.
    falls: u8,
    /// Somebody asks to go back.
    backs: u8,
    /// The proxy ends, and comes back with its table.
    proxies: u8,
    /// It comes back with the table before that.
    losses: u8,
    /// What the next colour waits for once it is ready.
    gate: Gate,
    /// Steps of a canary.
    canary: u8,
    /// Somebody promotes it.
    promotes: u8,
    /// Somebody has it stay as it is.
    pauses: u8,
    /// It is turned down, for no reason that this world has.
    turns: u8,
}

/// What the next colour waits for once it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Gate {
    #[default]
    Nothing,
    Person,
    Time,
}

/// Where a colour stands, as it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Standing {
    #[default]
    Never,
    Next,
    Live,
    Previous,
    Kept,
    Failed,
}

/// What is recorded of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Known {
    standing: Standing,
    /// By which deployment; 0: none.
    made: Generation,
    commit: u8,
}

/// The containers of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct There {
    made: Generation,
    routed: bool,
    workers: bool,
    gated: bool,
    /// Of itself, with nobody to blame.
    fell: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Table {
    age: (Generation, Generation),
    colour: Colour,
    made: Generation,
    /// Has a share beside that one.
    also: Option<Colour>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct TurnoutProxy {
    up: bool,
    held: bool,
    table: Option<Table>,
    before: Option<Table>,
}

/// A deployment that is queued or under way. `back`: to the colour that this deployment made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    commit: u8,
    attempt: u32,
    back: Option<Generation>,
}

/// From one colour to another, in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Way {
    live: Option<Colour>,
    next: Colour,
    back: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct World {
    /// On disk for certain. Its bake is the store's.
    kept: Rollout,
    rollout: Rollout,
    alive: bool,
    doing: VecDeque<Action>,
    way: Option<Way>,
    queued: Option<Job>,
    running: Option<Job>,
    wanted: u8,
    reached: u8,
    told: u8,
    recorded: Generation,
    /// Commits that are not tried again, as bits.
    taken_back: u8,
    /// Somebody looks after the bake; after a next colour that waits; something is to be mended beside the lane.
    baking: bool,
    attends: bool,
    mends: bool,
    known: [Known; 2],
    there: [There; 2],
    /// How far the routes have come, as the proxy has confirmed it last.
    confirmed: (Generation, Generation),
    proxy: TurnoutProxy,
    /// The proxy came back with an older table, and nobody has asked it since.
    lost: bool,
    engine: bool,
    died: bool,
    fault: Option<&'static str>,
    left: Budget,
}

impl World {
    fn begin(left: Budget) -> World {
        let proxy = TurnoutProxy { up: true, ..TurnoutProxy::default() };
        World { alive: true, engine: true, proxy, left, ..World::default() }
    }

    /// The same world with one less of this to come; `None` where there is none left.
    fn may(&self, of: fn(&mut Budget) -> &mut u8) -> Option<World> {
        let mut then = self.clone();
        let left = of(&mut then.left);
        *left = left.checked_sub(1)?;
        Some(then)
    }
}

const NONE: Budget = Budget {
    routed_alone: false,
    pushes: 0,
    deaths: 0,
    stops: 0,
    cancels: 0,
    stale: 0,
    failures: 0,
    outages: 0,
    falls: 0,
    backs: 0,
    proxies: 0,
    losses: 0,
    gate: Gate::Nothing,
    canary: 0,
    promotes: 0,
    pauses: 0,
    turns: 0,
};

/// Each disturbance often enough to meet its limit, and each with each that it can make worse.
const SEARCHES: [Budget; 15] = [
    Budget { pushes: 2, deaths: 1, stale: 1, failures: 1, outages: 1, cancels: 1, ..NONE },
    Budget { pushes: 2, deaths: 1, failures: 1, falls: 1, backs: 1, proxies: 1, losses: 1, ..NONE },
    Budget { pushes: 2, deaths: 2, failures: 1, outages: 1, backs: 1, ..NONE },
    Budget { pushes: 2, deaths: 4, backs: 2, ..NONE },
    Budget { pushes: 2, deaths: 1, stale: 3, cancels: 1, ..NONE },
    Budget { pushes: 2, cancels: 1, stale: 1, outages: 4, ..NONE },
    Budget { pushes: 3, deaths: 1, stops: 1, failures: 1, backs: 1, ..NONE },
    Budget { routed_alone: true, pushes: 2, deaths: 1, stale: 1, failures: 1, outages: 1, ..NONE },
    Budget { routed_alone: true, pushes: 2, deaths: 1, failures: 1, falls: 1, backs: 1, proxies: 1, losses: 1, ..NONE },
    Budget { routed_alone: true, pushes: 2, deaths: 1, stops: 1, cancels: 1, outages: 1, backs: 1, ..NONE },
    Budget { gate: Gate::Person, canary: 2, pushes: 2, promotes: 2, pauses: 1, deaths: 1, ..NONE },
    Budget { gate: Gate::Time, canary: 1, pushes: 2, promotes: 1, cancels: 1, stops: 1, outages: 1, ..NONE },
    Budget { canary: 2, pushes: 2, turns: 1, falls: 1, deaths: 1, failures: 1, ..NONE },
    Budget { canary: 1, pushes: 2, promotes: 1, backs: 1, proxies: 1, losses: 1, deaths: 1, ..NONE },
    Budget { canary: 2, pushes: 3, pauses: 1, turns: 1, failures: 1, ..NONE },
];

#[test]
fn no_road_leads_to_what_must_never_be() {
    for budget in SEARCHES {
        explored(World::begin(budget), &budget);
    }
}
