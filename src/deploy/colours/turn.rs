//! The actions that change something: warm, change over, switch. Each may be done again without harm; the ways out of them are in
//! `way_out`.

use std::{collections::BTreeSet, time::Duration};

use super::{
    super::{Deployer, Failure, Prepared, acts::Manner, called_off, now_ms, of::Of, outcome, place, trigger},
    begun::{Begun, Telling},
    beside::{Second, falls_back},
    came::{Broke, Moved},
    checks::Checks,
    gating::{Gate, NEW_COLOUR},
    lead::Goal,
    look::{self, Looking},
    made::{Made, stands_in},
    must_end::must_end,
    revert::answer,
    way::{Adopts, How, Way, in_words},
    with::{Which, With},
};
use crate::{
    compose::model::Project,
    engine::{ApplyError, ContainerRef, ContainerStatus, Ended, Engine, EngineError},
    git,
    plan::{self, Action},
    report::Reporter,
    rollout::{Bake, Generation},
    store::{ColourRecord, ColourStanding, Place, dies},
    switch,
};

impl Deployer {
    /// Makes the next colour and asks it whether it is ready; what must not run twice is left for later.
    pub(in crate::deploy) async fn warm(
        &self,
        of: Of<'_>,
        way: &mut Way,
        generation: Generation,
        commit: &str,
    ) -> Result<(), Broke> {
        let engine = self.planner.engine_at_first(of.recorder, of.cancel).await?;
        if way.is_back() {
            return self.warm_back(of, way, &engine).await;
        }
        self.analysis_begins(&of.repo.name, way).await;
        self.images(of, way).await?;
        self.make_gateways(of, way).await?;
        let looked = self.look_again(of, way, &engine).await?;
        let stays = self.prepared(With::of(of), &looked, way.staying_anew(), Some(commit)).await?;
        way.made = looked.made.clone();
        let How::Made(making) = &mut way.how else { return Ok(()) };
        (making.looked, making.stays) = (looked, stays);
        self.note_next(of, way, generation, commit).await?;
        // Recorded before they are made: what is not recorded is removed.
        let How::Made(making) = &way.how else { return Ok(()) };
        let (wanted, reach) = (making.looked.made.snapshots.clone(), making.looked.colour.project.reach.looking());
        self.make_snapshots(of.repo, wanted, reach, of.recorder).await?;
        let wakes = self.in_place_wakes(way);
        self.lead_in(of, way, &engine, generation, wakes).await?;
        if way.adopts.as_ref().is_some_and(|adopts| !adopts.beside()) {
            return Ok(());
        }
        self.change_what_stays(of, way, &engine).await?;
        self.fronts_reach(of, way, &engine).await?;
        let How::Made(making) = &way.how else { return Ok(()) };
        let stages = switch::stage::stages(&making.looked.coloured, &making.looked.derived);
        stages.notes.iter().for_each(|note| of.recorder.info(note.to_string()));
        // What must not run twice is made while the others start and are asked: only its start has to be waited for when the old
        // one ends.
        let second = async {
            match stages.second {
                Some(second) => self.bring_up(of, way, second, Which::Created, commit).await.map(drop),
                None => Ok(()),
            }
        };
        let Some(first) = stages.first else { return second.await };
        let made = Begun::default();
        let mut routes = way.made.routes_of(false);
        let asked = async {
            let Some(first) = self.part(of, way, first, Which::Made, commit).await? else { return Ok(()) };
            let telling = Telling { reporter: of.recorder, plan: &first.plan, begun: &made };
            let started = self.carry_out_telling(of, &first, &Checks::of_colour(&way.made), &telling).await?;
            made.tell();
            self.ask(of, way, &engine, (&started, made.last_start()), &mut routes).await
        };
        let second = async {
            match made.told().await {
                true => second.await,
                false => Ok(()),
            }
        };
        // Neither is given up in the middle for the other's sake: what is made is recorded.
        let (asked, second) = tokio::join!(Box::pin(made.or_never(asked)), Box::pin(second));
        asked?;
        second?;
        learn(&mut way.made, routes);
        Ok(())
    }

    async fn warm_back(&self, of: Of<'_>, way: &mut Way, engine: &Engine) -> Result<(), Broke> {
        let wakes = way.made.wakes(false);
        let started = called_off::at_once(engine.wake(&way.project, &wakes), "starting", of.cancel).await??;
        let mut routes = way.made.routes_of(false);
        self.ask(of, way, engine, (&started, None), &mut routes).await?;
        learn(&mut way.made, routes);
        Ok(())
    }

    /// Builds and pulls, so that nothing has to be waited for later, and images can be asked what they say of themselves.
    async fn images(&self, of: Of<'_>, way: &Way) -> Result<(), Broke> {
        let How::Made(making) = &way.how else { return Ok(()) };
        let built = self.meanwhile.built(&of.repo.name);
        let colours = way.stands.all.iter().map(|one| one.project.clone());
        let projects: BTreeSet<String> = colours.chain([way.project.clone(), of.repo.project.clone()]).collect();
        for prepared in [&making.stays, &making.moves] {
            let named = match way.goes_back {
                true => self.name_kept(of, prepared, &projects, None).await?,
                false => self.name_built_meanwhile(of, prepared, &projects, &built).await?,
            };
            let is_image = |action: &Action| match action {
                Action::Build { image, .. } => !named.contains(image),
                action => matches!(action, Action::Pull { .. }),
            };
            let images = Prepared { plan: plan::only(&prepared.plan, is_image), ..prepared.clone() };
            if !images.plan.steps.is_empty() {
                self.carry_out(of, &images, &Checks::default()).await?;
            }
        }
        Ok(())
    }

    async fn look_again(&self, of: Of<'_>, way: &Way, engine: &Engine) -> Result<look::Looked, Broke> {
        let How::Made(making) = &way.how else { return Err(Failure::new("nothing is made").into()) };
        let view = making.looked.colour.view.clone();
        let looking = Looking { planner: &self.planner, store: &self.store, repo: of.repo, view, engine };
        let mut looked = Box::pin(look::look(&looking, &way.colour, &way.staying)).await?;
        if let Some(before) = way.before() {
            looked.bring_over(engine, before).await?;
        }
        for (name, fate) in &looked.derived.services {
            let before = making.looked.derived.services.get(name).map(|before| before.class);
            if before.is_some_and(|before| before != fate.class) {
                of.recorder.info(format!("{name} is {}, now that its image is here: {}", fate.class, fate.reason));
            }
        }
        Ok(looked)
    }

    /// Keeps what there will be of the next colour before anything of it comes into being.
    async fn note_next(&self, of: Of<'_>, way: &Way, generation: Generation, commit: &str) -> Result<(), Broke> {
        let Of { job, repo, .. } = of;
        let record = ColourRecord {
            repo: repo.name.clone(),
            colour: way.colour.clone(),
            project: way.project.clone(),
            standing: ColourStanding::Next,
            generation,
            deployment: Some(job.id),
            commit: Some(commit.to_owned()),
            since: now_ms(),
            made: way.made.to_text(),
        };
        self.store.begin_colour(record, &way.staying).await?;
        for project in [&repo.project, &way.project] {
            let place = Place {
                repo: repo.name.clone(),
                project: project.clone(),
                path: Some(repo.path.display().to_string()),
                remote: git::remote_address(&repo.real_path, repo.remote.as_deref()),
            };
            self.store.note_place(place).await?;
        }
        Ok(())
    }

    /// What must not run twice ends in the live colour and starts in the next one; at the first switch of a stack that runs in
    /// place, all of it.
    pub(in crate::deploy) async fn change_over(
        &self,
        of: Of<'_>,
        way: &mut Way,
        generation: Generation,
        commit: &str,
    ) -> Result<(), Broke> {
        let engine = self.planner.engine_at_first(of.recorder, of.cancel).await?;
        if matches!(way.how, How::Ready) {
            // It was ready when it began to wait.
            answer(&way.made.routes_of(false), &way.project).await?;
        }
        let alone = way.adopts.as_ref().is_none_or(Adopts::beside);
        let mut releases = Vec::new();
        if let Some(adopts) = way.adopts.clone().filter(|_| !alone) {
            // What nobody asks takes its time to end before anybody waits.
            let first = way.made.asked_by_nobody();
            if !first.is_empty() {
                releases.push(engine.end(&adopts.project, &first).await?);
            }
            self.before_it_ends(of, way, generation, true).await?;
            of.recorder.info(format!("{} ends: its volumes and ports go over to the colours", adopts.project));
            releases.extend(self.end_in_place(of, way, &adopts, &engine).await?);
            self.change_what_stays(of, way, &engine).await?;
            self.fronts_reach(of, way, &engine).await?;
        } else if way.adopts.is_some() {
            self.before_it_ends(of, way, generation, way.holds()).await?;
        }
        let ends = if alone { way.ends() } else { Vec::new() };
        let starts = way.made.alone();
        if ends.is_empty() && starts.is_empty() && alone {
            return Ok(());
        }
        let (first, ends) = way.in_two(ends);
        // Planned while the old ones end: it is another project, which has not changed since its containers were made.
        let second = match &way.how {
            How::Made(making) if alone => switch::stage::stages(&making.looked.coloured, &making.looked.derived).second,
            _ => None,
        };
        let planning = async {
            match second {
                Some(second) => self.part(of, way, second, Which::Settled, commit).await,
                None => Ok(None),
            }
        };
        let ending = self.end_before(of, way, &engine, &first, &mut releases);
        let (ended, planned) = tokio::join!(ending, Box::pin(planning));
        ended?;
        let (planned, begun) = (planned?, Begun::default());
        if way.holds() && !way.held {
            let verb = if starts.len() == 1 { "changes" } else { "change" };
            self.hold(of, way, &format!("{} {verb} over", starts.join(", "))).await?;
        }
        self.end_before(of, way, &engine, &ends, &mut releases).await?;
        if !(first.is_empty() && ends.is_empty()) {
            dies::here("after", "ending what must not run twice");
        }
        let mut routes = if alone { way.made.routes_of(true) } else { way.made.routes.clone() };
        let started = match &way.how {
            How::Made(making) if !alone => {
                let whole = making.looked.coloured.project.clone();
                self.bring_up(of, way, whole, Which::Made, commit).await?
            }
            How::Made(_) => match planned {
                Some(prepared) => {
                    let telling = Telling { reporter: of.recorder, plan: &prepared.plan, begun: &begun };
                    self.carry_out_telling(of, &prepared, &Checks::of_colour(&way.made), &telling).await?
                }
                None => Vec::new(),
            },
            How::Back | How::Ready => engine.wake(&way.project, &way.made.wakes(true)).await?,
        };
        self.ask(of, way, &engine, (&started, begun.last_start()), &mut routes).await?;
        learn(&mut way.made, routes);
        // Long over, as a rule: the engine took down their networks while the others started.
        for ended in releases {
            if let Err(error) = ended.released().await {
                of.recorder.warn(format!("what ended was not released whole: {error}"));
            }
        }
        Ok(())
    }

    /// Ends of what runs in place all that must not run beside the next colour. Answers what the engine releases still.
    async fn end_in_place(
        &self,
        of: Of<'_>,
        way: &Way,
        adopts: &Adopts,
        engine: &Engine,
    ) -> Result<Option<Ended>, Failure> {
        // Else its ports come free only with it, and connections are refused until then.
        let mut ends = Vec::new();
        if adopts.led.as_ref().is_some_and(|led| led.by_kernel) {
            let runs = engine.containers(&adopts.project, true).await?;
            ends = must_end(&way.made, &runs);
            if ends.is_empty() {
                // An earlier round has ended it.
                return Ok(None);
            }
            let goes_on =
                |one: &&ContainerStatus| one.state == "running" && !one.oneoff && !ends.contains(&one.service);
            let names: BTreeSet<&str> = runs.iter().filter(goes_on).map(|one| one.service.as_str()).collect();
            if !names.is_empty() {
                let names = names.into_iter().collect::<Vec<_>>().join(", ");
                of.recorder.info(format!("of {} ends once requests have gone over: {names}", adopts.project));
            }
        }
        let ended = engine.end(&adopts.project, &ends).await?;
        if adopts.led.as_ref().is_none_or(|led| led.made.returns.is_empty()) {
            return Ok(Some(ended));
        }
        // Its ports are the engine's again right away, for other containers.
        ended.released().await?;
        Ok(None)
    }

    /// Ends services of what the next colour takes the place of.
    async fn end_before(
        &self,
        of: Of<'_>,
        way: &Way,
        engine: &Engine,
        services: &[String],
        releases: &mut Vec<Ended>,
    ) -> Result<(), Failure> {
        let Some(from) = way.before().filter(|_| !services.is_empty()) else { return Ok(()) };
        let those = engine.end(from, services).await?;
        let said = |one: &ContainerRef| of.recorder.info(format!("{} has ended: it must not run twice", one.name));
        those.containers.iter().for_each(said);
        releases.push(those);
        Ok(())
    }

    /// The gate, for what was started; and when, where that is known.
    async fn ask(
        &self,
        of: Of<'_>,
        way: &Way,
        engine: &Engine,
        (started, since): (&[ContainerRef], Option<tokio::time::Instant>),
        routes: &mut [super::made::MadeRoute],
    ) -> Result<(), Broke> {
        let project = match &way.how {
            How::Made(making) => making.looked.coloured.project.clone(),
            How::Back | How::Ready => Project { name: way.project.clone(), ..Project::default() },
        };
        // One that has been stopped for this one cannot be asked any more.
        let live = way.live.as_ref().map(|(_, live)| live.routes_of(false)).unwrap_or_default();
        let gate = Gate {
            whose: NEW_COLOUR,
            engine,
            project: &project,
            started,
            since,
            routes,
            live: &live,
            checks: &Checks::of_colour(&way.made),
            health: of.timeouts.apply,
            bake: if way.live.is_some() {
                Duration::from_millis(way.made.bake.try_into().unwrap_or_default())
            } else {
                Duration::ZERO
            },
            recorder: of.recorder,
            cancel: of.cancel,
        };
        Ok(gate.pass().await?)
    }

    /// Plans a part of the colour and carries it out. Answers what was started.
    async fn bring_up(
        &self,
        of: Of<'_>,
        way: &Way,
        project: Project,
        which: Which,
        commit: &str,
    ) -> Result<Vec<ContainerRef>, Broke> {
        match self.part(of, way, project, which, commit).await? {
            Some(prepared) => self.carry_out(of, &prepared, &Checks::of_colour(&way.made)).await,
            None => Ok(Vec::new()),
        }
    }

    /// Plans a part of the colour; nothing where it is not made from the files.
    async fn part(
        &self,
        of: Of<'_>,
        way: &Way,
        project: Project,
        which: Which,
        commit: &str,
    ) -> Result<Option<Prepared>, Broke> {
        let How::Made(making) = &way.how else { return Ok(None) };
        let mut looked = making.looked.clone();
        looked.colour.project = project;
        Ok(Some(self.prepared(With::of(of), &looked, which, Some(commit)).await?))
    }

    /// Carries a plan out. Answers what was started.
    pub(super) async fn carry_out(
        &self,
        of: Of<'_>,
        prepared: &Prepared,
        checks: &Checks,
    ) -> Result<Vec<ContainerRef>, Broke> {
        self.carry_out_telling(of, prepared, checks, of.recorder).await
    }

    /// As [`Deployer::carry_out`]. `reporter`: who is told of its steps.
    async fn carry_out_telling(
        &self,
        of: Of<'_>,
        prepared: &Prepared,
        checks: &Checks,
        reporter: &dyn Reporter,
    ) -> Result<Vec<ContainerRef>, Broke> {
        let Of { repo, timeouts, recorder, cancel, .. } = of;
        self.tidy.disturb(&prepared.loaded.project.name);
        let manner = Manner { checks: Some(checks), ..Manner::default() };
        let applied = Box::pin(self.apply(prepared, repo, timeouts, manner, reporter, cancel)).await;
        self.note_reads(prepared, &applied).await;
        if prepared.decision.trigger_file_to_remove && trigger::builds_succeeded(&prepared.plan, &applied) {
            trigger::remove_trigger(repo, recorder).await;
        }
        match applied {
            Ok(report) => Ok(report.started),
            Err(error) => {
                let failure = outcome::apply_failed(&prepared.plan, &error);
                Err(match error {
                    ApplyError::Step { error: EngineError::Stale(reason), .. } => Broke::Stale(reason, failure),
                    _ => Broke::Failed(failure),
                })
            }
        }
    }

    /// Has the routes lead to the next colour.
    pub(in crate::deploy) async fn switch_over(
        &self,
        of: Of<'_>,
        way: &mut Way,
        generation: Generation,
    ) -> Result<Moved, Failure> {
        let Of { repo, recorder, .. } = of;
        place::answers(repo).await?;
        self.counts_on(&repo.name, way, generation).await?;
        let age = way.age(generation);
        let made = way.stands.of(&way.colour).map_or(generation, |one| one.generation);
        // A colour that is brought back has containers of an earlier deployment.
        let made = u64::try_from(if way.is_back() { made } else { generation }).unwrap_or_default();
        let mut wanted = way.steer.goal(&way.made, age, &way.colour, made)?;
        self.analysis_moves(of, way, made).await;
        let led = way.adopts.as_ref().and_then(|adopts| adopts.led.as_ref());
        if let (Goal::Own(wanted), Some(led)) = (&mut wanted, led) {
            if !led.made.returns.is_empty() {
                let engine = self.planner.engine().await?;
                self.led_again(&engine, &repo.project, &led.made).await?.join(wanted, &way.colour, made);
            }
            stands_in(wanted, &led.made, false);
        }
        if let (Goal::Own(wanted), Some((live, before))) = (&mut wanted, &way.live) {
            let generation = u64::try_from(live.generation).unwrap_or_default();
            falls_back(wanted, &way.made.reach.fallback, &Second { name: &live.colour, generation, made: before });
        }
        let began = tokio::time::Instant::now();
        let applied = self.lead_there(of, &way.steer, &wanted).await;
        if let Err(error) = applied {
            return match error.unknown() {
                true => Ok(Moved::Unknown(Failure::from(error).hint(format!(
                    "both colours run on; the next deployment asks the proxy who is live (turnout status {})",
                    repo.name
                )))),
                false => Err(Failure::from(error).hint("what was live before stays live")),
            };
        }
        let took = began.elapsed();
        self.let_through(of, way).await;
        let bake = way.live.is_some().then(|| Bake { generation, until: now_ms().saturating_add(way.made.bake) });
        self.keep_switched(of, way, age, bake).await;
        self.sweep_snapshots(repo, recorder).await;
        let told = took.as_secs_f64() * 1_000.0;
        recorder.info(match way.made.routes.is_empty() {
            true => format!("{} is live; it has no route, and no request goes anywhere else", way.project),
            false => format!("{} is live: requests go there since {told:.1} ms after the proxy was asked", way.project),
        });
        if let (Some(bake), Some((before, _))) = (bake, &way.live) {
            let left = (bake.until.saturating_sub(now_ms())).max(0) / 1_000;
            let kept = way.made.reach.keep.map(|keep| format!(", for {}", in_words(keep))).unwrap_or_default();
            recorder.info(format!(
                "{} runs on for {left} s, and is kept after that, stopped{kept}: turnout rollback {} goes back to it, at once as long as \
                 it runs",
                before.project, repo.name
            ));
        }
        self.hand_over(of, way).await;
        Ok(Moved::Switched { bake })
    }

    /// Records the switch. A store that cannot take it now learns of it from the routes.
    async fn keep_switched(&self, of: Of<'_>, way: &Way, age: (u64, u64), bake: Option<Bake>) {
        let Of { repo, recorder, .. } = of;
        let number = |number: u64| Generation::try_from(number).unwrap_or(Generation::MAX);
        let left = self.left_behind(repo, of.job, way.live.as_ref().map(|(live, _)| live)).await;
        let made = self.store.note_made(&repo.name, &way.colour, &way.made.to_text()).await;
        let kept = match made {
            Ok(()) => self.store.switched(&repo.name, &way.colour, (number(age.0), number(age.1)), bake, left).await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            recorder.warn(format!("that requests go to {} could not be recorded: {error}", way.project));
            self.needs_mending(&repo.name, "who is live could not be recorded");
        }
    }

    /// Everything that ran in place, with the restart policies that its files give it.
    fn in_place_wakes(&self, way: &Way) -> Vec<crate::engine::Wake> {
        let How::Made(making) = &way.how else { return Vec::new() };
        let (moving, staying) = (&making.looked.colour.project, &making.looked.staying.project);
        let order = plan::dependency_order(staying).into_iter().chain(plan::dependency_order(moving));
        let is_job = |name: &String| way.made.services.iter().any(|one| one.name == *name && one.job);
        let wake = |name: String| {
            let service = staying.services.get(&name).or_else(|| moving.services.get(&name))?;
            Some(crate::engine::Wake { restart: service.restart.clone(), service: name })
        };
        order.filter(|name| !is_job(name)).filter_map(wake).collect()
    }

    pub(super) async fn hold(&self, of: Of<'_>, way: &mut Way, meanwhile: &str) -> Result<(), Broke> {
        if !way.steer.can_hold() {
            of.recorder.warn(format!("{} cannot hold requests: those for it fail while {meanwhile}", way.steer.name()));
            return Ok(());
        }
        of.recorder.info(format!("requests are held while {meanwhile}"));
        way.held = true;
        way.steer.hold(&of.repo.name).await.map_err(|error| Failure::from(error).into())
    }

    /// Lets requests through, if this deployment holds them.
    pub(in crate::deploy) async fn let_through(&self, of: Of<'_>, way: &mut Way) {
        if !std::mem::take(&mut way.held) {
            return;
        }
        if let Err(error) = way.steer.resume(&of.repo.name).await {
            of.recorder.warn(format!("requests could not be let through: {error}; that is tried again"));
            self.needs_mending(&of.repo.name, "requests could not be let through");
        }
    }
}

/// What the gate learned of routes.
fn learn(made: &mut Made, learned: Vec<super::made::MadeRoute>) {
    for route in learned {
        let key = |one: &super::made::MadeRoute| (one.service.clone(), one.port, one.listen.clone());
        let same = |one: &&mut super::made::MadeRoute| key(one) == key(&route);
        if let Some(known) = made.routes.iter_mut().find(same) {
            known.http = route.http;
            known.speaks = route.speaks;
        }
    }
}
