//! Deliveries of a forge, and what became of them.

use serde::{Deserialize, Serialize};

use super::{
    deployment::NewDeployment,
    hold::Hold,
    ids::{DeploymentId, Millis},
};

/// A delivery to be recorded, verified already.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// The forge's word, as `github`.
    pub forge: &'static str,
    /// The forge's id of the delivery. Not signed, so never trusted alone.
    pub guid: Option<String>,
    /// The event's name.
    pub event: String,
    /// The repository as the forge names it.
    pub repo: Option<String>,
    /// The full ref.
    pub git_ref: Option<String>,
    /// The commit that it is about, in full.
    pub commit: Option<String>,
    /// Who pushed, by the name that the forge gives.
    pub pusher: Option<String>,
    /// SHA-256 of the raw body.
    pub digest: [u8; 32],
    /// The effect's word.
    pub effect: &'static str,
    /// The effect's sentence.
    pub reason: String,
    /// The deployment that it asks for.
    pub deploy: Option<NewDeployment>,
    /// The hooks that it asks for.
    pub hooks: Vec<NewHook>,
}

/// A hook that a delivery asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHook {
    /// The repository's configured name.
    pub repo: String,
    /// The hook's name.
    pub name: String,
    /// Why, in words.
    pub cause: String,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The record of it.
    pub delivery: i64,
    /// The deployment queued for it.
    pub deployment: Option<DeploymentId>,
    /// A queued one that this one replaced.
    pub superseded: Option<DeploymentId>,
    /// The delivery came before and led to this deployment; nothing was queued.
    pub duplicate_of: Option<DeploymentId>,
    /// The repository is held: nothing was queued, and what was pushed waits for the release.
    pub held: Option<Hold>,
}

/// A delivery as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id here.
    pub id: i64,
    /// The forge's id.
    pub guid: Option<String>,
    /// The event's name.
    pub event: String,
    /// The repository as the forge names it.
    pub repo: Option<String>,
    /// The full ref.
    pub git_ref: Option<String>,
    /// The commit that it is about, in full.
    pub commit: Option<String>,
    /// Who pushed, by the name that the forge gives.
    pub pusher: Option<String>,
    /// When it came.
    pub received_at: Millis,
    /// The effect's word: `deploy`, `hook`, `duplicate`, `held`, `ping`, `self`, `unknown`, `ignored`.
    pub effect: String,
    /// The effect's sentence.
    pub reason: String,
    /// The deployment that it led to.
    pub deployment: Option<DeploymentId>,
    /// Its payload is kept: see [`super::super::Store::payload`].
    #[serde(default)]
    pub payload: bool,
}
