//! Beside the lane: the bake, what is mended, and whoever asks to go back. None of them touches colours while the lane does.

use super::{
    Job, Standing, Steps, World,
    colours::{Deed, Part},
};
use crate::rollout::{Fact, Phase};

impl World {
    /// The previous colour is stopped and kept. Where a way back was broken off, what is left of that is done.
    fn retiring(&self) -> Vec<Deed> {
        let mut deeds = self.mending(true);
        deeds.push(Deed::NoteBakeOver);
        deeds
    }

    /// Requests go back to the colour before.
    fn reverting(&self) -> Vec<Deed> {
        let mut deeds = self.agreeing();
        let then = deeds.iter().fold(self.clone(), |then, deed| then.does(*deed));
        let (Some(back), Some(live)) = (then.at(Standing::Previous), then.live()) else { return self.retiring() };
        let age = (then.confirmed.0, then.confirmed.1 + 1);
        let moves = [Deed::Route(back, age), Deed::NoteReverted(age)];
        let workers = [Deed::Rest(live, Part::Alone), Deed::Wake(back, Part::Alone)];
        match self.left.routed_alone {
            true => {
                deeds.push(Deed::Hold);
                deeds.extend(workers);
                deeds.push(Deed::Gate(back));
                deeds.extend(moves);
                deeds.push(Deed::LetThrough);
            }
            false => {
                // It may have been stopped already, by an end of the bake that nobody lived to record.
                deeds.extend([Deed::Wake(back, Part::Beside), Deed::Gate(back)]);
                deeds.extend(moves);
                deeds.extend(workers);
            }
        }
        deeds.extend([Deed::Rest(live, Part::All), Deed::NoteBakeOver]);
        deeds
    }

    /// Does these, or some of them.
    fn beside(&self, deeds: Vec<Deed>, over: impl Fn(World) -> Steps<World>) -> Steps<World> {
        let mut all = Vec::new();
        let mut at = self.clone();
        for (done, deed) in deeds.into_iter().enumerate() {
            if done > 0 {
                all.extend(
                    at.may(|left| &mut left.deaths).map(|dead| ("dies in what is beside the lane", dead.dies())),
                );
            }
            let failed = at.may(|left| &mut left.failures);
            all.extend(failed.map(|then| ("what is beside the lane fails", then.does(Deed::LetThrough).learns())));
            if done > 0 && deed.asks_engine() {
                let gone = at.may(|left| &mut left.outages).map(|then| World { engine: false, ..then });
                all.extend(gone.map(|then| ("loses the engine", then.does(Deed::LetThrough).learns())));
            }
            if at.silent(deed).is_some() {
                all.push(("what is beside the lane has to wait", at.does(Deed::LetThrough).learns()));
                return all;
            }
            at = at.does(deed);
        }
        // All was done, and nobody lived to hear of the last of it.
        all.extend(at.may(|left| &mut left.deaths).map(|dead| ("dies after what is beside the lane", dead.dies())));
        all.extend(over(at));
        all
    }

    /// A bake that was found is begun.
    fn learns(self) -> World {
        match self.kept.bake {
            Some(bake) if !self.baking => self.take(Fact::Baking { bake }),
            _ => self,
        }
    }

    pub(super) fn mends_beside(&self) -> Steps<World> {
        if !self.alive || !self.mends || self.works() {
            return Vec::new();
        }
        self.beside(self.mending(false), |at| vec![("mends", World { mends: false, ..at }.learns())])
    }

    /// What comes to a next colour that waits: its time, a person, whoever looks after it.
    pub(super) fn waits_on(&self) -> Steps<World> {
        if !self.alive || self.works() || !self.tries() {
            return Vec::new();
        }
        let mut all: Steps<World> = vec![("its time is over", self.woken(Fact::Due))];
        all.extend(self.may(|left| &mut left.promotes).map(|then| ("is promoted", then.woken(Fact::Promoted))));
        let fully = self.may(|left| &mut left.promotes).filter(|_| self.left.canary > 0);
        all.extend(fully.map(|then| ("is promoted fully", then.woken(Fact::PromotedFully))));
        if self.rollout.under_way.is_some_and(|one| one.phase == Phase::Paused) {
            all.push(("is resumed", self.woken(Fact::Resumed)));
        } else {
            let paused = self.may(|left| &mut left.pauses);
            all.extend(paused.map(|then| ("is paused", then.woken(Fact::Paused { until: 0 }))));
        }
        let fell = self.at(Standing::Next).is_some_and(|next| self.there[next].fell);
        let turned = if fell { Some(self.clone()) } else { self.may(|left| &mut left.turns) };
        if let Some(then) = turned.filter(|then| then.attends) {
            // Its share is taken from it at once, where the proxy answers.
            let shared = then.proxy.up && then.proxy.table.is_some_and(|table| table.also.is_some());
            if let Some(live) = then.live().filter(|_| shared) {
                let at_once = then.clone().does(Deed::Route(live, then.next_age()));
                all.push(("is turned down at once", at_once.woken(Fact::TurnedDown)));
                let dies = at_once.may(|left| &mut left.deaths).map(World::dies);
                all.extend(dies.map(|then| ("is turned down, and the daemon dies", then)));
            }
            all.push(("is turned down", then.woken(Fact::TurnedDown)));
        }
        all.extend(
            self.may(|left| &mut left.cancels).map(|then| ("its wait is cancelled", then.take(Fact::Cancelled))),
        );
        all.extend(
            self.may(|left| &mut left.stops).map(|then| ("stops while it waits", then.take(Fact::Stopped).goes())),
        );
        all
    }

    fn bake_over(at: World) -> Steps<World> {
        let at = World { baking: false, ..at };
        let told = at.clone().take(Fact::BakeOver);
        match at.rollout.under_way.map(|one| one.phase) {
            // The timer looks for it.
            Some(Phase::BakeAwaited) => vec![("the bake is over", at)],
            // Who works on something else is not told.
            Some(_) => vec![("the bake is over, unheard", at), ("the bake is over", told)],
            None => vec![("the bake is over", told)],
        }
    }

    pub(super) fn bakes_on(&self) -> Steps<World> {
        if !self.alive || !self.baking || self.kept.bake.is_none() {
            return Vec::new();
        }
        let mut all = Vec::new();
        let live_fell = self.live().is_some_and(|live| self.there[live].fell);
        if live_fell {
            all.extend(self.beside(self.reverting(), World::bake_over));
        } else if let Some(by_hand) = self.may(|left| &mut left.backs) {
            all.extend(by_hand.beside(by_hand.reverting(), World::bake_over));
        }
        // Last, so that whoever leaves the world alone finds it there.
        if !live_fell {
            all.extend(self.beside(self.retiring(), World::bake_over));
        }
        all
    }

    /// Somebody asks for the colour that was live before, where nothing bakes.
    pub(super) fn goes_back(&self) -> Option<World> {
        let kept = self.at(Standing::Kept).filter(|_| self.alive && !self.baking)?;
        let mut then = self.may(|left| &mut left.backs)?;
        if let Some(waited) = then.queued {
            // Its commit stays wanted, and status says so.
            then.told = then.told.max(waited.commit);
        }
        then.queued = Some(Job { commit: 0, attempt: 1, back: Some(self.known[kept].made) });
        Some(then.gives_way())
    }
}
