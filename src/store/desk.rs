//! The one thread that writes, and the transactions it shares out.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, watch};

use super::{
    clock::Clock,
    dies,
    domain_event::EventId,
    error::StoreError,
    journal,
    prune::{self, Keep, Thinned},
    retention::Retention,
    writer::{Job, Writer},
};

/// Jobs in one transaction at most: bounds how long the first one waits for the last.
const BATCH: usize = 256;
/// Jobs that may wait. Beyond it, whoever asks waits in its own task.
const INBOX: usize = 1024;
/// Records are thinned out after so many jobs: rarely enough that a slow deployment's log does not pay for it, often
/// enough that no delivery waits behind a long one.
const PRUNE_EVERY: usize = 256;
/// The journal is counted when it may have more than it should by this part of it: counting reads all of it.
const EXCESS: usize = 20;
/// Most rows that one thinning removes, of each kind: more than come in between two, so that the excess shrinks.
const PRUNE_ROWS: usize = 4 * PRUNE_EVERY;

/// Starts the thread. The receiver has the number of the newest event, after its commit.
pub(super) fn start(
    db: Connection,
    lock: File,
    file: &Path,
    retention: Retention,
    broken: Arc<AtomicBool>,
    clock: Arc<Clock>,
) -> Result<(Writer, watch::Receiver<EventId>), StoreError> {
    let (inbox, jobs) = mpsc::channel(INBOX);
    let newest = journal::newest(&db).map_err(|error| StoreError::sqlite("reading the journal", file, error))?;
    let (told, newest) = watch::channel(newest);
    let desk = Desk {
        db,
        jobs,
        newest: told,
        journal: Counted::default(),
        file: file.to_path_buf(),
        retention,
        clock,
        synced: true,
        _lock: lock,
    };
    let thread = thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || desk.work())
        .map_err(|source| StoreError::Io { file: file.to_path_buf(), source })?;
    Ok((Writer::new(inbox, thread, file, broken), newest))
}

/// What the thread works with.
struct Desk {
    db: Connection,
    jobs: mpsc::Receiver<Box<dyn Job>>,
    newest: watch::Sender<EventId>,
    journal: Counted,
    file: PathBuf,
    retention: Retention,
    clock: Arc<Clock>,
    /// Commits wait for the disk.
    synced: bool,
    _lock: File,
}

/// The journal when it was counted last, without what was thinned out since.
#[derive(Clone, Copy, Default)]
struct Counted {
    events: usize,
    newest: EventId,
}

impl Counted {
    /// How many events there are at most.
    fn by(self, newest: EventId) -> usize {
        self.events.saturating_add(usize::try_from(newest - self.newest).unwrap_or(0))
    }
}

impl Desk {
    fn work(mut self) {
        self.tidy();
        let mut since_pruned = 0;
        let mut batch = Vec::with_capacity(BATCH);
        while self.jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
            since_pruned += batch.len();
            let due = since_pruned >= PRUNE_EVERY;
            if due {
                since_pruned = 0;
            }
            self.commit(&mut batch, due);
            if batch.iter().any(|job| job.is_last()) {
                // Nobody else has the database open: closing it leaves one file.
                if let Err((_, error)) = self.db.close() {
                    tracing::warn!(file = %self.file.display(), "the database could not be closed: {error}");
                }
                return;
            }
            batch.clear();
        }
    }

    /// All in one transaction, and thinning out with it where that is `due`, as a transaction more would be a wait for
    /// the disk more. Where that fails, each job in its own, so that one job's error is its own.
    fn commit(&mut self, batch: &mut [Box<dyn Job>], due: bool) {
        let newest = *self.newest.borrow();
        let most = self.retention.events;
        let count = self.journal.by(newest) > most.saturating_add(most / EXCESS);
        let keep = due.then(|| Keep { retention: self.retention, at: self.clock.now(), count });
        batch.iter().for_each(|job| dies::here("before", job.doing()));
        if let Ok(thinned) = together(&mut self.db, &mut self.synced, batch, keep) {
            self.counted(thinned, newest);
            batch.iter().for_each(|job| dies::here("after", job.doing()));
            self.tell();
            batch.iter_mut().for_each(|job| job.done());
            return;
        }
        for job in batch {
            match together(&mut self.db, &mut self.synced, std::slice::from_mut(job), None) {
                Ok(_) => {
                    self.tell();
                    job.done();
                }
                Err(error) => job.failed(error),
            }
        }
        if due {
            self.tidy();
        }
    }

    /// `newest`: before the transaction; what came with it counts twice at most.
    fn counted(&mut self, thinned: Thinned, newest: EventId) {
        match thinned.events {
            Some(events) => self.journal = Counted { events, newest },
            None => self.journal.events = self.journal.events.saturating_sub(thinned.forgotten),
        }
    }

    /// Tells readers of the newest event that is on the disk: before those who wrote it have their answer, so that whoever has
    /// one finds what it brought.
    fn tell(&self) {
        match journal::newest(&self.db) {
            Ok(newest) => {
                self.newest.send_if_modified(|told| std::mem::replace(told, newest) != newest);
            }
            // They are told after the next commit.
            Err(error) => tracing::warn!(file = %self.file.display(), "the newest event cannot be read: {error}"),
        }
    }

    /// Removes everything that is not to be kept, while nobody waits: at the start, and where thinning out with other
    /// work failed.
    fn tidy(&mut self) {
        loop {
            let thinned = self.db.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
                let keep = Keep { retention: self.retention, at: self.clock.now(), count: true };
                let thinned = prune::prune(&transaction, keep, PRUNE_ROWS)?;
                transaction.commit().map(|()| thinned)
            });
            let newest = *self.newest.borrow();
            match thinned {
                Ok(thinned) => {
                    self.counted(thinned, newest);
                    if !thinned.more {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(file = %self.file.display(), "old records could not be removed: {error}");
                    break;
                }
            }
        }
    }
}

/// Dropping the transaction undoes it, so every early return does. `synced`: whether the last one waited for the disk; this
/// one does where anybody waits for it, and takes with it all that came before: the log of writes is one file.
fn together(
    db: &mut Connection,
    synced: &mut bool,
    batch: &mut [Box<dyn Job>],
    prune: Option<Keep>,
) -> rusqlite::Result<Thinned> {
    let wanted = batch.iter().any(|job| job.is_waited_for());
    if *synced != wanted {
        db.pragma_update(None, "synchronous", if wanted { "FULL" } else { "NORMAL" })?;
        *synced = wanted;
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in batch {
        dies::fails(job.doing())?;
        job.run(&transaction)?;
    }
    let thinned = prune.map(|keep| prune::prune(&transaction, keep, PRUNE_ROWS)).transpose()?;
    transaction.commit().map(|()| thinned.unwrap_or_default())
}
