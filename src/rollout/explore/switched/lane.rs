//! The lane of a repository that is deployed blue/green: what its actions do, and what they can come to.

use super::{
    Gate, Job, Standing, Steps, Way, World,
    colours::{Deed, Part, Silent},
};
use crate::rollout::{Action, Ending, Fact, Millis, Next, next};

pub(super) const PATIENCE: Millis = 2;

impl World {
    /// A fact, and what follows from it.
    pub(super) fn take(mut self, fact: Fact) -> World {
        let Next { rollout, actions } = next(&self.rollout, fact, self.rollout.waits().unwrap_or_default());
        self.rollout = rollout;
        self.doing.extend(actions);
        let outside = matches!(fact, Fact::EngineGone { .. } | Fact::EngineBack);
        if outside || self.rollout.waits().is_some() || fact == Fact::Begin {
            self.keep();
        }
        self.settle().gives_way()
    }

    /// The same, with the state that follows on the disk before anything is done.
    fn taken_up(mut self, fact: Fact) -> World {
        let Next { rollout, actions } = next(&self.rollout, fact, self.rollout.waits().unwrap_or_default());
        self.rollout = rollout;
        self.doing.extend(actions);
        if self.rollout.under_way.is_some() {
            self.keep();
        }
        self.settle().gives_way()
    }

    /// The disk has it. A bake is recorded with the colours.
    pub(super) fn keep(&mut self) {
        let bake = self.kept.bake;
        self.kept = self.rollout.clone();
        self.kept.bake = bake;
    }

    /// Whether the lane is at work: nobody else touches colours then.
    pub(super) fn works(&self) -> bool {
        !self.doing.is_empty()
    }

    /// Does what costs no wait.
    pub(super) fn settle(mut self) -> World {
        while let Some(action) = self.doing.front().copied() {
            match action {
                Action::Record(ending) => self.records(ending),
                // What it comes to is no fact.
                Action::Again | Action::Meanwhile => {}
                Action::Wait => self.lane_is_free(),
                Action::Bake => self.baking |= self.kept.bake.is_some(),
                Action::Attend => self.attends = true,
                Action::Mend => self.mends = true,
                Action::EndWatch | Action::Watch => panic!("nothing is watched here"),
                _ => break,
            }
            self.doing.pop_front();
        }
        self
    }

    fn records(&mut self, ending: Ending) {
        let job = self.running.take().expect("something ends that did not run");
        self.recorded += 1;
        self.keep();
        self.lane_is_free();
        // What the deployment knew of it goes with it.
        self.rollout.bake = self.kept.bake;
        let Job { commit, attempt, back } = job;
        let led_there = back.is_none_or(|made| self.live().is_some_and(|live| self.known[live].made == made));
        if ending == Ending::Succeeded && !led_there {
            self.fault = Some("a way back led to another colour than the one that was asked for");
        }
        let gives_way = matches!(ending, Ending::Superseded | Ending::Interrupted);
        if gives_way && self.queued.is_some_and(|newer| newer.back.is_some()) {
            // The commit stays wanted, and status says so.
            self.told = self.told.max(commit);
        }
        match ending {
            _ if ending == Ending::Interrupted && self.doing.get(1) == Some(&Action::Again) => {
                let again = Job { attempt: attempt + u32::from(self.died), ..job };
                self.queued = self.queued.or(Some(again));
            }
            _ if back.is_some() => {}
            Ending::Succeeded => self.reached = self.reached.max(commit),
            Ending::Failed(_) | Ending::Cancelled => self.told = self.told.max(commit),
            Ending::Interrupted => {}
            Ending::Superseded => assert!(self.queued.is_some(), "superseded by nothing"),
        }
    }

    /// Whoever leaves the lane sees to it that a bake which it found is looked after.
    fn lane_is_free(&mut self) {
        self.way = None;
        self.baking |= self.kept.bake.is_some();
    }

    /// What waits for a fact from outside makes room for what is queued.
    pub(super) fn gives_way(self) -> World {
        match self.queued.is_some() && self.rollout.waits().is_some() && self.alive && !self.works() {
            true => self.take(Fact::Newer),
            false => self,
        }
    }

    /// The lane takes what is queued.
    pub(super) fn claim(mut self) -> World {
        if self.alive
            && self.running.is_none()
            && !self.works()
            && let Some(job) = self.queued.take()
        {
            self.running = Some(job);
            self.rollout.bake = self.kept.bake;
            return self.take(Fact::Begin);
        }
        self
    }

    /// What waits is taken up from its row.
    pub(super) fn woken(&self, fact: Fact) -> World {
        let mut then = self.clone();
        then.rollout.bake = then.kept.bake;
        if let (true, Some(next)) = (then.tries(), then.at(Standing::Next)) {
            then.way = Some(Way { live: then.live(), next, back: false });
        }
        then.taken_up(fact)
    }

    fn deeds(&self, action: Action) -> Vec<Deed> {
        let one = (self.rollout.generation, 0);
        let (alone, way) = (self.left.routed_alone, self.way);
        let of_way = |deeds: fn(Way, bool) -> Vec<Deed>| way.map_or_else(Vec::new, |way| deeds(way, alone));
        match action {
            Action::Plan => self.mending(false),
            Action::Warm => of_way(|way, alone| {
                let mut deeds = Vec::new();
                if !way.back {
                    deeds.push(Deed::NoteNext(way.next));
                    // What stays may change.
                    if alone && way.live.is_some() {
                        deeds.extend([Deed::Hold, Deed::LetThrough]);
                    }
                    deeds.push(Deed::Make(way.next));
                }
                if !alone {
                    deeds.extend([Deed::Wake(way.next, Part::Beside), Deed::Gate(way.next)]);
                }
                deeds
            }),
            Action::ChangeOver => of_way(|way, alone| {
                let mut deeds = Vec::new();
                if let Some(live) = way.live {
                    deeds.extend(alone.then_some(Deed::Hold));
                    deeds.push(Deed::Rest(live, Part::Alone));
                }
                deeds.push(Deed::Wake(way.next, Part::Alone));
                deeds.extend(alone.then_some(Deed::Gate(way.next)));
                deeds
            }),
            Action::Switch => way.map_or_else(Vec::new, |way| {
                vec![Deed::Route(way.next, one), Deed::LetThrough, Deed::NoteSwitched(way.next, one)]
            }),
            Action::Step => match (way, self.rollout.under_way.map(|one| one.step)) {
                (Some(way), Some(1..)) => {
                    let age = self.next_age();
                    vec![Deed::Share(way.next, age), Deed::NoteRoutes(age)]
                }
                // A preview is nobody's share.
                _ => vec![Deed::Ask],
            },
            Action::GoBack => {
                let shared = self.proxy.table.is_some_and(|table| table.also.is_some());
                let age = self.next_age();
                let route = way.and_then(|way| way.live).filter(|_| shared);
                let mut deeds = route.map_or_else(Vec::new, |live| vec![Deed::Route(live, age), Deed::NoteRoutes(age)]);
                deeds.extend(of_way(|way, _| {
                    let back = way.live.map(|live| Deed::Wake(live, Part::Alone));
                    [Deed::Rest(way.next, Part::Alone)].into_iter().chain(back).chain([Deed::LetThrough]).collect()
                }));
                deeds
            }
            // Whoever has a share of the requests is not stopped: what mends takes that away first.
            Action::Abort if self.proxy.table.is_some_and(|table| table.also.is_some()) => vec![Deed::Ask],
            Action::Abort => of_way(|way, _| vec![Deed::Rest(way.next, Part::All), Deed::NoteAborted(way.next)]),
            _ => Vec::new(),
        }
    }

    /// The fact that an action which did all of its deeds comes to.
    fn good(&mut self, action: Action) -> Option<Fact> {
        Some(match action {
            Action::Fetch => Fact::Fetched,
            Action::Plan => return Some(self.decides()),
            Action::Apply => Fact::Applied,
            Action::Settle => Fact::Settled { watch: None },
            Action::Warm => self.warmed(),
            Action::Step => Fact::Stands { until: 0, opens: self.opens() },
            Action::ChangeOver => Fact::ChangedOver,
            Action::Switch => Fact::Switched { bake: self.kept.bake.map(|bake| bake.until), watch: None },
            Action::GoBack | Action::Abort => return None,
            other => panic!("{other:?} costs no wait"),
        })
    }

    /// Whether its wait is over by its time. Where a person promotes, every other step has none of its own.
    fn opens(&self) -> bool {
        match self.rollout.under_way.map_or(0, |one| one.step) {
            0 => self.left.gate == Gate::Time,
            step => self.left.gate != Gate::Person || step % 2 == 1,
        }
    }

    /// What the next colour waits for. One that is brought back, or the first of all, waits for nothing.
    fn warmed(&self) -> Fact {
        let steps = u32::from(self.left.canary);
        match (self.way, self.left.gate) {
            (Some(Way { live: Some(_), back: false, .. }), Gate::Person | Gate::Time) => {
                Fact::Ready { first: 0, steps }
            }
            (Some(Way { live: Some(_), back: false, .. }), Gate::Nothing) if steps > 0 => {
                Fact::Ready { first: 1, steps }
            }
            _ => Fact::Warmed,
        }
    }

    /// Which colour is next, if any.
    fn decides(&mut self) -> Fact {
        // It has mended already.
        self.mends = false;
        if let Some(bake) = self.kept.bake {
            return Fact::Baking { bake };
        }
        let Some(job) = self.running else { return Fact::Failed };
        let live = self.live();
        let (next, back) = match job.back {
            Some(made) if live.is_some_and(|live| self.known[live].made == made) => return Fact::Planned,
            Some(made) => {
                let kept = self.known.iter().position(|one| one.standing == Standing::Kept && one.made == made);
                let Some(kept) = kept else { return Fact::Failed };
                (kept, true)
            }
            None if self.taken_back & (1 << job.commit) != 0 => return Fact::Failed,
            None if live.is_some_and(|live| self.known[live].commit == job.commit) => return Fact::Planned,
            None => (live.map_or(0, |live| 1 - live), false),
        };
        self.way = Some(Way { live, next, back });
        Fact::ColourPlanned
    }

    /// What the action under way can come to. The last one is that all goes well, as far as it can.
    pub(super) fn outcomes(&self) -> Steps<World> {
        let Some(action) = self.doing.front().copied().filter(|_| self.alive) else { return Vec::new() };
        let mut at = self.clone();
        at.doing.pop_front();
        let deeds = at.deeds(action);
        let mut all = Vec::new();
        let leaves = matches!(action, Action::GoBack | Action::Abort);
        let asks = !leaves && action != Action::Fetch;
        for (done, deed) in deeds.iter().copied().map(Some).chain([None]).enumerate() {
            if done > 0 {
                all.extend(at.may(|left| &mut left.deaths).map(|dead| ("dies in it", dead.dies())));
            }
            // After the last deed, too: it was done, and nobody heard of it.
            let moved = action == Action::Switch && done > 0;
            if !moved {
                at.broken_off(action, done, &mut all);
            }
            // The proxy's answer is lost, or the daemon panics, before the routes have moved or after it, recorded or not.
            if action == Action::Switch {
                all.extend(at.may(|left| &mut left.failures).map(|then| ("is not known", then.take(Fact::Unknown))));
            }
            if action == Action::Switch && done < 2 {
                let gone = at.may(|left| &mut left.proxies);
                all.extend(gone.map(|then| ("ends the proxy", then.without_proxy().take(Fact::Unknown))));
            }
            match deed.map(|deed| (deed, at.silent(deed))) {
                Some((_, Some(silent))) if !leaves => {
                    all.push(match silent {
                        Silent::Engine => ("finds no engine", at.engine_gone()),
                        Silent::Proxy => ("finds no proxy", at.fails()),
                    });
                    return all;
                }
                Some((_, Some(_))) => {}
                Some((deed, None)) => at = at.does(deed),
                None => {}
            }
        }
        if deeds.is_empty() && asks && !self.engine {
            all.push(("finds no engine", at.engine_gone()));
            return all;
        }
        let good = at.good(action);
        all.push(("is done", good.map_or_else(|| at.clone().settle().gives_way(), |fact| at.clone().take(fact))));
        all
    }

    /// The ways in which an action is broken off after some of its deeds.
    fn broken_off(&self, action: Action, done: usize, all: &mut Steps<World>) {
        if matches!(action, Action::GoBack | Action::Abort) {
            // What failed is said, and the next action comes.
            let failed = self.may(|left| &mut left.failures);
            all.extend(failed.map(|then| ("fails", then.does(Deed::LetThrough).settle().gives_way())));
            return;
        }
        all.extend(self.may(|left| &mut left.failures).map(|then| ("fails", then.fails())));
        if matches!(action, Action::Plan | Action::Apply | Action::Settle | Action::Warm | Action::ChangeOver) {
            all.extend(self.may(|left| &mut left.stale).map(|then| ("is stale", then.take(Fact::Stale))));
        }
        all.extend(self.may(|left| &mut left.cancels).map(|then| ("is cancelled", then.take(Fact::Cancelled))));
        all.extend(self.may(|left| &mut left.stops).map(|then| ("is stopped", then.take(Fact::Stopped).ends())));
        if done > 0 {
            let gone = self.may(|left| &mut left.outages);
            all.extend(gone.map(|then| ("loses the engine", World { engine: false, ..then }.engine_gone())));
        }
    }

    /// An action failed. Where the engine is away, that is why.
    fn fails(&self) -> World {
        let asks = self.rollout.under_way.is_some_and(|one| one.phase != crate::rollout::Phase::Fetching);
        match self.engine || !asks {
            true => self.clone().take(Fact::Failed),
            false => self.engine_gone(),
        }
    }

    /// Requests are not held for an engine that is away, whoever held them.
    fn engine_gone(&self) -> World {
        self.clone().does(Deed::LetThrough).take(Fact::EngineGone { patience: PATIENCE })
    }

    /// An orderly end: what is still to be done is, as far as it can be.
    pub(super) fn ends(mut self) -> World {
        while let Some(action) = self.doing.pop_front() {
            for deed in self.deeds(action) {
                if self.silent(deed).is_none() {
                    self = self.does(deed);
                }
            }
            self = self.settle();
        }
        self.goes()
    }

    /// The daemon is no more, and all that it only knew.
    pub(super) fn goes(mut self) -> World {
        (self.alive, self.baking, self.attends, self.mends, self.way) = (false, false, false, false, None);
        self.doing.clear();
        self
    }

    pub(super) fn dies(self) -> World {
        World { died: true, ..self.goes() }
    }

    /// The next start, with what the disk has: with luck the last move as well.
    pub(super) fn starts(&self) -> Steps<World> {
        let mut all = Vec::new();
        for (name, found) in [("starts", &self.rollout), ("starts with less", &self.kept)] {
            let mut then = self.clone();
            let under_way = self.running.is_some();
            (then.alive, then.rollout) = (true, if under_way { found.surely_under_way() } else { found.clone() });
            then.rollout.bake = self.kept.bake;
            let attempt = self.running.map_or(1, |job| job.attempt);
            let then = then.take(Fact::Started { attempt });
            all.push((name, World { died: false, ..then }));
        }
        all
    }

    pub(super) fn without_proxy(mut self) -> World {
        (self.proxy.up, self.proxy.held) = (false, false);
        self
    }
}
