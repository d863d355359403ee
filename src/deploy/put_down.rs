//! How deployments that wait for the engine are put down, with their lane free, and how the wait ends in vain.

use tokio_util::sync::CancellationToken;

use super::{
    Deployer, Failure, Recorder, colours::another, failure::Engine as EngineIs, run::STORE_RETRY, woken::Wait,
};
use crate::{
    report::{Event, Reporter as _},
    rollout::{Action, Ending, Phase, Why},
    store::{Deployment, DeploymentId, PutDown, WaitsFor},
};

impl Deployer {
    /// Puts a deployment down until the engine is back. A store that cannot take it is asked until it can, as at an end.
    /// Answers whether it waits.
    pub(super) async fn put_down(
        &self,
        job: &Deployment,
        wait: Wait,
        recorder: &Recorder,
        stopping: &CancellationToken,
    ) -> bool {
        let Wait { update, failure } = wait;
        let limit = self.planner.settings.engine_wait;
        let (id, repo) = (job.id, job.repo.as_str());
        let absent = failure.engine == EngineIs::Absent;
        let summary = recorder.clean(&failure.summary);
        let hint = failure.hint.as_ref().map(|hint| recorder.clean(hint));
        let waits_hint = hint.clone();
        let waits = WaitsFor { summary: summary.clone(), hint };
        let put = loop {
            let put = async {
                recorder.close().await?;
                self.store.put_down(id, update.clone(), waits.clone()).await
            };
            match put.await {
                Ok(put) => break put,
                Err(error) => tracing::error!(repo, deployment = id, %error, "cannot record that a deployment waits"),
            }
            if stopping.is_cancelled() {
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep(STORE_RETRY) => {}
                () = stopping.cancelled() => {}
            }
        };
        // Told when it is so: whoever reads the line finds the state.
        let phase = update.phase.unwrap_or(Phase::EngineAway);
        recorder.report(Event::Phase { name: phase.to_string() });
        match absent {
            _ if phase == Phase::BakeAwaited => {
                let bake = update.rollout.as_ref().and_then(|rollout| rollout.bake);
                recorder.info(format!("waiting: {summary}{}", bake.map(another).unwrap_or_default()));
            }
            _ if phase.attends() => {
                recorder.info(format!("waiting: {summary}"));
                waits_hint.into_iter().for_each(|hint| recorder.info(hint));
            }
            true => recorder.warn(format!("waiting up to {limit:?} for the engine: {summary}")),
            false => {
                recorder.warn(format!("the engine went away: {summary}"));
                recorder.info(format!("waiting up to {limit:?} for it (TURNOUT_ENGINE_WAIT), then planning anew"));
            }
        }
        if let PutDown::Superseded(by) = put {
            recorder.info(format!("deployment {by} takes its place at once"));
        }
        if let Err(error) = recorder.close().await {
            tracing::warn!(repo, deployment = id, %error, "cannot write the log of a deployment");
        }
        match put {
            PutDown::Waits => self.waits.one_more(),
            PutDown::Superseded(by) => tracing::info!(repo, deployment = id, "deployment {id} was superseded by {by}"),
            PutDown::Over => {}
        }
        put == PutDown::Waits
    }

    /// Calls off a deployment that waits for the engine. False where it does not.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn call_off_wait(&self, id: DeploymentId) -> Result<bool, crate::store::StoreError> {
        let off = self.store.cancel_wait(id).await?;
        if off {
            if let Ok(Some(over)) = self.store.deployment(id).await {
                // A next colour that waited is stopped, and a share that it had is taken from it before that.
                self.take_back(&over.repo).await;
                self.needs_mending(&over.repo, "a deployment was cancelled while it waited");
            }
            tracing::info!(deployment = id, "deployment {id} was cancelled while it waited");
        }
        Ok(off)
    }

    /// The failure of one that waited in vain.
    pub(super) fn not_back(&self, waited: WaitsFor, ended: Option<&Action>) -> Failure {
        let WaitsFor { summary, hint } = waited;
        let failure = Failure { hint, ..Failure::new(summary) }.with_engine(EngineIs::Awaited);
        if ended == Some(&Action::Record(Ending::Failed(Why::BakeNotOver))) {
            return failure
                .but("that has come to no end; the daemon's log says what keeps the colour before from being stopped");
        }
        match ended {
            Some(Action::Record(Ending::Failed(Why::NotPromoted))) => {
                return Failure { hint: None, ..failure }.but("nobody promoted it in time, and it is given up");
            }
            Some(Action::Record(Ending::Failed(Why::TurnedDown))) => {
                // Where it was reached helps nobody any more.
                return Failure { hint: None, ..failure }.but("it is given up; what is live stays live");
            }
            _ => {}
        }
        let limit = self.planner.settings.engine_wait;
        failure.but(&format!("the engine did not come back within {limit:?}"))
    }
}
