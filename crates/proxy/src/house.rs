//! What all listeners share: the route table, certificates, threads, bounds on connections, and the words by which they end.

use std::sync::{Arc, atomic::AtomicU64};

use tokio::sync::{Semaphore, watch};

use crate::{access::AccessLog, args::Times, board::Board, certificates::Certificates, worker::Workers};

/// Made once, at the start, and there until the process ends.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) board: Board,
    pub(crate) certificates: Certificates,
    pub(crate) workers: Workers,
    /// Places for connections; each holds one to its end.
    pub(crate) places: Arc<Semaphore>,
    /// Connections that hold one.
    pub(crate) open: AtomicU64,
    /// Places at one door.
    pub(crate) places_at_door: usize,
    pub(crate) times: Times,
    pub(crate) access: Option<AccessLog>,
    /// Turns true when connections are to be cut.
    pub(crate) cut: watch::Receiver<bool>,
    /// Turns true when no connections are taken any more, and open ones are to end where they can.
    pub(crate) ending: watch::Receiver<bool>,
    /// Whether this process is the one that the service manager knows as the service: it alone speaks to it. It is not before it
    /// has taken over, and when another one has.
    pub(crate) main: watch::Receiver<bool>,
}
