//! Two proxies at a time: one that runs starts its successor, hands it what it listens on, and ends when its own connections have.
//!
//! ```text
//! old one                                     new one
//!   takes the turn: no change is under way
//!   obtains no certificates, hears no questions
//!   starts the program ──────────────────────► Hello
//!   Listener …, Control, Metrics, Lock ──────►
//!   Table: from here on it never writes ─────► the only writer; listens, and serves
//!                                    Serves ◄─
//!   tells the service manager, Main ─────────► answers questions, speaks to the service manager
//!   takes nothing new
//!                                    Follow ◄─ each change of the table, each question for the status
//!   Stands: what is open to it ──────────────►
//! ```
//!
//! Both listen with the same sockets, so that somebody takes what comes at every moment. Whatever dies before `Table` was read
//! leaves the old one as it was; from then on the new one is the proxy, whatever becomes of the old one. The lock of the state
//! directory goes along: the same one, which is free at no moment.

mod before;
mod follow;
mod give;
mod take;
mod wire;

pub(crate) use before::{Before, merged};
pub(crate) use follow::follow;
pub(crate) use give::{Given, Parcel, hand_over};
pub(crate) use take::{Taken, is_launched, launch, taken};
pub(crate) use wire::{Link, Word};

use std::{ffi::OsString, path::PathBuf, time::Duration};

/// Set for a process that is started to take over: what it is to do.
const TAKES_OVER: &str = "TURNOUT_PROXY_TAKES_OVER";
/// It starts the one that takes over, and ends: the service manager is then the parent of that one, and sees its end.
const LAUNCH: &str = "launch";
/// It takes over.
const SERVE: &str = "serve";

/// How long a new one may take until it serves.
const PATIENCE: Duration = Duration::from_secs(15);

/// The program that a successor is started from: by the path by which this one was, where it may be a newer one by now.
pub(crate) fn program() -> Result<PathBuf, String> {
    let called = std::env::args_os().next().map(PathBuf::from).filter(|called| called.is_absolute());
    match called {
        Some(called) => Ok(called),
        None => match std::env::current_exe() {
            Ok(own) => Ok(own),
            Err(error) => Err(format!("where turnout-proxy lies cannot be told: {error}")),
        },
    }
}

/// What this process was asked for, for the next one.
fn arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os().skip(1)
}
