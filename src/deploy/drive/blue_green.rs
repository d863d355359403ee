//! The actions of a deployment that goes from one colour to the other, or back in place.

use super::{Done, Drive, Ended, Found};
use crate::{
    deploy::{
        called_off, clock,
        colours::{Moved, Planned},
        guard, leftovers, now_ms,
        of::Of,
        wanted, watch_on,
    },
    report::Reporter as _,
    rollout::{Action, Fact},
    store::Update,
};

impl Drive<'_> {
    /// Looks at both colours and decides which is next.
    pub(super) async fn plan_colours(&mut self) -> Result<Fact, Ended> {
        let look = self.deployer.plan_colours(self.of, &self.found.commit);
        match called_off::at_once(look, "planning", self.of.cancel).await?? {
            Planned::Nothing(prepared) => {
                self.found.update = self.deployer.planned(self.of, &prepared).await?;
                self.found.prepared = Some(*prepared);
                Ok(Fact::Planned)
            }
            Planned::Rerouted(prepared, rerouted) => {
                let plan = Some(self.of.recorder.clean(&rerouted.text()));
                self.found.update = Update { plan, ..self.deployer.planned(self.of, &prepared).await? };
                (self.found.prepared, self.found.rerouted) = (Some(*prepared), Some(*rerouted));
                Ok(Fact::Planned)
            }
            Planned::Baking(bake) => Ok(Fact::Baking { bake }),
            Planned::Way(way) => {
                let (project, plan) = (Some(way.project.clone()), Some(self.of.recorder.clean(&way.text())));
                self.found.update = Update { project, plan, ..std::mem::take(&mut self.found.update) };
                self.found.way = Some(*way);
                Ok(Fact::ColourPlanned)
            }
        }
    }

    /// Makes the next colour ready.
    pub(super) async fn warm(&mut self) -> Result<Fact, Ended> {
        let (generation, commit) = (self.rollout.generation, self.found.commit.clone());
        if let Some(way) = &mut self.found.unswitch {
            self.deployer.unswitch_warm(self.of, way, generation, &commit).await?;
            return Ok(Fact::Warmed);
        }
        let Some(way) = &mut self.found.way else { return Err(guard::fault("no colour was planned").into()) };
        self.deployer.warm(self.of, way, generation, &commit).await?;
        Ok(match (way.promotion(), way.steps()) {
            (Some(_), steps) => Fact::Ready { first: 0, steps },
            (None, 0) => Fact::Warmed,
            (None, steps) => Fact::Ready { first: 1, steps },
        })
    }

    /// Keeps what the next colour is, for whoever goes on with it once it is promoted, and gives it the share of its step.
    pub(super) async fn step(&mut self) -> Result<Fact, Ended> {
        let (generation, step) = (self.rollout.generation, self.rollout.under_way.map_or(0, |one| one.step));
        let Some(way) = &mut self.found.way else { return Err(guard::fault("no colour was planned").into()) };
        let Some((within, opens)) = way.lasts(step) else {
            return Err(guard::fault("a promotion is waited for that nobody wants").into());
        };
        self.deployer.reach_next(self.of, way, (generation, step)).await?;
        Ok(Fact::Stands { until: now_ms().saturating_add(within), opens })
    }

    /// Has what must not run twice change over.
    pub(super) async fn change_over(&mut self) -> Result<Fact, Ended> {
        let (generation, commit) = (self.rollout.generation, self.found.commit.clone());
        if let Some(way) = &mut self.found.unswitch {
            self.deployer.unswitch_change_over(self.of, way, generation, &commit).await?;
            return Ok(Fact::ChangedOver);
        }
        let Some(way) = &mut self.found.way else { return Err(guard::fault("no colour was planned").into()) };
        self.deployer.change_over(self.of, way, generation, &commit).await?;
        Ok(Fact::ChangedOver)
    }

    /// Moves the routes, and puts together what there is to say of a success.
    pub(super) async fn switch(&mut self) -> Result<Fact, Ended> {
        let Of { job, repo, timeouts, recorder, .. } = self.of;
        let generation = self.rollout.generation;
        let moved = match (&mut self.found.unswitch, &mut self.found.way) {
            (Some(way), _) => self.deployer.unswitch_moves(self.of, way, generation).await?,
            (None, Some(way)) => self.deployer.switch_over(self.of, way, generation).await?,
            (None, None) => return Err(guard::fault("no colour was planned").into()),
        };
        let bake = match moved {
            Moved::Unknown(failure) => {
                self.found.failure = Some(failure);
                return Ok(Fact::Unknown);
            }
            Moved::Switched { bake } => bake,
        };
        let Found { branch, by_hand, commit: checked_out, way, unswitch, .. } = &self.found;
        let (project, commit, is_back, summary) = match (unswitch, way) {
            (Some(way), _) => (way.project.clone(), checked_out.clone(), false, way.summary(checked_out, by_hand)),
            (None, Some(way)) => {
                let commit = way.commit(checked_out);
                let summary = way.summary(&commit, by_hand);
                (way.project.clone(), commit, way.is_back(), summary)
            }
            (None, None) => return Err(guard::fault("no colour was planned").into()),
        };
        let reached = match is_back {
            true => None,
            // Requests go there already: a failure from here on would have the live colour stopped.
            false => match wanted::reached(&self.deployer.store, job, repo, &commit, branch, recorder).await {
                Ok(reached) => reached,
                Err(failure) => {
                    recorder.warn(format!("whether this was the newest push is not known: {failure}"));
                    None
                }
            },
        };
        if let (Ok(engine), false) = (self.deployer.planner.engine().await, is_back) {
            let keep = self.deployer.planner.settings.keep_build_cache;
            leftovers::tidy(&self.deployer.tidy, &engine, repo, &project, keep, recorder, self.of.cancel).await;
        }
        let watch = match bake {
            Some(_) => None,
            None => match self.deployer.planner.engine().await {
                Ok(engine) => watch_on::from(&engine, clock::now(), timeouts.watch).await,
                Err(_) => None,
            },
        };
        self.found.done = Some(Done { project, summary, commit, reached, watch });
        Ok(Fact::Switched { bake: bake.map(|bake| bake.until), watch: watch.map(|watch| watch.until) })
    }

    /// Leaves the next colour again.
    pub(super) async fn leave(&mut self, action: Action) {
        if let Some(way) = &mut self.found.unswitch {
            return self.deployer.unswitch_leave(self.of, way).await;
        }
        let Some(way) = &mut self.found.way else { return };
        match action {
            Action::GoBack => self.deployer.go_back(self.of, way).await,
            _ => self.deployer.abort(self.of, way).await,
        }
        // What is said of a failure was true when it came: that what was live stays live.
        if let (Some(down), Some(failure)) = (&way.down, &mut self.found.failure) {
            failure.hint = Some(down.clone());
        }
    }
}
