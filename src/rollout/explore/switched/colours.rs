//! What there is beside the table: containers in two colours, the proxy's routes, and what is recorded of both. Each deed is
//! one call to one of them, so a crash can come between any two.

use super::{Standing, Table, World};
use crate::rollout::{Bake, Generation};

/// One of the two colours.
pub(super) type Colour = usize;

/// What of a colour is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// What can run beside the other colour.
    Beside,
    /// What must not run twice.
    Alone,
    /// What must not run twice, and what may.
    All,
}

/// One call to engine, proxy or store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Deed {
    /// New containers in place of what there was, standing still.
    Make(Colour),
    Wake(Colour, Part),
    Rest(Colour, Part),
    Gate(Colour),
    Hold,
    LetThrough,
    Route(Colour, (Generation, Generation)),
    /// A share for the other one beside the live colour.
    Share(Colour, (Generation, Generation)),
    /// Asks the proxy for its routes; nothing changes.
    Ask,
    NoteNext(Colour),
    NoteAborted(Colour),
    NoteSwitched(Colour, (Generation, Generation)),
    NoteReverted((Generation, Generation)),
    NoteRoutes((Generation, Generation)),
    NoteBakeOver,
}

/// Who does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silent {
    Engine,
    Proxy,
}

impl Deed {
    pub(super) fn asks_engine(self) -> bool {
        matches!(self, Deed::Make(_) | Deed::Wake(..) | Deed::Rest(..) | Deed::Gate(_))
    }
}

impl World {
    pub(super) fn at(&self, standing: Standing) -> Option<Colour> {
        self.known.iter().position(|one| one.standing == standing)
    }

    pub(super) fn live(&self) -> Option<Colour> {
        self.at(Standing::Live)
    }

    /// Routed part and workers, as far as they are meant.
    fn of(&self, part: Part) -> (bool, bool) {
        match part {
            Part::All => (true, true),
            Part::Alone => (self.left.routed_alone, true),
            Part::Beside => (!self.left.routed_alone, false),
        }
    }

    /// What has to answer for it. That requests are let through is nothing to wait for: a proxy that is away holds none.
    pub(super) fn silent(&self, deed: Deed) -> Option<Silent> {
        match deed {
            _ if deed.asks_engine() && !self.engine => Some(Silent::Engine),
            Deed::Hold | Deed::Route(..) | Deed::Share(..) | Deed::Ask if !self.proxy.up => Some(Silent::Proxy),
            _ => None,
        }
    }

    pub(super) fn does(mut self, deed: Deed) -> World {
        match deed {
            Deed::Make(colour) => {
                let leads_here =
                    self.proxy.table.is_some_and(|table| table.colour == colour || table.also == Some(colour));
                self.must(!leads_here || self.lost, "the colour that requests go to was made anew");
                let one = &mut self.there[colour];
                (one.made, one.routed, one.workers) = (self.known[colour].made, false, false);
                (one.gated, one.fell) = (false, false);
            }
            Deed::Wake(colour, part) => {
                let (routed, workers) = self.of(part);
                self.must(self.there[colour].made > 0, "what was to be started again has no containers any more");
                let one = &mut self.there[colour];
                (one.routed, one.workers) = (one.routed || routed, one.workers || workers);
                one.fell &= !routed;
            }
            Deed::Rest(colour, part) => {
                let (routed, workers) = self.of(part);
                let leads_here =
                    self.proxy.table.is_some_and(|table| table.colour == colour || table.also == Some(colour));
                let leads_here = leads_here && !self.lost;
                let may = !leads_here || !routed || (self.proxy.held && part == Part::Alone);
                self.must(may, "the colour that requests go to was stopped");
                let one = &mut self.there[colour];
                (one.routed, one.workers) = (one.routed && !routed, one.workers && !workers);
                one.fell &= !routed;
            }
            Deed::Gate(colour) => self.there[colour].gated = true,
            Deed::Hold => self.proxy.held = true,
            Deed::LetThrough => self.proxy.held = false,
            Deed::Ask => {}
            Deed::Route(colour, age) => {
                let made = self.known[colour].made;
                self.must(self.proxy.table.is_none_or(|table| table.age < age), "the generation at the proxy fell");
                self.must(self.there[colour].made == made, "routes lead to containers that are no more");
                self.must(self.there[colour].gated, "routes lead to a colour before its gate");
                self.proxy.before = self.proxy.table;
                self.proxy.table = Some(Table { age, colour, made, also: None });
                self.lost = false;
            }
            Deed::Share(colour, age) => {
                self.must(self.proxy.table.is_some_and(|table| table.age < age), "the generation at the proxy fell");
                self.must(
                    self.there[colour].made == self.known[colour].made,
                    "a share for containers that are no more",
                );
                self.must(self.there[colour].gated, "a share for a colour before its gate");
                self.proxy.before = self.proxy.table;
                self.proxy.table = self.proxy.table.map(|table| Table { age, also: Some(colour), ..table });
            }
            Deed::NoteNext(colour) => {
                let (made, commit) = (self.rollout.generation, self.running.map_or(0, |job| job.commit));
                let one = &mut self.known[colour];
                (one.standing, one.made, one.commit) = (Standing::Next, made, commit);
            }
            Deed::NoteAborted(colour) => {
                let kept = self.way.is_some_and(|way| way.back);
                self.known[colour].standing = if kept { Standing::Kept } else { Standing::Failed };
            }
            Deed::NoteSwitched(colour, age) => {
                let bake = self.live().is_some();
                for (which, one) in self.known.iter_mut().enumerate() {
                    match one.standing {
                        _ if which == colour => one.standing = Standing::Live,
                        Standing::Live => one.standing = Standing::Previous,
                        _ => {}
                    }
                }
                self.confirmed = age;
                self.kept.bake = bake.then_some(Bake { generation: age.0, until: 0 });
            }
            Deed::NoteReverted(age) => {
                let (live, back) = (self.live(), self.at(Standing::Previous));
                if let Some(live) = live {
                    self.known[live].standing = Standing::Failed;
                    self.taken_back |= 1 << self.known[live].commit;
                }
                if let Some(back) = back {
                    self.known[back].standing = Standing::Live;
                }
                self.confirmed = age;
            }
            Deed::NoteRoutes(age) => self.confirmed = age,
            Deed::NoteBakeOver => {
                self.kept.bake = None;
                for one in self.known.iter_mut().filter(|one| one.standing == Standing::Previous) {
                    one.standing = Standing::Kept;
                }
            }
        }
        // Whatever is asked for later is recorded after it.
        if matches!(
            deed,
            Deed::NoteNext(_)
                | Deed::NoteAborted(_)
                | Deed::NoteSwitched(..)
                | Deed::NoteReverted(_)
                | Deed::NoteRoutes(_)
                | Deed::NoteBakeOver
        ) {
            self.keep();
        }
        self
    }

    fn must(&mut self, holds: bool, fault: &'static str) {
        if !holds {
            self.fault = Some(fault);
        }
    }

    /// What has the record agree with the routes.
    pub(super) fn agreeing(&self) -> Vec<Deed> {
        let Some(table) = self.proxy.table else { return vec![Deed::Ask] };
        let known = self.known[table.colour];
        let again = |live| {
            let age = (self.confirmed.0, self.confirmed.1 + 1).max((table.age.0, table.age.1 + 1));
            vec![Deed::Ask, Deed::Route(live, age), Deed::NoteRoutes(age)]
        };
        match self.live() {
            // An older file.
            Some(live) if table.age < self.confirmed => again(live),
            // How far they have come may not be recorded even so, and the next move is counted from there.
            live if live == Some(table.colour) => match table.age == self.confirmed {
                true => vec![Deed::Ask],
                false => vec![Deed::Ask, Deed::NoteRoutes(table.age)],
            },
            // Of containers that are no more.
            Some(live) if known.made != table.made => again(live),
            // A move within the generation is the way back.
            Some(_) if table.age.0 == self.confirmed.0 && known.standing == Standing::Previous => {
                vec![Deed::Ask, Deed::NoteReverted(table.age)]
            }
            _ => vec![Deed::Ask, Deed::NoteSwitched(table.colour, table.age)],
        }
    }

    /// How the routes are counted on within their generation.
    pub(super) fn next_age(&self) -> (Generation, Generation) {
        let at_proxy = self.proxy.table.map(|table| table.age).unwrap_or_default();
        let age = self.confirmed.max(at_proxy);
        (age.0, age.1 + 1)
    }

    /// Whether a next colour waits, so that it is to run on, and to have its share.
    pub(super) fn tries(&self) -> bool {
        self.rollout.attends()
    }

    /// Whether it waits in a step, and gets no share all the same.
    pub(super) fn lacks_share(&self) -> bool {
        let in_step = self.rollout.under_way.is_some_and(|one| one.step > 0);
        self.tries() && in_step && self.proxy.table.is_some_and(|table| table.also.is_none())
    }

    /// What mends: record and routes agree, the live colour runs whole, what is neither live nor baking stands still, and
    /// requests are let through. `retires`: what bakes has had its time.
    pub(super) fn mending(&self, retires: bool) -> Vec<Deed> {
        let mut deeds = self.agreeing();
        let then = deeds.iter().fold(self.clone(), |then, deed| then.does(*deed));
        let live = then.live();
        let others = (0..then.known.len()).filter(|one| Some(*one) != live);
        if let Some(live) = live
            && then.proxy.table.is_some_and(|table| table.also.is_some())
            && !self.tries()
        {
            let age = then.next_age();
            deeds.extend([Deed::Route(live, age), Deed::NoteRoutes(age)]);
        }
        if let (true, Some(next)) = (then.lacks_share(), then.at(Standing::Next)) {
            let age = then.next_age();
            deeds.extend([Deed::Share(next, age), Deed::NoteRoutes(age)]);
        }
        if let Some(live) = live
            && !(then.there[live].routed && then.there[live].workers)
        {
            deeds.extend(others.clone().filter(|one| then.there[*one].workers).map(|one| Deed::Rest(one, Part::Alone)));
            deeds.push(Deed::Wake(live, Part::All));
        }
        for other in others {
            let (there, standing) = (then.there[other], then.known[other].standing);
            let bakes = standing == Standing::Previous && then.kept.bake.is_some() && !retires;
            if standing == Standing::Next && self.tries() {
                continue;
            }
            if !bakes && (there.routed || there.workers) {
                deeds.push(Deed::Rest(other, Part::All));
            }
            if standing == Standing::Next {
                deeds.push(Deed::NoteAborted(other));
            }
        }
        deeds.push(Deed::LetThrough);
        deeds
    }
}
