//! The colours of a repository that is deployed blue/green.

use serde::{Deserialize, Serialize};

use crate::traffic::control::CertificateStatus;

/// `GET /v1/repositories/{name}/preview`: where a next colour is reached that gets no requests yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewReply {
    /// Its Compose project.
    pub project: String,
    /// The commit that the colour was made of; none where it is not recorded.
    pub commit: Option<String>,
    /// What it can be asked at.
    pub places: Vec<PreviewPlace>,
    /// Addresses by which the proxy leads there, as long as it waits.
    #[serde(default)]
    pub reached: Vec<String>,
    /// A cookie that leads there from the usual addresses: its name, `=`, and its secret.
    #[serde(default)]
    pub cookie: Option<String>,
    /// How many of a hundred clients it gets already.
    #[serde(default)]
    pub percent: Option<u64>,
}

/// A container port of a next colour, as the host reaches it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewPlace {
    /// The service's name in the Compose file.
    pub service: String,
    /// The port in its container.
    pub port: u16,
    /// Its address on this machine.
    pub address: String,
    /// Whether it speaks HTTP.
    pub http: bool,
}

/// The colours of a repository that is deployed blue/green.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColoursStatus {
    /// The one that gets the requests.
    pub live: Option<ColourStatus>,
    /// The one that is being made.
    pub next: Option<ColourStatus>,
    /// The one to go back to.
    pub previous: Option<ColourStatus>,
    /// The one that did not get through its gate, or was taken back.
    #[serde(default)]
    pub failed: Option<ColourStatus>,
    /// What ran in place before the switch, while it hands over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place: Option<ColourStatus>,
    /// What is to run in place again, while the colours hand over to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<ColourStatus>,
    /// The one that was kept to go back to, and is removed.
    #[serde(default)]
    pub removed: Option<ColourStatus>,
    /// Why that one failed, where it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_for: Option<String>,
    /// How the answers of the colour do that is judged just now, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<String>,
    /// What others say of it, where they are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<MeasureStatus>,
    /// Those of another pair that are there besides: `COLOR` in `.env` named a third one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<ColourStatus>,
    /// Both run until then, in milliseconds since 1970.
    #[serde(default)]
    pub bakes_until: Option<i64>,
    /// The next one is ready, and waits to be promoted.
    #[serde(default)]
    pub next_waits: bool,
    /// What the next one gets of the requests, as the proxy has just said. None: nothing, or that is not known.
    #[serde(default)]
    pub next_share: Option<ShareStatus>,
    /// The step that the next one is in.
    #[serde(default)]
    pub step: Option<StepStatus>,
    /// Requests are answered by a page of the proxy's own.
    #[serde(default)]
    pub maintained: bool,
    /// Requests wait at the proxy while something changes over.
    #[serde(default)]
    pub held: bool,
    /// Why the live one gets no requests, as the proxy has just said, or by its silence.
    #[serde(default)]
    pub not_served: Option<String>,
    /// What of the live one ought to run and does not, in words; nothing while a deployment is at work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub still: Vec<String>,
    /// The same of what stays beside the colours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub still_staying: Vec<String>,
    /// Certificates that the proxy obtains for its hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
}

/// What somebody says of a colour who is asked beside the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureStatus {
    /// `prometheus`, `command` or `page`.
    pub name: String,
    /// `good`, `bad` or `not known`, the last time; none: it was not asked yet.
    pub state: Option<String>,
    /// What was said then.
    pub said: Option<String>,
    /// When, in milliseconds since 1970.
    pub at: Option<i64>,
    /// How often it was asked.
    pub asked: u64,
    /// How often the answer was good.
    pub good: u64,
    /// How often there was none.
    pub not_known: u64,
}

/// A share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareStatus {
    /// How many of a hundred clients.
    pub percent: u64,
    /// It has none on some of the routes.
    #[serde(default)]
    pub in_part: bool,
}

/// A step of a canary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Which, from 1.
    pub number: u32,
    /// Of how many.
    pub of: u32,
    /// When it is over, in milliseconds since 1970, where one is waited in.
    #[serde(default)]
    pub until: Option<i64>,
    /// It goes on by itself then; else it is given up.
    #[serde(default)]
    pub by_itself: bool,
    /// Somebody has it stay as it is.
    #[serde(default)]
    pub paused: bool,
}

/// A colour: whose it is, where it stands, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColourStatus {
    /// The colour's name, as `red`; only names of the repository's pair occur.
    pub colour: String,
    /// The Compose project.
    pub project: String,
    /// `live`, `next`, `previous` (runs), `kept` (stopped), `failed` or `removed`.
    pub state: String,
    /// The number of the rollout that made it.
    pub generation: i64,
    /// The deployment that made it.
    pub deployment: Option<i64>,
    /// The commit that it was made of; none where it is not recorded.
    pub commit: Option<String>,
    /// Since when it stands so, in milliseconds since 1970.
    pub since: i64,
    /// Of a kept one: until when it is there to go back to, in milliseconds since 1970. None: until it is made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<i64>,
}
