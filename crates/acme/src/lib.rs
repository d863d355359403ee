//! Obtains certificates by ACME (RFC 8555), and knows when to do so again.
//!
//! Pure: `order` (what is to be done next with an order, by what was seen of it), `due` (when a certificate is obtained, after the
//! last one or after a failure, and how many orders there may be), `record` (what is known of a host), `wire` (the protocol's
//! objects), `challenge` (what proves that a host is ours), `error`.
//! With OpenSSL: `key`, `jws`, `csr`, `alpn` (the certificate of a challenge).
//! With the disk: `files`. With the network: `transport`, `session` (directory, account, signed requests), `obtain` (one order to its end).
//!
//! Everything that an authority says is bounded in size, number and time. What has to survive is on the disk before it is
//! relied upon: the account's key before the account, an order's address and the certificate's key before anything is proven.

pub mod alpn;
pub mod challenge;
mod csr;
pub mod due;
mod error;
pub mod files;
mod jws;
mod key;
mod obtain;
pub mod order;
pub mod record;
mod session;
mod transport;
mod wire;

pub use challenge::{Kind, Offer, Stage};
pub use error::AcmeError;
pub use files::{Files, now};
pub use obtain::obtain;
pub use record::Record;
pub use session::{Session, Settings};
