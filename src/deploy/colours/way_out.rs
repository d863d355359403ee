//! The ways out of a switch that comes to nothing, before the routes have moved: what a change-over ended runs again, and the next
//! colour is stopped and left to be looked at. Each may be done again without harm; what cannot be done now is mended beside the
//! lanes.

use super::{
    super::{Deployer, Failure, of::Of},
    revert::answer,
    way::Way,
};
use crate::{engine::Engine, report::Reporter as _, store::ColourStanding};

impl Deployer {
    /// Has the routes lead to the live colour alone, as far as that can be done now.
    pub(in crate::deploy) async fn routes_back(&self, of: Of<'_>, way: &Way) {
        if let Ok(stands) = self.recorded(&of.repo.name).await
            && let Err(failure) = self.live_alone(&of.repo.name, &way.steer, &stands).await
        {
            of.recorder.warn(format!("the routes could not be led to the live colour alone yet: {failure}"));
            self.needs_mending(&of.repo.name, "the routes lead to the next colour as well");
        }
    }

    /// Ends in the next colour what a change-over started, and starts again what it ended in the live one.
    pub(in crate::deploy) async fn go_back(&self, of: Of<'_>, way: &mut Way) {
        let recorder = of.recorder;
        // Whoever was led to the next colour is not to find it stopped.
        self.routes_back(of, way).await;
        let back = async {
            let engine = self.planner.engine().await?;
            if way.adopts.is_some() {
                let ends = way.made.not_jobs();
                engine.rest(&way.project, &ends).await?;
                return self.back_in_place(of, way, &engine).await;
            }
            let starts = way.made.alone();
            if !starts.is_empty() {
                engine.rest(&way.project, &starts).await?;
            }
            if let Some((live, made)) = &way.live {
                let wakes = way.starts_again();
                if !wakes.is_empty() {
                    let started = engine.wake(&live.project, &wakes).await?;
                    started.iter().for_each(|one| recorder.info(format!("started {} again", one.name)));
                    // Requests are held until it answers.
                    let again = |name: &String| wakes.iter().any(|wake| wake.service == *name);
                    let routes: Vec<_> = made.routes.iter().filter(|route| again(&route.service)).cloned().collect();
                    answer(&routes, &live.project).await?;
                }
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = back.await {
            recorder.warn(format!("what was stopped could not be started again yet: {failure}"));
            self.needs_mending(&of.repo.name, "what a change-over stopped was not started again");
        }
        self.let_through(of, way).await;
    }

    /// What ran in place has its requests again, if it was on its way out.
    async fn back_in_place(&self, of: Of<'_>, way: &Way, engine: &Engine) -> Result<(), Failure> {
        let stands = self.recorded(&of.repo.name).await?;
        match stands.in_place().filter(|_| stands.live().is_none()) {
            Some(old) => self.undo_adoption(of.repo, &way.steer, old, engine, of.recorder).await,
            None => Ok(()),
        }
    }

    /// Stops the next colour and leaves it to be looked at.
    pub(in crate::deploy) async fn abort(&self, of: Of<'_>, way: &Way) {
        let recorder = of.recorder;
        let standing = if way.is_back() { ColourStanding::Kept } else { ColourStanding::Failed };
        let aborted = async {
            let seen = way.steer.seen(&of.repo.name).await?;
            let live = seen.routed.and_then(|routed| routed.colour).map(|(colour, _)| colour);
            // A proxy of others that has started anew meanwhile may lead there by its own memory.
            if live.is_none() && way.live.is_some() && way.steer.own().is_none() {
                self.needs_mending(&of.repo.name, "the proxy does not say who gets the requests");
                return Err(Failure::new(format!("{} does not say who gets the requests", way.steer.name())));
            }
            if live.into_iter().chain(seen.shares.into_iter().map(|share| share.colour)).any(|one| one == way.colour) {
                self.needs_mending(&of.repo.name, "requests go to a colour that was given up");
                return Err(Failure::new("requests go there".to_owned()));
            }
            let engine = self.planner.engine().await?;
            // One that had no share has nothing to leave, and a proxy of others may have to be waited for.
            if way.steer.own().is_some() || way.steps() > 0 {
                self.has_left(&of.repo.name, &way.steer, &way.colour).await?;
            }
            // A job that runs is waited for by nobody, and never stopped.
            let ended = engine.rest(&way.project, &way.made.not_jobs()).await?;
            if !ended.is_empty() {
                recorder.info(format!(
                    "{} is stopped and left to be looked at: turnout compose -p {} logs",
                    way.project, way.project
                ));
            }
            if way.adopts.is_some() {
                self.back_in_place(of, way, &engine).await?;
            }
            let known =
                self.store.colours(Some(&of.repo.name)).await.map_err(|error| Failure::new(error.to_string()))?;
            // What is kept there, and was not replaced yet, is there still to go back to.
            let is_given_up = |standing: ColourStanding| match way.is_back() {
                true => standing != ColourStanding::Live,
                false => standing == ColourStanding::Next,
            };
            if known.iter().any(|one| one.colour == way.colour && is_given_up(one.standing)) {
                let stood = self.store.stand_colour(&of.repo.name, &way.colour, standing).await;
                stood.map_err(|error| Failure::new(error.to_string()))?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = aborted.await {
            recorder.warn(format!("{} was not stopped: {failure}", way.project));
            self.needs_mending(&of.repo.name, "a colour that was given up was not stopped");
        }
    }
}
