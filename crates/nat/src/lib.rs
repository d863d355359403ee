//! Has the kernel lead new connections from a published port to another port of the same address, for a while: rules of its
//! address translation, written by a helper of its own that needs NET_ADMIN ([`serve`]), at the request of the deployer
//! ([`Helper`]), who has no such right.

mod ask;
mod listens;
mod message;
mod rules;
mod serve;
mod tracked;

pub use ask::{By, Helper, NatError};
pub use message::{Lead, Open};
pub use serve::serve;
