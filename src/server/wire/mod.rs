//! What travels over the control socket. Both ends are this program; fields are only ever added.

mod asks;
mod colours;
mod followed;
mod rollout;
mod status;

use serde::{Deserialize, Serialize};

pub use self::{asks::*, colours::*, followed::*, rollout::*, status::*};

/// What a delivery said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The JSON as the forge sent it, with secrets blotted out.
    pub json: String,
}
