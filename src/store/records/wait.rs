//! Deployments that a lane takes up, and those that wait with their lane free.

use super::{
    super::wish::Wish,
    deployment::Deployment,
    ids::{DeploymentId, Millis},
};
use crate::rollout::{Action, Phase, Rollout};

/// A deployment that a lane takes from the queue, or takes up where it was put down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its record, as it is from now on: running.
    pub deployment: Deployment,
    /// Where its rollout stands now.
    pub rollout: Rollout,
    /// What is to be done, as the table has it.
    pub actions: Vec<Action>,
    /// For what it waited, where it was put down.
    pub waited: Option<WaitsFor>,
    /// What had it go on, where a person did: `asked for by ann: promote`.
    pub asked: Option<String>,
}

/// For what a deployment waits: redacted texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitsFor {
    /// What stands in its way, in a sentence.
    pub summary: String,
    /// What to do if it waits in vain.
    pub hint: Option<String>,
}

/// A deployment that waits for a fact from outside, with its lane free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The configured name of the repository.
    pub repo: String,
    /// The number of the one that waits.
    pub deployment: DeploymentId,
    /// In which phase: what it waits for.
    pub phase: Phase,
    /// When the wait is over for good: what it waited for counts as failed then, or the time as up.
    pub until: Millis,
    /// For what, in words.
    pub waits: WaitsFor,
    /// What was asked of it meanwhile, and is not taken up yet.
    pub asked: Option<Wish>,
    /// Who asked for that, where a person did whose name is known.
    pub asked_by: Option<String>,
}

/// What became of a deployment that was put down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutDown {
    /// It waits from now on, and its lane is free.
    Waits,
    /// A newer one was queued already, and takes its place.
    Superseded(DeploymentId),
    /// It was over.
    Over,
}
