//! Steps: atomic, each with its cause.

use serde::Serialize;

/// Index of a step in its plan.
pub type StepId = usize;

/// An immutable plan.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Plan {
    /// Compose project name.
    pub project: String,
    /// Steps; an edge in [`Step::after`] always points to a lower index.
    pub steps: Vec<Step>,
    /// Things left alone, each with its reason, for instance `web: unchanged`.
    pub unchanged: Vec<String>,
    /// Things the reader should know, for instance orphans.
    pub warnings: Vec<String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// Why, in words: `environment APP_MODE changed`.
    pub cause: String,
    /// Steps that must have ended well before.
    pub after: Vec<StepId>,
    /// Executed only if this holds when its turn comes.
    pub only_if: Condition,
}

/// A condition that can only be known during execution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Condition {
    /// Always.
    Always,
    /// The image of this service, after building or pulling, differs from the one the container runs.
    ImageChanged {
        /// Compose service whose image step ran before.
        service: String,
        /// Image ID the container was created from.
        running: String,
    },
    /// At least one of these steps really did something.
    AnyDid(Vec<StepId>),
    /// Either the image of the service changed, or one of these steps did something.
    ImageChangedOrAnyDid {
        /// Compose service.
        service: String,
        /// Image ID the container was created from.
        running: String,
        /// Steps.
        steps: Vec<StepId>,
    },
}

/// What a step does. Names, not IDs, wherever the object may not exist yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Action {
    /// Pull the image of a service.
    Pull { service: String, image: String, tolerate_failure: bool },
    /// Build the image of a service.
    Build { service: String, image: String },
    /// Create a network of the project.
    CreateNetwork { key: String, name: String },
    /// Recreate a network whose configuration changed: stop users, disconnect, remove, create, reconnect, with aliases.
    RecreateNetwork { key: String, name: String, id: String },
    /// Create a volume of the project.
    CreateVolume { key: String, name: String },
    /// Create one container of a service.
    CreateContainer { service: String, number: u32, name: String },
    /// Replace one container: create under a temporary name, stop and remove the old one, rename.
    RecreateContainer {
        service: String,
        number: u32,
        name: String,
        old_id: String,
        old_name: String,
        inherit_volumes: bool,
    },
    /// Stop a container, for instance because what it depends on is being replaced.
    StopContainer { service: String, id: String, name: String },
    /// Remove a container.
    RemoveContainer { service: String, id: String, name: String },
    /// Wait until a dependency fulfils its condition.
    WaitFor { service: String, condition: String, required: bool, dependents: Vec<String> },
    /// Start a container of a service by number.
    StartContainer { service: String, number: u32, name: String },
}
