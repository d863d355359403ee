//! The search over a repository that is deployed blue/green: which steps lead on from a world, and what must hold in each.

use super::{Job, Standing, World, colours::Colour};
use crate::rollout::{
    ATTEMPTS, Fact, Generation, LOSSES, PLANS, Phase, Rollout, UnderWay,
    explore::{self, Steps},
    next,
};

/// Steps after which something that is left alone has come to its end.
const PATIENT: u32 = 60;

impl World {
    fn waits_for(&self, phase: Phase) -> bool {
        self.alive && !self.works() && self.rollout.under_way.is_some_and(|one| one.phase == phase)
    }

    fn whole(&self, colour: Colour) -> bool {
        let one = self.there[colour];
        one.workers && (one.routed || one.fell)
    }

    fn at_rest(&self, colour: Colour) -> bool {
        !self.there[colour].routed && !self.there[colour].workers
    }

    /// The colours, against what must never be.
    fn wrong_colours(&self) -> Option<&'static str> {
        if let Some(fault) = self.fault {
            return Some(fault);
        }
        if self.there.iter().all(|one| one.workers) {
            return Some("workers run twice");
        }
        if self.known.iter().filter(|one| one.standing == Standing::Live).count() > 1 {
            return Some("two colours are recorded as live");
        }
        if self.proxy.table.is_some_and(|table| !self.lost && self.there[table.colour].made != table.made) {
            return Some("routes lead to containers that are no more");
        }
        let can_be_brought_back = |(colour, one): (Colour, &super::Known)| {
            !matches!(one.standing, Standing::Kept | Standing::Previous) || self.there[colour].made == one.made
        };
        if !self.known.iter().enumerate().all(can_be_brought_back) {
            return Some("a colour is kept that cannot be brought back");
        }
        if self.alive && self.proxy.held && !self.works() && !self.mends {
            return Some("requests are held, and nobody does anything about it");
        }
        let changes = |one: UnderWay| {
            matches!(
                one.phase,
                Phase::Warming
                    | Phase::Stepping
                    | Phase::ChangingOver
                    | Phase::Switching
                    | Phase::Applying
                    | Phase::Settling
            ) || one.phase.attends()
        };
        if self.alive && self.kept.bake.is_some() && self.rollout.under_way.is_some_and(changes) {
            return Some("a deployment changes colours that bake");
        }
        if self.baking && self.works() && self.rollout.under_way.is_some_and(|one| one.phase != Phase::Fetching) {
            return Some("a bake is looked after while a deployment works");
        }
        if self.alive && self.tries() && !self.attends && !self.works() {
            return Some("a next colour waits that nobody looks after");
        }
        if self.alive && self.lacks_share() && self.proxy.up && !self.lost && !self.works() && !self.mends {
            return Some("a colour is tried without a share, and nobody does anything about it");
        }
        if self.tries() && !self.works() && self.at(Standing::Next).is_none() {
            return Some("what waits has no next colour");
        }
        if self.alive && self.kept.bake.is_some() && !self.baking && !self.works() && !self.mends {
            return Some("a bake that nobody looks after");
        }
        None
    }

    /// Where it comes to if nothing more goes wrong; `None` where it comes to no end.
    fn left_alone(&self) -> Option<World> {
        let mut world = World {
            engine: true,
            left: super::Budget {
                routed_alone: self.left.routed_alone,
                gate: self.left.gate,
                canary: self.left.canary,
                ..super::NONE
            },
            ..self.clone()
        };
        world.proxy.up = true;
        for _ in 0..PATIENT {
            let then = match () {
                () if !world.alive => world.starts().pop(),
                () if world.works() => world.outcomes().pop(),
                () if world.mends => world.mends_beside().pop(),
                () if world.waits_for(Phase::EngineAway) => Some(("", world.woken(Fact::EngineBack))),
                () if world.waits_for(Phase::BakeAwaited) && world.kept.bake.is_none() => {
                    Some(("", world.woken(Fact::BakeOver)))
                }
                () if world.tries() => world.waits_on().into_iter().next(),
                () if world.baking => world.bakes_on().pop(),
                () if world.rollout.under_way.is_none() && world.queued.is_none() => return Some(world),
                () => None,
            };
            world = then?.1.claim();
        }
        None
    }

    /// What is wrong with this end.
    fn ends_wrong(&self) -> Option<&'static str> {
        if self.proxy.held {
            return Some("requests are held for ever");
        }
        if self.kept.bake.is_some() {
            return Some("a bake that never ends");
        }
        if let Some(wrong) = self.wrong_colours() {
            return Some(wrong);
        }
        let live = self.live();
        if self.proxy.table.is_some_and(|table| table.also.is_some()) {
            return Some("a colour has a share of the requests for ever");
        }
        if self.known.iter().any(|one| matches!(one.standing, Standing::Next | Standing::Previous)) {
            return Some("a colour stands where it cannot stay");
        }
        if self.proxy.table.map(|table| table.colour) != live {
            return Some("requests do not go to the live colour");
        }
        if live.is_some_and(|live| !self.whole(live)) {
            return Some("the live colour runs in part");
        }
        if (0..self.there.len()).any(|colour| Some(colour) != live && !self.at_rest(colour)) {
            return Some("a colour runs that is not live");
        }
        (self.reached != self.wanted && self.told != self.wanted).then_some("a push is lost")
    }
}

impl explore::World for World {
    fn steps(&self) -> Steps<World> {
        let mut all = self.outcomes();
        if !self.alive {
            all.extend(self.starts());
        } else {
            all.extend(self.may(|left| &mut left.deaths).map(|dead| ("dies", dead.dies())));
            all.extend(self.may(|left| &mut left.pushes).map(|mut then| {
                then.wanted += 1;
                then.queued = Some(Job { commit: then.wanted, attempt: 1, back: None });
                ("push", then.gives_way())
            }));
            all.extend(self.goes_back().map(|then| ("somebody goes back", then)));
        }
        all.extend(self.mends_beside());
        all.extend(self.bakes_on());
        all.extend(self.waits_on());
        for phase in [Phase::EngineAway, Phase::BakeAwaited] {
            if !self.waits_for(phase) {
                continue;
            }
            let comes = match phase {
                Phase::BakeAwaited => self.kept.bake.is_none(),
                _ => self.engine,
            };
            if comes {
                let fact = if phase == Phase::BakeAwaited { Fact::BakeOver } else { Fact::EngineBack };
                all.push(("it is woken", self.woken(fact)));
            }
            all.push(("it is due", self.woken(Fact::Due)));
            all.extend(
                self.may(|left| &mut left.cancels).map(|then| ("its wait is cancelled", then.take(Fact::Cancelled))),
            );
            all.extend(
                self.may(|left| &mut left.stops).map(|then| ("stops while it waits", then.take(Fact::Stopped).goes())),
            );
        }
        if self.engine {
            all.extend(self.may(|left| &mut left.outages).map(|then| ("engine goes", World { engine: false, ..then })));
        } else {
            all.push(("engine comes", World { engine: true, ..self.clone() }));
        }
        if self.proxy.up {
            all.extend(self.may(|left| &mut left.proxies).map(|then| ("proxy goes", then.without_proxy())));
        } else {
            let mut then = self.clone();
            then.proxy.up = true;
            all.push(("proxy comes", then));
            if let Some(mut then) =
                self.may(|left| &mut left.losses).filter(|then| !then.works() && then.proxy.before.is_some())
            {
                (then.proxy.up, then.proxy.table, then.lost) = (true, then.proxy.before, true);
                // Whoever sees it come back has it mended; at a start that is so anyway.
                then.mends = then.alive;
                all.push(("proxy comes with less", then));
            }
        }
        // What falls gets requests, or is about to.
        for colour in 0..self.there.len() {
            let falls =
                matches!(self.known[colour].standing, Standing::Live | Standing::Next) && self.there[colour].routed;
            if let Some(mut then) = self.may(|left| &mut left.falls).filter(|_| falls) {
                (then.there[colour].routed, then.there[colour].fell) = (false, true);
                all.push(("the new colour falls", then));
            }
        }
        all.into_iter().map(|(name, then)| (name, then.settle().claim())).collect()
    }

    fn wrong(&self) -> Option<String> {
        let fault = |said: &str| Some(said.to_owned());
        if let Some(wrong) = self.wrong_colours() {
            return fault(wrong);
        }
        let Rollout { generation, under_way, watch: _, bake } = &self.rollout;
        // On its way out it has no phase any more, and no end yet.
        let leaves = under_way.is_none() && self.works();
        if self.alive && under_way.is_some() != self.running.is_some() && !leaves {
            return fault("the state and the queue disagree on what is under way");
        }
        let waits = self.rollout.waits();
        if self.alive && under_way.is_some() && self.works() == waits.is_some() {
            return fault("something is under way and nothing is done about it, or something waits and holds the lane");
        }
        if let Some(due) = waits
            && next(&self.rollout, Fact::Due, due).rollout.waits().is_some()
        {
            return fault("a wait that does not end when it is due");
        }
        if self.alive && waits.is_some() && self.queued.is_some() {
            return fault("something waits, and holds up what is newer");
        }
        if let Some(UnderWay { phase, plans, losses, due_at, step, steps }) = *under_way {
            if plans > PLANS || losses > LOSSES {
                return fault("it goes on without an end");
            }
            if step > steps {
                return fault("a step beyond the last one");
            }
            if phase.waits() != due_at.is_some() {
                return fault("a wait without an end");
            }
        }
        if bake.is_some() && self.alive && self.rollout.under_way.is_none() && bake != &self.kept.bake {
            return fault("the state has a bake that the store has not");
        }
        if self.alive && self.recorded + Generation::from(self.running.is_some()) != *generation {
            return fault("a deployment without an end, or with two");
        }
        if self.running.is_some_and(|job| job.attempt > ATTEMPTS) {
            return fault("it kills the daemon for ever");
        }
        let waits = self.queued.into_iter().chain(self.running).any(|job| job.commit == self.wanted);
        (self.wanted > self.reached && self.told < self.wanted && !waits).then(|| "a push is lost".to_owned())
    }

    fn badly_ends(&self) -> Option<String> {
        match self.left_alone() {
            Some(end) => end.ends_wrong().map(|wrong| format!("{wrong}: left alone it comes to {end:#?}")),
            None => Some("left alone it comes to no end".to_owned()),
        }
    }

    fn fell(&self, then: &World) -> bool {
        self.alive && then.rollout.generation < self.rollout.generation
    }
}
