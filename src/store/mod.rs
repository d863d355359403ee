//! What must survive a crash: deliveries, deployments, their logs. SQLite, one file.
//!
//! One thread writes ([`desk`], asked by way of the [`writer`]); whoever asks while it waits for the disk shares the next
//! transaction, so that many deliveries cost one `fsync`. An answer is given only after its commit. Reads have connections of
//! their own.
//!
//! ```text
//!   accept ──► queued ──► running ──► succeeded | failed
//!                │           │
//!                │           ├──► cancelled            somebody asked
//!                │           └──► interrupted ──► (a new queued one)   the daemon died or was stopped
//!                │           ├──► superseded           a newer one was accepted while it waited ([`waits`])
//!                ├──► superseded                       a newer one of the same repository was accepted
//!                └──► cancelled
//! ```
//!
//! Of a repository that is held ([`Hold`]) pushes are recorded and not queued. The newest commit that a push wanted
//! ([`WantedCommit`]) stays wanted until a deployment has brought it, however many end before.
//!
//! What fell over after the verdict of a success ([`Fall`]) is kept with it; its state stays what it was.
//!
//! What happens is written to the journal ([`DomainEvent`]) in the same transaction, and read from there by whoever wants to
//! know ([`Cursor`]).
//!
//! At most one deployment of a repository is queued and at most one runs: unique indexes hold that.

mod aside;
mod claims;
mod clock;
mod colour_standing;
mod colours;
mod copies;
mod count;
mod cursor;
mod damage;
mod deployments;
mod desk;
pub mod dies;
mod domain_event;
mod error;
mod held;
mod holds;
mod intake;
mod journal;
mod log;
mod open;
mod outbox;
mod payloads;
mod places;
mod prune;
mod queries;
mod ran;
mod readers;
mod reads;
mod records;
mod recovery;
mod repeats;
mod restore;
mod retention;
mod rollouts;
mod schema;
mod soundness;
mod unswitched;
mod waits;
mod wanted;
mod watches;
mod wish;
mod wishes;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tokio::sync::watch;

pub use colour_standing::ColourStanding;
pub use colours::{ColourRecord, LoopbackPorts, SwitchRecord, TakenBack};
pub use copies::back_up;
pub use cursor::Cursor;
pub use domain_event::{DomainEvent, EventId, Journaled, Read, UnknownEvent};
pub use error::StoreError;
pub use journal::{Gap, Only, Page};
pub use log::{LogHandle, LogLimits};
pub use open::foreseen;
pub use outbox::{Fate, LETTER_BYTES, Letter, NewLetter, Pile, WAITING, WAITING_BYTES};
pub use payloads::Packed;
pub use places::peek_places;
pub use queries::{peek_deployed_before, peek_projects};
pub use reads::peek_reads;
pub use records::{
    Accepted, Before, Cause, Claimed, Delivery, Deployment, DeploymentId, Enqueued, Fall, Filter, Finish, GivenUp,
    Hold, HoldChange, LogLine, Millis, NewDelivery, NewDeployment, NewHook, PhaseTime, Place, Previous, PutDown,
    Recovered, Requested, State, Update, Waiting, WaitsFor, WantedCommit, Watch, Watched,
};
pub use restore::{Restored, restore};
pub use retention::Retention;
pub use rollouts::Standing;
pub use unswitched::{live_of, peek_colours, peek_staying, peek_taken_back};
pub use wish::Wish;

use clock::Clock;
use readers::Readers;
use repeats::Repeats;
use writer::Writer;

/// The version of SQLite, which is compiled in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// The store. Clones share everything; the writer ends when the last clone is gone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    file: PathBuf,
    writer: Writer,
    readers: Readers,
    retention: Retention,
    newest: watch::Receiver<EventId>,
    repeats: Arc<Mutex<Repeats>>,
    clock: Arc<Clock>,
}

impl Store {
    /// The database file.
    pub fn file(&self) -> &Path {
        &self.inner.file
    }

    /// What is remembered for how long.
    pub fn retention(&self) -> Retention {
        self.inner.retention
    }

    /// Waits until everything asked for so far is on disk.
    ///
    /// # Errors
    /// The writer is gone or its disk is full.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.inner.writer.run("flush", |_| Ok(())).await
    }

    /// Ends the store: everything asked for so far is on disk, and the database is one file. What is asked for later is
    /// refused.
    pub async fn close(&self) {
        self.inner.readers.close();
        self.inner.writer.close().await;
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("file", &self.inner.file).finish_non_exhaustive()
    }
}
