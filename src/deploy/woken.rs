//! What deployments that wait for the engine with their lane free have: what is kept of them, and what woke them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::Failure;
use crate::{
    rollout::Fact,
    store::{DeploymentId, Update},
};

/// What woke deployments that wait, until their lanes have taken them up.
#[derive(Default)]
pub struct Waits {
    woken: Mutex<HashMap<String, (DeploymentId, Fact)>>,
    more: Notify,
}

impl Waits {
    /// Something woke this deployment; its lane learns of it when it looks for work.
    pub fn wake(&self, repo: &str, deployment: DeploymentId, by: Fact) {
        self.lock().insert(repo.to_owned(), (deployment, by));
    }

    /// What woke a deployment of this repository. Whoever asks has to see to it.
    pub fn take(&self, repo: &str) -> Option<(DeploymentId, Fact)> {
        self.lock().remove(repo)
    }

    /// Another deployment waits.
    pub(super) fn one_more(&self) {
        self.more.notify_one();
    }

    /// Waits until another deployment waits.
    pub async fn more(&self) {
        self.more.notified().await;
    }

    /// Only whole values are written under this lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (DeploymentId, Fact)>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of a deployment that is to wait for the engine.
pub(super) struct Wait {
    /// The state, and what became known.
    pub update: Update,
    /// Why it waits.
    pub failure: Failure,
}
