//! Which colour is next, and whether there is anything to do at all. Reads, changes nothing but what the live colour lacks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::{
    super::{Deployer, Failure, Prepared, View, Wanted, of::Of, planner::Dressed, stack::Stack, wanted},
    came::Planned,
    later::Later,
    lead::Lead,
    look::{self, Looked, Looking},
    made::{Made, MadeSnapshot},
    memory, missing,
    reroute::counts_later,
    snapshots,
    stands::Stands,
    third::third,
    tried,
    way::{self, Adopts, How, Making, Way},
    with::{Which, With},
};
use crate::{
    compose::model::Project,
    config::Repo,
    engine::Engine,
    git,
    report::Reporter,
    store::{ColourRecord, ColourStanding},
    switch::said::By,
};

impl Deployer {
    /// Looks at the files and at what runs, and decides.
    ///
    /// # Errors
    /// When something cannot be read, is refused, or was taken back before.
    pub(in crate::deploy) async fn plan_colours(&self, of: Of<'_>, commit: &str) -> Result<Planned, Failure> {
        let Of { job, repo, recorder, .. } = of;
        let steer = self.lead(repo).await?;
        let engine = self.planner.engine_at_first(recorder, of.cancel).await?;
        let act = self.acting.begin(&repo.name, "planning").await;
        let stands = self.stands(&repo.name, &steer, recorder).await?;
        let rollout = self.store.rollout(&repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
        if job.past && stands.live().is_some_and(|live| live.commit == job.wanted_commit) {
            // An earlier attempt got that far, and may not have lived to record this.
            self.note_left_behind(of, &stands).await?;
        }
        if let Some(bake) = rollout.bake {
            return Ok(Planned::Baking(bake));
        }
        self.mend(repo, &steer, &stands, &engine, recorder).await?;
        let stands = match stands.leaving() {
            // `switch` was out for a while, and is there again.
            Some(_) => self.stands(&repo.name, &steer, recorder).await?,
            None => stands,
        };
        drop(act);
        if job.back && commit.is_empty() {
            let is_live = stands.live().is_some_and(|live| live.commit == job.wanted_commit);
            if job.attempt > 1 && is_live {
                return Err(Failure::new("it is live again already: an earlier attempt got that far".to_owned()));
            }
            let way = self.plan_back(of, steer, stands)?;
            if let Some(back) = way.stands.of(&way.colour) {
                missing::refuse(back, &way.made, &engine.containers(&way.project, true).await?, false)?;
            }
            way.steer.check(&way.made, &way.colour, false).await?;
            return Ok(Planned::Way(Box::new(way)));
        }
        self.refuse_reverted(of, &stands, commit).await?;

        let view = View::of(repo);
        let named = self.planner.read(repo, recorder).await?;
        let staying = stands.switch.as_ref().map_or_else(|| named.stack.color.clone(), |switch| switch.staying.clone());
        let looking = Looking { planner: &self.planner, store: &self.store, repo, view, engine: &engine };
        let mut seen = None;
        if let Some(live) = stands.live().filter(|_| !job.force_rebuild) {
            let looked = Box::pin(look::look(&looking, &live.colour, &staying)).await?;
            let later = Later::new(recorder);
            let with = With { reporter: &later, ..With::of(of) };
            let stays = self.prepared(with, &looked, Which::Staying, Some(commit)).await?;
            let moves = self.prepared(with, &looked, Which::Colour, Some(commit)).await?;
            let asks = looked.derived.by == By::Color && named.stack.color != live.colour;
            if stays.plan.steps.is_empty() && moves.plan.steps.is_empty() && !asks {
                let rerouted = self.rerouted(repo, &stands, &looked).await?;
                if rerouted.as_ref().is_none_or(|rerouted| rerouted.needs_colour.is_none()) {
                    later.tell();
                }
                match rerouted.as_ref().map(|rerouted| &rerouted.needs_colour) {
                    None => recorder.info(format!("{} is live and as it should be", live.project)),
                    Some(None) => recorder.info(format!(
                        "{} is live, and its containers are as they should be: its routes are set anew, and no new colour is made",
                        live.project
                    )),
                    Some(Some(why)) => recorder.info(format!("the routes of {} change: {why}", live.project)),
                }
                if rerouted.as_ref().is_none_or(|rerouted| rerouted.needs_colour.is_none()) {
                    if job.past {
                        // What it runs is what that commit makes, too.
                        self.note_left_behind(of, &stands).await?;
                    }
                    counts_later(&stands, &looked)?.into_iter().for_each(|line| recorder.info(line));
                    let Some(rerouted) = rerouted else { return Ok(Planned::Nothing(Box::new(moves))) };
                    rerouted.lines.iter().for_each(|line| recorder.info(line.clone()));
                    self.refuse_untaken(repo, &looked, &BTreeSet::new(), recorder).await?;
                    return Ok(Planned::Rerouted(Box::new(moves), Box::new(rerouted)));
                }
            }
            if looked.derived.by == By::Color && !asks {
                return Err(names_the_live_one(repo, &live.colour, &looked));
            }
            seen = Some(looked).filter(|_| live.colour == named.stack.color);
        }
        let first = match seen {
            Some(looked) => looked,
            None => Box::pin(look::look(&looking, &named.stack.color, &staying)).await?,
        };
        if let Some(said) = third(&repo.name, &stands.all, &first.derived.colours, &repo.env_file) {
            recorder.warn(said);
        }
        self.refuse_moved(repo, &engine, &stands, &first).await?;
        let adopts = self.in_place(&engine, &stands, &named.stack, &first).await?;
        let mut colour = next_colour(&first, &stands, &named.stack.color);
        if let Some(adopts) = &adopts {
            // Its containers stay as they are, to go back to.
            colour.clone_from(&first.derived.colours.partner);
            recorder.info(self.says_adoption(adopts, &colour).await);
        }
        let mut looked = match colour == named.stack.color {
            true => first,
            false => Box::pin(look::look(&looking, &colour, &staying)).await?,
        };
        let before = adopts.as_ref().map(|adopts| &adopts.project).or(stands.live().map(|live| &live.project));
        if let Some(before) = before {
            looked.bring_over(&engine, before).await?;
        }
        let own = listened_in_place(&engine, adopts.as_ref()).await?;
        self.refuse_untaken(repo, &looked, &own, recorder).await?;
        self.refuse_written(&stands, &looked.made).await?;
        let anew = way::staying_anew(adopts.as_ref());
        // What the engine tells of memory takes it longer than all else that it is asked here.
        let room = async {
            match stands.live() {
                Some(live) => memory::require(&engine, repo, live, &looked.made).await,
                None => Ok(()),
            }
        };
        let (room, stays) = tokio::join!(room, self.prepared(With::of(of), &looked, anew, Some(commit)));
        room?;
        recorder.info(match stands.live() {
            Some(live) => format!("{} is live; the next colour is {colour}", live.project),
            None => format!("nothing is live yet; the first colour is {colour}"),
        });
        let listeners = self.listeners_change(repo, &stands, (&engine, adopts.as_ref()), &looked).await?;
        listeners.into_iter().for_each(|line| recorder.info(format!("with the switch {line}")));
        let stays = stays?;
        let moves = self.prepared(With::of(of), &looked, Which::Fresh, Some(commit)).await?;
        for prepared in [&stays, &moves] {
            super::super::room::require(prepared, repo, &self.planner.settings.state_dir).await?;
        }
        let (project, made) = (looked.colour.project.name.clone(), looked.made.clone());
        let live = stands.live_made().map_err(Failure::new)?;
        let goes_back = job.back;
        let how = How::Made(Box::new(Making { looked, stays, moves }));
        let way = Way {
            steer,
            stands,
            live,
            colour,
            project,
            made,
            staying,
            how,
            adopts,
            revision: 0,
            held: false,
            goes_back,
            down: None,
        };
        way.steer.check(&way.made, &way.colour, way.steps() > 0).await?;
        Ok(Planned::Way(Box::new(way)))
    }

    /// The project that runs in place, from the time before the switch; `None` where there is none.
    pub(super) async fn in_place(
        &self,
        engine: &Engine,
        stands: &Stands,
        named: &Stack,
        looked: &Looked,
    ) -> Result<Option<Adopts>, Failure> {
        let known = stands.of(&named.color).is_some_and(|one| one.standing != ColourStanding::InPlace);
        if stands.live().is_some() || known {
            return Ok(None);
        }
        // Also where it was stopped.
        self.adopts(engine, &named.project, &named.color, looked).await
    }

    /// The way back to the colour that was live before.
    fn plan_back(&self, of: Of<'_>, steer: Lead, stands: Stands) -> Result<Way, Failure> {
        let Of { job, repo, recorder, .. } = of;
        let earlier = stands.at(ColourStanding::Previous).or_else(|| stands.at(ColourStanding::Kept));
        let meant = |earlier: &&ColourRecord| job.wanted_commit.is_none() || earlier.commit == job.wanted_commit;
        let earlier = earlier.filter(meant);
        let Some(earlier) = earlier.cloned() else {
            return Err(Failure::new(format!(
                "{} has no colour to go back to: that one is not kept any more",
                repo.name
            ))
            .hint(format!("deploy an earlier commit: turnout deploy {} --commit COMMIT", repo.name)));
        };
        let made = Made::read(&earlier.made).map_err(Failure::new)?;
        snapshots::refuse_gone(&earlier.project, &made)?;
        let live = stands.live_made().map_err(Failure::new)?;
        let commit = earlier.commit.as_deref().map_or("an unknown commit", git::short);
        recorder.info(format!("back to {} ({commit}), without git and without a build", earlier.project));
        let ColourRecord { colour, project, .. } = earlier;
        let staying = stands.switch.clone().unwrap_or_default().staying;
        Ok(Way {
            steer,
            stands,
            live,
            colour,
            project,
            made,
            staying,
            how: How::Back,
            adopts: None,
            revision: 0,
            held: false,
            goes_back: true,
            down: None,
        })
    }

    /// Keeps what is taken back by the deployment that goes back.
    async fn note_left_behind(&self, of: Of<'_>, stands: &Stands) -> Result<(), Failure> {
        match self.left_behind(of.repo, of.job, stands.live()).await {
            Some(left) => self.store.note_reverted(&of.repo.name, left).await.map_err(Failure::from),
            None => Ok(()),
        }
    }

    /// A commit that was taken back is not tried again unless somebody asks for it.
    pub(super) async fn refuse_reverted(&self, of: Of<'_>, stands: &Stands, commit: &str) -> Result<(), Failure> {
        let Of { job, repo, .. } = of;
        match job.pinned || job.force_rebuild {
            true => Ok(()),
            false => self.refuse_taken_back(repo, stands, commit).await,
        }
    }

    /// See [`Deployer::refuse_reverted`], where nobody asked for it by name.
    pub(super) async fn refuse_taken_back(&self, repo: &Repo, stands: &Stands, commit: &str) -> Result<(), Failure> {
        if stands.live().is_some_and(|live| live.commit.as_deref() == Some(commit)) {
            return Ok(());
        }
        let why = self.store.why_reverted(&repo.name, commit).await.map_err(|error| Failure::new(error.to_string()))?;
        let Some((why, at)) = why else { return Ok(()) };
        let ago = super::super::now_ms().saturating_sub(at) / 1_000;
        let what = git::short(commit);
        Err(Failure::new(format!("{what} was taken back {ago} s ago: {why}; it is not tried again by itself"))
            .hint(wanted::all_the_same(&repo.name, commit)))
    }

    /// What turnout-proxy could not listen on or show is refused before anything is built. `own`: see [`tried`].
    async fn refuse_untaken(
        &self,
        repo: &Repo,
        looked: &Looked,
        own: &BTreeSet<SocketAddr>,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        match tried::tried(&self.planner.settings, &looked.derived, own).await {
            Ok(lines) => tried::refusal(&repo.name, &lines).map_or(Ok(()), Err),
            Err(untried) => {
                reporter.warn(untried.text());
                Ok(())
            }
        }
    }

    /// Plans one of the two projects of a look.
    pub(super) async fn prepared(
        &self,
        with: With<'_>,
        looked: &Looked,
        which: Which,
        commit: Option<&str>,
    ) -> Result<Prepared, Failure> {
        let With { repo, reporter, cancel, rebuild, digests, at_once } = with;
        let (loaded, dressed) = match which {
            Which::Staying | Which::Adopted => {
                (&looked.staying, Dressed { all_resources: true, anew: which.anew(), ..Dressed::default() })
            }
            Which::Colour | Which::Fresh | Which::Made | Which::Created | Which::Settled => {
                let (networks_to_come, volumes_to_come) = to_come(&looked.staying.project, &looked.colour.project);
                let dressed = Dressed {
                    anew: which.anew(),
                    no_start: which == Which::Created,
                    images_are_there: matches!(which, Which::Made | Which::Created | Which::Settled),
                    only: if which == Which::Created { looked.made.alone() } else { Vec::new() },
                    networks_to_come,
                    volumes_to_come,
                    all_resources: false,
                    copies: looked.made.snapshots.iter().map(MadeSnapshot::pair).collect(),
                };
                (&looked.colour, dressed)
            }
        };
        let wanted = self.wanted(repo, loaded, commit.map(str::to_owned), rebuild).await?;
        let digests = digests.cloned();
        let wanted = Wanted { dressed: Some(dressed), digests, at_once, ..wanted };
        // A whole deployment would not fit on a stack with several of these in it.
        Box::pin(self.planner.prepare(repo, loaded.clone(), wanted, reporter, cancel)).await
    }
}

/// With `by: color` something changed, and nobody said that the colour is to.
pub(super) fn names_the_live_one(repo: &Repo, live: &str, looked: &Looked) -> Failure {
    Failure::new(format!("{} changed, and COLOR in {} still names {live}, which is live", repo.name, repo.env_file))
        .hint(format!(
            "with `by: color` a deployment goes where COLOR says: write COLOR={} and deploy",
            looked.derived.colours.partner
        ))
}

/// Listeners of what runs in place: they go over to turnout-proxy.
pub(super) async fn listened_in_place(
    engine: &Engine,
    adopts: Option<&Adopts>,
) -> Result<BTreeSet<SocketAddr>, Failure> {
    let Some(adopts) = adopts else { return Ok(BTreeSet::new()) };
    Ok(engine.published(&adopts.project).await?.into_iter().map(|one| one.on).collect())
}

/// The colour that does not get the requests.
pub(super) fn next_colour(looked: &Looked, stands: &Stands, named: &str) -> String {
    let colours = &looked.derived.colours;
    match stands.live() {
        _ if looked.derived.by == By::Color => named.to_owned(),
        Some(live) if live.colour == colours.named => colours.partner.clone(),
        _ => colours.named.clone(),
    }
}

/// What of the colour's external networks and volumes the project of what stays makes.
fn to_come(staying: &Project, colour: &Project) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let networks = staying.networks.values().flatten().filter(|network| !network.external).map(|network| &network.name);
    let volumes = staying.volumes.values().flatten().filter(|volume| !volume.external).map(|volume| &volume.name);
    let (networks, volumes): (Vec<_>, Vec<_>) = (networks.collect(), volumes.collect());
    let of_networks = colour.networks.iter().filter_map(|(key, network)| {
        let network = network.as_ref().filter(|network| network.external && networks.contains(&&network.name))?;
        Some((key.clone(), network.name.clone()))
    });
    let of_volumes = colour.volumes.iter().filter_map(|(key, volume)| {
        let volume = volume.as_ref().filter(|volume| volume.external && volumes.contains(&&volume.name))?;
        Some((key.clone(), volume.name.clone()))
    });
    (of_networks.collect(), of_volumes.collect())
}
