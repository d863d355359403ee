//! Acts of a deployment that more than one road takes: fetch, look, plan, apply.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::{
    Asked, Deployer, Failure, Planned, Recorder, Wanted, builder, called_off,
    colours::checks::Checks,
    dying::Dying,
    of::Of,
    prepared::{Prepared, TreeProject},
    room,
};
use crate::{
    config::{Repo, Timeouts},
    decide::Base,
    engine::{Apply, ApplyError, ImageSettings, Report, image::BuildOptions},
    git, plan,
    registry::{Credentials, docker_config_directory},
    report::Reporter,
    store::{Deployment, Filter, Place, State, Update},
};

/// How a plan is carried out.
#[derive(Clone, Copy, Default)]
pub(super) struct Manner<'a> {
    /// Health checks that turnout runs itself where they are waited for; `None`: the engine alone.
    pub checks: Option<&'a Checks>,
    /// Images are built before their deployment begins, from a folder beside the work tree, and get no names yet. Where the digests
    /// of files are remembered that lie there.
    pub meanwhile: Option<&'a Path>,
}

impl Deployer {
    /// The commit that was deployed last with success.
    pub(super) async fn last_deployed(&self, repo: &Repo) -> Result<Option<String>, Failure> {
        let filter =
            Filter { repo: Some(repo.name.clone()), state: Some(State::Succeeded), limit: 1, ..Filter::default() };
        let last = self.store.history(filter).await.map_err(|error| Failure::new(error.to_string()))?;
        Ok(last.into_iter().next().and_then(|last| last.commit_after))
    }

    /// Brings the work tree to the branch's tip, or to the commit that was asked for by name.
    pub(super) async fn fetch(
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
    pub(super) async fn look(&self, of: Of<'_>, commit: &str) -> Result<Prepared, Failure> {
        let Of { job, repo, recorder, cancel, .. } = of;
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
    pub(super) async fn planned(&self, of: Of<'_>, prepared: &Prepared) -> Result<Update, Failure> {
        let Of { job, repo, recorder, .. } = of;
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

    /// Carries a plan out.
    pub(super) async fn apply(
        &self,
        prepared: &Prepared,
        repo: &Repo,
        timeouts: &Timeouts,
        manner: Manner<'_>,
        reporter: &dyn Reporter,
        cancel: &CancellationToken,
    ) -> Result<Report, ApplyError> {
        let engine = &prepared.engine;
        let environment = std::env::vars().collect();
        let credentials = Credentials::in_directory(docker_config_directory(&environment));
        let Manner { checks, meanwhile } = manner;
        let mut inputs = self.planner.input_settings(repo);
        if let Some(digests) = meanwhile {
            inputs.digests = digests.to_owned();
        }
        let reads = prepared.compared.labels();
        let reporter = Dying { reporter, plan: &prepared.plan };
        let run = Apply {
            project: &prepared.loaded.project,
            plan: &prepared.plan,
            reporter: &reporter,
            cancel,
            stop_timeout: None,
            wait_timeout: timeouts.apply,
            settle: timeouts.settle,
            probing: checks.map(|checks| checks.probing(&reporter)),
            reads: Some(&reads),
            images: ImageSettings {
                builder: builder::of(repo),
                build_timeout: timeouts.build,
                pull_timeout: timeouts.build,
                credentials: &credentials,
                build_options: BuildOptions { nameless: meanwhile.is_some(), ..BuildOptions::default() },
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
    pub(super) async fn note_reads(&self, prepared: &Prepared, applied: &Result<Report, ApplyError>) {
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
            if repo.switch.is_none() {
                let unswitched = self.preview_unswitch(asked, &repo, &seen, reporter, cancel).await?;
                if let Some(planned) = unswitched {
                    return Ok(planned);
                }
            } else {
                return self.preview_colours(asked, &repo, &seen, reporter, cancel).await;
            }
            let loaded = self.planner.read_through(&repo, seen.view.clone(), reporter).await?;
            let wanted = self.wanted(&repo, &loaded, seen.commit.clone(), asked.rebuild).await?;
            let wanted = Wanted { digests: seen.digests.clone(), at_once: true, ..wanted };
            let prepared = self.planner.prepare(&repo, loaded, wanted, reporter, cancel).await?;
            Ok((Some(prepared.plan), prepared.text))
        };
        match planned.await {
            Ok((plan, text)) => Ok(Planned { plan, text, seen }),
            Err(failure) => Err(seen.failure(failure).redacted(&self.redactor.of(&repo.name))),
        }
    }

    /// After a change of colour the former project still runs; turnout leaves it and says so.
    pub(super) async fn mention_other_colors(&self, repo: &Repo, project: &str, reporter: &dyn Reporter) {
        let projects = self.store.projects(&repo.name).await.unwrap_or_default();
        // Newest first: where the last one deployed was this project, the others were mentioned before.
        let Some(other) = projects.first().filter(|last| last.as_str() != project) else { return };
        reporter.info(format!(
            "{other} was deployed before and is left as it is; take it down with `turnout compose -p {other} down`"
        ));
    }
}
