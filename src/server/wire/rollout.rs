//! A rollout as one watches it.

use serde::{Deserialize, Serialize};

use super::MeasureStatus;
use crate::rollout::analysis::Counts;

/// `GET /v1/repositories/{name}/rollout`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutReply {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Name of the repository, as in `repos.yaml`.
    pub repo: String,
    /// `live`, `bake`, or the phase of the deployment under way.
    pub state: String,
    /// The deployment under way.
    pub deployment: Option<i64>,
    /// Of a canary: the step that it is at, from 1.
    pub step: Option<u32>,
    /// How many there are.
    pub steps: Option<u32>,
    /// What is waited for.
    pub waits: Option<RolloutWait>,
    /// The live one first.
    pub colours: Vec<RolloutColour>,
    /// How the answers of the colour do that is judged just now.
    pub analysis: Option<String>,
    /// What others say of it, where they are asked.
    #[serde(default)]
    pub measures: Vec<MeasureStatus>,
    /// Which process of turnout-proxy has counted: when it began. Counts of two are not compared.
    pub counted_by: Option<u64>,
    /// Why nothing is counted.
    pub uncounted: Option<String>,
}

/// What a rollout waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutWait {
    /// As it goes on from "waits for".
    pub what: String,
    /// When something follows, whatever comes, in milliseconds since 1970.
    pub until: Option<i64>,
    /// How long yet, in milliseconds.
    pub left: Option<i64>,
}

/// A colour of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutColour {
    /// `red`.
    pub colour: String,
    /// The Compose project.
    pub project: String,
    /// As in [`ColourStatus::state`](super::ColourStatus::state).
    pub state: String,
    /// The commit from which it was made, in full; `None`: it is not known, as after a first look at a stack in place.
    pub commit: Option<String>,
    /// The deployment that made it.
    pub deployment: Option<i64>,
    /// Since when it stands so, in milliseconds since 1970.
    pub since: i64,
    /// Its share of the clients, in percent; `None`: it is in no route whose requests are counted. Where a proxy of others leads, its
    /// share while they are shared.
    pub clients: Option<u64>,
    /// Requests in flight, and tunnels.
    pub open: Option<u64>,
    /// What came of its requests since that process counts it.
    pub counts: Option<Counts>,
}
