//! A stack that runs in place hands over to the first colour. Its ports are the engine's as long as its containers are there,
//! so turnout-proxy stands in for them at other ports; where that can be had, the kernel leads new connections there, and
//! requests can wait from then on. What was begun is in the store: whoever finds it later ends it, one way or the other.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    super::{Deployer, Failure, now_ms, of::Of},
    lead::Lead,
    lead::hold_requests,
    led::{in_place_routes, returning, routes, staying_routes, target},
    left_behind,
    look::Looked,
    made::{Made, MadeRoute, MadeService, stands_in},
    mend::stands_still,
    ports,
    revert::answer,
    stands::Routed,
    way::{Adopts, Led, Way},
};
use crate::{
    config::Repo,
    engine::{Engine, Wake},
    gate::{Ask, Protocol, Spoken, ready_within},
    report::Reporter,
    rollout::Generation,
    steer::Steer,
    store::{ColourRecord, ColourStanding},
};

/// How long what runs in place may take to say what it speaks.
const SPEAKS: Duration = Duration::from_secs(5);
/// How long connections from before are waited for, which are not the proxy's and cannot wait there.
pub(super) const DRAIN: Duration = Duration::from_secs(30);
/// How long a port may take to become the proxy's once its former container has ended.
pub(super) const BINDS: Duration = Duration::from_secs(10);
/// Pause between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(50);

impl Deployer {
    /// What an adoption does to requests, in words.
    pub(super) async fn says_adoption(&self, adopts: &Adopts, colour: &str) -> String {
        let Adopts { project, stays, .. } = adopts;
        let held = match stays.is_empty() {
            true => format!("{colour} starts beside it"),
            false => format!(
                "requests wait while {} {} over and {colour} starts (each 30 s at most, then 504, until it is ready)",
                stays.join(", "),
                if stays.len() == 1 { "changes" } else { "change" }
            ),
        };
        match self.not_led().await {
            None => format!(
                "{project} runs in place: new connections are led to turnout-proxy, {held}, and its ports go over; those from \
                 before have {} s to end",
                DRAIN.as_secs()
            ),
            Some(why) => format!(
                "{project} runs in place: {held}, and its ports go over: while its containers end, connections are refused \
                 or cut (5 ms and the time that they take to end), for the kernel cannot be asked to lead them to \
                 turnout-proxy ({why})"
            ),
        }
    }

    /// The project that runs in place, from the time before the switch; `None` where there is none.
    ///
    /// # Errors
    /// When the engine does not answer, or data would be left behind.
    pub(super) async fn adopts(
        &self,
        engine: &Engine,
        project: &str,
        colour: &str,
        looked: &Looked,
    ) -> Result<Option<Adopts>, Failure> {
        let all = engine.containers(project, true).await?;
        if !all.iter().any(|one| !one.oneoff) {
            return Ok(None);
        }
        for (service, volume) in engine.nameless_volumes(project).await? {
            let (colours, stays) = (&looked.colour.project, &looked.staying.project);
            let keeps = looked.derived.services.get(&service).is_some_and(|fate| left_behind::keeps(fate.class));
            if keeps && left_behind::covered(&[stays, colours], &service, &volume.target) {
                return Err(left_behind::refused(project, &service, &volume.target));
            }
        }
        let runs = all.into_iter().filter(|one| !one.oneoff && matches!(one.state.as_str(), "running" | "restarting"));
        let staying = |name: &String| looked.staying.project.services.contains_key(name);
        let stays: BTreeSet<String> = runs.map(|one| one.service).filter(staying).collect();
        let without = engine.without_storage(project).await?;
        let bare = stays.iter().filter(|name| without.contains(*name));
        let lost = bare.filter_map(|name| Some((name, looked.derived.services.get(name)?.unkept?))).next();
        if let Some((service, what)) = lost {
            return Err(left_behind::lost(project, service, what, &looked.staying.project.name));
        }
        let (project, colour) = (project.to_owned(), colour.to_owned());
        Ok(Some(Adopts { project, colour, stays: stays.into_iter().collect(), led: None }))
    }

    /// From here on new connections come over the proxy, or will as soon as the ports are free.
    pub(super) async fn lead_in(
        &self,
        of: Of<'_>,
        way: &mut Way,
        engine: &Engine,
        generation: Generation,
        wakes: Vec<Wake>,
    ) -> Result<(), Failure> {
        let Some(adopts) = way.adopts.clone() else { return Ok(()) };
        let Of { job, repo, recorder, .. } = of;
        // An earlier round of this deployment may have been here.
        let routed = way.steer.seen(&repo.name).await?.routed;
        if let Some(routed) = routed.filter(|routed| routed.generation == generation) {
            way.revision = way.revision.max(u64::try_from(routed.revision).unwrap_or_default() + 1);
        }
        let running = engine.containers(&adopts.project, false).await?;
        let runs = |wake: &Wake| running.iter().any(|one| !one.oneoff && one.service == wake.service);
        let services = wakes.into_iter().filter(runs).map(|wake| MadeService {
            alone: false,
            held: false,
            job: false,
            patience: None,
            name: wake.service,
            restart: wake.restart,
        });
        let networks = engine.kept_networks(&adopts.project).await?;
        let mut made = Made { services: services.collect(), networks, ..Made::default() };
        // A proxy of others leads there by itself, to its last moment.
        let published = match way.steer.own() {
            Some(_) => engine.published(&adopts.project).await?,
            None => Vec::new(),
        };
        // What stays keeps its ports, but its containers are others afterwards.
        let stays =
            |name: &str| !adopts.beside() && way.staying_project().is_some_and(|of| of.services.contains_key(name));
        let returning = staying_routes(&published, DRAIN.as_secs(), stays);
        for route in in_place_routes(&way.made, &published).into_iter().chain(returning) {
            let returns = stays(&route.service);
            match speaks(route).await {
                Ok(route) => {
                    made.returns.extend(route.listen.iter().filter(|_| returns));
                    made.routes.push(route);
                }
                Err(why) => {
                    recorder.warn(format!("{} does not answer, and keeps its port to its end: {why}", adopts.project))
                }
            }
        }
        for listen in made.routes.iter().flat_map(|route| route.listen.clone()) {
            let port = ports::stand_in(&self.store, &repo.name, listen.port()).await?;
            made.stand_ins.insert(listen, port);
        }
        let record = ColourRecord {
            repo: repo.name.clone(),
            colour: adopts.colour.clone(),
            project: adopts.project.clone(),
            standing: ColourStanding::InPlace,
            generation,
            deployment: Some(job.id),
            commit: None,
            since: now_ms(),
            made: made.to_text(),
        };
        self.store.begin_colour(record, &way.staying).await.map_err(|error| Failure::new(error.to_string()))?;
        let Some(steer) = way.steer.own().filter(|_| !made.routes.is_empty()).cloned() else { return Ok(()) };
        let mut led = Led { made, by_kernel: false };
        let wanted = routes(&led.made, way.age(generation), &adopts.colour, generation, true);
        steer.apply(&repo.name, &wanted).await?;
        match self.lead_by_kernel(&repo.name, &led.made, &steer).await {
            Ok(without) => {
                led.by_kernel = true;
                recorder.info(format!("new connections to {} come over turnout-proxy", adopts.project));
                for why in without {
                    recorder.warn(format!("but for some, which are refused while {} ends: {why}", adopts.project));
                }
            }
            Err(why) => recorder.warn(format!(
                "new connections to {} cannot be led to turnout-proxy ({why}): they are refused for the moment in which its \
                 ports go over",
                adopts.project
            )),
        }
        if led.by_kernel {
            self.await_older(of, &led.made, &adopts.project).await?;
        }
        if let Some(adopts) = &mut way.adopts {
            adopts.led = Some(led);
        }
        Ok(())
    }

    /// Requests are held, where they can be, and those under way have ended; a port that comes free is the proxy's, where the
    /// kernel does not lead its connections.
    pub(super) async fn before_it_ends(
        &self,
        of: Of<'_>,
        way: &mut Way,
        generation: Generation,
        hold: bool,
    ) -> Result<(), Failure> {
        let Some(adopts) = way.adopts.clone() else { return Ok(()) };
        let Some((led, steer)) = adopts.led.as_ref().zip(way.steer.own().cloned()) else { return Ok(()) };
        if hold && adopts.can_wait() {
            way.held = true;
            of.recorder.info(format!("requests wait while {} ends and {} starts", adopts.project, way.project));
            hold_requests(&steer, &of.repo.name).await?;
        }
        if !led.by_kernel {
            let wanted = routes(&led.made, way.age(generation), &adopts.colour, generation, false);
            steer.apply(&of.repo.name, &wanted).await?;
        }
        Ok(())
    }

    /// The next colour has the requests: what ran in place ends, and its ports are the proxy's own. What cannot be done now is
    /// mended beside the lanes; until then the ports that stand in serve.
    pub(super) async fn hand_over(&self, of: Of<'_>, way: &Way) {
        let Some(adopts) = &way.adopts else { return };
        let over = async {
            let engine = self.planner.engine().await?;
            if adopts.beside()
                && let Some(led) = adopts.led.as_ref().filter(|led| led.by_kernel)
            {
                self.await_older(of, &led.made, &adopts.project).await?;
            }
            let stands = self.recorded(&of.repo.name).await?;
            let (Some(old), Some(live)) = (stands.in_place(), stands.live()) else { return Ok(()) };
            self.finish_adoption(of.repo, &way.steer, (old, live), &engine, of.recorder).await
        };
        if let Err(failure) = over.await {
            of.recorder.warn(format!(
                "{} has not handed over all of its ports yet, which is tried again: {failure}",
                adopts.project
            ));
            self.needs_mending(&of.repo.name, "what ran in place has not handed over its ports");
        }
    }

    /// Ends what runs in place, for a live colour. May be done again.
    ///
    /// # Errors
    /// Engine, proxy or helper refuse.
    pub(super) async fn finish_adoption(
        &self,
        repo: &Repo,
        lead: &Lead,
        (old, live): (&ColourRecord, &ColourRecord),
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        let Some(steer) = lead.own() else {
            engine.rest(&old.project, &[]).await?;
            self.store.forget_in_place(&repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
            reporter.info(format!("{} is stopped", old.project));
            return Ok(());
        };
        let made = Made::read(&live.made).map_err(Failure::new)?;
        let was = Made::read(&old.made).map_err(Failure::new)?;
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let mut wanted = made.repository(next_age(steer, repo, live).await?, &live.colour, number(live.generation));
        let again = self.led_again(engine, &repo.project, &was).await?;
        again.join(&mut wanted, &live.colour, number(live.generation));
        stands_in(&mut wanted, &was, false);
        steer.apply(&repo.name, &wanted).await?;
        engine.rest(&old.project, &[]).await?;
        await_listening(steer, &repo.name, &was).await?;
        self.lead_no_more(&repo.name).await?;
        if !again.routes.is_empty() {
            // Their connections are no colour's, and end with their next answer.
            self.await_led(&again).await;
        }
        let wanted = made.repository(next_age(steer, repo, live).await?, &live.colour, number(live.generation));
        steer.apply(&repo.name, &wanted).await?;
        self.store.forget_in_place(&repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
        reporter.info(format!("{} is stopped, and its ports are turnout-proxy's", old.project));
        Ok(())
    }

    /// What ran in place runs on as it was, and its connections are its own again. May be done again.
    ///
    /// # Errors
    /// Engine, proxy or helper refuse, or it does not answer.
    pub(super) async fn undo_adoption(
        &self,
        repo: &Repo,
        lead: &Lead,
        old: &ColourRecord,
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        let mut made = Made::read(&old.made).map_err(Failure::new)?;
        let steer = lead.own().filter(|_| !made.routes.is_empty());
        let containers = engine.containers(&old.project, true).await?;
        let (wakes, gone): (Vec<Wake>, Vec<Wake>) = made
            .wakes(false)
            .into_iter()
            .partition(|wake| containers.iter().any(|one| !one.oneoff && one.service == wake.service));
        let again = async {
            if wakes.iter().any(|wake| stands_still(&containers, &wake.service)) {
                if let Some(steer) = steer {
                    // Its ports are its own again, if the proxy has taken them by now.
                    let age = next_age(steer, repo, old).await?;
                    steer.apply(&repo.name, &routes(&made, age, &old.colour, old.generation, true)).await?;
                }
                // Never two of them on one volume.
                let names: Vec<String> = wakes.iter().map(|wake| wake.service.clone()).collect();
                engine.rest(&repo.project, &names).await?;
                let woken = engine.wake(&old.project, &wakes, &made.networks).await;
                woken.map_err(|error| Failure::from(error).hint(still_down(repo, &old.project, &names)))?;
                reporter.info(format!("{} runs again as it was", old.project));
            }
            let Some(steer) = steer else { return Ok(()) };
            // It may have other addresses by now.
            let published = engine.published(&old.project).await?;
            for route in &mut made.routes {
                route.targets = route.listen.iter().filter_map(|listen| target(&published, *listen)).collect();
            }
            made.routes.retain(|route| !route.targets.is_empty());
            let age = next_age(steer, repo, old).await?;
            steer.apply(&repo.name, &routes(&made, age, &old.colour, old.generation, true)).await?;
            answer(&made.routes, &old.project).await
        };
        let again: Result<(), Failure> = again.await;
        if let Some(steer) = steer {
            // Whatever became of it: nobody is held for the next try.
            steer.resume(&repo.name).await?;
        }
        again?;
        if let Some(steer) = steer {
            self.lead_no_more(&repo.name).await?;
            self.await_led(&made).await;
            let (generation, revision) = next_age(steer, repo, old).await?;
            let none = crate::traffic::Repository { generation, revision, routes: Vec::new() };
            steer.apply(&repo.name, &none).await?;
        }
        self.store.forget_in_place(&repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
        if gone.is_empty() {
            return Ok(());
        }
        // As `docker system prune` does with what is stopped. Nobody but the user, or the next deployment, makes it anew.
        let gone: Vec<String> = gone.into_iter().map(|wake| wake.service).collect();
        let said = format!("somebody removed containers of {} meanwhile: {}", old.project, gone.join(", "));
        Err(Failure::new(said).hint(still_down(repo, &old.project, &gone)))
    }

    /// Listeners that are the engine's again, with who has them now.
    pub(super) async fn led_again(&self, engine: &Engine, project: &str, was: &Made) -> Result<Made, Failure> {
        if was.returns.is_empty() {
            return Ok(Made::default());
        }
        Ok(was.returned(returning(was, &engine.published(project).await?)))
    }
}

/// What to do where a stack in place could not be started again.
fn still_down(repo: &Repo, project: &str, services: &[String]) -> String {
    format!(
        "of {project}, {} may stand still now; `turnout compose --repo {} up -d` starts it again",
        services.join(", "),
        repo.name
    )
}

/// The route, with what is spoken there now.
pub(super) async fn speaks(route: MadeRoute) -> Result<MadeRoute, String> {
    let Some(target) = route.targets.first() else { return Ok(route) };
    let spoken = match route.http {
        Some(false) => Spoken::Tcp,
        _ => Spoken::Unknown { page: route.page.clone() },
    };
    let ask = Ask { successes: 1, preamble: route.preamble(), ..Ask::new(*target, spoken) };
    let ready = ready_within(&ask, SPEAKS, |_| ()).await.map_err(|not| not.to_string())?;
    Ok(MadeRoute { http: Some(ready.protocol == Protocol::Http), ..route })
}

/// Waits until turnout-proxy has its listeners again, but for those that are the engine's.
pub(super) async fn await_listening(steer: &Steer, repo: &str, of: &Made) -> Result<(), Failure> {
    let until = Instant::now() + BINDS;
    loop {
        let status = steer.status().await?;
        let own = status.routes.iter().filter(|route| route.repository == repo && !of.returns.contains(&route.listen));
        let waits = own.filter(|route| !route.listening);
        let waits: BTreeSet<String> = waits.map(|route| route.listen.to_string()).collect();
        if waits.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            let waits = waits.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Failure::new(format!("another program has {waits} still")));
        }
        sleep(LOOK).await;
    }
}

/// The number of the next change of a repository's routes.
async fn next_age(steer: &Steer, repo: &Repo, of: &ColourRecord) -> Result<(u64, u64), Failure> {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let routed = Routed::of(&steer.status().await?, &repo.name);
    Ok(routed.map_or((number(of.generation), 0), |routed| (number(routed.generation), number(routed.revision) + 1)))
}
