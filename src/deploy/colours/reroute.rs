//! The routes of the live colour are set anew where its containers stay as they are: no new colour is made for what turnout-proxy
//! alone is told.

use std::{collections::BTreeSet, time::Duration};

use super::{
    super::{Deployer, Failure, of::Of},
    came::Broke,
    checks::Checks,
    gating::Gate,
    look::Looked,
    made::{Made, MadeRoute},
    rerouted::{self, About, Rerouted},
    stands::Stands,
    way::Adopts,
};
use crate::{
    compose::model::Project,
    config::Repo,
    engine::Engine,
    report::Reporter as _,
    store::{ColourRecord, dies},
};

/// What `switch` says otherwise than it did when the live colour was made, and what counts when the next one is; in a line.
///
/// # Errors
/// What is recorded of the live colour is not understood.
pub(super) fn counts_later(stands: &Stands, looked: &Looked) -> Result<Option<String>, Failure> {
    let Some((live, before)) = stands.live_made().map_err(Failure::new)? else { return Ok(None) };
    let keys = rerouted::for_the_next(&before, &looked.made);
    Ok((!keys.is_empty()).then(|| {
        format!(
            "said otherwise than when {} was made, and counts from the next colour on: {}",
            live.project,
            keys.join(", ")
        )
    }))
}

impl Deployer {
    /// How the routes of the live colour differ from those that are wanted; `None`: they do not, or somebody else's proxy leads.
    ///
    /// # Errors
    /// What is recorded of the live colour is not understood.
    pub(super) async fn rerouted(
        &self,
        repo: &Repo,
        stands: &Stands,
        looked: &Looked,
    ) -> Result<Option<Rerouted>, Failure> {
        let Some((live, before)) = stands.live_made().map_err(Failure::new)? else { return Ok(None) };
        if before.led_by.is_some() || looked.made.led_by.is_some() {
            return Ok(None);
        }
        let wanted = rerouted::learned(&before.routes, &looked.made.routes);
        let others = self.listeners_of_others(&repo.name).await;
        let about = About { derived: &looked.derived, others: &others };
        let lines = rerouted::changes(&before.routes, &wanted, &about);
        let handing_over = stands.in_place().map(|old| {
            format!(
                "a new colour is made for it, because {} has not handed over all of its ports to {} yet",
                old.project, live.project
            )
        });
        let found = Rerouted { live, before, wanted, lines, needs_colour: handing_over };
        Ok(Some(found).filter(|found| !found.lines.is_empty()))
    }

    /// What becomes of listeners when requests move to the next colour, in lines.
    ///
    /// # Errors
    /// The engine does not answer, or what is recorded of the live colour is not understood.
    pub(super) async fn listeners_change(
        &self,
        repo: &Repo,
        stands: &Stands,
        (engine, adopts): (&Engine, Option<&Adopts>),
        looked: &Looked,
    ) -> Result<Vec<String>, Failure> {
        let Some(adopts) = adopts else {
            let rerouted = self.rerouted(repo, stands, looked).await?;
            return Ok(rerouted.map(|rerouted| rerouted.lines).unwrap_or_default());
        };
        if looked.made.led_by.is_some() {
            // It leads to what is published as before, and the ports of its own are not known here.
            return Ok(Vec::new());
        }
        let published = engine.published(&adopts.project).await?;
        let stays = |name: &str| looked.staying.project.services.contains_key(name);
        Ok(rerouted::not_taken_over(&published, &looked.made, stays))
    }

    /// Where other repositories listen, as far as turnout-proxy says.
    async fn listeners_of_others(&self, repo: &str) -> BTreeSet<std::net::SocketAddr> {
        let Some(Ok(status)) = self.proxy_status().await else { return BTreeSet::new() };
        status.routes.into_iter().filter(|route| route.repository != repo).map(|route| route.listen).collect()
    }

    /// Tells turnout-proxy. Of a route whose containers have not been asked in this way before they are asked first.
    ///
    /// # Errors
    /// They are not ready for it, or turnout-proxy refuses: then everything is as it was, unless its answer was lost.
    pub(in crate::deploy) async fn reroute(&self, of: Of<'_>, rerouted: &Rerouted) -> Result<(), Broke> {
        let Of { repo, recorder, .. } = of;
        let Rerouted { live, before, wanted, .. } = rerouted;
        let steer = self.lead(repo).await?;
        let stands = self.stands(&repo.name, &steer, recorder).await?;
        let is_live = |one: &ColourRecord| (&one.colour, one.generation) == (&live.colour, live.generation);
        if !stands.live().is_some_and(is_live) {
            let reason = format!("{} is not live any more", live.project);
            return Err(Broke::Stale(reason.clone(), Failure::new(reason).hint("no route was changed; deploy again")));
        }
        let wanted = self.asked_anew(of, live, before, wanted.clone()).await?;
        let made = Made { routes: wanted, ..before.clone() };
        let age = stands.next_revision();
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let goal = steer.goal(&made, (number(age.0), number(age.1)), &live.colour, number(live.generation))?;
        dies::here("before", "setting the routes anew");
        let began = tokio::time::Instant::now();
        if let Err(error) = self.lead_there(of, &steer, &goal).await {
            let hint = match error.unknown() {
                true => format!("whether they were set is not known; deploying {} again sets them", repo.name),
                false => "no route was changed, and no container touched".to_owned(),
            };
            return Err(Failure::from(error).hint(hint).into());
        }
        let took = began.elapsed().as_secs_f64() * 1_000.0;
        dies::here("after", "setting the routes anew");
        recorder
            .info(format!("the routes of {} are set anew since {took:.1} ms after the proxy was asked", live.project));
        // Who dies before this is found with newer routes than are recorded; they are set once more then.
        self.store.note_made(&repo.name, &live.colour, &made.to_text()).await?;
        self.store.routes_confirmed(&repo.name, age).await?;
        Ok(())
    }

    /// The gate, for routes on which the containers were not asked yet: they have no protocol of which it is known, or are told
    /// otherwise for whom somebody speaks.
    async fn asked_anew(
        &self,
        of: Of<'_>,
        live: &ColourRecord,
        before: &Made,
        mut wanted: Vec<MadeRoute>,
    ) -> Result<Vec<MadeRoute>, Failure> {
        let known = |route: &MadeRoute| {
            let key = |one: &MadeRoute| (one.service.clone(), one.port, one.http, one.speaks, one.proxy_protocol);
            before.routes.iter().any(|one| key(one) == key(route))
        };
        let mut asked: Vec<MadeRoute> = wanted.iter().filter(|route| !known(route)).cloned().collect();
        if asked.is_empty() {
            return Ok(wanted);
        }
        let engine = self.planner.engine_at_first(of.recorder, of.cancel).await?;
        let gate = Gate {
            whose: &live.project,
            engine: &engine,
            project: &Project { name: live.project.clone(), ..Project::default() },
            started: &[],
            since: None,
            routes: &mut asked,
            live: &[],
            checks: &Checks::default(),
            health: of.timeouts.apply,
            bake: Duration::ZERO,
            recorder: of.recorder,
            cancel: of.cancel,
        };
        gate.pass().await.map_err(|failure| failure.hint("no route was changed, and no container touched"))?;
        let mut learned = asked.into_iter();
        for route in wanted.iter_mut().filter(|route| !known(route)) {
            // In the same order, and as many.
            if let Some(asked) = learned.next() {
                *route = asked;
            }
        }
        Ok(wanted)
    }
}
