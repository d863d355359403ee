//! A repository that is deployed in place: its queue, its lane, an engine, a clock and a disk on which moves inside of a
//! deployment are written without waiting, as the store does. At any moment somebody may push, cancel, stop or kill the
//! daemon, take the engine down, or let time pass; an action may be done, done and not acknowledged, fail, or find the world
//! changed.

mod side_by_side;

use std::collections::VecDeque;

use super::{Steps, explored};
use crate::rollout::{
    ATTEMPTS, Action, Ending, Fact, Generation, LOSSES, Millis, Next, PLANS, Phase, Rollout, UnderWay, next,
};

const PATIENCE: Millis = 2;
const WATCHED: Millis = 2;
/// The clock goes no further.
const LATEST: Millis = 4;

/// How often each disturbance may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Budget {
    pushes: u8,
    deaths: u8,
    stops: u8,
    cancels: u8,
    stale: u8,
    failures: u8,
    outages: u8,
}

/// Each disturbance often enough to meet its limit, and each with each.
const SEARCHES: [Budget; 4] = [
    Budget { pushes: 2, deaths: 1, stops: 1, cancels: 1, stale: 1, failures: 1, outages: 1 },
    Budget { pushes: 3, deaths: 4, stops: 1, cancels: 0, stale: 0, failures: 0, outages: 0 },
    Budget { pushes: 1, deaths: 1, stops: 0, cancels: 0, stale: 3, failures: 0, outages: 4 },
    Budget { pushes: 2, deaths: 0, stops: 0, cancels: 1, stale: 4, failures: 1, outages: 1 },
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct World {
    /// On disk for certain.
    kept: Rollout,
    /// What the daemon works with; after a crash it is one of the two.
    rollout: Rollout,
    alive: bool,
    /// What the lane does, and has to do after it.
    doing: VecDeque<Action>,
    /// Commits are numbers. What waits, and which attempt that is; what is under way; what is wanted; what was brought.
    queued: Option<(u8, u32)>,
    running: Option<(u8, u32)>,
    wanted: u8,
    reached: u8,
    /// The newest commit whose deployment came to a bad end that somebody was told of.
    told: u8,
    /// Generations whose end is recorded.
    recorded: Generation,
    /// Whose plan the containers have.
    applied: Generation,
    /// What is watched, in memory.
    watching: Option<Generation>,
    engine: bool,
    now: Millis,
    /// The daemon died, and did not end in an orderly way.
    died: bool,
    /// Another repository has the only place among lanes.
    crowded: bool,
    left: Budget,
}

impl World {
    fn begin(left: Budget) -> World {
        World { alive: true, engine: true, left, ..World::default() }
    }

    /// The same world with one less of this to come; `None` where there is none left.
    fn may(&self, of: fn(&mut Budget) -> &mut u8) -> Option<World> {
        let mut then = self.clone();
        let left = of(&mut then.left);
        *left = left.checked_sub(1)?;
        Some(then)
    }

    /// A fact, and what follows from it.
    fn take(mut self, fact: Fact) -> World {
        let Next { rollout, actions } = next(&self.rollout, fact, self.now);
        self.rollout = rollout;
        self.doing.extend(actions);
        // What ends a deployment, its beginning, that it changes containers, that it waits and does not any more, are waited
        // for; what is in between is not.
        // Nor is the end of a watch.
        let ends = self.rollout.under_way.is_none() && fact != Fact::WatchOver;
        let outside = matches!(fact, Fact::EngineGone { .. } | Fact::EngineBack);
        if ends || outside || matches!(fact, Fact::Begin | Fact::Planned) {
            self.kept = self.rollout.clone();
        }
        // One transaction with what has it wait.
        if outside { self.settle().gives_way() } else { self }
    }

    /// Does what costs no wait, so that what is left to do takes time and may go wrong.
    fn settle(mut self) -> World {
        while let Some(action) = self.doing.front().copied() {
            match action {
                Action::Record(ending) => {
                    let (commit, attempt) = self.running.take().expect("something ends that did not run");
                    self.recorded += 1;
                    match ending {
                        Ending::Succeeded => self.reached = self.reached.max(commit),
                        Ending::Failed(_) | Ending::Cancelled => self.told = self.told.max(commit),
                        // Again, unless something newer waits. One transaction with its record.
                        Ending::Interrupted if self.doing.get(1) == Some(&Action::Again) => {
                            self.queued = self.queued.or(Some((commit, attempt + u32::from(self.died))));
                        }
                        Ending::Interrupted => {}
                        Ending::Superseded => assert!(self.queued.is_some(), "superseded by nothing"),
                    }
                }
                // The lane is free.
                Action::Again | Action::Wait => {}
                // Nothing was ever switched.
                Action::Mend => {}
                Action::EndWatch => self.watching = None,
                Action::Watch => {
                    let watch = self.rollout.watch.expect("nothing is to be watched");
                    self.watching = Some(watch.generation);
                }
                _ => break,
            }
            self.doing.pop_front();
        }
        self
    }

    /// What waits for a fact from outside makes room for what is queued.
    fn gives_way(self) -> World {
        match self.queued.is_some() && self.rollout.waits().is_some() {
            true => self.take(Fact::Newer).settle(),
            false => self,
        }
    }

    /// The lane takes what waits, where there is a place for it.
    fn claim(mut self) -> World {
        if self.alive
            && !self.crowded
            && self.running.is_none()
            && self.doing.is_empty()
            && let Some(job) = self.queued.take()
        {
            self.running = Some(job);
            return self.take(Fact::Begin).settle();
        }
        self
    }

    /// What the action under way can come to.
    fn outcomes(&self) -> Vec<(&'static str, World)> {
        let Some(action) = self.doing.front().copied().filter(|_| self.alive) else { return Vec::new() };
        let mut done = self.clone();
        done.doing.pop_front();
        let mut all = Vec::new();
        if !self.engine && action != Action::Fetch {
            all.push(("engine gone", done.take(Fact::EngineGone { patience: PATIENCE })));
            return all;
        }
        let good = match action {
            Action::Fetch => Fact::Fetched,
            Action::Plan => Fact::Planned,
            Action::Apply => {
                done.applied = done.rollout.generation;
                Fact::Applied
            }
            Action::Settle => Fact::Settled { watch: Some(self.now + WATCHED) },
            other => panic!("{other:?} costs no wait"),
        };
        all.push(("done", done.clone().take(good)));
        // Done, and not acknowledged: of the others nothing shows but what they found out, which is lost in either case.
        if action == Action::Apply {
            all.extend(done.may(|left| &mut left.deaths).map(|dead| ("dies after it", dead.dies())));
        }
        if matches!(action, Action::Plan | Action::Apply | Action::Settle) {
            all.extend(done.may(|left| &mut left.stale).map(|then| ("stale", then.take(Fact::Stale))));
        }
        all.extend(done.may(|left| &mut left.failures).map(|then| ("fails", then.take(Fact::Failed))));
        all.extend(done.may(|left| &mut left.cancels).map(|then| ("is cancelled", then.take(Fact::Cancelled))));
        all.extend(
            done.may(|left| &mut left.stops).map(|then| ("is stopped", then.take(Fact::Stopped).settle().goes())),
        );
        all
    }

    /// What can happen to this repository, and to no other.
    fn own(&self) -> Steps<World> {
        let mut all = self.outcomes();
        if self.alive {
            all.extend(self.may(|left| &mut left.pushes).map(|mut then| {
                then.wanted += 1;
                then.queued = Some((then.wanted, 1));
                ("push", then.gives_way())
            }));
        }
        if let Some(due) = self.rollout.waits().filter(|_| self.alive) {
            // Woken from outside, while the lane does nothing. Who finds no place is woken again.
            if self.engine && !self.crowded {
                all.push(("engine is back", self.clone().take(Fact::EngineBack)));
            }
            if due <= self.now && !self.crowded {
                all.push(("not back in time", self.clone().take(Fact::Due)));
            }
            all.extend(
                self.may(|left| &mut left.cancels).map(|then| ("its wait is cancelled", then.take(Fact::Cancelled))),
            );
            all.extend(
                self.may(|left| &mut left.stops).map(|then| ("stops while it waits", then.take(Fact::Stopped).goes())),
            );
        }
        // Beside the lane, whatever that does; later than its time where something that fell may yet stand again. The disk
        // has it when something later is waited for.
        if self.alive && self.watching.is_some() && self.rollout.watch.is_some_and(|watch| watch.until <= self.now) {
            all.push(("the watch is over", World { watching: None, ..self.clone() }.take(Fact::WatchOver)));
        }
        all
    }

    /// The daemon is no more, and all that it only knew.
    fn goes(mut self) -> World {
        (self.alive, self.watching) = (false, None);
        self.doing.clear();
        self
    }

    fn dies(self) -> World {
        World { died: true, ..self.goes() }
    }

    /// The next start, with what the disk has: with luck the last move as well.
    fn starts(&self) -> Vec<(&'static str, World)> {
        let mut all = Vec::new();
        for (name, found) in [("starts", &self.rollout), ("starts with less", &self.kept)] {
            let mut then = self.clone();
            (then.alive, then.rollout) = (true, found.clone());
            let attempt = self.running.map_or(1, |(_, attempt)| attempt);
            // A death is an attempt, an orderly end is none.
            let then = then.take(Fact::Started { attempt }).settle();
            all.push((name, World { died: false, ..then }));
        }
        all
    }

    /// Where it comes to if nothing more goes wrong; `None` where it comes to no end.
    fn left_alone(&self) -> Option<World> {
        let mut world = World { engine: true, ..self.clone() };
        for _ in 0..40 {
            if !world.alive {
                world = world.starts().pop()?.1.settle().claim();
                continue;
            }
            let outcome = world.outcomes().into_iter().find(|(name, _)| *name == "done");
            match outcome {
                Some((_, then)) => world = then.settle().claim(),
                None if world.rollout.waits().is_some() => world = world.take(Fact::EngineBack).settle().claim(),
                None if world.rollout.under_way.is_none() && world.queued.is_none() => return Some(world),
                None => return None,
            }
        }
        None
    }
}

impl super::World for World {
    fn steps(&self) -> Steps<World> {
        let mut all = self.own();
        if !self.alive {
            all.extend(self.starts());
        }
        all.extend(self.may(|left| &mut left.deaths).filter(|dead| dead.alive).map(|dead| ("dies", dead.dies())));
        if self.engine {
            all.extend(self.may(|left| &mut left.outages).map(|then| ("engine goes", World { engine: false, ..then })));
        } else {
            all.push(("engine comes", World { engine: true, ..self.clone() }));
        }
        if self.now < LATEST {
            let then = World { now: self.now + 1, ..self.clone() };
            all.push(("time", then));
        }
        all.into_iter().map(|(name, then)| (name, then.settle().claim())).collect()
    }

    fn wrong(&self) -> Option<String> {
        let Rollout { generation, under_way, watch, bake: _ } = &self.rollout;
        let fault = |said: &str| Some(said.to_owned());
        if self.alive && under_way.is_some() != self.running.is_some() {
            return fault("the state and the queue disagree on what is under way");
        }
        let waits = self.rollout.waits().is_some();
        if self.alive && under_way.is_some() && self.doing.is_empty() != waits {
            return fault("something is under way and nothing is done about it, or something waits and holds the lane");
        }
        // Whether or not the engine ever comes back.
        if let Some(due) = self.rollout.waits()
            && next(&self.rollout, Fact::Due, due).rollout.under_way.is_some()
        {
            return fault("a wait that does not end when it is due");
        }
        if self.alive && waits && self.queued.is_some() {
            return fault("something waits for the engine, and holds up what is newer");
        }
        if let Some(UnderWay { phase, plans, losses, due_at, step: _, steps: _ }) = *under_way {
            if plans > PLANS || losses > LOSSES {
                return fault("it goes on without an end");
            }
            if (phase == Phase::EngineAway) != due_at.is_some() {
                return fault("a wait without an end");
            }
            if matches!(phase, Phase::Applying | Phase::Settling)
                && (watch.is_some() || (self.alive && self.watching.is_some()))
            {
                return fault("an earlier success is watched while its containers are changed");
            }
        }
        if self.alive && self.watching != watch.map(|watch| watch.generation) {
            return fault("what is watched is not what the state says");
        }
        if self.alive && self.recorded + Generation::from(under_way.is_some()) != *generation {
            return fault("a deployment without an end, or with two");
        }
        if self.watching.is_some_and(|watched| self.applied > watched) {
            return fault("a success is watched though a later deployment has changed its containers");
        }
        if self.applied > *generation {
            return fault("the generation fell");
        }
        if self.running.is_some_and(|(_, attempt)| attempt > ATTEMPTS) {
            return fault("it kills the daemon for ever");
        }
        let waits = self.queued.into_iter().chain(self.running).any(|(commit, _)| commit == self.wanted);
        if self.wanted > self.reached && self.told < self.wanted && !waits {
            return fault("a push is lost");
        }
        None
    }

    fn badly_ends(&self) -> Option<String> {
        match self.left_alone() {
            Some(end) if end.reached == end.wanted || end.told == end.wanted => None,
            end => Some(format!("left alone it comes to {end:#?}")),
        }
    }

    fn fell(&self, then: &World) -> bool {
        self.alive && then.rollout.generation < self.rollout.generation
    }
}

#[test]
fn no_road_leads_to_what_must_never_be() {
    for budget in SEARCHES {
        explored(World::begin(budget), &budget);
    }
}
