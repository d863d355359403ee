//! The one thread that writes, and the transactions it shares out.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    EventId, Retention, StoreError,
    clock::Clock,
    dies, journal,
    prune::{self, Keep, Thinned},
    soundness,
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

/// The way to the writing thread.
pub(super) struct Writer {
    inbox: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<thread::JoinHandle<()>>,
    file: Arc<Path>,
    /// Set when the database is found damaged: what could still be written might not be read again.
    broken: Arc<AtomicBool>,
}

impl Writer {
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
        Ok((Writer { inbox: Some(inbox), thread: Some(thread), file: file.into(), broken }, newest))
    }

    /// Has `work` done in a transaction, and answers when that is on disk. `work` may run twice: what the first run
    /// did is then undone.
    pub(super) async fn run<T, F>(&self, doing: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.sound()?;
        let (job, answer) = self.job(doing, work);
        self.inbox.as_ref().ok_or(StoreError::Closed)?.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Hands `work` in without waiting for the disk; what is handed in later is written after it. A failure is logged. It
    /// survives the end of the process at once, and a power cut as soon as something is written that somebody waits for.
    pub(super) async fn hand_in<F>(&self, doing: &'static str, work: F) -> Result<(), StoreError>
    where
        F: FnMut(&Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        self.sound()?;
        let (job, _) = self.job(doing, work);
        self.inbox.as_ref().ok_or(StoreError::Closed)?.send(job).await.map_err(|_| StoreError::Closed)
    }

    /// Hands `work` in without waiting. False where the inbox is full or closed.
    pub(super) fn try_run<F>(&self, doing: &'static str, work: F) -> Option<oneshot::Receiver<Result<(), StoreError>>>
    where
        F: FnMut(&Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        let (job, answer) = self.job(doing, work);
        self.inbox.as_ref()?.try_send(job).ok().map(|()| answer)
    }

    /// Ends the thread after the jobs that were handed in before, and waits until the database is closed.
    pub(super) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if let Some(inbox) = &self.inbox
            && inbox.send(Box::new(End { _reply: reply })).await.is_ok()
        {
            // Nothing is ever sent: the job is dropped when the database is closed.
            let _ = closed.await;
        }
    }

    fn sound(&self) -> Result<(), StoreError> {
        match self.broken.load(Ordering::Relaxed) {
            true => Err(StoreError::Broken(self.file.to_path_buf())),
            false => Ok(()),
        }
    }

    fn job<T, F>(&self, doing: &'static str, work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Task {
            doing,
            work,
            outcome: None,
            reply: Some(reply),
            file: self.file.clone(),
            broken: self.broken.clone(),
        };
        (Box::new(task), answer)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing the inbox ends the thread after the jobs that are in it.
        self.inbox = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Something to do in a transaction.
trait Job: Send {
    /// Does it. An error undoes the whole transaction.
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()>;
    /// Answers: on disk.
    fn done(&mut self);
    /// Answers: not done.
    fn failed(&mut self, error: rusqlite::Error);
    /// Whether anybody waits for it to be on the disk.
    fn is_waited_for(&self) -> bool {
        true
    }
    /// What it does, in words.
    fn doing(&self) -> &'static str {
        "nothing"
    }
    /// Whether the thread ends after it.
    fn is_last(&self) -> bool {
        false
    }
}

/// The last job. Dropped when the database is closed, which tells whoever waits for that.
struct End {
    _reply: oneshot::Sender<()>,
}

impl Job for End {
    fn run(&mut self, _: &Connection) -> rusqlite::Result<()> {
        Ok(())
    }

    fn done(&mut self) {}

    fn failed(&mut self, _: rusqlite::Error) {}

    fn is_last(&self) -> bool {
        true
    }
}

struct Task<T, F> {
    doing: &'static str,
    work: F,
    outcome: Option<T>,
    reply: Option<oneshot::Sender<Result<T, StoreError>>>,
    file: Arc<Path>,
    broken: Arc<AtomicBool>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> rusqlite::Result<T> + Send,
{
    fn doing(&self) -> &'static str {
        self.doing
    }

    fn is_waited_for(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    fn run(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.outcome = Some((self.work)(db)?);
        Ok(())
    }

    fn done(&mut self) {
        // Whoever asked may have gone away; the record stands all the same.
        if let (Some(reply), Some(outcome)) = (self.reply.take(), self.outcome.take()) {
            let _ = reply.send(Ok(outcome));
        }
    }

    fn failed(&mut self, error: rusqlite::Error) {
        if soundness::is_damage(&error) {
            self.broken.store(true, Ordering::Relaxed);
        }
        let error = StoreError::sqlite(self.doing, &self.file, error);
        if let Some(Err(Err(unheard))) = self.reply.take().map(|reply| reply.send(Err(error))) {
            tracing::warn!("{unheard}");
        }
    }
}

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

/// The journal when it was counted last.
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
            self.tell();
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
            batch.iter_mut().for_each(|job| job.done());
            return;
        }
        for job in batch {
            match together(&mut self.db, &mut self.synced, std::slice::from_mut(job), None) {
                Ok(_) => job.done(),
                Err(error) => job.failed(error),
            }
        }
        if due {
            self.tidy();
        }
    }

    /// `newest`: before the transaction; what came with it counts twice at most.
    fn counted(&mut self, thinned: Thinned, newest: EventId) {
        if let Some(events) = thinned.events {
            self.journal = Counted { events, newest };
        }
    }

    /// Tells readers of the newest event that is on the disk.
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
        job.run(&transaction)?;
    }
    let thinned = prune.map(|keep| prune::prune(&transaction, keep, PRUNE_ROWS)).transpose()?;
    transaction.commit().map(|()| thinned.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn only_what_is_waited_for_waits_for_the_disk() {
        const FULL: i64 = 2;
        const NORMAL: i64 = 1;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("turnout.db"), Retention::default()).unwrap();
        let level = |db: &Connection| db.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0));
        for _ in 0..2 {
            assert_eq!(store.inner.writer.run("looking", level).await.unwrap(), FULL);
            let (tell, told) = mpsc::channel();
            // Nothing else is written with it.
            let look = move |db: &Connection| level(db).map(|level| tell.send(level).unwrap());
            store.inner.writer.hand_in("looking", look).await.unwrap();
            assert_eq!(told.recv(), Ok(NORMAL));
        }
    }
}
