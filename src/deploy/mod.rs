//! The pipeline of one deployment: fetch, prepare, apply, settle. See [`Deployer::deploy`]. What is watched after its
//! verdict is in [`watch_on`].

mod bounds;
mod busy;
mod called_off;
pub mod colours;
mod compose_env;
pub mod compute;
mod drive;
mod facts;
mod failure;
pub mod former;
mod guard;
pub mod holdings;
mod inputs;
mod leftovers;
mod lost_env;
mod mounted;
mod mounts;
mod not_repeated;
mod orphans;
mod outcome;
mod overlay;
mod owner;
pub mod place;
mod planner;
mod prepare;
mod preview;
pub mod prune;
mod pushed;
mod put_down;
mod recorder;
mod remote;
mod room;
mod secrets;
pub mod stack;
mod standing;
mod view;
pub mod walls;
mod wanted;
mod watch_on;
mod watches;
mod woken;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use drive::Came;
pub use failure::Failure;
pub use guard::said;
pub use outcome::EVERYTHING_RUNS;
pub use planner::{ENGINE_RETRY, Planner, Wanted};
pub use prepare::{Chosen, Prepared, TreeProject, choose_project, load_project};
pub use preview::{Asked, Planned};
pub use recorder::{LiveProgress, Recorder};
pub use view::View;

use crate::{
    config::{Repo, Timeouts},
    decide::{Base, REBUILD_TRIGGER},
    engine::{Apply, ApplyError, Engine, ImageSettings, Report, image::BuildOptions},
    files, git,
    plan::{self, Plan},
    registry::{Credentials, docker_config_directory},
    report::{Outcome, Reporter, redact::Redactor},
    rollout::Action,
    store::{
        Claimed, Deployment, DeploymentId, Filter, Finish, Place, State, Store, StoreError, Update, Watch, Watched,
    },
};

/// How long the look for changes by hand may take: it is told, and decides nothing.
const LOOK_BY_HAND: Duration = Duration::from_secs(30);
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
    /// What is hidden from every sink; of a repository what [`Redactor::of`] gives for it.
    pub redactor: Redactor,
    /// Progress for those who watch.
    pub live: broadcast::Sender<LiveProgress>,
    /// What is watched after its verdict.
    pub watches: watches::Watches,
    /// What woke deployments that wait.
    pub waits: woken::Waits,
    /// What the engine holds.
    pub holdings: holdings::Holdings,
    /// Bakes that go on beside the lanes.
    pub bakes: colours::Bakes,
    tidy: leftovers::Tidy,
}

/// What a deployment came to for its lane.
pub enum Ran {
    /// Its end; what is to be watched on.
    Over(Option<Watched>),
    /// It was put down, and waits.
    Waits,
}

/// What a good end has to say.
struct Done {
    project: String,
    commit: String,
    /// The newest wanted commit, where what was deployed has it.
    reached: Option<String>,
    summary: String,
    /// How long the project is watched on.
    watch: Option<Watch>,
}

impl Deployer {
    /// A deployer with these parts.
    pub fn new(mut planner: Planner, store: Store, redactor: Redactor) -> Self {
        planner.redactor = redactor.clone();
        let (live, _) = broadcast::channel(LIVE_PROGRESS);
        let (watches, tidy) = (watches::Watches::default(), leftovers::Tidy::default());
        let (waits, holdings) = (woken::Waits::default(), holdings::Holdings::default());
        let bakes = colours::Bakes::default();
        Self { planner, store, redactor, live, watches, waits, holdings, bakes, tidy }
    }

    /// Carries out what a lane has claimed, and records how it ended or puts it down.
    pub async fn run(&self, claimed: Claimed, cancel: CancellationToken, stopping: &CancellationToken) -> Ran {
        let (id, repo, began) = (claimed.deployment.id, claimed.deployment.repo.clone(), Instant::now());
        let last = match &claimed.waited {
            Some(_) => self.store.last_line(id).await.unwrap_or_else(|error| {
                tracing::warn!(repo, deployment = id, %error, "cannot read the log of a deployment; it begins anew");
                0
            }),
            None => 0,
        };
        let recorder = Recorder::after(&self.store, self.live.clone(), &self.redactor, id, &repo, last);
        let job = &claimed.deployment;
        let who = job.who.as_ref().filter(|who| !job.cause.contains(who.as_str()));
        let who = who.map(|who| format!(" by {who}")).unwrap_or_default();
        // Of one that was put down the time before counts as well.
        let before = now_ms().saturating_sub(job.started_at.unwrap_or_default());
        let before = if claimed.waited.is_some() { u64::try_from(before).unwrap_or(0) } else { 0 };
        let before = Duration::from_millis(before);
        let begins = if claimed.waited.is_some() { "goes on" } else { "begins" };
        tracing::info!(repo, deployment = id, "deployment {id} {begins}: {}{who}", job.cause);
        let work = guard::guarded(self.deploy(&claimed, &recorder, &cancel));
        let job = &claimed.deployment;
        let ending = match called_off::at_last(work, &cancel).await {
            Ok(Came::Waits(wait)) => {
                return match self.put_down(job, wait, &recorder, stopping).await {
                    true => Ran::Waits,
                    false => Ran::Over(None),
                };
            }
            Ok(Came::Done(done)) => {
                recorder.info(done.summary.clone());
                let Done { project, commit, reached, summary, watch } = done;
                let decision = Some(recorder.clean(&summary));
                self.note(job.id, Update { decision, ..Update::default() }).await;
                Some(Finish::Succeeded { project, commit, reached, watch })
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
                if let Some(standing) = self.standing(&job.repo).await {
                    recorder.info(format!("what runs now: {standing}"));
                    text.push_str(&format!("; now {}", recorder.clean(&standing)));
                }
                if let Some(wanted) = wanted::left(&self.store, job, !failure.cancelled).await {
                    recorder.info(wanted);
                }
                Some(match failure.cancelled {
                    true => Finish::Cancelled { reason: text },
                    false => Finish::Failed { error: text },
                })
            }
        };
        let watched = match &ending {
            Some(Finish::Succeeded { project, watch: Some(watch), .. }) => {
                Some(Watched { repo: repo.clone(), deployment: id, project: project.clone(), watch: *watch })
            }
            _ => None,
        };
        let verdict = match &ending {
            Some(Finish::Succeeded { .. }) => "succeeded",
            Some(Finish::Failed { .. }) => "failed",
            Some(Finish::Cancelled { .. }) => "was cancelled",
            None => "was interrupted",
        };
        if self.finish(id, &recorder, ending, stopping).await {
            let took = (before + began.elapsed()).as_secs_f64();
            match verdict {
                "failed" => tracing::warn!(repo, deployment = id, "deployment {id} failed after {took:.1} s"),
                _ => tracing::info!(repo, deployment = id, "deployment {id} {verdict} after {took:.1} s"),
            }
        }
        Ran::Over(watched)
    }

    /// Records that a deployment ended in a fault of turnout's own, beyond what [`Deployer::run`] records by itself.
    pub async fn broke(&self, id: DeploymentId, repo: &str, said: &str, stopping: &CancellationToken) {
        let recorder = Recorder::new(&self.store, self.live.clone(), &self.redactor, id, repo);
        let error = recorder.clean(&guard::fault(said).summary);
        tracing::error!(repo, deployment = id, "{error}");
        self.finish(id, &recorder, Some(Finish::Failed { error }), stopping).await;
    }

    /// Records the end. A store that cannot take it (a full disk, say) is asked until it can: the deployment counts as
    /// running meanwhile, and as interrupted after a crash. Nothing is lost either way. Answers whether it is recorded: one that
    /// waited in vain may have been superseded meanwhile.
    async fn finish(
        &self,
        id: DeploymentId,
        recorder: &Recorder,
        how: Option<Finish>,
        stopping: &CancellationToken,
    ) -> bool {
        loop {
            let ended = async {
                recorder.close().await?;
                match &how {
                    Some(how) => self.store.finish(id, how.clone()).await,
                    None => self.store.interrupt(id, "the daemon was stopped").await.map(|()| true),
                }
            };
            let error = match ended.await {
                Ok(recorded) => return recorded,
                Err(error) => error,
            };
            tracing::error!(deployment = id, %error, "cannot record the end of a deployment");
            if stopping.is_cancelled() {
                return false;
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

    /// A deployment, from what has to be so before it begins.
    async fn deploy(
        &self,
        claimed: &Claimed,
        recorder: &Recorder,
        cancel: &CancellationToken,
    ) -> Result<Came, Failure> {
        let job = &claimed.deployment;
        if let ([Action::Record(_), ..], Some(waited)) = (&claimed.actions[..], &claimed.waited) {
            return Err(self.not_back(waited.clone()));
        }
        let repo = self.planner.find(&job.repo)?;
        self.keep_hold(job, &repo).await?;
        let timeouts = repo.timeouts.over(&self.planner.settings.timeouts);
        let _busy = busy::wait(&self.planner.settings.state_dir, &repo.name, recorder, cancel).await;

        let of = drive::Of { job, repo: &repo, timeouts: &timeouts, recorder, cancel };
        drive::Drive::of(self, of, claimed).run().await
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

    /// The commit that was deployed last with success.
    async fn last_deployed(&self, repo: &Repo) -> Result<Option<String>, Failure> {
        let filter =
            Filter { repo: Some(repo.name.clone()), state: Some(State::Succeeded), limit: 1, ..Filter::default() };
        let last = self.store.history(filter).await.map_err(|error| Failure::new(error.to_string()))?;
        Ok(last.into_iter().next().and_then(|last| last.commit_after))
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
            return self.fetch_pushed(job, remote, recorder, cancel).await;
        };
        match git::check_out(remote, revision, recorder, cancel.clone()).await {
            Ok(updated) => Ok(updated),
            Err(error) => {
                let failure = Failure::from(error);
                // A store that does not answer will be told of at the end.
                match self.store.held(&job.repo).await.ok().flatten() {
                    Some(_) if failure.hint.is_none() => Err(failure.hint(format!(
                        "no container was touched, and the hold stays: pushes wait until `turnout release {}`",
                        job.repo
                    ))),
                    _ => Err(failure),
                }
            }
        }
    }

    /// Looks, decides and plans.
    async fn look(&self, of: drive::Of<'_>, commit: &str) -> Result<Prepared, Failure> {
        let drive::Of { job, repo, recorder, cancel, .. } = of;
        let loaded = self.planner.read(repo, recorder).await?;
        self.mention_other_colors(repo, &loaded.stack.project, recorder).await;
        let wanted = self.wanted(repo, &loaded, Some(commit.to_owned()), job.force_rebuild).await?;
        let wanted = Wanted { new_stack: job.new_stack, ..wanted };
        let prepared = self.planner.prepare(repo, loaded, wanted, recorder, cancel).await?;
        room::require(&prepared, repo, &self.planner.settings.state_dir).await?;
        Ok(prepared)
    }

    /// Keeps what has to be kept of a plan before anything of it can come into being. Answers what a reader of the history
    /// wants to know of it.
    async fn planned(&self, of: drive::Of<'_>, prepared: &Prepared) -> Result<Update, Failure> {
        let drive::Of { job, repo, recorder, .. } = of;
        let Prepared { loaded, decision, plan, text, .. } = prepared;

        let update = Update {
            project: Some(loaded.project.name.clone()),
            commit_base: match &prepared.base {
                Base::LastDeployed(commit) => Some(commit.clone()),
                Base::PreviousCommit | Base::Unknown(_) => None,
            },
            decision: Some(recorder.clean(&decision.summary)),
            plan: Some(recorder.clean(text)),
            ..Update::default()
        };
        let place = Place {
            repo: repo.name.clone(),
            project: loaded.project.name.clone(),
            path: Some(repo.path.display().to_string()),
            remote: git::remote_address(&repo.real_path, repo.remote.as_deref()),
        };
        self.store.note_place(place).await.map_err(|error| Failure::new(error.to_string()))?;
        if let Some(running) = prepared.running.clone().filter(|_| !plan.steps.is_empty()) {
            self.store.note_ran(job.id, running).await.map_err(|error| Failure::new(error.to_string()))?;
        }
        plan::replacements(plan).into_iter().for_each(|line| recorder.info(line));
        Ok(update)
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
        match &applied {
            // When it is back all is planned anew, which starts what stands still.
            Err(ApplyError::Step { error, .. }) if error.is_lost() => {}
            Err(ApplyError::Step { report, .. } | ApplyError::Cancelled { report, .. }) => {
                called_off::put_back(engine, &run, report).await;
            }
            Ok(_) | Err(ApplyError::NotBegun(_)) => {}
        }
        applied
    }

    /// Records what the containers that were started have read.
    async fn note_reads(&self, prepared: &Prepared, applied: &Result<Report, ApplyError>) {
        let report = match applied {
            Ok(report) | Err(ApplyError::Step { report, .. } | ApplyError::Cancelled { report, .. }) => report,
            Err(ApplyError::NotBegun(_)) => return,
        };
        let Prepared { compared, plan, loaded, .. } = prepared;
        let (reads, present) = (compared.to_record(plan, report), compared.present.clone());
        if let Err(error) = self.store.note_reads(&loaded.project.name, reads, present).await {
            // Containers carry what they read at their creation as a label; the worst is one restart too many.
            tracing::warn!(%error, "cannot record what containers read");
        }
    }

    /// What a deployment of this commit is to be planned from.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn wanted(
        &self,
        repo: &Repo,
        loaded: &TreeProject,
        commit: Option<String>,
        rebuild: bool,
    ) -> Result<Wanted, Failure> {
        let before = self.store.deployed_before(&repo.name, &loaded.stack.project).await;
        let reads = self.store.reads(&loaded.stack.project).await.map_err(|error| Failure::new(error.to_string()))?;
        let before = before.map_err(|error| Failure::new(error.to_string()))?;
        let places = self.store.places().await.map_err(|error| Failure::new(error.to_string()))?;
        Ok(Wanted { commit, before, reads, rebuild, places, ..Wanted::default() })
    }

    /// Plans a deployment, for `turnout plan`: of what is checked out, or of the branch's tip.
    ///
    /// # Errors
    /// As a deployment's own.
    pub async fn plan(
        &self,
        asked: &Asked<'_>,
        reporter: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<Planned, Failure> {
        let repo = self.planner.find(asked.repo)?;
        let behind = self.store.wanted(&repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
        let seen = self.planner.look(&repo, asked.fetch, behind.as_ref(), reporter, cancel).await?;
        let planned = async {
            if repo.switch.is_some() {
                return self.preview_colours(asked, &repo, &seen, reporter, cancel).await;
            }
            let loaded = self.planner.read_through(&repo, seen.view.clone(), reporter).await?;
            let wanted = self.wanted(&repo, &loaded, seen.commit.clone(), asked.rebuild).await?;
            let wanted = Wanted { digests: seen.digests.clone(), at_once: true, ..wanted };
            self.planner.prepare(&repo, loaded, wanted, reporter, cancel).await
        };
        match planned.await {
            Ok(prepared) => Ok(Planned { prepared, seen }),
            Err(failure) => Err(seen.failure(failure).redacted(&self.redactor.of(&repo.name))),
        }
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
}

/// What lies in the work tree otherwise than in the commit, in words: it runs, and the commit alone would not say so.
async fn by_hand(repo: &Repo, commit: &str, recorder: &Recorder) -> Vec<String> {
    const NAMED: usize = 5;
    /// Looks that have not come back: each repository costs one thread at most.
    static LOST: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let lost = || LOST.lock().unwrap_or_else(PoisonError::into_inner);
    let path = repo.real_path.clone();
    // It looks at whatever lies beside the files, mounts that hang among it.
    let changed = if lost().insert(path.clone()) {
        let looked = files::blocking(move || {
            let changed = git::changed_by_hand(&path).map_err(|error| error.to_string());
            lost().remove(&path);
            changed
        });
        match tokio::time::timeout(LOOK_BY_HAND, looked).await {
            Ok(looked) => looked.unwrap_or_else(|lost| Err(lost.to_string())),
            Err(_) => Err(format!("git did not tell within {} s", LOOK_BY_HAND.as_secs())),
        }
    } else {
        Err("git has not told yet, since an earlier deployment".to_owned())
    };
    let changed = match changed {
        Ok(changed) => changed,
        Err(why) => {
            recorder.warn(format!("whether files were changed by hand is not known: {why}"));
            return Vec::new();
        }
    };
    if changed.is_empty() {
        return Vec::new();
    }
    let more = if changed.len() > NAMED { format!(" and {} more", changed.len() - NAMED) } else { String::new() };
    let named = changed.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let words = format!("changed by hand, not as in {}: {named}{more}", git::short(commit));
    recorder.info(words.clone());
    vec![words]
}

fn builds_succeeded(plan: &Plan, applied: &Result<Report, ApplyError>) -> bool {
    let report = match applied {
        Ok(report) | Err(ApplyError::Step { report, .. } | ApplyError::Cancelled { report, .. }) => report,
        Err(ApplyError::NotBegun(_)) => return false,
    };
    plan.steps
        .iter()
        .zip(&report.steps)
        .filter(|(step, _)| matches!(step.action, plan::Action::Build { .. }))
        .all(|(_, ended)| ended.outcome == Outcome::Done)
}

async fn remove_trigger(repo: &Repo, recorder: &Recorder) {
    let (root, file) = (repo.real_path.clone(), repo.real_path.join(REBUILD_TRIGGER));
    let removed = files::blocking(move || files::at(&root, &file, || std::fs::remove_file(&file)).flatten()).await;
    match removed.unwrap_or_else(|lost| Err(lost.into())) {
        Ok(()) => recorder.info(format!("the build has succeeded, so {REBUILD_TRIGGER} is removed")),
        Err(error) => {
            recorder.warn(format!("{REBUILD_TRIGGER} cannot be removed ({error}); the next deployment rebuilds again"))
        }
    }
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    at_ms(SystemTime::now())
}

fn at_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
