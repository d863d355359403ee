//! The work of the daemon's lanes: deployments from the store, carried out by the pipeline.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::Work;
use crate::{deploy::Deployer, store::Deployment};

impl Work for Arc<Deployer> {
    type Job = Deployment;

    fn claim<'a>(&'a self, repo: &'a str) -> BoxFuture<'a, Result<Option<Deployment>, String>> {
        Box::pin(async move { self.store.next(repo).await.map_err(|error| error.to_string()) })
    }

    fn id(job: &Deployment) -> i64 {
        job.id
    }

    fn run<'a>(
        &'a self,
        job: Deployment,
        cancel: CancellationToken,
        stopping: &'a CancellationToken,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(watched) = self.as_ref().run(job, cancel, stopping).await {
                self.watch_on(watched);
            }
        })
    }

    fn broke<'a>(&'a self, id: i64, repo: &'a str, said: String, stopping: &'a CancellationToken) -> BoxFuture<'a, ()> {
        Box::pin(async move { Deployer::broke(self, id, repo, &said, stopping).await })
    }
}
