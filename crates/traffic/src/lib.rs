//! Which listener leads where, in which generation, and how that is asked for: what turnout (the deployer) and
//! turnout-proxy share. Pure: no async, no file, no socket.
//!
//! - [`table`]: the route table, as it is once it has no mistake.
//! - [`beyond`]: what a route does beyond the weights of its colours; [`choose`]: which colour a request gets.
//! - [`file`]: the route file: a table, its serial number and a digest.
//! - [`spot`], [`spots`]: which hosts and paths of a listener are a route's.
//! - [`authority`]: whose certificates a proxy obtains.
//! - [`control`]: what is said over the control socket, one line each way; [`counters`]: what of it is counted.
//!
//! Every mistake of a text is reported, with its path inside it; nothing in a text is ignored. What the switch will bring
//! and this turnout-proxy cannot do yet is refused by name ([`later`]).

pub mod authority;
pub mod beyond;
pub mod bounds;
mod check;
pub mod choose;
pub mod control;
pub mod counters;
pub mod file;
pub mod later;
mod mistake;
mod read;
mod read_beyond;
mod reading;
mod replace;
pub mod spot;
pub mod spots;
pub mod table;
mod tree;

#[cfg(test)]
mod tests;

pub use authority::{Authority, Challenge};
pub use beyond::{Beyond, Sticky};
pub use file::RouteFile;
pub use mistake::{MISTAKES, Mistake, Mistakes};
pub use replace::{Replaced, follows};
pub use table::{
    CertificateFiles, Colour, Maintained, Protocol, ProxyProtocol, Repository, Route, RouteState, Standing, Table, Tls,
};
