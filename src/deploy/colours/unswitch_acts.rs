//! The actions of a way back in place: warm, change over, switch. Each may be done again without harm. Before the routes move the
//! way out of each is [`Deployer::unswitch_leave`]; from then on there is none.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{
    super::{Deployer, Failure, Prepared, now_ms, of::Of},
    adopt::{DRAIN, speaks},
    came::{Broke, Moved},
    checks::Checks,
    gating::Gate,
    lead::hold_requests,
    led::{in_place_routes, leads, routes, staying_routes},
    made::{Made, MadeRoute, stands_in},
    ports,
    stands::Routed,
    unswitch::{Unswitch, chosen_before},
    unswitched::{self, IN_PLACE},
};
use crate::{
    engine::{Ended, Engine},
    plan::{self, Action},
    report::Reporter as _,
    rollout::Generation,
    steer::Steer,
    store::{ColourRecord, ColourStanding, dies},
};

/// What the gate asks, in words.
const IN_PLACE_WORDS: &str = "the stack in place";

impl Deployer {
    /// Builds and pulls, writes down that the way back begins, and has the kernel lead new connections to ports that stand in, so
    /// that the listeners come free and nobody is refused.
    pub(in crate::deploy) async fn unswitch_warm(
        &self,
        of: Of<'_>,
        way: &mut Unswitch,
        generation: Generation,
        commit: &str,
    ) -> Result<(), Broke> {
        let Of { job, repo, .. } = of;
        let is_image = |action: &Action| matches!(action, Action::Build { .. } | Action::Pull { .. });
        let images = Prepared { plan: plan::only(&way.prepared.plan, is_image), ..way.prepared.clone() };
        if !images.plan.steps.is_empty() {
            self.carry_out(of, &images, &Checks::default()).await?;
        }
        let mut back = way.back();
        // What stayed keeps its ports, but its containers are others afterwards.
        let engine = self.planner.engine_at_first(of.recorder, of.cancel).await?;
        let published = engine.published(&repo.project).await?;
        if !way.kept.ended {
            let in_place = &way.prepared.loaded.project.services;
            let mut staying = Vec::new();
            for route in staying_routes(&published, DRAIN.as_secs(), |name| in_place.contains_key(name)) {
                match speaks(route).await {
                    Ok(route) => staying.push(route),
                    Err(why) => {
                        of.recorder.warn(format!("of what stays, one does not answer, and its port is not led: {why}"))
                    }
                }
            }
            way.kept.made.returns = staying.iter().flat_map(|route| route.listen.clone()).collect();
            way.kept.made.routes = staying;
        }
        back.extend(&way.kept.made.returns);
        let mut stand_ins = chosen_before(&way.kept, &back);
        for listen in &back {
            if !stand_ins.contains_key(listen) && way.steer.is_some() {
                stand_ins.insert(*listen, ports::stand_in(&self.store, &repo.name, listen.port()).await?);
            }
        }
        way.kept.made.stand_ins = stand_ins;
        let row = ColourRecord {
            repo: repo.name.clone(),
            colour: IN_PLACE.to_owned(),
            project: way.project.clone(),
            standing: ColourStanding::Leaving,
            generation,
            deployment: Some(job.id),
            commit: Some(commit.to_owned()),
            since: now_ms(),
            made: way.kept.to_text(),
        };
        self.store.begin_unswitch(row).await?;
        let (Some(steer), Some((live, made))) = (way.steer.clone(), &way.live) else { return Ok(()) };
        let stood_in = way.kept.stood_in(made, way.kept.made.routes.clone());
        let led = Led { steer: &steer, repo: &repo.name, live, made: &stood_in, generation };
        led.lead(false).await?;
        if leads(&stood_in).is_empty() {
            return Ok(());
        }
        match self.lead_away(&led).await {
            Ok(without) => {
                way.by_kernel = true;
                of.recorder.info(format!("new connections to {} come over other ports of turnout-proxy", live.project));
                for why in without {
                    of.recorder.warn(format!("but for some, which are refused until {} answers: {why}", way.project));
                }
                // Those of what stays are the engine's so far, and end with its containers.
                let staying = way.kept.made.returned(Vec::new());
                if !staying.stand_ins.is_empty() {
                    self.await_older(of, &staying, &repo.project).await?;
                }
            }
            Err(why) => {
                led.lead(false).await?;
                of.recorder.warn(format!(
                    "new connections cannot be led past the listeners ({why}): they are refused from the moment in which \
                     turnout-proxy leaves those until {} answers",
                    way.project
                ));
            }
        }
        Ok(())
    }

    /// Sets the rules, has turnout-proxy leave the listeners, and looks whether connections arrive all the same.
    async fn lead_away(&self, led: &Led<'_>) -> Result<Vec<String>, String> {
        let helper = self.redirects().map_err(|failure| failure.summary)?;
        helper.set(led.repo, &leads(led.made)).await.map_err(|error| error.to_string())?;
        dies::here("after", "leading connections away");
        led.lead(true).await.map_err(|failure| failure.summary)?;
        self.lead_by_kernel(led.repo, led.made, led.steer).await
    }

    /// Requests wait, what ran before ends, and what is in place starts and is asked.
    pub(in crate::deploy) async fn unswitch_change_over(
        &self,
        of: Of<'_>,
        way: &mut Unswitch,
        generation: Generation,
        commit: &str,
    ) -> Result<(), Broke> {
        let Of { repo, recorder, timeouts, cancel, .. } = of;
        let engine = self.planner.engine_at_first(recorder, cancel).await?;
        let in_its_place = way.ends() == Some(way.project.as_str());
        if in_its_place && !way.kept.ended {
            // Its containers are replaced: only what they were made of brings them back.
            way.before = engine.remember(&way.project).await?;
        }
        way.kept.ended = true;
        self.store.unswitch_ends(&repo.name, &way.kept.to_text()).await?;
        dies::here("before", "ending the colours");
        // What nobody asks takes its time to end before anybody waits.
        if let Some((live, made)) = way.live.as_ref().filter(|_| !way.beside) {
            let first = made.asked_by_nobody();
            if !first.is_empty() {
                let ended = engine.rest(&live.project, &first).await?;
                ended.iter().for_each(|one| recorder.info(format!("stopped {}", one.name)));
            }
        }
        self.unswitch_holds(of, way).await?;
        let all = self.unswitch_ends(of, way, &engine).await?;
        dies::here("after", "ending the colours");
        let prepared = self.unswitch_anew(of, way, commit).await?;
        if let (Some(steer), Some((live, made)), false) = (&way.steer, &way.live, way.by_kernel) {
            // The engine could not listen there otherwise: as late as can be, for who connects from here on is refused.
            let made = &way.kept.stood_in(made, Vec::new());
            Led { steer, repo: &repo.name, live, made, generation }.lead(true).await?;
        }
        let checks = Checks::in_place(&prepared.plan, &prepared.loaded.project, true);
        let started = self.carry_out(of, &prepared, &checks).await?;
        // Requests wait: what the engine clears up after the ends (networks, some seconds) went on beside the starts.
        for ended in all {
            if let Err(error) = ended.released().await {
                recorder.warn(format!("what ended was not released whole: {error}"));
            }
        }
        dies::here("after", "starting in place");
        let published = engine.published(&way.project).await?;
        let mut found = way.live.as_ref().map(|(_, made)| in_place_routes(made, &published)).unwrap_or_default();
        let of_colours = found.len();
        for route in staying_routes(&published, DRAIN.as_secs(), |_| true) {
            if route.listen.iter().any(|listen| way.kept.made.returns.contains(listen)) {
                found.push(speaks(route).await.map_err(|why| {
                    Failure::new(format!("{} does not answer in place: {why}", way.project))
                        .hint("what was live before is started again")
                })?);
            }
        }
        let mut asked: Vec<MadeRoute> = match way.by_kernel {
            true => found.iter().take(of_colours).cloned().collect(),
            // On the way on which requests will come.
            false => found.iter().take(of_colours).map(by_its_listener).collect(),
        };
        let gate = Gate {
            whose: IN_PLACE_WORDS,
            engine: &engine,
            project: &prepared.loaded.project,
            started: &started,
            since: None,
            routes: &mut asked,
            live: &[],
            checks: &checks,
            health: timeouts.apply,
            bake: Duration::ZERO,
            recorder,
            cancel,
        };
        gate.pass().await?;
        way.kept.made.routes = found;
        Ok(())
    }

    /// Ends what ran before: whatever depends on another service before that, and side by side what does not. Answers what the engine
    /// releases still.
    async fn unswitch_ends(&self, of: Of<'_>, way: &Unswitch, engine: &Engine) -> Result<Vec<Ended>, Broke> {
        let Of { repo, recorder, .. } = of;
        let stands = self.recorded(&repo.name).await?;
        let mut ends: Vec<(&str, Vec<String>)> = Vec::new();
        for one in stands.all.iter().filter(|one| one.standing != ColourStanding::Leaving) {
            let made = Made::read(&one.made).map_err(Failure::new)?;
            let is_live = stands.live().is_some_and(|live| live.colour == one.colour);
            let own = if way.beside && is_live { made.alone() } else { made.not_jobs() };
            if !own.is_empty() {
                ends.push((&one.project, own));
            }
        }
        ends.push((&repo.project, Vec::new()));
        let those: Vec<(&str, &[String])> = ends.iter().map(|(project, own)| (*project, own.as_slice())).collect();
        let mut ended = engine.end_all(&those, &plan::needs(&way.prepared.loaded.project)).await?;
        let staying = ended.pop().unwrap_or_default();
        let colours = ended.iter().flat_map(|one| &one.containers);
        colours.for_each(|one| recorder.info(format!("stopped {}", one.name)));
        staying.containers.iter().for_each(|one| recorder.info(format!("stopped {}: its volumes go over", one.name)));
        if way.kept.made.returns.is_empty() {
            ended.push(staying);
        } else {
            // Its ports are the engine's again right away, for other containers.
            staying.released().await?;
        }
        Ok(ended)
    }

    /// Requests wait where something that they need ends, and those under way have ended.
    async fn unswitch_holds(&self, of: Of<'_>, way: &mut Unswitch) -> Result<(), Broke> {
        let (Some(steer), Some((live, made))) = (&way.steer, &way.live) else { return Ok(()) };
        if way.beside || made.routes.is_empty() {
            return Ok(());
        }
        way.held = true;
        of.recorder.info(format!("requests wait while {} ends and {} starts in place", live.project, way.project));
        hold_requests(steer, &of.repo.name).await.map_err(Failure::from)?;
        Ok(())
    }

    /// Requests go to what is in place; then nothing is turnout-proxy's any more.
    pub(in crate::deploy) async fn unswitch_moves(
        &self,
        of: Of<'_>,
        way: &mut Unswitch,
        generation: Generation,
    ) -> Result<Moved, Failure> {
        let Of { repo, recorder, .. } = of;
        if let Some(steer) = &way.steer {
            let age = next_age(steer, &repo.name, generation).await?;
            let wanted = routes(&way.kept.made, age, IN_PLACE, generation, true);
            if let Err(error) = steer.apply(&repo.name, &wanted).await {
                return match error.unknown() {
                    true => Ok(Moved::Unknown(
                        Failure::new(error.to_string())
                            .hint("the next look asks turnout-proxy, and goes on from there"),
                    )),
                    false => Err(Failure::new(error.to_string()).hint("what was live before stays live")),
                };
            }
            dies::here("after", "moving the routes in place");
            self.unswitch_lets_through(of, way).await;
        }
        let done = async {
            let engine = self.planner.engine().await?;
            let stands = self.recorded(&repo.name).await?;
            self.finish_unswitch(repo, &stands, &engine, recorder).await
        };
        if let Err(failure) = done.await {
            recorder.warn(format!("{} answers in place, and the rest is cleared away later: {failure}", way.project));
            self.needs_mending(&repo.name, "what is left of the colours was not cleared away");
        }
        Ok(Moved::Switched { bake: None })
    }

    /// Lets requests through, if this deployment holds them.
    pub(in crate::deploy) async fn unswitch_lets_through(&self, of: Of<'_>, way: &mut Unswitch) {
        let (true, Some(steer)) = (std::mem::take(&mut way.held), &way.steer) else { return };
        if let Err(error) = steer.resume(&of.repo.name).await {
            of.recorder.warn(format!("requests could not be let through: {error}; that is tried again"));
            self.needs_mending(&of.repo.name, "requests could not be let through");
        }
    }

    /// The way out: the live colour as it was, if that can be had.
    pub(in crate::deploy) async fn unswitch_leave(&self, of: Of<'_>, way: &mut Unswitch) {
        let Of { repo, recorder, .. } = of;
        let back = async {
            let stands = self.recorded(&repo.name).await?;
            let Some(row) = stands.leaving() else { return Ok(()) };
            if way.kept.ended && !way.comes_again() {
                self.unswitch_lets_through(of, way).await;
                recorder.warn(format!(
                    "the containers of {} that were live were replaced by an earlier try, and cannot be had again: the next \
                     deployment goes on with the way back",
                    way.project
                ));
                return Ok(());
            }
            let engine = self.planner.engine().await?;
            self.undo_unswitch(repo, &stands, row, std::mem::take(&mut way.before), &engine, recorder).await
        };
        if let Err(failure) = back.await {
            recorder.warn(format!("the live colour could not be had again yet: {failure}"));
            self.needs_mending(&repo.name, "the way back in place was given up half way");
        }
    }
}

impl Unswitch {
    /// Listeners that the engine has again.
    fn back(&self) -> BTreeSet<SocketAddr> {
        let project = &self.prepared.loaded.project;
        self.live.as_ref().map(|(_, made)| unswitched::listeners(made, project).0).unwrap_or_default()
    }

    /// What a success has to say.
    pub fn summary(&self, commit: &str, by_hand: &[String]) -> String {
        let said = format!("{} ({}) is in place again", self.project, crate::git::short(commit));
        [&[said][..], by_hand].concat().join("; ")
    }
}

/// The routes of the live colour, while other ports stand in for its listeners.
pub(super) struct Led<'a> {
    pub(super) steer: &'a Steer,
    pub(super) repo: &'a str,
    pub(super) live: &'a ColourRecord,
    pub(super) made: &'a Made,
    pub(super) generation: Generation,
}

impl Led<'_> {
    /// All lead to the live colour. `yields`: the listeners are left to whoever has them.
    pub(super) async fn lead(&self, yields: bool) -> Result<(), Failure> {
        let Led { steer, repo, live, made, generation } = self;
        let age = next_age(steer, repo, *generation).await?;
        let mut wanted = made.repository(age, &live.colour, u64::try_from(live.generation).unwrap_or_default());
        stands_in(&mut wanted, made, yields);
        Ok(steer.apply(repo, &wanted).await.map(drop)?)
    }
}

/// The number of the next change of the routes within a deployment, or beyond what they are at.
pub(super) async fn next_age(steer: &Steer, repo: &str, generation: Generation) -> Result<(u64, u64), Failure> {
    let number = |number: Generation| u64::try_from(number).unwrap_or_default();
    let routed = Routed::of(&steer.status().await?, repo);
    Ok(match routed.filter(|routed| routed.generation >= generation) {
        Some(routed) => (number(routed.generation), number(routed.revision) + 1),
        None => (number(generation), 0),
    })
}

/// The same route, asked where the engine listens.
fn by_its_listener(route: &MadeRoute) -> MadeRoute {
    let local = |listen: &SocketAddr| match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), listen.port()),
        _ => *listen,
    };
    MadeRoute { targets: route.listen.iter().map(local).collect(), ..route.clone() }
}

#[cfg(test)]
mod tests {
    use super::{super::made::tests::shop, *};

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_this_machine() {
        let mut route = shop().routes.remove(0);
        route.listen = ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"].map(|text| text.parse().unwrap()).to_vec();
        let asked: Vec<String> = by_its_listener(&route).targets.iter().map(ToString::to_string).collect();
        assert_eq!(asked, ["127.0.0.1:80", "[::1]:80", "192.0.2.1:80"]);
    }
}
