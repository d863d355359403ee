//! What the actions of a switch come to.

use super::{
    super::{Failure, Prepared},
    rerouted::Rerouted,
    way::Way,
};
use crate::{engine::EngineError, rollout::Bake, store::StoreError};

/// What planning comes to.
pub enum Planned {
    /// The live colour is as it should be: a plan without steps.
    Nothing(Box<Prepared>),
    /// Its containers are as they should be, and its routes are not: a plan without steps, and what changes.
    Rerouted(Box<Prepared>, Box<Rerouted>),
    /// Nobody lived to record a switch, which bakes from now on.
    Baking(Bake),
    /// There is something to do.
    Way(Box<Way>),
}

/// What a failed action says of itself.
pub(in crate::deploy) enum Broke {
    /// Something else changed what was looked at.
    Stale(String, Failure),
    /// It failed, for a reason of its own.
    Failed(Failure),
}

impl From<Failure> for Broke {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<EngineError> for Broke {
    fn from(error: EngineError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<StoreError> for Broke {
    fn from(error: StoreError) -> Self {
        Self::Failed(Failure::new(error.to_string()))
    }
}

/// What a switch came to.
pub(in crate::deploy) enum Moved {
    /// Requests go to the next colour.
    Switched { bake: Option<Bake> },
    /// Whether they do is not known.
    Unknown(Failure),
}
