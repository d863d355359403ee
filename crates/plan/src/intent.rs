//! What the caller wants from a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Observed, ObservedContainer, Plan};
use turnout_report::Outcome;

/// When images are pulled, over every service's own policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// Even when it is there (`--pull always`).
    Always,
    /// Only when it is absent (`--pull missing`).
    Missing,
    /// Not even when it is absent (`--pull never`).
    Never,
}

/// How [`super::converge`] shall bring a project up. The default is a plain `up -d`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Intent {
    /// Services to bring up, with what they depend on; empty = all.
    pub services: Vec<String>,
    /// Services to build, each with the reason to print.
    pub build: BTreeMap<String, String>,
    /// Services whose images the image of a service is built upon: where both are built, those come first.
    pub bases: BTreeMap<String, Vec<String>>,
    /// Overrides every pull policy.
    pub pull: Option<Pull>,
    /// Replace containers of the named services even when nothing changed.
    pub force_recreate: bool,
    /// Replace containers of the named services even when nothing changed, for this reason, which ends a sentence.
    pub anew: Option<&'static str>,
    /// Replace nothing, even when something changed.
    pub no_recreate: bool,
    /// Leave alone what the named services depend on.
    pub no_deps: bool,
    /// Create, but start nothing.
    pub no_start: bool,
    /// Remove containers whose service is gone, and finished one-offs.
    pub remove_orphans: bool,
    /// Do not even mention orphans.
    pub ignore_orphans: bool,
    /// Orphans by container ID that stay although orphans are removed, with why and what to do about it in words. An
    /// empty text means that there is nothing to say.
    pub spared_orphans: BTreeMap<String, String>,
    /// Containers of services with inactive profiles, by ID, that are orphans here; Compose leaves such alone.
    pub idle_orphans: BTreeSet<String>,
    /// Remove networks of the project that its files no longer name, once nothing of it uses them. The Compose CLI leaves
    /// them until `down`.
    pub remove_idle_networks: bool,
    /// Number of containers by service, over the project's.
    pub scale: BTreeMap<String, u32>,
    /// Replace containers and give them fresh anonymous volumes.
    pub renew_anon_volumes: bool,
    /// Run jobs that ended with exit code 0 again, as the Compose CLI does at each `up`. A deployer leaves them alone
    /// as long as neither image nor configuration changed.
    pub rerun_completed_jobs: bool,
    /// Wait for dependencies also on behalf of containers that run already, as the Compose CLI does at each `up`: one
    /// that is unhealthy, or a job that fails this time, is then a failure.
    pub wait_for_running: bool,
    /// Consent to lose the data of volumes whose definition changed.
    pub yes_recreate_volumes: bool,
    /// Whoever reads the plan gave no flags of `up` and has none to give: hints name another way.
    pub without_flags: bool,
    /// Build nothing; a missing image that cannot be pulled is an error.
    pub no_build: bool,
    /// Replace also what the named services depend on.
    pub always_recreate_deps: bool,
    /// Give containers that somebody renamed their names again. The Compose CLI leaves them.
    pub restore_names: bool,
    /// By container ID: what somebody changed on it, in words; it is replaced. The Compose CLI does not look.
    pub altered: BTreeMap<String, Vec<String>>,
    /// By container ID: what is to be done because of what it has mounted.
    pub mounted: BTreeMap<String, Mounted>,
    /// Start although a service waits for the health of one that has no check: the wait then fails, as in the Compose
    /// CLI. Without, that is refused before anything is done.
    pub start_unchecked: bool,
    /// Make networks and volumes that no service uses, too; then a project needs no services.
    pub all_resources: bool,
    /// What this very run has done by earlier plans: it is not asked for a second time.
    pub earlier: Earlier,
    /// Services whose file has `deploy.update_config.order: start-first`, each with what speaks against two of it at a
    /// time, in words, if anything does. The Compose CLI does not look.
    pub start_first: BTreeMap<String, Result<(), String>>,
    /// Seconds since the Unix epoch; only pull policies such as `daily` look at it.
    pub now: i64,
}

/// What a run has done by plans that came to an end because the engine had changed since they were made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Earlier {
    /// IDs of the containers that were there at its beginning; `None` before its first look.
    found: Option<BTreeSet<String>>,
    /// What it did; asked for are pulls, builds and creations.
    done: Vec<Action>,
}

impl Earlier {
    /// Notes what was there, at the first look; later ones change nothing.
    pub fn look(&mut self, observed: &Observed) {
        self.found.get_or_insert_with(|| observed.containers.iter().map(|c| c.id.clone()).collect());
    }

    /// Notes the steps of a plan that were carried out.
    pub fn did(&mut self, plan: &Plan, ended: impl IntoIterator<Item = Outcome>) {
        let done =
            plan.steps.iter().zip(ended).filter(|(_, ended)| *ended == Outcome::Done).map(|(step, _)| &step.action);
        self.done.extend(done.cloned());
    }

    /// Whether it built an image of this name.
    pub(super) fn built(&self, image: &str) -> bool {
        self.done.iter().any(|action| matches!(action, Action::Build { image: own, .. } if own == image))
    }

    /// Whether it pulled this image.
    pub(super) fn pulled(&self, image: &str) -> bool {
        self.done.iter().any(|action| matches!(action, Action::Pull { image: own, .. } if own == image))
    }

    /// Whether it created this container: one that it removed again is not there to be asked about.
    pub(super) fn created(&self, container: &ObservedContainer) -> bool {
        let is_new = self.found.as_ref().is_some_and(|found| !found.contains(&container.id));
        is_new
            && self.done.iter().any(|action| {
                matches!(action, Action::CreateContainer { service, number, .. }
                    if *service == container.service && Some(*number) == container.number)
            })
    }
}

/// Which images `down` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveImages {
    /// Those built for the project: labelled for it, or with the name that such a build gives.
    Local,
    /// Those, and all that services use.
    All,
}

/// How [`super::down`] shall take a project away.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DownOptions {
    /// Project name; used when there is no project file.
    pub project: String,
    /// Services to remove, with what depends on them; empty = all, and then networks too.
    pub services: Vec<String>,
    /// Remove named and anonymous volumes: data is lost.
    pub volumes: bool,
    /// Remove containers of services that the project does not know, and one-offs.
    pub remove_orphans: bool,
    /// Which images go as well; `None`: none.
    pub images: Option<RemoveImages>,
}

/// What is to be done with one container on account of what it has mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mounted {
    /// Replace it, for this reason.
    pub recreate: Option<String>,
    /// Restart it, for this reason; never beside `recreate`.
    pub restart: Option<String>,
    /// Send it a signal, for a reason; never beside the others.
    pub signal: Option<(String, String)>,
    /// What changed or may have, and is left alone, each in words.
    pub left: Vec<String>,
}
