//! The work of the daemon's lanes: deployments from the store, carried out by the pipeline.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{Came, Work};
use crate::{
    deploy::{Deployer, Ran},
    store::Claimed,
};

impl Work for Arc<Deployer> {
    type Job = Claimed;

    fn claim<'a>(&'a self, repo: &'a str) -> BoxFuture<'a, Result<Option<Claimed>, String>> {
        let woken = self.waits.take(repo);
        Box::pin(async move { self.store.claim(repo, woken).await.map_err(|error| error.to_string()) })
    }

    fn id(job: &Claimed) -> i64 {
        job.deployment.id
    }

    fn run<'a>(
        &'a self,
        job: Claimed,
        cancel: CancellationToken,
        stopping: &'a CancellationToken,
    ) -> BoxFuture<'a, Came> {
        Box::pin(async move {
            let (id, repo) = (job.deployment.id, job.deployment.repo.clone());
            match self.as_ref().run(job, cancel, stopping).await {
                Ran::Waits => {
                    // The bake that it waits for may have ended before it was put down.
                    self.bake_on(&repo).await;
                    self.attend_on(&repo).await;
                    self.build_meanwhile(&repo).await;
                    return Came::Waits;
                }
                Ran::Over(watched) => watched.into_iter().for_each(|watched| self.watch_on(watched)),
            }
            self.bake_on(&repo).await;
            self.needs_mending(&repo, &format!("deployment {id} has ended"));
            Came::Over
        })
    }

    fn call_off<'a>(&'a self, id: i64) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = self.call_off_wait(id).await {
                tracing::error!(deployment = id, %error, "that a deployment was called off could not be recorded");
            }
        })
    }

    fn broke<'a>(&'a self, id: i64, repo: &'a str, said: String, stopping: &'a CancellationToken) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            Deployer::broke(self, id, repo, &said, stopping).await;
            self.needs_mending(repo, "a fault in turnout broke a deployment off");
        })
    }
}
