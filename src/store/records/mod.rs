//! What is stored, as values.

mod before;
mod delivery;
mod deployment;
mod hold;
mod ids;
mod state;
mod wait;
mod watch;

pub use before::{Before, Place, Recovered};
pub use delivery::{Accepted, Delivery, NewDelivery, NewHook};
pub use deployment::{
    Deployment, Enqueued, Filter, Finish, GivenUp, LogLine, NewDeployment, PhaseTime, Previous, Update,
};
pub use hold::{Hold, HoldChange, Requested, WantedCommit};
pub use ids::{DeploymentId, Millis};
pub use state::{Cause, State};
pub use wait::{Claimed, PutDown, Waiting, WaitsFor};
pub use watch::{Fall, Watch, Watched};
