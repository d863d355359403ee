//! Asks a new instance, on the way on which requests will reach it, whether it is ready ([`ready`], [`ready_within`]).
//!
//! From the ground up: `ask` (what is asked), `head` and `hello` (bytes), `judge` (from what was seen to what it means), all of
//! them pure; `attempt` (one try), `ready` (until it is).

mod ask;
mod attempt;
mod head;
mod hello;
mod judge;
mod ready;

pub use ask::{Ask, Protocol, Spoken};
pub use ready::{NotReady, Ready, ready, ready_within};
