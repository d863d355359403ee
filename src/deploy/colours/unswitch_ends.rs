//! The ends of a way back in place: it is in place, or the live colour is as it was. What a daemon did not live to end is ended by
//! whoever finds its row. Each may be done again.

use tokio::time::{Instant, sleep};

use super::{
    super::{Deployer, Failure},
    adopt::{DRAIN, LOOK, await_listening},
    led::routes,
    made::Made,
    revert::answer,
    stands::Stands,
    unswitch_acts::{Led, next_age},
    unswitched::{self, IN_PLACE, Reached, Unswitched},
};
use crate::{
    config::Repo,
    engine::{Engine, Remembered, Wake},
    report::{Reporter, counted},
    steer::Steer,
    store::{ColourRecord, dies},
};

impl Deployer {
    /// Requests go to what is in place: nothing is turnout-proxy's any more, and what is left of the colours goes.
    ///
    /// # Errors
    /// Engine, proxy, helper or store refuse; it is tried again.
    pub(super) async fn finish_unswitch(
        &self,
        repo: &Repo,
        stands: &Stands,
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        let Some(row) = stands.leaving() else { return Ok(()) };
        let kept = Unswitched::read(&row.made).map_err(Failure::new)?;
        let live = stands.live_made().map_err(Failure::new)?;
        if let Some((live, _)) = live.as_ref().filter(|(_, made)| !made.routes.is_empty()) {
            let steer = self.own_steer(repo).await?;
            steer.resume(&repo.name).await?;
            self.lead_no_more(&repo.name).await?;
            self.await_led(&kept.made).await;
            await_left(&steer, &repo.name, &live.colour).await;
            if steer.maintain(&repo.name, false, None).await? {
                reporter.warn(format!("{} was maintained, which ends here: only turnout-proxy can do that", repo.name));
            }
            let age = next_age(&steer, &repo.name, row.generation).await?;
            let none = routes(&Made::default(), age, IN_PLACE, row.generation, false);
            steer.apply(&repo.name, &none).await?;
            dies::here("after", "taking the routes away");
        }
        if let Some((live, made)) = live.filter(|(live, _)| live.project != row.project) {
            let ends = made.not_jobs();
            if !ends.is_empty() {
                engine.rest(&live.project, &ends).await?;
            }
        }
        reporter.info(format!("{} runs in place, and its ports are the engine's", row.project));
        for project in unswitched::leave(stands, &repo.project, &row.project) {
            let removed = engine.remove_stopped(&project, &repo.name).await?;
            if !removed.containers.is_empty() || !removed.networks.is_empty() {
                reporter.info(format!(
                    "removed of {project}: {} ({}), {} ({}); its images and all volumes stay",
                    counted(removed.containers.len(), "container"),
                    removed.containers.join(", "),
                    counted(removed.networks.len(), "network"),
                    removed.networks.join(", "),
                ));
            }
            removed.stays.into_iter().for_each(|stays| reporter.warn(format!("of {project}, {stays}")));
        }
        self.store.unswitched(&repo.name).await.map_err(Failure::from)?;
        self.sweep_snapshots(repo, reporter).await;
        Ok(())
    }

    /// The live colour is as it was, and nothing is left of the way back. `before`: containers of it that others replaced.
    ///
    /// # Errors
    /// Engine, proxy, helper or store refuse, or it does not answer; it is tried again.
    pub(super) async fn undo_unswitch(
        &self,
        repo: &Repo,
        stands: &Stands,
        row: &ColourRecord,
        before: Vec<Remembered>,
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        let kept = Unswitched::read(&row.made).map_err(Failure::new)?;
        let live = stands.live_made().map_err(Failure::new)?;
        let routed = live.as_ref().filter(|(_, made)| !made.routes.is_empty());
        let steer = match routed {
            Some(_) => Some(self.own_steer(repo).await?),
            None => None,
        };
        let again = async {
            if kept.ended {
                self.stood_again(repo, row, (&kept, live.as_ref()), &before, engine, reporter).await?;
            }
            let Some(((live, made), steer)) = routed.zip(steer.as_ref()) else { return Ok(()) };
            let again = self.led_again(engine, &repo.project, &kept.made).await?;
            let stood_in = kept.stood_in(made, again.routes);
            Led { steer, repo: &repo.name, live, made: &stood_in, generation: row.generation }.lead(false).await?;
            await_listening(steer, &repo.name, &stood_in).await?;
            if kept.ended { answer(&made.routes, &live.project).await } else { Ok(()) }
        };
        let again = again.await;
        if let Some(steer) = &steer {
            // Whatever became of it: nobody is held for the next try.
            steer.resume(&repo.name).await?;
        }
        again?;
        if let Some(((live, made), steer)) = routed.zip(steer.as_ref()) {
            self.lead_no_more(&repo.name).await?;
            Led { steer, repo: &repo.name, live, made, generation: row.generation }.lead(false).await?;
        }
        self.store.forget_unswitch(&repo.name).await.map_err(Failure::from)
    }

    /// What is in place ends, and what ran before runs again. `before`: containers that were replaced.
    async fn stood_again(
        &self,
        repo: &Repo,
        row: &ColourRecord,
        (kept, live): (&Unswitched, Option<&(ColourRecord, Made)>),
        before: &[Remembered],
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        // Never two of them on one volume.
        engine.rest(&row.project, &[]).await?;
        dies::here("after", "ending what is in place");
        let there = engine.containers(&repo.project, true).await?;
        let is_there = |wake: &Wake| there.iter().any(|one| !one.oneoff && one.service == wake.service);
        let wakes: Vec<Wake> = kept.wakes().into_iter().filter(is_there).collect();
        if !wakes.is_empty() {
            let networks = live.map(|(_, made)| made.networks.as_slice()).unwrap_or_default();
            engine.wake(&repo.project, &wakes, networks).await?;
        }
        for one in before {
            engine.make_again(&row.project, one).await?;
        }
        if let Some((live, made)) = live {
            let wakes = [made.wakes(false), made.wakes(true)].concat();
            engine.wake(&live.project, &wakes, &made.networks).await?;
            reporter.info(format!("{} runs again as it was", live.project));
        }
        Ok(())
    }

    /// Ends, or leaves to whoever goes on, a way back in place that was broken off.
    ///
    /// # Errors
    /// As both ends.
    pub(super) async fn mend_unswitch(
        &self,
        repo: &Repo,
        stands: &Stands,
        row: &ColourRecord,
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        match self.unswitch_reached(repo, stands, row).await? {
            Reached::Moved => self.finish_unswitch(repo, stands, engine, reporter).await,
            Reached::Begun => self.undo_unswitch(repo, stands, row, Vec::new(), engine, reporter).await,
            // Whatever is held until then waits for it.
            Reached::Ended if repo.switch.is_none() && self.is_wanted(&repo.name).await? => {
                reporter.info(format!("the way back to {} in place goes on with the next deployment", row.project));
                Ok(())
            }
            Reached::Ended if unswitched::comes_again(stands.live(), &row.project) => {
                reporter.warn(format!("the way back to {} in place was broken off", row.project));
                self.undo_unswitch(repo, stands, row, Vec::new(), engine, reporter).await
            }
            Reached::Ended if repo.switch.is_some() => self.abandon_colours(repo, stands, row, reporter).await,
            Reached::Ended => {
                self.let_all_through(repo, stands).await?;
                reporter.warn(format!(
                    "{} stands still in part: the way back in place was broken off, and the next deployment goes on with it \
                     (turnout deploy {})",
                    row.project, repo.name
                ));
                Ok(())
            }
        }
    }

    /// `switch` is there again, and the live colour's containers were replaced by those in place: what there is now is a stack in
    /// place, for the next deployment to adopt.
    async fn abandon_colours(
        &self,
        repo: &Repo,
        stands: &Stands,
        row: &ColourRecord,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        self.let_all_through(repo, stands).await?;
        if stands.live_made().map_err(Failure::new)?.is_some_and(|(_, made)| !made.routes.is_empty()) {
            let steer = self.own_steer(repo).await?;
            self.lead_no_more(&repo.name).await?;
            let age = next_age(&steer, &repo.name, row.generation).await?;
            let none = routes(&Made::default(), age, IN_PLACE, row.generation, false);
            steer.apply(&repo.name, &none).await?;
        }
        reporter.warn(format!("{} was half way back in place: it counts as a stack in place from now on", row.project));
        self.store.unswitched(&repo.name).await.map_err(Failure::from)
    }

    /// Requests that are held are let through: nothing comes that would answer them, and they learn it at once.
    async fn let_all_through(&self, repo: &Repo, stands: &Stands) -> Result<(), Failure> {
        if stands.live_made().map_err(Failure::new)?.is_some_and(|(_, made)| !made.routes.is_empty()) {
            self.own_steer(repo).await?.resume(&repo.name).await?;
        }
        Ok(())
    }

    /// turnout-proxy, which led what comes back in place.
    async fn own_steer(&self, repo: &Repo) -> Result<Steer, Failure> {
        match self.lead(&Repo { switch: None, ..repo.clone() }).await?.own() {
            Some(steer) => Ok(steer.clone()),
            None => Err(Failure::new("turnout-proxy led it, and another one is to".to_owned())),
        }
    }
}

/// Waits until nothing is open any more to a colour that has left the routes, as long as older connections may take.
async fn await_left(steer: &Steer, repo: &str, colour: &str) {
    let until = Instant::now() + DRAIN;
    while Instant::now() < until {
        let Ok(status) = steer.status().await else { return };
        let own = status.leaving.iter().filter(|one| one.repository == repo && one.name == colour);
        if own.map(|one| one.open).sum::<u64>() == 0 {
            return;
        }
        sleep(LOOK).await;
    }
}
