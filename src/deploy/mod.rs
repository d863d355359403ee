//! The pipeline of one deployment: fetch, prepare, apply, settle. See [`Deployer::deploy`].

mod busy;
mod compose_env;
mod facts;
mod failure;
pub mod former;
mod guard;
mod inputs;
mod leftovers;
mod mounted;
mod mounts;
mod orphans;
mod overlay;
mod owner;
pub mod place;
mod planner;
mod prepare;
pub mod prune;
mod recorder;
mod room;
mod secrets;
pub mod stack;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub use failure::Failure;
pub use guard::said;
pub use planner::{Planner, Wanted};
pub use prepare::{Loaded, Prepared, load_project};
pub use recorder::{LiveProgress, Recorder};

use crate::{
    config::{self, Repo, Timeouts},
    decide::{Base, REBUILD_TRIGGER},
    engine::{
        Apply, ApplyError, ContainerRef, Engine, EngineError, ImageSettings, Report, Settle, SettleError, Unsettled,
        image::{BuildOptions, Credentials, docker_config_directory},
    },
    git,
    plan::{self, Action, Plan},
    report::{Event, Outcome, Reporter, redact::Redactor},
    store::{Deployment, DeploymentId, Finish, Place, Store, StoreError, Update},
};

/// How often a deployment plans when the engine changes under it.
const ATTEMPTS: u32 = 3;
/// Pause between two attempts to record how a deployment ended.
const STORE_RETRY: Duration = Duration::from_secs(2);
/// Transient progress that watchers may lag behind before they miss some.
const LIVE_PROGRESS: usize = 256;

/// Carries deployments out. One for the whole daemon.
pub struct Deployer {
    /// Reads and plans.
    pub planner: Planner,
    /// Where everything is kept.
    pub store: Store,
    /// What is hidden from every sink.
    pub redactor: Redactor,
    /// Progress for those who watch.
    pub live: broadcast::Sender<LiveProgress>,
}

/// What a good end has to say.
struct Done {
    project: String,
    commit: String,
    summary: String,
}

impl Deployer {
    /// A deployer with these parts.
    pub fn new(mut planner: Planner, store: Store, redactor: Redactor) -> Self {
        planner.redactor = redactor.clone();
        let (live, _) = broadcast::channel(LIVE_PROGRESS);
        Self { planner, store, redactor, live }
    }

    /// Carries out what a lane has claimed and records how it ended.
    pub async fn run(&self, job: Deployment, cancel: CancellationToken, stopping: &CancellationToken) {
        let recorder = Recorder::new(&self.store, self.live.clone(), self.redactor.clone(), job.id, &job.repo);
        let ending = match guard::guarded(self.deploy(&job, &recorder, &cancel)).await {
            Ok(done) => {
                recorder.info(done.summary.clone());
                let Done { project, commit, summary } = done;
                self.note(job.id, Update { decision: Some(summary), ..Update::default() }).await;
                Some(Finish::Succeeded { project, commit })
            }
            Err(failure) if failure.cancelled && stopping.is_cancelled() => {
                recorder.warn("the daemon is stopping; this goes on at its next start".to_owned());
                None
            }
            Err(failure) => {
                let verb = if failure.cancelled { "cancelled" } else { "failed" };
                // Some tell of several mistakes, one a line.
                for (number, line) in failure.summary.lines().enumerate() {
                    recorder.warn(if number == 0 { format!("{verb}: {line}") } else { line.to_owned() });
                }
                let mut text = recorder.clean(&failure.summary);
                if let Some(hint) = &failure.hint {
                    recorder.info(format!("what now: {hint}"));
                    text.push_str(&format!(" ({})", recorder.clean(hint)));
                }
                Some(match failure.cancelled {
                    true => Finish::Cancelled { reason: text },
                    false => Finish::Failed { error: text },
                })
            }
        };
        self.finish(job.id, &recorder, ending, stopping).await;
    }

    /// Records that a deployment ended in a fault of turnout's own, beyond what [`Deployer::run`] records by itself.
    pub async fn broke(&self, id: DeploymentId, repo: &str, said: &str, stopping: &CancellationToken) {
        let recorder = Recorder::new(&self.store, self.live.clone(), self.redactor.clone(), id, repo);
        let error = recorder.clean(&guard::fault(said).summary);
        tracing::error!(repo, deployment = id, "{error}");
        self.finish(id, &recorder, Some(Finish::Failed { error }), stopping).await;
    }

    /// Records the end. A store that cannot take it (a full disk, say) is asked until it can: the deployment counts as
    /// running meanwhile, and as interrupted after a crash. Nothing is lost either way.
    async fn finish(&self, id: DeploymentId, recorder: &Recorder, how: Option<Finish>, stopping: &CancellationToken) {
        loop {
            let ended = async {
                recorder.close().await?;
                match &how {
                    Some(how) => self.store.finish(id, how.clone()).await.map(drop),
                    None => self.store.interrupt(id, "the daemon was stopped").await,
                }
            };
            let Err(error) = ended.await else { return };
            tracing::error!(deployment = id, %error, "cannot record the end of a deployment");
            if stopping.is_cancelled() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(STORE_RETRY) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    async fn note(&self, id: DeploymentId, update: Update) {
        if let Err(error) = self.store.update_soon(id, update).await {
            // Progress is for the reader; the deployment itself does not depend on it.
            tracing::warn!(deployment = id, %error, "cannot record the progress of a deployment");
        }
    }

    /// The road of a deployment, on one screen.
    async fn deploy(&self, job: &Deployment, recorder: &Recorder, cancel: &CancellationToken) -> Result<Done, Failure> {
        let repo = self.planner.find(&job.repo)?;
        self.keep_hold(job, &repo).await?;
        let timeouts = repo.timeouts.over(&self.planner.settings.timeouts);
        let _busy = busy::wait(&self.planner.settings.state_dir, &repo.name, cancel).await;

        self.enter("fetch", Update::default(), job, recorder).await;
        let updated = self.fetch(job, &self.remote(&repo, &timeouts)?, recorder, cancel).await?;
        recorder.info(describe(&updated));
        let commit = updated.new.clone();

        let update = Update {
            branch: Some(updated.branch).filter(|branch| !branch.is_empty()),
            commit_before: updated.old,
            commit_after: Some(commit.clone()),
            ..Update::default()
        };
        self.enter("plan", update, job, recorder).await;
        let mut attempts = 0;
        let (prepared, applied) = loop {
            let (prepared, applied) = self.bring_up(job, &repo, &commit, &timeouts, recorder, cancel).await?;
            attempts += 1;
            match &applied {
                // Something changed on the engine since it was looked at: look and plan anew, as after a crash.
                Err(ApplyError::Step { error: EngineError::Stale(reason), .. }) if attempts < ATTEMPTS => {
                    recorder.info(format!("planning anew: {reason}"));
                }
                _ => break (prepared, applied),
            }
        };
        let Prepared { loaded, decision, plan, engine, .. } = &prepared;
        if decision.trigger_file_to_remove && builds_succeeded(plan, &applied) {
            remove_trigger(&repo, recorder);
        }
        let report = applied.map_err(|error| apply_failed(plan, &error))?;

        let mut watched = report.started.clone();
        watched.extend(engine.doubtful(&loaded.project, &report.started, timeouts.settle).await?);
        if !watched.is_empty() {
            self.enter("settle", Update::default(), job, recorder).await;
            settle(engine, &prepared, &watched, &timeouts, recorder, cancel).await?;
        }
        leftovers::remove_earlier(engine, &repo, &loaded.project.name, recorder, cancel).await;
        let built = plan.steps.iter().any(|step| matches!(step.action, Action::Build { .. }));
        if let Some(keep) = self.planner.settings.keep_build_cache.filter(|_| built) {
            leftovers::cut_build_cache(engine, keep, recorder).await;
        }
        Ok(Done { project: loaded.project.name.clone(), summary: summary(&prepared, &report, &commit), commit })
    }

    /// A repository that was renamed in the list is held as it was under its former name.
    async fn keep_hold(&self, job: &Deployment, repo: &Repo) -> Result<(), Failure> {
        let unknown = |error: StoreError| Failure::new(error.to_string());
        let list = self.planner.repos.current();
        let path = repo.path.display().to_string();
        for place in self.store.places().await.map_err(unknown)? {
            if place.path.as_ref() != Some(&path) || list.repos.by_name(&place.repo).is_some() || job.pinned {
                continue;
            }
            if let Some(hold) = self.store.inherit_hold(&place.repo, job).await.map_err(unknown)? {
                return Err(Failure::new(format!(
                    "not deployed: {} is {hold}, from the time when its name was `{}`",
                    repo.name, place.repo
                ))
                .hint(format!("`turnout release {}` lifts the hold and deploys the branch", repo.name)));
            }
        }
        Ok(())
    }

    /// Brings the work tree to the branch's tip, or to the commit that was asked for by name.
    async fn fetch(
        &self,
        job: &Deployment,
        remote: &git::Remote,
        recorder: &Recorder,
        cancel: &CancellationToken,
    ) -> Result<git::Updated, Failure> {
        let Some(revision) = job.wanted_commit.as_ref().filter(|_| job.pinned) else {
            return Ok(git::update(remote, recorder, cancel.clone()).await?);
        };
        match git::check_out(remote, revision, recorder, cancel.clone()).await {
            Ok(updated) => Ok(updated),
            Err(error) => {
                let failure = Failure::from(error);
                // A store that does not answer will be told of at the end.
                match self.store.held(&job.repo).await.ok().flatten() {
                    Some(_) if failure.hint.is_none() => Err(failure.hint(format!(
                        "what ran before still runs, and the hold stays: pushes wait until `turnout release {}`",
                        job.repo
                    ))),
                    _ => Err(failure),
                }
            }
        }
    }

    /// Looks, decides, plans and applies, once.
    async fn bring_up(
        &self,
        job: &Deployment,
        repo: &Repo,
        commit: &str,
        timeouts: &Timeouts,
        recorder: &Recorder,
        cancel: &CancellationToken,
    ) -> Result<(Prepared, Result<Report, ApplyError>), Failure> {
        let loaded = self.planner.read(repo, recorder).await?;
        self.mention_other_colors(repo, &loaded.stack.project, recorder).await;
        let wanted = self.wanted(repo, &loaded, Some(commit.to_owned()), job.force_rebuild).await?;
        let wanted = Wanted { new_stack: job.new_stack, ..wanted };
        let prepared = self.planner.prepare(repo, loaded, wanted, recorder, cancel).await?;
        let Prepared { loaded, decision, plan, .. } = &prepared;
        room::require(&prepared, repo, &self.planner.settings.state_dir).await?;

        let update = Update {
            project: Some(loaded.project.name.clone()),
            commit_base: match &prepared.base {
                Base::LastDeployed(commit) => Some(commit.clone()),
                Base::PreviousCommit | Base::Unknown(_) => None,
            },
            decision: Some(recorder.clean(&decision.summary)),
            plan: Some(recorder.clean(&plan::render(plan))),
            ..Update::default()
        };
        // Before anything of it can come into being.
        let place = Place {
            repo: repo.name.clone(),
            project: loaded.project.name.clone(),
            path: Some(repo.path.display().to_string()),
            remote: git::remote_address(&repo.real_path, repo.remote.as_deref()),
        };
        self.store.note_place(place).await.map_err(|error| Failure::new(error.to_string()))?;
        self.enter("apply", update, job, recorder).await;
        let applied = self.apply(&prepared.engine, &prepared, repo, timeouts, recorder, cancel).await;
        self.note_reads(&prepared, &applied).await;
        Ok((prepared, applied))
    }

    async fn apply(
        &self,
        engine: &Engine,
        prepared: &Prepared,
        repo: &Repo,
        timeouts: &Timeouts,
        recorder: &Recorder,
        cancel: &CancellationToken,
    ) -> Result<Report, ApplyError> {
        let environment = std::env::vars().collect();
        let credentials = Credentials::in_directory(docker_config_directory(&environment));
        let inputs = self.planner.input_settings(repo);
        let reads = prepared.compared.labels();
        let run = Apply {
            project: &prepared.loaded.project,
            plan: &prepared.plan,
            reporter: recorder,
            cancel,
            stop_timeout: None,
            wait_timeout: timeouts.apply,
            reads: Some(&reads),
            images: ImageSettings {
                builder: planner::builder(repo),
                build_timeout: timeouts.build,
                pull_timeout: timeouts.build,
                credentials: &credentials,
                build_options: BuildOptions::default(),
                inputs: Some(&inputs),
            },
        };
        let applied = engine.apply(&run).await;
        if let Err(ApplyError::Step { report, .. } | ApplyError::Cancelled { report }) = &applied {
            engine.put_back(&run, report).await;
        }
        applied
    }

    /// Records what the containers that were started have read.
    async fn note_reads(&self, prepared: &Prepared, applied: &Result<Report, ApplyError>) {
        let report = match applied {
            Ok(report) | Err(ApplyError::Step { report, .. } | ApplyError::Cancelled { report }) => report,
            Err(ApplyError::NotBegun(_)) => return,
        };
        let Prepared { compared, plan, loaded, .. } = prepared;
        let (reads, present) = (compared.to_record(plan, report), compared.present.clone());
        if let Err(error) = self.store.note_reads(&loaded.project.name, reads, present).await {
            // Containers carry what they read at their creation as a label; the worst is one restart too many.
            tracing::warn!(%error, "cannot record what containers read");
        }
    }

    /// Where and how to fetch.
    fn remote(&self, repo: &Repo, timeouts: &Timeouts) -> Result<git::Remote, Failure> {
        let token = match &repo.token {
            None => None,
            Some(source) => {
                let token = self.planner.repos.secret(source).map_err(|reason| {
                    Failure::new(format!("the token of {}: {reason}", repo.name))
                        .hint("set the variable in turnout's environment or .env, or correct the file in repos.yaml")
                })?;
                self.redactor.add_secret(&token);
                Some(token)
            }
        };
        Ok(git::Remote {
            path: repo.real_path.clone(),
            url: repo.remote.clone(),
            branch: repo.branch.clone(),
            auth: git::GitAuth {
                ssh_key: repo.ssh_key.clone(),
                known_hosts: repo.known_hosts.clone(),
                token,
                credential_helper: repo.credential_helper,
                ..git::GitAuth::default()
            },
            on_divergence: match repo.on_divergence {
                config::Divergence::Refuse => git::Divergence::Refuse,
                config::Divergence::Reset => git::Divergence::Reset,
                config::Divergence::Rebase => git::Divergence::Rebase,
            },
            timeout: timeouts.fetch,
            submodules: repo.submodules,
            submodule_hosts: repo.submodule_hosts.clone(),
            most_bytes: repo.max_fetch,
            filters: match repo.filters {
                config::Filters::Refuse => git::Filters::Refuse,
                config::Filters::Run => git::Filters::Run,
            },
            ..git::Remote::new(repo.real_path.clone())
        })
    }

    /// What a deployment of this commit is to be planned from.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn wanted(
        &self,
        repo: &Repo,
        loaded: &Loaded,
        commit: Option<String>,
        rebuild: bool,
    ) -> Result<Wanted, Failure> {
        let before = self.store.deployed_before(&repo.name, &loaded.stack.project).await;
        let reads = self.store.reads(&loaded.stack.project).await.map_err(|error| Failure::new(error.to_string()))?;
        let before = before.map_err(|error| Failure::new(error.to_string()))?;
        let places = self.store.places().await.map_err(|error| Failure::new(error.to_string()))?;
        Ok(Wanted { commit, before, reads, rebuild, places, new_stack: false })
    }

    /// Plans a deployment of what is checked out, for `turnout plan`.
    ///
    /// # Errors
    /// As a deployment's own.
    pub async fn plan(&self, name: &str, rebuild: bool, reporter: &dyn Reporter) -> Result<Prepared, Failure> {
        let repo = self.planner.find(name)?;
        let loaded = self.planner.read(&repo, reporter).await?;
        let wanted = self.wanted(&repo, &loaded, None, rebuild).await?;
        let prepared = self.planner.prepare(&repo, loaded, wanted, reporter, &CancellationToken::new()).await;
        prepared.map_err(|failure| failure.redacted(&self.redactor))
    }

    /// After a change of colour the former project still runs; turnout leaves it and says so.
    async fn mention_other_colors(&self, repo: &Repo, project: &str, reporter: &dyn Reporter) {
        let projects = self.store.projects(&repo.name).await.unwrap_or_default();
        // Newest first: where the last one deployed was this project, the others were mentioned before.
        let Some(other) = projects.first().filter(|last| last.as_str() != project) else { return };
        reporter.info(format!(
            "{other} was deployed before and is left as it is; take it down with `turnout compose -p {other} down`"
        ));
    }

    async fn enter(&self, phase: &str, update: Update, job: &Deployment, recorder: &Recorder) {
        recorder.report(Event::Phase { name: phase.to_owned() });
        self.note(job.id, Update { phase: Some(phase.to_owned()), ..update }).await;
    }
}

fn describe(updated: &git::Updated) -> String {
    use git::Moved;
    let new = git::short(&updated.new);
    let branch = &updated.branch;
    match &updated.moved {
        Moved::Cloned => format!("cloned {branch} at {new}"),
        Moved::UpToDate { ahead: 0 } => format!("{branch} is up to date at {new}"),
        Moved::UpToDate { ahead } => format!("{branch} is up to date at {new}, {ahead} local commits ahead"),
        Moved::FastForwarded { commits } => format!("{branch} moved forward by {commits} commits to {new}"),
        Moved::Switched { from } => format!("switched from {from} to {branch} at {new}"),
        Moved::Detached { from } => format!("checked out {new} in place of {from}, by hand; no branch was moved"),
        Moved::Reset { dropped } => format!("{branch} was reset to {new}; {dropped} local commits were given up"),
        Moved::Rebased { commits } => format!("{commits} local commits were put on top of {branch}, now at {new}"),
    }
}

fn builds_succeeded(plan: &Plan, applied: &Result<Report, ApplyError>) -> bool {
    let report = match applied {
        Ok(report) | Err(ApplyError::Step { report, .. } | ApplyError::Cancelled { report }) => report,
        Err(ApplyError::NotBegun(_)) => return false,
    };
    plan.steps
        .iter()
        .zip(&report.steps)
        .filter(|(step, _)| matches!(step.action, Action::Build { .. }))
        .all(|(_, ended)| ended.outcome == Outcome::Done)
}

fn remove_trigger(repo: &Repo, recorder: &Recorder) {
    match std::fs::remove_file(repo.real_path.join(REBUILD_TRIGGER)) {
        Ok(()) => recorder.info(format!("the build has succeeded, so {REBUILD_TRIGGER} is removed")),
        Err(error) => {
            recorder.warn(format!("{REBUILD_TRIGGER} cannot be removed ({error}); the next deployment rebuilds again"))
        }
    }
}

fn apply_failed(plan: &Plan, error: &ApplyError) -> Failure {
    let untouched = "nothing was changed; what ran before still runs";
    let said = match error {
        // These begin with what was to be done themselves.
        ApplyError::Step { error: EngineError::Image(text), .. }
            if text.starts_with("build of ") || text.starts_with("pull of ") =>
        {
            text.clone()
        }
        other => other.to_string(),
    };
    match error {
        ApplyError::NotBegun(_) => Failure::new(said).hint(untouched),
        ApplyError::Cancelled { .. } => Failure::cancelled(said),
        ApplyError::Step { report, .. } if touched_containers(plan, report, Outcome::Done) => Failure::new(said)
            .hint("some steps were carried out before (see the log); deploying again goes on from there"),
        ApplyError::Step { report, .. } if touched_containers(plan, report, Outcome::Failed) => {
            Failure::new(said).hint("that step may have been carried out in part; deploying again goes on from there")
        }
        ApplyError::Step { .. } => Failure::new(said).hint(untouched),
    }
}

/// Whether a step with that outcome changes more than images, networks and volumes: those alone disturb nothing that
/// runs. A container that could not be created or started disturbs nothing either.
fn touched_containers(plan: &Plan, report: &Report, outcome: Outcome) -> bool {
    let harmless = |action: &Action| {
        matches!(
            action,
            Action::Build { .. }
                | Action::Pull { .. }
                | Action::CreateNetwork { .. }
                | Action::CreateVolume { .. }
                | Action::WaitFor { .. }
        ) || (outcome == Outcome::Failed
            && matches!(action, Action::CreateContainer { .. } | Action::StartContainer { .. }))
    };
    plan.steps.iter().zip(&report.steps).any(|(step, ended)| ended.outcome == outcome && !harmless(&step.action))
}

async fn settle(
    engine: &Engine,
    prepared: &Prepared,
    watched: &[ContainerRef],
    timeouts: &Timeouts,
    recorder: &Recorder,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let watch = Settle {
        project: &prepared.loaded.project,
        started: watched,
        settle: timeouts.settle,
        health_timeout: timeouts.apply,
        reporter: recorder,
        cancel,
    };
    match engine.settle(&watch).await {
        Ok(()) => Ok(()),
        Err(SettleError::Cancelled) => {
            Err(Failure::cancelled("cancelled while watching whether the containers stay up"))
        }
        Err(SettleError::Failed(containers)) => {
            for unsettled in &containers {
                for line in &unsettled.log {
                    let (source, line) = (unsettled.container.name.clone(), line.clone());
                    recorder.report(Event::Output { source, line });
                }
            }
            Err(Failure::new(unsettled(&containers)).hint(format!(
                "the containers were replaced already; correct the cause and push again, or go back to the last \
                     success: `turnout deploy {} --previous`",
                prepared.loaded.project.repository.as_deref().unwrap_or_default()
            )))
        }
        Err(error) => Err(Failure::new(error.to_string())
            .hint("the steps were carried out, but whether the containers stay up is not known; deploy again to see")),
    }
}

/// In one line: the log has the rest of what the containers said.
fn unsettled(containers: &[Unsettled]) -> String {
    let each = containers.iter().map(|Unsettled { container, reason, log }| match log.last() {
        Some(last) => format!("{} {reason}, its last words: {last}", container.name),
        None => format!("{} {reason}", container.name),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn summary(prepared: &Prepared, report: &Report, commit: &str) -> String {
    let project = &prepared.loaded.project.name;
    let commit = git::short(commit);
    let remarks = &prepared.compared.remarks;
    if !report.changed() {
        return match remarks.is_empty() {
            true => format!("{project} at {commit}: nothing to do, everything runs as configured"),
            false => format!("{project} at {commit}: nothing was done; {}", remarks.join("; ")),
        };
    }
    let count = |wanted: &dyn Fn(&Action) -> bool| {
        let steps = prepared.plan.steps.iter().zip(&report.steps);
        steps.filter(|(step, ended)| ended.outcome == Outcome::Done && wanted(&step.action)).count()
    };
    let parts = [
        (count(&|a| matches!(a, Action::Build { .. })), "built"),
        (count(&|a| matches!(a, Action::Pull { .. })), "pulled"),
        (count(&|a| matches!(a, Action::CreateContainer { .. })), "created"),
        (count(&|a| matches!(a, Action::RecreateContainer { .. })), "recreated"),
        (count(&|a| matches!(a, Action::RemoveContainer { .. })), "removed"),
        (count(&|a| matches!(a, Action::RemoveNetwork { .. })), "networks removed"),
        (count(&|a| matches!(a, Action::SignalContainer { .. })), "signalled"),
        (count(&|a| matches!(a, Action::StartContainer { .. })), "started"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let did = if parts.is_empty() { "done".to_owned() } else { parts.join(", ") };
    let remarks: String = remarks.iter().map(|remark| format!("; {remark}")).collect();
    format!("{project} at {commit}: {did}{remarks}")
}
