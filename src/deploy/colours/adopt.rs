//! A stack that runs in place hands over to the first colour. Its ports are the engine's as long as its containers are there,
//! so turnout-proxy stands in for them at other ports; where that can be had, the kernel leads new connections there, and
//! requests can wait from then on. What was begun is in the store: whoever finds it later ends it, one way or the other.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    super::{Deployer, Failure, called_off, now_ms, of::Of},
    lead::Lead,
    led::{in_place_routes, leads, routes, target},
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
    nat::{Helper, NatError},
    report::{Reporter, counted},
    rollout::Generation,
    steer::{Steer, program_beside},
    store::{ColourRecord, ColourStanding},
};

/// The helper's socket, beside the proxy's.
const HELPER: &str = "turnout-redirect.sock";
/// How long what runs in place may take to say what it speaks.
const SPEAKS: Duration = Duration::from_secs(5);
/// How long connections from before are waited for, which are not the proxy's and cannot wait there.
pub(super) const DRAIN: Duration = Duration::from_secs(30);
/// How long requests under way are waited for while others are held: those may wait no longer than 30 seconds in all.
pub(super) const IN_FLIGHT: Duration = Duration::from_secs(8);
/// How long a port may take to become the proxy's once its former container has ended.
const BINDS: Duration = Duration::from_secs(10);
/// For connections that were being made to a port that stands in when its rules went.
const LATE: Duration = Duration::from_secs(1);
/// Pause between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(50);

impl Deployer {
    /// Whoever sets rules of the kernel: the helper of a service manager, or a process of its own with the daemon's rights.
    ///
    /// # Errors
    /// There is no program for it.
    pub(super) fn redirects(&self) -> Result<Helper, Failure> {
        let socket = self.planner.settings.proxy_socket.with_file_name(HELPER);
        if std::fs::symlink_metadata(&socket).is_ok() {
            return Ok(Helper::Socket(socket));
        }
        let own = std::env::current_exe().map_err(|error| Failure::new(format!("where turnout lies: {error}")))?;
        Ok(Helper::Program(program_beside(&own)?))
    }

    /// Why new connections cannot be led to the proxy by the kernel; `None`: they can.
    pub(super) async fn not_led(&self) -> Option<String> {
        match self.redirects() {
            Ok(helper) => helper.list().await.err().map(|error| error.to_string()),
            Err(failure) => Some(failure.summary),
        }
    }

    /// What an adoption does to requests, in words.
    pub(super) async fn says_adoption(&self, adopts: &Adopts, colour: &str) -> String {
        let Adopts { project, stays, .. } = adopts;
        let held = match stays.is_empty() {
            true => format!("{colour} starts beside it"),
            false => format!(
                "requests wait while {} {} over and {colour} starts (30 s at most, then 504)",
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

    /// The project that runs in place, from the time before the switch; `None` where there is none. `staying`: services that
    /// will stay. `keeps`: those whose data has to be there afterwards.
    ///
    /// # Errors
    /// When the engine does not answer, or data would be left behind.
    pub(super) async fn adopts(
        &self,
        engine: &Engine,
        project: &str,
        colour: &str,
        staying: impl Fn(&str) -> bool,
        keeps: impl Fn(&str) -> bool,
    ) -> Result<Option<Adopts>, Failure> {
        let all = engine.containers(project, true).await?;
        if !all.iter().any(|one| !one.oneoff) {
            return Ok(None);
        }
        let nameless = engine.nameless_volumes(project).await?;
        if let Some((service, path)) = nameless.into_iter().find(|(service, _)| keeps(service)) {
            return Err(Failure::new(format!(
                "{project} runs in place, and {service} writes {path} into a volume without a name: none but this very \
                 container finds it again, and with `switch` {service} would begin with an empty one"
            ))
            .hint(format!(
                "nothing was changed; give it a name (`volumes: [\"data:{path}\"]` at {service}, and `data:` below `volumes`), deploy \
                 once without `switch`, and bring over what is in it"
            )));
        }
        let runs = all.into_iter().filter(|one| !one.oneoff && matches!(one.state.as_str(), "running" | "restarting"));
        let stays: BTreeSet<String> = runs.map(|one| one.service).filter(|name| staying(name)).collect();
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
            name: wake.service,
            restart: wake.restart,
        });
        let mut made = Made { services: services.collect(), ..Made::default() };
        // A proxy of others leads there by itself, to its last moment.
        let published = match way.steer.own() {
            Some(_) => engine.published(&adopts.project).await?,
            None => Vec::new(),
        };
        for route in in_place_routes(&way.made, &published) {
            match speaks(route).await {
                Ok(route) => made.routes.push(route),
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

    /// Sets the rules, and looks whether they do what they say.
    pub(super) async fn lead_by_kernel(&self, repo: &str, made: &Made, steer: &Steer) -> Result<Vec<String>, String> {
        let helper = self.redirects().map_err(|failure| failure.summary)?;
        let taken = taken(steer, repo).await;
        let without = helper.set(repo, &leads(made)).await.map_err(|error| error.to_string())?;
        let listens: Vec<SocketAddr> =
            made.routes.iter().flat_map(|route| route.listen.clone()).filter(SocketAddr::is_ipv4).collect();
        let until = Instant::now() + BINDS;
        let Some(listen) = listens.first() else { return Ok(without) };
        while self::taken(steer, repo).await <= taken {
            if Instant::now() >= until {
                let _ = helper.clear(repo).await;
                return Err(format!("rules for {listen} were set, and led nothing"));
            }
            let mut to = *listen;
            if to.ip().is_unspecified() {
                to.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            let _ = tokio::time::timeout(LOOK, tokio::net::TcpStream::connect(to)).await;
            sleep(LOOK).await;
        }
        Ok(without)
    }

    /// Connections that were there before are the engine's to their end: they have some time for it.
    async fn await_older(&self, of: Of<'_>, made: &Made, project: &str) -> Result<(), Failure> {
        let (helper, leads) = (self.redirects()?, leads(made));
        let until = Instant::now() + DRAIN;
        let mut told = false;
        loop {
            let open = match helper.open(&leads).await {
                Ok(Some(open)) => open.direct,
                _ => {
                    of.recorder.info(
                        "the kernel does not say how many older connections are open: none is waited for".to_owned(),
                    );
                    return Ok(());
                }
            };
            if open == 0 {
                return Ok(());
            }
            if Instant::now() >= until {
                let open = counted(open, "older connection");
                of.recorder.warn(format!("still open to {project}: {open}; what is open ends with it"));
                return Ok(());
            }
            if !std::mem::replace(&mut told, true) {
                let (open, left) = (counted(open, "older connection"), DRAIN.as_secs());
                of.recorder.info(format!("open to {project}: {open}; there are {left} s to end"));
            }
            if of.cancel.is_cancelled() {
                return Err(called_off::failure("waiting for older connections"));
            }
            sleep(LOOK * 4).await;
        }
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
            steer.hold(&of.repo.name).await?;
            of.recorder.info(format!("requests wait while {} ends and {} starts", adopts.project, way.project));
            let until = Instant::now() + IN_FLIGHT;
            while in_flight(&steer, &of.repo.name).await > 0 && Instant::now() < until {
                sleep(LOOK).await;
            }
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
            self.needs_mending(&of.repo.name);
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
        stands_in(&mut wanted, &was.stand_ins, false);
        steer.apply(&repo.name, &wanted).await?;
        engine.rest(&old.project, &[]).await?;
        await_listening(steer, &repo.name).await?;
        self.lead_no_more(&repo.name).await?;
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
        let wakes: Vec<Wake> = made.wakes(false);
        if wakes.iter().any(|wake| stands_still(&containers, &wake.service)) {
            if let Some(steer) = steer {
                // Its ports are its own again, if the proxy has taken them by now.
                let age = next_age(steer, repo, old).await?;
                steer.apply(&repo.name, &routes(&made, age, &old.colour, old.generation, true)).await?;
            }
            // Never two of them on one volume.
            let names: Vec<String> = wakes.iter().map(|wake| wake.service.clone()).collect();
            engine.rest(&repo.project, &names).await?;
            engine.wake(&old.project, &wakes).await?;
            reporter.info(format!("{} runs again as it was", old.project));
        }
        if let Some(steer) = steer {
            // It may have other addresses by now.
            let published = engine.published(&old.project).await?;
            for route in &mut made.routes {
                route.targets = route.listen.iter().filter_map(|listen| target(&published, *listen)).collect();
            }
            made.routes.retain(|route| !route.targets.is_empty());
            let age = next_age(steer, repo, old).await?;
            steer.apply(&repo.name, &routes(&made, age, &old.colour, old.generation, true)).await?;
            let answers = answer(&made.routes, &old.project).await;
            steer.resume(&repo.name).await?;
            answers?;
            self.lead_no_more(&repo.name).await?;
            self.await_led(&made).await;
            let (generation, revision) = next_age(steer, repo, old).await?;
            let none = crate::traffic::Repository { generation, revision, routes: Vec::new() };
            steer.apply(&repo.name, &none).await?;
        }
        self.store.forget_in_place(&repo.name).await.map_err(|error| Failure::new(error.to_string()))
    }

    /// New connections go where they are made to. Those that were being made are waited for.
    pub(super) async fn lead_no_more(&self, repo: &str) -> Result<(), Failure> {
        match self.redirects()?.clear(repo).await {
            Ok(()) => {}
            // Who cannot look could not set any either.
            Err(NatError::Absent { .. } | NatError::Refused(_)) if self.not_led().await.is_some() => {}
            Err(error) => {
                return Err(Failure::new(format!("rules of the kernel for {repo} could not be removed: {error}")));
            }
        }
        sleep(LATE).await;
        Ok(())
    }

    /// Connections that were led to the proxy have some time to end there.
    pub(super) async fn await_led(&self, made: &Made) {
        let (Ok(helper), leads) = (self.redirects(), leads(made)) else { return };
        let until = Instant::now() + DRAIN;
        while Instant::now() < until {
            match helper.open(&leads).await {
                Ok(Some(open)) if open.led > 0 => sleep(LOOK * 4).await,
                _ => return,
            }
        }
    }

    /// At a start: rules that nobody needs any more.
    pub(super) async fn forget_leads(&self) {
        let Ok(helper) = self.redirects() else { return };
        let Ok(leads) = helper.list().await else { return };
        let repos: BTreeSet<String> = leads.into_iter().map(|(repo, _)| repo).collect();
        let Ok(places) = self.store.places().await else { return };
        for repo in repos {
            let Ok(stands) = self.recorded(&repo).await else { continue };
            // Another turnout on this machine leads its own, and a connection of it would be refused without them.
            let own = !stands.all.is_empty() || stands.switch.is_some() || places.iter().any(|one| one.repo == repo);
            if !own {
                tracing::info!(
                    repo,
                    "rules of the kernel lead connections of a repository that is not known here: they are left alone"
                );
                continue;
            }
            if stands.in_place().is_none() && stands.leaving().is_none() {
                match helper.clear(&repo).await {
                    Ok(()) => tracing::warn!(
                        repo,
                        "rules of the kernel that led connections elsewhere were left over, and are removed"
                    ),
                    Err(error) => tracing::error!(repo, "rules of the kernel are left over: {error}"),
                }
            }
        }
    }
}

/// The route, with what is spoken there now.
async fn speaks(route: MadeRoute) -> Result<MadeRoute, String> {
    let Some(target) = route.targets.first() else { return Ok(route) };
    let spoken = match route.http {
        Some(false) => Spoken::Tcp,
        _ => Spoken::Unknown { page: route.page.clone() },
    };
    let ask = Ask { successes: 1, preamble: route.preamble(), ..Ask::new(*target, spoken) };
    let ready = ready_within(&ask, SPEAKS, |_| ()).await.map_err(|not| not.to_string())?;
    Ok(MadeRoute { http: Some(ready.protocol == Protocol::Http), ..route })
}

/// Connections that the proxy has taken for a repository. What cannot be told counts as none.
async fn taken(steer: &Steer, repo: &str) -> u64 {
    let Ok(status) = steer.status().await else { return 0 };
    status.routes.iter().filter(|route| route.repository == repo).map(|route| route.taken).sum()
}

/// Waits until turnout-proxy has its listeners again.
pub(super) async fn await_listening(steer: &Steer, repo: &str) -> Result<(), Failure> {
    let until = Instant::now() + BINDS;
    loop {
        let status = steer.status().await?;
        let waits = status.routes.iter().filter(|route| route.repository == repo && !route.listening);
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

/// Requests under way at a repository's colours.
pub(super) async fn in_flight(steer: &Steer, repo: &str) -> u64 {
    let Ok(status) = steer.status().await else { return 0 };
    let own = status.routes.iter().filter(|route| route.repository == repo && route.requests > 0);
    own.flat_map(|route| &route.colours).map(|colour| colour.open.saturating_sub(colour.tunnels)).sum()
}

/// The number of the next change of a repository's routes.
async fn next_age(steer: &Steer, repo: &Repo, of: &ColourRecord) -> Result<(u64, u64), Failure> {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let routed = Routed::of(&steer.status().await?, &repo.name);
    Ok(routed.map_or((number(of.generation), 0), |routed| (number(routed.generation), number(routed.revision) + 1)))
}
