//! HTTP surfaces: the webhook route and its neighbours on TCP, the control socket for the command line.

mod arriving;
mod checked_out;
mod colours_route;
pub mod command;
pub mod control;
mod deliveries_route;
mod deploy_route;
mod deployments_route;
mod follow;
pub mod full;
pub mod health;
mod intake;
mod intake_limits;
mod kept;
pub mod ledger;
mod left;
mod letters_route;
pub mod listen;
pub mod payloads;
mod plan_route;
pub mod pulse;
mod record;
pub mod refusals;
mod rollout_route;
mod shares;
mod source;
mod status;
pub mod visitors;

pub mod webhook_route;
pub mod wire;

pub use checked_out::checked_out;
pub use intake::{CheckedOut, IntakeState};
pub use intake_limits::IntakeLimits;
pub use ledger::{Ledger, LedgerFault, Receipt};
pub use listen::{ListenLimits, serve};
pub use webhook_route::router;
