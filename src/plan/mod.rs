//! Project + observed state -> steps with causes. Pure: no clock, no Docker, no filesystem.
//!
//! [`Plan`] is a value: `turnout plan` prints it, `turnout deploy` executes the very same.

pub mod attributes;
mod error;
mod hashes;
mod intent;
mod observed;
mod step;

pub use error::PlanError;
pub use intent::{DownOptions, Intent, Pull, RemoveImages};
pub use observed::{ImageState, Observed, ObservedContainer, ObservedMount, ObservedNetwork, ObservedVolume, RunState};
pub use step::{Action, Condition, Existing, Plan, Removal, Step, StepId};
