//! Tells others what happened: at least once, later where they are away, and not for ever.
//!
//! ```text
//!   journal ──► route: event -> letter?  ──► outbox (store) ──► deliver, one at a time ──► taken
//!      cursor moves with the letters            ▲                     │
//!                                               └──── retry::next ◄───┘ ──► dead
//! ```
//!
//! Each destination has its own pair of these two; none waits for another.

mod destination;
mod post;
mod retry;

pub use destination::Destination;
pub use post::Outbox;
pub use retry::{ATTEMPTS, LONGEST, Outcome, next};
