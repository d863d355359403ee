//! The commit that a push told of, which the remote may not have yet.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Deployer, Failure, Recorder, walls::told};
use crate::{
    git,
    report::Reporter as _,
    store::{Deployment, State},
};

/// Seconds before a remote is asked again for a commit that it does not have yet.
const LATE: &[u64] = &[1, 2, 4, 8, 15];

impl Deployer {
    /// Brings the work tree to the branch's tip, and asks again for a while where that does not hold what was pushed: some
    /// forges tell of a push before every one of their servers has it.
    pub(super) async fn fetch_pushed(
        &self,
        job: &Deployment,
        remote: &git::Remote,
        recorder: &Recorder,
        cancel: &CancellationToken,
    ) -> Result<git::Updated, Failure> {
        let mut waits = LATE.iter();
        loop {
            let updated =
                git::update(remote, recorder, cancel.clone()).await.map_err(|error| told(error, &remote.path))?;
            let Some(wanted) = job.wanted_commit.clone() else { return Ok(updated) };
            let (path, tip, pushed) = (remote.path.clone(), updated.new.clone(), wanted.clone());
            let reach = tokio::task::spawn_blocking(move || git::reach(&path, &tip, &pushed)).await;
            match reach.map_err(|error| Failure::new(format!("turnout has a fault: {error}")))?? {
                git::Reach::Within => return Ok(updated),
                git::Reach::Beside => {
                    recorder.info(format!("{} was taken back on the remote since it was pushed", git::short(&wanted)));
                    return Ok(updated);
                }
                git::Reach::Absent => {}
            }
            let (wanted, tip) = (git::short(&wanted), git::short(&updated.new));
            // What is pushed over it while it is looked for is deployed next.
            let overview = self.store.overview().await.unwrap_or_default();
            if overview.iter().any(|other| other.repo == job.repo && other.state == State::Queued) {
                recorder.info(format!("the remote does not have {wanted}, and a later push waits"));
                return Ok(updated);
            }
            let Some(seconds) = waits.next() else {
                return Err(Failure::new(format!(
                    "the remote does not have {wanted}, which was pushed; the branch is at {tip} there"
                ))
                .hint(format!(
                    "no container was touched; if the branch was rewritten since, nothing is missing; if the forge is late, \
                     `turnout deploy {}` deploys it when it is there",
                    job.repo
                )));
            };
            recorder.info(format!(
                "the remote does not have {wanted} yet, which was pushed (it is at {tip}); asking again in {} s",
                seconds
            ));
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(*seconds)) => {}
                () = cancel.cancelled() => return Err(Failure::cancelled("cancelled while waiting for the pushed commit")),
            }
        }
    }
}
