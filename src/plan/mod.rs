//! Project + observed state -> steps with causes. Pure: no clock, no Docker, no filesystem.
//!
//! [`Plan`] is a value: `turnout plan` prints it, `turnout deploy` executes the very same.

mod observed;
mod step;

pub use observed::{ImageState, Observed, ObservedContainer, ObservedMount, ObservedNetwork, ObservedVolume, RunState};
pub use step::{Action, Condition, Existing, Plan, Step, StepId};
