//! The deployer's side of turnout-proxy: asks it over its control socket ([`Steer`]), and starts it where no service manager
//! does ([`ensure`]).
//!
//! What is said stands in `turnout_traffic::control`. Every question has an end, and every error says whether what was asked
//! for may have been done all the same ([`SteerError::unknown`]).

mod error;
mod log_end;
mod program;
mod renew;
mod start;
mod steer;
mod wire;

pub use error::SteerError;
pub use program::program_beside;
pub use renew::ProgramFile;
pub use start::{Ensured, Start, ensure};
pub use steer::{Applied, Steer};
