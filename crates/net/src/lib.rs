//! How a client of ours reaches a server: whom it trusts, which proxy of the surroundings it goes through, and the
//! connection itself.

pub mod dial;
mod error;
pub mod proxy;
pub mod tls;
pub mod tunnel;

pub use error::NetError;
