//! The way to the one thread that writes.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{damage::is_damage, error::StoreError};

/// The way to the writing thread.
pub(super) struct Writer {
    inbox: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<thread::JoinHandle<()>>,
    file: Arc<Path>,
    /// Set when the database is found damaged: what could still be written might not be read again.
    broken: Arc<AtomicBool>,
}

impl Writer {
    /// The way to this thread. `broken` is set when a job finds the database damaged.
    pub(super) fn new(
        inbox: mpsc::Sender<Box<dyn Job>>,
        thread: thread::JoinHandle<()>,
        file: &Path,
        broken: Arc<AtomicBool>,
    ) -> Writer {
        Writer { inbox: Some(inbox), thread: Some(thread), file: file.into(), broken }
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
pub(super) trait Job: Send {
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
        if is_damage(&error) {
            self.broken.store(true, Ordering::Relaxed);
        }
        let error = StoreError::sqlite(self.doing, &self.file, error);
        if let Some(Err(Err(unheard))) = self.reply.take().map(|reply| reply.send(Err(error))) {
            tracing::warn!("{unheard}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::store::{Retention, Store};

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
