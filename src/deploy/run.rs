//! One deployment from the queue to its end, and the record of that.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Deployer, Failure, Recorder, busy, called_off,
    drive::{self, Came, Done},
    guard, now_ms,
    of::Of,
    wanted,
};
use crate::{
    config::Repo,
    report::Reporter as _,
    rollout::Action,
    store::{Claimed, Deployment, DeploymentId, Finish, StoreError, Update, Watched},
};

/// Pause between two attempts to record how a deployment ended.
pub(super) const STORE_RETRY: Duration = Duration::from_secs(2);
/// Waiting for another that is not spoken of.
const SILENT: Duration = Duration::from_secs(1);

/// What a deployment came to for its lane.
pub enum Ran {
    /// Its end; what is to be watched on.
    Over(Option<Watched>),
    /// It was put down, and waits.
    Waits,
}

impl Deployer {
    /// Carries out what a lane has claimed, and records how it ended or puts it down.
    pub async fn run(&self, claimed: Claimed, cancel: CancellationToken, stopping: &CancellationToken) -> Ran {
        let (id, repo, began) = (claimed.deployment.id, claimed.deployment.repo.clone(), Instant::now());
        // Its log is written there until then.
        self.meanwhile.taken_up(&repo, &cancel).await;
        let last = match &claimed.waited {
            Some(_) => self.store.last_line(id).await.unwrap_or_else(|error| {
                tracing::warn!(repo, deployment = id, %error, "cannot read the log of a deployment; it begins anew");
                0
            }),
            None => 0,
        };
        let recorder = Recorder::after(&self.store, self.live.clone(), &self.redactor, id, &repo, last);
        claimed.asked.iter().for_each(|asked| recorder.info(asked.clone()));
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
                return match self.put_down(job, *wait, &recorder, stopping).await {
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
                if let Some(standing) = self.standing(&job.repo, Some(&failure.summary)).await {
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

    pub(super) async fn note(&self, id: DeploymentId, update: Update) {
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
            return Err(self.not_back(waited.clone(), claimed.actions.first()));
        }
        let repo = self.planner.find(&job.repo)?;
        self.keep_hold(job, &repo).await?;
        let timeouts = repo.timeouts.over(&self.planner.settings.timeouts);
        self.await_mended(&repo.name, recorder, cancel).await;
        let _busy = busy::wait(&self.planner.settings.state_dir, &repo.name, recorder, cancel).await;

        let of = Of { job, repo: &repo, timeouts: &timeouts, recorder, cancel };
        drive::Drive::of(self, of, claimed).run().await
    }

    /// Waits until what an earlier deployment left in part is put right.
    async fn await_mended(&self, repo: &str, recorder: &Recorder, cancel: &CancellationToken) {
        let mended = async {
            let mended = self.mended(repo);
            tokio::pin!(mended);
            if timeout(SILENT, &mut mended).await.is_err() {
                recorder.info(
                    "waiting until what was left in part is put right: what is stopped may take as long as its stop_grace_period"
                        .to_owned(),
                );
                mended.await;
            }
        };
        tokio::select! {
            () = mended => {}
            () = cancel.cancelled() => {}
        }
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
}
