//! A repository that was deployed blue/green, and whose `switch` was taken out of repos.yaml, is deployed in place again: what
//! that takes, and whether it can be done. Reads, changes nothing but what a broken-off deployment left.

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use super::{
    super::{Asked, Deployer, Failure, Prepared, TreeProject, Wanted, of::Of, planner::Dressed, preview::Seen, room},
    lead::Lead,
    left_behind,
    made::Made,
    preview::with_refusals,
    stands::Stands,
    unswitched::{self, Reached, Told, Unswitched},
};
use crate::{
    compose::model::Brought,
    config::Repo,
    engine::{Engine, Remembered},
    plan::{self, Plan},
    report::{Reporter, Silent},
    rollout::Bake,
    steer::Steer,
    store::ColourRecord,
};

/// What planning in place comes to.
pub enum Unplanned {
    /// It was never switched, or is in place again: a deployment as any other.
    InPlace,
    /// Both colours run still.
    Baking(Bake),
    /// It comes back in place.
    Way(Box<Unswitch>),
}

/// The way back in place: what its actions know of each other. It is in no state but for its row.
pub struct Unswitch {
    /// turnout-proxy, where it leads requests to a live colour.
    pub steer: Option<Steer>,
    /// Who is live, and what it was made as.
    pub live: Option<(ColourRecord, Made)>,
    /// The project that is in place then, `redshop`.
    pub project: String,
    /// What is kept of the way.
    pub kept: Unswitched,
    /// What is done in place, as planned first.
    pub prepared: Prepared,
    /// It starts beside the live colour.
    pub beside: bool,
    /// The kernel leads new connections to the ports that stand in.
    pub by_kernel: bool,
    /// Requests are held.
    pub held: bool,
    /// Containers of the live colour that those in place replace, as they were.
    pub before: Vec<Remembered>,
    /// The plan in words.
    pub text: String,
}

impl Unswitch {
    /// The live colour's project.
    pub fn ends(&self) -> Option<&str> {
        self.live.as_ref().map(|(live, _)| live.project.as_str())
    }

    /// Whether the live colour can be had again as it was, once something of it was stopped.
    pub fn comes_again(&self) -> bool {
        unswitched::comes_again(self.live.as_ref().map(|(live, _)| live), &self.project) || !self.before.is_empty()
    }
}

/// What was found of a stack that comes back.
struct Found {
    live: Option<(ColourRecord, Made)>,
    stays: Vec<String>,
    beside: bool,
    /// Volumes without a name that go along.
    brought: Vec<(String, Brought)>,
    lines: Vec<String>,
}

impl Deployer {
    /// Looks at what there is of colours, and at the project in place.
    ///
    /// # Errors
    /// When something cannot be read, or the way back is refused; nothing was changed then.
    pub(in crate::deploy) async fn plan_unswitch(&self, of: Of<'_>, commit: &str) -> Result<Unplanned, Failure> {
        let Of { job, repo, recorder, cancel, .. } = of;
        if self.recorded(&repo.name).await?.all.is_empty() {
            return Ok(Unplanned::InPlace);
        }
        if job.back {
            return Err(Failure::new(format!(
                "there is no way back to a colour: `switch` of {} was taken out of repos.yaml",
                repo.name
            ))
            .hint("nothing was changed; put `switch` back, or deploy in place: turnout deploy"));
        }
        let engine = self.planner.engine_at_first(recorder, cancel).await?;
        let (stands, bake) = self.unswitched_stands(repo, &engine, recorder).await?;
        if let Some(bake) = bake {
            return Ok(Unplanned::Baking(bake));
        }
        if stands.all.is_empty() {
            return Ok(Unplanned::InPlace);
        }
        let resumed = match stands.leaving() {
            Some(row) => Some(Unswitched::read(&row.made).map_err(Failure::new)?),
            None => {
                // A way back in place is no reason to try again what was taken back.
                self.refuse_reverted(of, &stands, commit).await?;
                None
            }
        };
        let mut loaded = self.planner.read(repo, recorder).await?;
        let found = self.unswitch_found(repo, &engine, &stands, &loaded, resumed.as_ref()).await?;
        found.brought.iter().for_each(|(service, volume)| left_behind::bring(&mut loaded.project, service, volume));
        found.lines.iter().for_each(|line| recorder.info(line.clone()));
        let services = plan::dependency_order(&loaded.project);
        let stays = unswitched::services(&services, &loaded.project, |name| found.stays.iter().any(|one| one == name));
        let project = loaded.stack.project.clone();
        let wanted = self.wanted(repo, &loaded, Some(commit.to_owned()), job.force_rebuild).await?;
        let wanted = Wanted { dressed: Some(fresh(false)), ..wanted };
        let prepared = self.planner.prepare(repo, loaded, wanted, recorder, cancel).await?;
        room::require(&prepared, repo, &self.planner.settings.state_dir).await?;
        let steer = match &found.live {
            Some((_, made)) if !made.routes.is_empty() => self.lead(repo).await?.own().cloned(),
            _ => None,
        };
        let kept = resumed.unwrap_or(Unswitched { stays, ..Unswitched::default() });
        let text = format!("{}\n{}", found.lines.join("\n"), prepared.text);
        let Found { live, beside, .. } = found;
        Ok(Unplanned::Way(Box::new(Unswitch {
            steer,
            live,
            project,
            beside: beside && !kept.ended,
            kept,
            prepared,
            by_kernel: false,
            held: false,
            before: Vec::new(),
            text,
        })))
    }

    /// How the colours stand, after what a broken-off deployment left was mended; and a bake, where there is one.
    async fn unswitched_stands(
        &self,
        repo: &Repo,
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(Stands, Option<Bake>), Failure> {
        let _act = self.acting.begin(&repo.name, "planning").await;
        let stands = self.recorded(&repo.name).await?;
        if let Some(row) = stands.leaving() {
            if self.unswitch_reached(repo, &stands, row).await? == Reached::Moved {
                reporter.info(format!("{} answers in place already: the rest is cleared away", row.project));
                self.finish_unswitch(repo, &stands, engine, reporter).await?;
            } else {
                reporter.warn("the way back in place was broken off: it goes on".to_owned());
            }
            return Ok((self.recorded(&repo.name).await?, None));
        }
        refuse_other_lead(repo, &stands)?;
        // Where nothing is live no request is anybody's, and no proxy is needed.
        let needs_proxy = stands.live().is_some() || stands.in_place().is_some();
        let lead: Option<Lead> = match needs_proxy {
            true => Some(self.lead(repo).await?),
            false => None,
        };
        let stands = match &lead {
            Some(lead) => self.stands(&repo.name, lead, reporter).await?,
            None => stands,
        };
        let rollout = self.store.rollout(&repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
        if rollout.bake.is_some() {
            return Ok((stands, rollout.bake));
        }
        if let Some(lead) = &lead {
            self.mend(repo, lead, &stands, engine, reporter).await?;
        }
        Ok((self.recorded(&repo.name).await?, None))
    }

    /// What `turnout plan` says of it; `None`: a deployment in place as any other.
    ///
    /// # Errors
    /// As a deployment's own.
    pub(in crate::deploy) async fn preview_unswitch(
        &self,
        asked: &Asked<'_>,
        repo: &Repo,
        seen: &Seen,
        reporter: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<Option<(Option<Plan>, String)>, Failure> {
        let stands = self.recorded(&repo.name).await?;
        if stands.all.is_empty() {
            return Ok(None);
        }
        refuse_other_lead(repo, &stands)?;
        let engine = self.planner.engine().await?;
        let resumed = stands.leaving().and_then(|row| Unswitched::read(&row.made).ok());
        if resumed.is_none()
            && let Some(failure) = self.taken_back(repo, &stands, asked, seen).await?
        {
            return Ok(Some((None, with_refusals(String::new(), vec![failure]))));
        }
        let loaded = self.planner.read_through(repo, seen.view.clone(), reporter).await?;
        let found = self.unswitch_found(repo, &engine, &stands, &loaded, resumed.as_ref()).await?;
        let wanted = self.wanted(repo, &loaded, seen.commit.clone(), asked.rebuild).await?;
        let digests = seen.digests.clone();
        let wanted = Wanted { digests, at_once: true, dressed: Some(Dressed::default()), ..wanted };
        let prepared = self.planner.prepare(repo, loaded, wanted, reporter, cancel).await?;
        let rollout = self.store.rollout(&repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
        let waits = match rollout.bake {
            Some(_) => "first the bake that is under way comes to its end\n",
            None => "",
        };
        Ok(Some((Some(prepared.plan), format!("{waits}{}\n\n{}", found.lines.join("\n"), prepared.text))))
    }

    /// What there is to say before anything is done, and what is refused.
    async fn unswitch_found(
        &self,
        repo: &Repo,
        engine: &Engine,
        stands: &Stands,
        loaded: &TreeProject,
        resumed: Option<&Unswitched>,
    ) -> Result<Found, Failure> {
        let in_place = &loaded.stack.project;
        refuse_other_project(repo, stands, loaded)?;
        let live = stands.live_made().map_err(Failure::new)?;
        let names = |made: &Unswitched| made.stays.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        let stays = match resumed {
            Some(resumed) => names(resumed),
            None => {
                let runs = engine.containers(&repo.project, false).await?.into_iter().filter(|one| !one.oneoff);
                runs.map(|one| one.service).collect::<BTreeSet<_>>().into_iter().collect()
            }
        };
        let brought = self.goes_along(repo, engine, live.as_ref(), loaded).await?;
        let lost = engine.without_storage(&repo.project).await?;
        let lost: Vec<String> = stays.iter().filter(|name| lost.contains(*name)).cloned().collect();
        self.refuse_written(stands, live.as_ref().map_or(&Made::default(), |(_, made)| made)).await?;
        let (back, gone) = match &live {
            Some((_, made)) => unswitched::listeners(made, &loaded.project),
            None => Default::default(),
        };
        if let Some((live, _)) = &live {
            self.refuse_shared_listeners(repo, live, &back).await?;
        }
        let beside = live.as_ref().is_some_and(|(live, made)| {
            stays.is_empty() && live.project != *in_place && !made.services.iter().any(|one| one.held)
        });
        let not_led = match back.is_empty() {
            true => None,
            false => self.not_led().await,
        };
        let removed = unswitched::leave(stands, &repo.project, in_place);
        let told = Told {
            live: live.as_ref().map(|(live, _)| live.project.as_str()),
            in_place,
            stays: &stays,
            beside,
            not_led: not_led.as_deref(),
            back: &back,
            gone: &gone,
            ends_tls: live.as_ref().is_some_and(|(_, made)| made.routes.iter().any(|route| route.tls.is_some())),
            lost: &lost,
            removed: &removed,
        };
        Ok(Found { lines: told.lines(), live, stays, beside, brought })
    }

    /// Volumes without a name whose containers have successors in place.
    ///
    /// # Errors
    /// Something else would be at the place of one.
    async fn goes_along(
        &self,
        repo: &Repo,
        engine: &Engine,
        live: Option<&(ColourRecord, Made)>,
        loaded: &TreeProject,
    ) -> Result<Vec<(String, Brought)>, Failure> {
        let stayed = engine.nameless_volumes(&repo.project).await?;
        let mut all: Vec<(&str, (String, Brought))> =
            stayed.into_iter().map(|one| (repo.project.as_str(), one)).collect();
        if let Some((live, made)) = live {
            let held = |name: &String| made.services.iter().any(|one| one.held && one.name == *name);
            let of_live = engine.nameless_volumes(&live.project).await?.into_iter().filter(|(name, _)| held(name));
            all.extend(of_live.map(|one| (live.project.as_str(), one)));
        }
        let covered = |name: &str, path: &str| left_behind::covered(&[&loaded.project], name, path);
        if let Some((of, (service, volume))) = all.iter().find(|(_, (name, volume))| covered(name, &volume.target)) {
            return Err(left_behind::refused(of, service, &volume.target));
        }
        Ok(all.into_iter().map(|(_, one)| one).collect())
    }

    /// What another repository listens on as well cannot be given to the engine.
    async fn refuse_shared_listeners(
        &self,
        repo: &Repo,
        live: &ColourRecord,
        back: &BTreeSet<std::net::SocketAddr>,
    ) -> Result<(), Failure> {
        let own = Steer::new(self.planner.settings.proxy_socket.clone());
        // A proxy that is not there is started later, and refuses then what is wrong.
        let Ok(status) = own.status().await else { return Ok(()) };
        let other = status.routes.iter().find(|route| {
            route.repository != repo.name
                && back.iter().any(|listen| listen.port() == route.listen.port() && same_address(*listen, route.listen))
        });
        let Some(other) = other else { return Ok(()) };
        Err(Failure::new(format!(
            "{} shares its listener {} with {}, by their hosts: in place the engine would have it for {} alone",
            live.project, other.listen, other.repository, repo.name
        ))
        .hint(format!(
            "nothing was changed; give {} another listener first, or have {} publish another port of the host",
            other.repository, repo.name
        )))
    }

    /// How far the way back has come, by its row and the routes.
    ///
    /// # Errors
    /// The proxy does not answer, or the row is not understood.
    pub(super) async fn unswitch_reached(
        &self,
        repo: &Repo,
        stands: &Stands,
        row: &ColourRecord,
    ) -> Result<Reached, Failure> {
        let kept = Unswitched::read(&row.made).map_err(Failure::new)?;
        let led =
            stands.live().and_then(|live| Made::read(&live.made).ok()).is_some_and(|made| !made.routes.is_empty());
        if !led || !kept.ended {
            return Ok(kept.reached(row.generation, None, led));
        }
        let routed = self.lead(repo).await?.seen(&repo.name).await?.routed;
        Ok(kept.reached(row.generation, routed.as_ref(), led))
    }

    /// The plan of what is in place, made anew with the images that are there.
    pub(super) async fn unswitch_anew(&self, of: Of<'_>, way: &Unswitch, commit: &str) -> Result<Prepared, Failure> {
        let Of { job, repo, cancel, .. } = of;
        let loaded = way.prepared.loaded.clone();
        let wanted = self.wanted(repo, &loaded, Some(commit.to_owned()), job.force_rebuild).await?;
        let dressed = fresh(true);
        // All of it was said when it was planned first.
        self.planner.prepare(repo, loaded, Wanted { dressed: Some(dressed), ..wanted }, &Silent, cancel).await
    }
}

/// All of it is made anew.
fn fresh(images_are_there: bool) -> Dressed {
    Dressed {
        anew: Some("it comes back in place, where what was stopped has no restart policy any more"),
        images_are_there,
        ..Dressed::default()
    }
}

fn same_address(one: std::net::SocketAddr, other: std::net::SocketAddr) -> bool {
    one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified()
}

/// A proxy of the user's own leads to the live colour's loopback ports, and would go on doing so.
fn refuse_other_lead(repo: &Repo, stands: &Stands) -> Result<(), Failure> {
    let led_by = stands.live().and_then(|live| Some((live, Made::read(&live.made).ok()?.led_by?)));
    let Some((live, word)) = led_by else { return Ok(()) };
    Err(Failure::new(format!(
        "requests to {} are led by {word}, and `switch` was taken out of repos.yaml: the way back in place is there for what \
         turnout-proxy leads",
        live.project
    ))
    .hint(format!(
        "nothing was changed; put `switch` back as it was; or have your proxy lead to a port that {} publishes itself, take the \
         colour down (turnout compose -p {} down, and the same with {}: named volumes stay), and deploy",
        repo.name, live.project, repo.project
    )))
}

/// The names of volumes have the colour with which the stack began: another one would begin with empty ones.
fn refuse_other_project(repo: &Repo, stands: &Stands, loaded: &TreeProject) -> Result<(), Failure> {
    let named = &loaded.stack.color;
    if let Some(staying) = stands.switch.as_ref().map(|switch| &switch.staying).filter(|staying| *staying != named) {
        return Err(Failure::new(format!(
            "COLOR in {} names {named}, and the volumes of {} have the names of {staying}: {} would begin with empty ones",
            repo.env_file, repo.name, loaded.stack.project
        ))
        .hint(format!("nothing was changed; write COLOR={staying} into {} and deploy again", repo.env_file)));
    }
    let other = stands.all.iter().find(|one| one.colour == *named && one.project != loaded.stack.project);
    let Some(other) = other else { return Ok(()) };
    Err(Failure::new(format!(
        "{} was deployed as {}, and is {} now: its volumes have the former name",
        repo.name, other.project, loaded.stack.project
    ))
    .hint("nothing was changed; put `project` back as it was, and deploy again"))
}

/// Which stand-ins there are for these listeners, of those that were chosen before.
pub(super) fn chosen_before(
    kept: &Unswitched,
    back: &BTreeSet<std::net::SocketAddr>,
) -> BTreeMap<std::net::SocketAddr, u16> {
    let known = kept.made.stand_ins.iter().filter(|(listen, _)| back.contains(listen));
    known.map(|(listen, port)| (*listen, *port)).collect()
}
