//! Steps: one act each, with its cause.

use serde::Serialize;

use super::Cause;

/// Index of a step in its plan.
pub type StepId = usize;

/// An immutable plan.
///
/// Order of execution is given by [`Step::after`] alone: steps without a path between them may run side by side. The
/// planner writes these edges so that no container is touched before all images are there, none is stopped before all
/// that can be created are, and none is started before all are created. A replacement that starts first is started, and
/// waited for, before its predecessor is stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Plan {
    /// The name of the Compose project.
    pub project: String,
    /// All steps; an edge in [`Step::after`] always points to a lower index.
    pub steps: Vec<Step>,
    /// Things left alone, each with its reason, for instance `web: running, nothing changed`.
    pub unchanged: Vec<String>,
    /// Things the reader should know, for instance orphans.
    pub warnings: Vec<String>,
    /// What was taken for one thing and may be another, for instance a job that is done: where all is said to be as
    /// configured, these are said too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// One act, why it is in the plan, and when its turn comes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What is to be done.
    pub action: Action,
    /// Why it is in the plan.
    #[serde(flatten)]
    pub cause: Cause,
    /// Steps that must have ended well before. A step that its condition skipped, a pull that may fail and a wait that
    /// is not required all end well, whatever happened.
    pub after: Vec<StepId>,
    /// Executed only if this holds when its turn comes; else the step is skipped, which is a good end.
    pub only_if: Condition,
    /// The first step of the deed that this one goes on with: what takes several calls to the engine and one line of a
    /// reader's, such as a replacement. The first itself has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<StepId>,
}

impl Step {
    /// A step that stands for itself.
    pub fn new(action: Action, cause: impl Into<Cause>, after: Vec<StepId>, only_if: Condition) -> Step {
        Step { action, cause: cause.into(), after, only_if, part_of: None }
    }
}

/// A condition that can only be known during execution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Condition {
    /// It holds whatever happens.
    Always,
    /// The local ID that `image` now has differs from the one the container was created from.
    ImageChanged {
        /// Compose service of the container.
        service: String,
        /// Image reference that a step before builds or pulls (perhaps for another service that shares it).
        image: String,
        /// Image ID the container was created from.
        running: String,
    },
    /// At least one of these steps was executed (not skipped), whether or not it found something to do.
    AnyDid(Vec<StepId>),
    /// This tolerated step was skipped or failed: the build that follows an unsuccessful pull. A pull that succeeded
    /// did something, even if the image was up to date.
    DidNot(StepId),
    /// At least one of these holds. Never nested.
    AnyOf(Vec<Condition>),
}

/// A container that exists when the plan is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Existing {
    /// The service that it is of.
    pub service: String,
    /// Its ID, all 64 digits.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
}

/// Why a container may go; the checker holds plans to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Removal {
    /// Its service is gone from the project, or it is a finished one-off.
    Orphan,
    /// More containers than wanted.
    ScaleDown,
    /// A temporary container of a replacement that was interrupted; it does not run.
    Leftover,
    /// An [`Action::CreateContainer`] in the same plan stands in for it: one that says so, or one of the same name.
    Replaced,
    /// The user asked for it: `down`.
    Asked,
    /// The user asked for it, and it does not run: `rm`.
    Idle,
    /// It was made for a step before a start: kept because the step failed, or left by a run that was interrupted.
    StepLeft,
}

/// What becomes of a container that another is created for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// Its ID, all 64 digits.
    pub id: String,
    /// Name it has when its successor is created; may be a temporary one.
    pub name: String,
    /// Mount its anonymous volumes in the successor.
    pub inherit_volumes: bool,
}

/// Why a network may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum NetworkRemoval {
    /// The user asked for it, or no service knows it any more. Still in use is a warning.
    Unused,
    /// It is created anew in the same plan. Still in use means that the engine changed since.
    Replaced,
    /// It was made by an [`Action::TryNetwork`], now or by a run that was interrupted.
    Trial,
    /// Another network of the project has the same name and is kept. Still in use is a warning.
    Twin,
}

/// What a step does: one call to the engine that changes something, with what belongs to that call by its nature (a pull
/// reads a stream, a start copies files in before and runs hooks after). Names, not IDs, wherever the object may not exist
/// yet.
///
/// In every variant `service` is the Compose service, `key` the Compose key of a network or volume, `name` the engine's
/// name, `image` an image reference, `number` the container's number in its service and `id` the engine's full ID.
#[expect(missing_docs, reason = "fields mean the same in every variant and are explained once, above")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Action {
    /// Pull an image. With `tolerate_failure` a failed pull counts as skipped: a build or a local image stands in.
    Pull { service: String, image: String, tolerate_failure: bool },
    /// Build the image of a service and tag it as `image`.
    Build { service: String, image: String },
    /// Create a network of the project.
    CreateNetwork { key: String, name: String },
    /// Create a network as it will be under a name of its own, `trial`, before anything is stopped for it: the engine says
    /// of nothing else whether it can. Without `subnets`, those of the old network being in the way. That the addresses
    /// of the default pools are used up is no failure, for the old network gives some back, but counts as skipped.
    TryNetwork { key: String, name: String, trial: String, subnets: bool },
    /// Take a container out of a network that is to be replaced; one that is not in it is a good end.
    DisconnectContainer { network: String, network_id: String, container: Existing },
    /// Connect a container to a network: with the settings (aliases, addresses) of its service or, `as_it_was`, with those
    /// that it had when an [`Action::DisconnectContainer`] of the same plan took it out.
    ConnectContainer { network: String, container: Existing, as_it_was: bool },
    /// Create a volume of the project.
    CreateVolume { key: String, name: String },
    /// Give a container another name, such as one left under a temporary name its final one. Without an ID: the one that a
    /// step before created as `from`.
    RenameContainer { service: String, id: Option<String>, from: String, to: String },
    /// Create one container of a service, and connect its networks. Not started, whatever state the one had that it
    /// replaces, which runs on.
    CreateContainer {
        service: String,
        number: u32,
        /// The name that it has when all is done.
        name: String,
        /// Name it is created with; a temporary one as long as another container bears the final one.
        create_as: String,
        replaces: Option<Replaced>,
    },
    /// Stop a container, with `hooks` running its `pre_stop` hooks before: Compose runs none in a replacement. Not running
    /// is a good end.
    StopContainer { service: String, id: String, name: String, hooks: bool },
    /// Remove a container that does not run, with its anonymous volumes if `volumes`. Absent is a good end.
    RemoveContainer { service: String, id: String, name: String, volumes: bool, reason: Removal },
    /// Restart a container in place (running its `pre_stop` hooks before and its `post_start` hooks after); one that
    /// does not run is started.
    RestartContainer { service: String, id: String, name: String },
    /// Send a running container a signal, so that it reads its files again; one that does not run is left alone.
    SignalContainer { service: String, id: String, name: String, signal: String },
    /// Resume a paused container.
    UnpauseContainer { service: String, id: String, name: String },
    /// Wait until all (`service_healthy`) or the first (`service_completed_successfully`) of a dependency's containers
    /// fulfil the condition. `service_started` is fulfilled by the steps before. If not `required`, a failure, also one
    /// of a step before, is a warning and the wait ends well.
    WaitFor { service: String, condition: String, required: bool, dependents: Vec<String> },
    /// Run a `pre_start` step of a service to its end: the one act of several calls, for what comes of each decides the
    /// next. Its container is created as `name`, with the mounts of the service's container `beside` of that number,
    /// started, and removed if it ends with exit code 0. Else it is kept for inspection, and the service is not started. A
    /// container of the service that runs is a good end.
    RunPreStart { service: String, index: usize, name: String, number: Option<u32>, beside: String },
    /// Start the container of this service and number, created before or existing. Already running is a good end.
    StartContainer { service: String, number: Option<u32>, name: String },
    /// Wait until a container that a step before started is ready: healthy or, without a health check, up for the settle
    /// time. One that ends is not.
    AwaitReady { service: String, number: Option<u32>, name: String },
    /// Remove a network of the project. Without an ID: the one that a step before created by this name.
    RemoveNetwork { key: String, name: String, id: Option<String>, reason: NetworkRemoval },
    /// Remove a volume of the project and its data; still in use is a warning, but a failure if it is `replaced`: created
    /// anew in the same plan.
    RemoveVolume { key: String, name: String, replaced: bool },
    /// Remove an image; still in use or absent is a warning.
    RemoveImage { image: String },
}
