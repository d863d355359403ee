//! While a colour bakes, the images of the deployment that waits for it are pulled and built.
//!
//! The work tree stays at the commit of the live colour, which has files of it mounted; what is built is read in a folder of its own, as
//! `turnout plan --fetch` reads it. Images get no names yet: those of the idle colour are what runs until the bake is over, and what a
//! way back leads to. When the deployment plans, one that was built from the very same gets its name, and the builder has the rest in
//! its cache ([ADR 45](../../../docs/adr/0045-images-are-built-during-the-bake.md)).

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Deployer, Failure, Prepared, Recorder, TreeProject, acts::Manner, guard, meanwhile::Signals, of::Of, outcome,
        preview::Seen, room,
    },
    later::Later,
    look::{self, Looked, Looking},
    plan::next_colour,
    stands::Stands,
    way::another,
    with::{Which, With},
};
use crate::{
    config::{Repo, Timeouts},
    inputs::image_inputs,
    plan::{self, Action, Plan},
    report::{Event, Reporter, counted},
    rollout::Phase,
    store::{Deployment, DeploymentId, State},
    switch::said::By,
};

/// What came of it, as it goes on from "deployment 7".
enum Came {
    /// There is no more to be built.
    Ready(String),
    /// That is for later, for this reason.
    Later(String),
}

impl Deployer {
    /// Builds for a deployment that waits for a bake, if there is one for which nobody has.
    pub async fn build_meanwhile(self: &Arc<Self>, repo: &str) {
        if self.awaits_bake(repo).await.is_none() || self.bakes.stop.is_cancelled() {
            return;
        }
        let (deployer, repo) = (Arc::clone(self), repo.to_owned());
        self.bakes.tasks.spawn(async move {
            loop {
                let Some(turn) = deployer.meanwhile.begin(&repo, &deployer.bakes.stop) else { return };
                // Asked anew: whoever goes on from here on waits for this turn.
                if let Some(id) = deployer.awaits_bake(&repo).await
                    && deployer.meanwhile.first(&repo, id)
                {
                    deployer.builds_for(id, &repo, &turn.signals).await;
                }
                drop(turn);
                // Another one may have begun to wait before that was over.
                let next = deployer.awaits_bake(&repo).await.filter(|id| !deployer.meanwhile.was_last(&repo, *id));
                if next.is_none() || deployer.bakes.stop.is_cancelled() {
                    return;
                }
            }
        });
    }

    /// The deployment of a repository that waits for the end of a bake.
    async fn awaits_bake(&self, repo: &str) -> Option<DeploymentId> {
        let waiting = match self.store.waiting().await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(repo, %error, "whether a deployment waits for a bake cannot be read; nothing is built meanwhile");
                return None;
            }
        };
        let waits = waiting.into_iter().find(|one| one.repo == repo && one.phase == Phase::BakeAwaited);
        waits.map(|one| one.deployment)
    }

    /// One deployment: until its images are there, or nobody needs them any more.
    async fn builds_for(&self, id: DeploymentId, repo: &str, signals: &Signals) {
        let Signals { taken_up, cancel, .. } = signals;
        let after = self.bakes_before(repo).await;
        let waits = |what: &str| format!("deployment {id} {what} and waits for the end of the bake of {after}");
        if self.meanwhile.places().available_permits() == 0 {
            self.says(id, waits("has no place to build its images yet (TURNOUT_PARALLEL)")).await;
        }
        let places = self.meanwhile.places();
        let place = tokio::select! {
            biased;
            () = self.ended(id) => return,
            // It has a place of its own.
            () = taken_up.cancelled() => return,
            () = cancel.cancelled() => return,
            place = places.acquire() => place,
        };
        // Also for the order in the log: all that was said before is there when this is.
        self.says(id, waits("builds its images")).await;
        let (Ok(_place), Ok(Some(job))) = (place, self.store.deployment(id).await) else { return };
        let Ok(last) = self.store.last_line(id).await else { return };
        let recorder = Recorder::after(&self.store, self.live.clone(), &self.redactor, id, repo, last);
        let told = Told { to: &recorder, cancel };
        told.info(format!("while {after} bakes, its images are built; the work tree stays as it is"));
        let work = guard::caught(Box::pin(self.images_meanwhile(&job, &told, cancel)));
        let done = {
            let ends = async {
                self.ended(id).await;
                cancel.cancel();
            };
            let goes_on = async {
                taken_up.cancelled().await;
                told.info("the bake is over: what is being built is brought to its end first".to_owned());
            };
            tokio::pin!(work, ends, goes_on);
            let (mut ended, mut said) = (false, false);
            loop {
                tokio::select! {
                    done = &mut work => break done.flatten(),
                    () = &mut ends, if !ended => ended = true,
                    () = &mut goes_on, if !said => said = true,
                }
            }
        };
        let left = self.store.rollout(repo).await.ok().and_then(|rollout| rollout.bake).map(another);
        let left = left.unwrap_or_default();
        let summary = match done {
            Ok(Came::Ready(what)) => {
                told.info(format!("{}{left}", waits(&what)));
                waits(&what)
            }
            Ok(Came::Later(why)) => {
                told.info(format!("{why}: its images are built when the bake of {after} is over"));
                waits("has not built its images yet")
            }
            Err(_) if cancel.is_cancelled() => {
                tracing::info!(
                    repo,
                    deployment = id,
                    "what was built for deployment {id} during the bake was called off"
                );
                waits("has not built its images yet")
            }
            Err(failure) => {
                let failure = failure.redacted(&self.redactor.of(repo));
                told.warn(format!(
                    "its images are not built yet: {failure}; that is tried again when the bake is over"
                ));
                waits(&format!(
                    "could not build its images yet ({})",
                    failure.summary.lines().next().unwrap_or_default()
                ))
            }
        };
        if let Err(error) = recorder.close().await {
            tracing::warn!(repo, deployment = id, %error, "cannot write the log of a deployment");
        }
        // The log is written before whoever waits for this goes on with it.
        self.says(id, summary).await;
    }

    /// Waits until the deployment has ended, however that came.
    async fn ended(&self, id: DeploymentId) {
        let mut newest = self.store.newest_event();
        loop {
            newest.mark_unchanged();
            match self.store.deployment(id).await {
                Ok(Some(one)) if one.state == State::Running => {}
                Ok(_) => return,
                Err(error) => tracing::debug!(deployment = id, %error, "whether a deployment has ended cannot be read"),
            }
            if newest.changed().await.is_err() {
                return; // the store has ended
            }
        }
    }

    /// Which deployment bakes, in words.
    async fn bakes_before(&self, repo: &str) -> String {
        let stands = self.recorded(repo).await.ok();
        let live = stands.as_ref().and_then(Stands::live).and_then(|live| live.deployment);
        live.map_or_else(|| "the deployment before".to_owned(), |live| format!("deployment {live}"))
    }

    async fn says(&self, id: DeploymentId, summary: String) {
        if let Err(error) = self.store.say_wait(id, summary).await {
            tracing::warn!(deployment = id, %error, "for what a deployment waits could not be recorded");
        }
    }

    /// Fetches, plans, pulls and builds. Nothing else is changed, and what is planned here is forgotten.
    async fn images_meanwhile(
        &self,
        job: &Deployment,
        told: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<Came, Failure> {
        let repo = self.planner.find(&job.repo)?;
        if let Some(why) = not_from_the_branch(job, &repo) {
            return Ok(Came::Later(why.to_owned()));
        }
        // What is planned is said again by the deployment, and what is true then.
        let silent = Later::new(told);
        let seen = self.planner.look(&repo, true, None, &silent, cancel).await?;
        let planned = self.planned_meanwhile((job, &repo), &seen, &silent, cancel).await;
        let wanted = match planned.map_err(|failure| seen.failure(failure))? {
            Ok(wanted) => wanted,
            Err(came) => return Ok(came),
        };
        let (mut built, mut pulled) = (0, 0);
        for (number, prepared) in wanted.iter().enumerate() {
            let counts = self.build_nameless((&repo, job.force_rebuild, prepared), &seen, told, cancel).await;
            let (more, fingerprints) = counts.map_err(|failure| seen.failure(failure))?;
            let builds = more.iter().filter(|action| matches!(action, Action::Build { .. })).count();
            (built, pulled) = (built + builds, pulled + more.len() - builds);
            // Of what stays, one that comes to the same as before is to be found the same: its build says so.
            if number > 0 {
                self.meanwhile.note_built(&repo.name, fingerprints);
            }
        }
        Ok(Came::Ready(in_words(built, pulled)))
    }

    /// What is to be pulled and built: of what stays, and of the next colour.
    async fn planned_meanwhile(
        &self,
        (job, repo): (&Deployment, &Repo),
        seen: &Seen,
        silent: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<Result<[Prepared; 2], Came>, Failure> {
        let commit = seen.commit.as_deref();
        let stands = self.recorded(&repo.name).await?;
        let Some(live) = stands.live() else { return Ok(Err(Came::Later("nothing is live".to_owned()))) };
        if let Some(commit) = commit.filter(|_| !job.force_rebuild) {
            self.refuse_taken_back(repo, &stands, commit).await?;
        }
        let engine = self.planner.engine().await?;
        let named = self.planner.read_through(repo, seen.view.clone(), silent).await?;
        let staying = stands.switch.as_ref().map_or_else(|| named.stack.color.clone(), |switch| switch.staying.clone());
        let view = seen.view.clone();
        let looking = Looking { planner: &self.planner, store: &self.store, repo, view, engine: &engine };
        let digests = seen.digests.as_ref();
        let with = With { repo, reporter: silent, cancel, rebuild: job.force_rebuild, digests, at_once: true };
        let of_live = Box::pin(look::look(&looking, &live.colour, &staying)).await?;
        let colour = next_colour(&of_live, &stands, &named.stack.color);
        if colour == live.colour {
            return Ok(Err(Came::Later(format!("{} is what COLOR names, and live", live.project))));
        }
        if !job.force_rebuild && of_live.derived.by != By::Color && self.is_as_wanted(with, &of_live, commit).await? {
            return Ok(Err(Came::Ready("has no image to build".to_owned())));
        }
        let looked = Box::pin(look::look(&looking, &colour, &staying)).await?;
        let stays = self.prepared(with, &looked, Which::Staying, commit).await?;
        let moves = self.prepared(with, &looked, Which::Fresh, commit).await?;
        for prepared in [&stays, &moves] {
            room::require(prepared, repo, &self.planner.settings.state_dir).await?;
        }
        Ok(Ok([stays, moves]))
    }

    /// Whether the live colour, and what stays, is what the commit makes.
    async fn is_as_wanted(&self, with: With<'_>, live: &Looked, commit: Option<&str>) -> Result<bool, Failure> {
        let stays = self.prepared(with, live, Which::Staying, commit).await?;
        let moves = self.prepared(with, live, Which::Colour, commit).await?;
        Ok(stays.plan.steps.is_empty() && moves.plan.steps.is_empty())
    }

    /// Pulls and builds what a plan wants. Answers what was done, and the fingerprints of what was built and may be named as it is.
    async fn build_nameless(
        &self,
        (repo, rebuild, prepared): (&Repo, bool, &Prepared),
        seen: &Seen,
        told: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<(Vec<Action>, BTreeSet<String>), Failure> {
        let plan = built_first(&prepared.plan);
        if plan.steps.is_empty() {
            return Ok((Vec::new(), BTreeSet::new()));
        }
        let later = plan::only(&prepared.plan, is_image).steps.len() - plan.steps.len();
        if later > 0 {
            told.info(format!("{} built upon others of these: when the bake is over", counted(later, "image")));
        }
        // Read where it lies: the names are those of the work tree.
        let project = prepared.loaded.view.read(&prepared.loaded.project);
        let digests: PathBuf = seen.digests.as_deref().unwrap_or(Path::new("")).join("digests");
        let mut settings = self.planner.input_settings(repo);
        settings.digests.clone_from(&digests);
        let inputs = image_inputs(&prepared.engine, &project, None, &settings, cancel).await?;
        // Further names are given by a build.
        let has_more = |image: &str| {
            let mut built = project.services.iter().filter(|(_, service)| service.build.is_some());
            built.any(|(name, service)| {
                let tags = service.build.as_ref().is_some_and(|build| !build.tags.is_empty());
                tags && service.image_name(&project.name, name) == image
            })
        };
        let fingerprint = |action: &Action| match action {
            Action::Build { image, .. } if !has_more(image) => {
                inputs.get(image)?.manifest.as_ref().ok().map(|manifest| manifest.fingerprint())
            }
            _ => None,
        };
        let fingerprints = plan.steps.iter().filter_map(|step| fingerprint(&step.action)).collect();
        let done = plan.steps.iter().map(|step| step.action.clone()).collect();
        // For one whose place this one has taken.
        let is_there = |action: &Action| {
            !rebuild && fingerprint(action).is_some_and(|one| self.meanwhile.has_built(&repo.name, &one))
        };
        let plan = plan::only(&plan, |action| !is_there(action));
        if plan.steps.is_empty() {
            return Ok((done, fingerprints));
        }
        let timeouts: Timeouts = repo.timeouts.over(&self.planner.settings.timeouts);
        self.tidy.disturb(&project.name);
        let loaded = TreeProject { project, ..prepared.loaded.clone() };
        let images = Prepared { loaded, plan, ..prepared.clone() };
        let manner = Manner { meanwhile: Some(&digests), ..Manner::default() };
        let applied = Box::pin(self.apply(&images, repo, &timeouts, manner, told, cancel)).await;
        match applied {
            Ok(_) => Ok((done, fingerprints)),
            Err(error) => Err(outcome::apply_failed(&images.plan, &error)),
        }
    }

    /// Gives images that were built during the bake their names, where the plan would build them from the very same. Answers their names.
    pub(super) async fn name_built_meanwhile(
        &self,
        of: Of<'_>,
        prepared: &Prepared,
        projects: &BTreeSet<String>,
        built: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Failure> {
        // Whoever asked for a build by a file has it removed by one.
        if built.is_empty() || prepared.decision.trigger_file_to_remove {
            return Ok(BTreeSet::new());
        }
        // What stands upon another one of these was read before that was built.
        let first = Prepared { plan: built_first(&prepared.plan), ..prepared.clone() };
        self.name_kept(of, &first, projects, Some(built)).await
    }
}

/// What is not fetched as the tip of a branch, or not built at all, in words.
fn not_from_the_branch(job: &Deployment, repo: &Repo) -> Option<&'static str> {
    match job {
        Deployment { back: true, .. } | Deployment { past: true, .. } => {
            Some("it goes back, with images that are kept")
        }
        Deployment { pinned: true, .. } => Some("it is for a commit that was asked for by name"),
        _ if repo.switch.is_none() => Some("it brings the stack back in place"),
        _ => None,
    }
}

fn is_image(action: &Action) -> bool {
    matches!(action, Action::Build { .. } | Action::Pull { .. })
}

/// Of a plan what is pulled, and what is built upon nothing else that it builds: the name of that leads to the one before as long as this
/// one has none.
fn built_first(plan: &Plan) -> Plan {
    let images = plan::only(plan, is_image);
    let is_built = |id: &usize| images.steps.get(*id).is_some_and(|step| matches!(step.action, Action::Build { .. }));
    let upon =
        images.steps.iter().filter(|step| step.after.iter().any(is_built)).filter_map(|step| match &step.action {
            Action::Build { image, .. } => Some(image.clone()),
            _ => None,
        });
    let upon: BTreeSet<String> = upon.collect();
    plan::only(&images, |action| !matches!(action, Action::Build { image, .. } if upon.contains(image)))
}

/// What was done, as it goes on from "deployment 7".
fn in_words(built: usize, pulled: usize) -> String {
    match (built, pulled) {
        (0, 0) => "has no image to build".to_owned(),
        (0, pulled) => format!("has pulled {}", counted(pulled, "image")),
        (built, 0) => format!("has built {}", counted(built, "image")),
        (built, pulled) => format!("has built {} and pulled {pulled}", counted(built, "image")),
    }
}

/// Says nothing of what is called off: whoever has called it off has written the end of the log.
struct Told<'r> {
    to: &'r Recorder,
    cancel: &'r CancellationToken,
}

impl Reporter for Told<'_> {
    fn report(&self, event: Event) {
        if !self.cancel.is_cancelled() {
            self.to.report(event);
        }
    }

    fn variables(&self, variables: &[(String, String)]) {
        self.to.variables(variables);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Cause, Condition, ServiceCause, Step};

    fn plan(steps: &[(Action, &[usize])]) -> Plan {
        let step = |(action, after): &(Action, &[usize])| {
            Step::new(action.clone(), Cause::from(ServiceCause::Asked), after.to_vec(), Condition::Always)
        };
        Plan { project: "redshop".to_owned(), steps: steps.iter().map(step).collect(), ..Plan::default() }
    }

    fn build(image: &str) -> Action {
        Action::Build { service: "web".to_owned(), image: image.to_owned() }
    }

    #[test]
    fn what_is_built_upon_another_image_of_the_plan_is_left_for_later() {
        let network = Action::CreateNetwork { key: "default".to_owned(), name: "shop_default".to_owned() };
        let pull = Action::Pull { service: "db".to_owned(), image: "postgres".to_owned(), tolerate_failure: false };
        let all = plan(&[
            (pull.clone(), &[]),
            (build("base"), &[0]),
            (network, &[1]),
            (build("web"), &[2]),
            (build("worker"), &[3]),
            (build("other"), &[]),
        ]);
        let first: Vec<Action> = built_first(&all).steps.into_iter().map(|step| step.action).collect();
        assert_eq!(first, [pull, build("base"), build("other")]);
        assert!(built_first(&plan(&[])).steps.is_empty());
    }

    #[test]
    fn what_was_done_is_said() {
        for ((built, pulled), said) in [
            ((0, 0), "has no image to build"),
            ((0, 1), "has pulled 1 image"),
            ((2, 0), "has built 2 images"),
            ((1, 3), "has built 1 image and pulled 3"),
        ] {
            assert_eq!(in_words(built, pulled), said);
        }
    }
}
