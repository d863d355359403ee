//! How a client of ours reaches a server: whom it trusts, and which proxy of the surroundings it goes through.

mod error;
pub mod proxy;
pub mod tls;
pub mod tunnel;

pub use error::NetError;
