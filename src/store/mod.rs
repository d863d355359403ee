//! Deliveries, deployments and their logs, in one SQLite file that survives a SIGKILL at any instant.
//!
//! [`Store`] is a handle: writes go through one thread with group commit ([`writer`]), reads have a connection of their
//! own. What is answered is on the disk. Texts are redacted by the caller's sink before they come here.

mod commands;
mod reader;
mod schema;
mod types;
mod writer;

use std::{
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

pub use types::{
    Accepted, Claimed, Deployment, DeploymentId, Ending, Limits, Logged, NewDelivery, Order, Progress, State, StoreError,
};
use writer::Command;

use crate::report::Event;

/// Commands that may wait for the writer; beyond that new deliveries are refused as busy.
const QUEUE: usize = 4096;

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    commands: mpsc::SyncSender<Command>,
    reader: Arc<Mutex<Connection>>,
    changes: watch::Receiver<u64>,
}

impl Store {
    /// Opens or creates the file, readable by its owner alone, and starts the writer.
    ///
    /// # Errors
    /// When the file cannot be created, opened, or was written by a newer turnout.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        let fail = |reason: String| StoreError::Open { file: path.display().to_string(), reason };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|e| fail(e.to_string()))?;
        }
        let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let file = file.map_err(|e| fail(e.to_string()))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(|e| fail(e.to_string()))?;
        let connection = writer::open(path)?;
        let reader = reader::open(path)?;
        let (commands, receiver) = mpsc::sync_channel(QUEUE);
        let (changed, changes) = watch::channel(0);
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer::Writer::new(connection, limits, changed).run(&receiver))
            .map_err(|e| fail(e.to_string()))?;
        Ok(Self { commands, reader: Arc::new(Mutex::new(reader)), changes })
    }

    /// Keeps a delivery and queues what it asks for. When this returns, it is on the disk.
    ///
    /// # Errors
    /// Full disk, overload, or a failing database; then nothing was accepted.
    pub async fn accept(&self, delivery: NewDelivery) -> Result<Accepted, StoreError> {
        self.send(|reply| Command::Accept(Box::new(delivery), reply)).await
    }

    /// Queues a deployment that no delivery asked for. Returns its number and those it supersedes.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn enqueue(&self, order: Order, now_ms: i64) -> Result<(DeploymentId, Vec<DeploymentId>), StoreError> {
        self.send(|reply| Command::Enqueue(order, now_ms, reply)).await
    }

    /// Takes the repository's queued deployment and marks it running.
    ///
    /// # Errors
    /// As [`Store::accept`]; the deployment stays queued.
    pub async fn claim(&self, repo: &str, now_ms: i64) -> Result<Option<Claimed>, StoreError> {
        self.send(|reply| Command::Claim(repo.to_owned(), now_ms, reply)).await
    }

    /// Notes how far a deployment has come.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn progress(&self, id: DeploymentId, progress: Progress) -> Result<(), StoreError> {
        self.send(|reply| Command::Progress(id, progress, reply)).await
    }

    /// Ends a deployment; an interrupted one is queued again.
    ///
    /// # Errors
    /// As [`Store::accept`]; the deployment then counts as running, and as interrupted at the next start.
    pub async fn finish(&self, id: DeploymentId, ending: Ending) -> Result<(), StoreError> {
        self.send(|reply| Command::Finish(id, ending, reply)).await
    }

    /// To be called once after the start: interrupts what was running and returns all repositories with queued work.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn recover(&self, now_ms: i64) -> Result<Vec<String>, StoreError> {
        self.send(|reply| Command::Recover(now_ms, reply)).await
    }

    /// Appends to a deployment's log. Waits only while [`QUEUE`] commands are ahead; nothing is dropped silently.
    pub fn log(&self, id: DeploymentId, at_ms: i64, event: Event) {
        // A closed writer means that the daemon is ending; the log file has the line too.
        let _ = self.commands.send(Command::Event(id, at_ms, event));
    }

    /// Writes what waits and closes.
    ///
    /// # Errors
    /// When the last write fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.send(Command::Close).await
    }

    /// Rises after every commit; followers wait on it.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// One deployment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deployment(&self, id: DeploymentId) -> Result<Option<Deployment>, StoreError> {
        self.read(move |c| reader::deployment(c, id)).await
    }

    /// Deployments, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn history(&self, repo: Option<String>, limit: u32) -> Result<Vec<Deployment>, StoreError> {
        self.read(move |c| reader::history(c, repo.as_deref(), limit)).await
    }

    /// The deployment of a repository under way, else the one queued.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn active(&self, repo: String) -> Result<Option<Deployment>, StoreError> {
        self.read(move |c| reader::active(c, &repo)).await
    }

    /// The newest deployment of a repository that succeeded, failed or was cancelled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_ended(&self, repo: String) -> Result<Option<Deployment>, StoreError> {
        self.read(move |c| reader::last_ended(c, &repo)).await
    }

    /// The commit that was last deployed with success for this project of a repository.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_deployed(&self, repo: String, project: String) -> Result<Option<String>, StoreError> {
        self.read(move |c| reader::last_deployed(c, &repo, &project)).await
    }

    /// Projects of a repository that were deployed, newest first; more than one after a change of colour.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn projects(&self, repo: String) -> Result<Vec<String>, StoreError> {
        self.read(move |c| reader::projects(c, &repo)).await
    }

    /// Events of one deployment after `after`, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(&self, id: DeploymentId, after: i64, limit: u32) -> Result<Vec<Logged>, StoreError> {
        self.read(move |c| reader::events(c, id, after, limit)).await
    }

    /// The last events (of a repository), oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tail(&self, repo: Option<String>, limit: u32) -> Result<Vec<Logged>, StoreError> {
        self.read(move |c| reader::tail(c, repo.as_deref(), limit)).await
    }

    /// Deployments (of a repository) that run, or that are newer than `after` and have begun.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_since(&self, repo: Option<String>, after: DeploymentId) -> Result<Vec<DeploymentId>, StoreError> {
        self.read(move |c| reader::open_since(c, repo.as_deref(), after)).await
    }

    async fn send<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(command(reply)).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => StoreError::Busy,
            mpsc::TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = Arc::clone(&self.reader);
        tokio::task::spawn_blocking(move || question(&reader.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .map_err(|_| StoreError::Closed)?
    }
}

/// The commit last deployed, read from a database whose daemon may or may not run. `None` when there is no database.
///
/// # Errors
/// When the file exists but cannot be read.
pub fn peek_last_deployed(path: &Path, repo: &str, project: &str) -> Result<Option<String>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    reader::last_deployed(&reader::open(path)?, repo, project)
}

#[cfg(test)]
mod tests;
