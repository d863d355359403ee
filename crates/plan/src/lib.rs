//! Plans: from a project and what the engine holds of it, the steps that bring the one to the other, each with its cause. Pure:
//! no clock, no Docker, no filesystem.
//!
//! [`Plan`] is a value: `turnout plan` prints it, `turnout deploy` executes the very same.

pub mod attributes;
mod cause;
mod check;
mod converge;
mod deed;
mod digest;
mod down;
mod error;
mod graph;
mod intent;
mod lifecycle;
mod observed;
mod order;
mod part;
mod put_back;
mod render;
mod step;
mod step_set;
mod words;

pub use cause::{Cause, ContainerCause, ImageCause, NetworkCause, ServiceCause, VolumeCause};
pub use check::check;
pub use converge::{converge, dependencies, may_end, namespace_owners};
pub use down::down;
pub use error::PlanError;
pub use graph::{dependency_order, needs};
pub use intent::{DownOptions, Earlier, Intent, Mounted, Pull, RemoveImages};
pub use lifecycle::{remove, restart, start, stop};
pub use observed::{
    Belonging, BuiltImage, ImageState, Observed, ObservedContainer, ObservedMount, ObservedNetwork, ObservedVolume,
    OwnImage, RunState,
};
pub use part::only;
pub use put_back::{Attempt, Extent, Failed, put_back};
pub use render::{render, replacements};
pub use step::{Action, Condition, Existing, NetworkRemoval, Plan, Removal, Replaced, Step, StepId};
pub use words::action;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod situations;
