//! A snapshot of what the engine holds for one project. Filled by `turnout-docker`, read by the planner.

use std::collections::BTreeMap;

use super::Existing;

/// Everything of one project that the planner looks at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// Containers with the project's label and a `config-hash` label, all states, one-offs included.
    pub containers: Vec<ObservedContainer>,
    /// Containers of `pre_start` steps, all states: those of steps that failed, which are kept, and those of a run that
    /// was interrupted.
    pub step_containers: Vec<ObservedContainer>,
    /// Networks by Compose key: those labelled for the project, and those found by an expected name. When both exist
    /// under one key, the one with the expected name.
    pub networks: BTreeMap<String, ObservedNetwork>,
    /// Networks that are labelled for the project and bear another name than their key now has, by key.
    pub former_networks: Vec<(String, ObservedNetwork)>,
    /// Networks of the project, by key, beside others of it that have the same name: two runs at once have made both.
    pub network_twins: Vec<(String, ObservedNetwork)>,
    /// Volumes by Compose key, in the same way.
    pub volumes: BTreeMap<String, ObservedVolume>,
    /// By image reference as `Service::image_name` gives it, and sources of image mounts; an absent key counts as an
    /// image that is not there, of which nothing else is known.
    pub images: BTreeMap<String, ImageState>,
    /// Local images that `down` may remove; looked for only then.
    pub own_images: Vec<OwnImage>,
}

impl Observed {
    /// Takes the containers of a service out of sight, one-offs aside: no plan has them any more as members of the
    /// project. A network that is made anew takes them along as it does strangers.
    pub fn leave_alone(&mut self, service: &str) {
        let all = std::mem::take(&mut self.containers);
        let (hidden, kept) = all.into_iter().partition(|c| !c.oneoff && c.service == service);
        self.containers = kept;
        let hidden: Vec<ObservedContainer> = hidden;
        for network in self.networks.values_mut() {
            let within = hidden.iter().filter(|c| c.networks.values().any(|id| *id == network.id));
            network.strangers.extend(within.map(|c| Existing {
                service: c.service.clone(),
                id: c.id.clone(),
                name: c.name.clone(),
            }));
        }
    }
}

/// A local image that is a project's in one way or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnImage {
    /// Reference with its tag, as people write it: `nginx:latest`.
    pub reference: String,
    /// Service it belongs to; empty where its label names none.
    pub service: String,
    /// How it belongs to it.
    pub by: Belonging,
}

/// How an image belongs to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belonging {
    /// Its labels name the project: a build of Compose.
    Label,
    /// It bears the name that a build gives to the image of a service which names none.
    BuildName,
    /// The service names it or, where the project's file is gone, a container of the service was made of it.
    Used,
}

/// An image that carries turnout's labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuiltImage {
    /// Its ID, `sha256:` and 64 digits.
    pub id: String,
    /// The Compose project that it was built for.
    pub project: String,
    /// The service whose build made it.
    pub service: String,
    /// Tags, and digests under which a registry knows it.
    pub names: Vec<String>,
    /// Digest of what went into it.
    pub fingerprint: String,
    /// Its layers, the lowest first.
    pub layers: Vec<String>,
    /// When it was built or last got a name, in milliseconds since the Unix epoch.
    pub at: i64,
    /// Bytes that go with it at most: other images may share some of them.
    pub size: u64,
    /// A container that uses it.
    pub used_by: Option<String>,
}

/// State of a container as the engine names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Made, and never started.
    Created,
    /// Its process runs.
    Running,
    /// Its processes are frozen, and in memory still.
    Paused,
    /// Its process ended, and the engine is going to start it again.
    Restarting,
    /// Stopped, with its exit code.
    Exited(i64),
    /// The engine is taking it away.
    Removing,
    /// Could not be removed.
    Dead,
}

/// A container as the engine shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedContainer {
    /// Its ID, all 64 digits.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// The service that it is of: label `com.docker.compose.service`.
    pub service: String,
    /// `com.docker.compose.container-number`; `None` when missing or unreadable.
    pub number: Option<u32>,
    /// `run` made it, and no service needs it: label `com.docker.compose.oneoff` is `True`.
    pub oneoff: bool,
    /// Digest of the definition that it was made from: label `com.docker.compose.config-hash`.
    pub config_hash: String,
    /// `com.docker.compose.image`, an image ID; empty when missing.
    pub image_label: String,
    /// ID of the image the container really runs.
    pub image_id: String,
    /// Whether it runs.
    pub state: RunState,
    /// When it was last started, in nanoseconds since 1970. Looked at only where services live in each other's
    /// namespaces, of those and of the owners, and only while they run.
    pub started: Option<i128>,
    /// All labels: the planner also reads `dev.turnout.attributes`, and whether `oneoff` is there at all.
    pub labels: BTreeMap<String, String>,
    /// Network name to network ID, of the attachments. The ID is empty while the engine does not tell, as of a
    /// container that was never started.
    pub networks: BTreeMap<String, String>,
    /// What it has mounted, volumes of its image included.
    pub mounts: Vec<ObservedMount>,
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObservedMount {
    /// `bind`, `volume`, `tmpfs`, …
    pub kind: String,
    /// Volume name, for volumes.
    pub name: String,
    /// The path on the host.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Whether the container may write there.
    pub writable: bool,
}

/// A network as the engine shows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObservedNetwork {
    /// Its ID; several networks may have one name.
    pub id: String,
    /// Its name in the engine.
    pub name: String,
    /// All labels, those of Compose among them.
    pub labels: BTreeMap<String, String>,
    /// Options of its driver.
    pub options: BTreeMap<String, String>,
    /// Its ranges of addresses, as `10.1.0.0/16`.
    pub subnets: Vec<String>,
    /// Containers in it that are none of those that the plan is about: not of the project, or left alone. Looked at only
    /// where it is not as the project says.
    pub strangers: Vec<Existing>,
}

/// A volume as the engine shows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObservedVolume {
    /// Its name in the engine.
    pub name: String,
    /// All labels, those of Compose among them.
    pub labels: BTreeMap<String, String>,
}

/// What is known of an image locally.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImageState {
    /// Local image ID; `None` when absent (or of a wrong platform).
    pub id: Option<String>,
    /// Platforms that services write, of which there is none under this name although `id` is: one name can hold the
    /// images of several.
    pub lacking: Vec<String>,
    /// Container paths that the image declares as VOLUME.
    pub volumes: Vec<String>,
    /// Whether the image defines a HEALTHCHECK.
    pub healthcheck: bool,
    /// Seconds since the Unix epoch when the local tag was last updated, if the engine tells.
    pub last_tag_time: Option<i64>,
}
