//! The one thread that writes. Whatever waits is written in one transaction with one flush to the disk (group commit),
//! and only then answered; so many deliveries at once cost little more than one.

use std::{
    collections::HashMap,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::{oneshot, watch};

use super::{
    commands,
    types::{Accepted, Claimed, DeploymentId, Ending, Limits, NewDelivery, Order, Progress, StoreError},
};
use crate::report::Event;

/// Most commands in one transaction.
const BATCH: usize = 512;
/// How long events may wait for company before they are written; commands never wait.
const EVENT_DELAY: Duration = Duration::from_millis(40);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Something to write.
pub(super) enum Command {
    Accept(Box<NewDelivery>, Reply<Accepted>),
    Enqueue(Order, i64, Reply<(DeploymentId, Vec<DeploymentId>)>),
    Claim(String, i64, Reply<Option<Claimed>>),
    Progress(DeploymentId, Progress, Reply<()>),
    Finish(DeploymentId, Ending, Reply<()>),
    Recover(i64, Reply<Vec<String>>),
    Event(DeploymentId, i64, Event),
    Close(Reply<()>),
}

/// A reply that waits for the commit.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The writer's state.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) limits: Limits,
    pub(super) changes: watch::Sender<u64>,
    logs: HashMap<DeploymentId, LogState>,
}

/// How much of a deployment's log is kept.
#[derive(Default)]
struct LogState {
    last_seq: i64,
    bytes: usize,
    /// Events beyond the limits.
    dropped: u64,
    /// Events lost because the disk refused them.
    lost: u64,
}

impl Writer {
    pub(super) fn new(connection: Connection, limits: Limits, changes: watch::Sender<u64>) -> Self {
        Self { connection, limits, changes, logs: HashMap::new() }
    }

    /// Works until every sender is gone or told to close.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut waiting: Vec<Command> = Vec::new();
        let mut since: Option<Instant> = None;
        loop {
            let next = match since {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(begun) => commands.recv_timeout(EVENT_DELAY.saturating_sub(begun.elapsed())),
            };
            let mut urgent = match next {
                Ok(command) => {
                    let urgent = !matches!(command, Command::Event(..));
                    waiting.push(command);
                    since = since.or_else(|| Some(Instant::now()));
                    urgent
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => {
                    self.write(&mut waiting);
                    return;
                }
            };
            while waiting.len() < BATCH
                && let Ok(command) = commands.try_recv()
            {
                urgent |= !matches!(command, Command::Event(..));
                waiting.push(command);
            }
            if urgent || waiting.len() >= BATCH {
                let closing = waiting.iter().any(|c| matches!(c, Command::Close(_)));
                self.write(&mut waiting);
                since = None;
                if closing {
                    return;
                }
            }
        }
    }

    /// One transaction for all that waits.
    fn write(&mut self, waiting: &mut Vec<Command>) {
        if waiting.is_empty() {
            return;
        }
        let mut answers: Vec<Answer> = Vec::with_capacity(waiting.len());
        let mut ended: Vec<DeploymentId> = Vec::new();
        let mut events: Vec<(DeploymentId, usize)> = Vec::new();
        let result = self.in_transaction(waiting, &mut answers, &mut ended, &mut events);
        if let Err(error) = &result {
            tracing::error!(%error, "cannot write to the database");
            // Sequence numbers of what was rolled back are read anew; the loss is named once there is room again.
            for (id, lost) in events {
                let before = self.logs.remove(&id).unwrap_or_default();
                let state = self.load_log(id);
                state.dropped = before.dropped;
                state.lost = before.lost + lost as u64;
            }
        }
        for id in ended {
            self.logs.remove(&id);
        }
        for answer in answers {
            answer(result.clone());
        }
        self.changes.send_modify(|generation| *generation += 1);
    }

    fn in_transaction(
        &mut self,
        waiting: &mut Vec<Command>,
        answers: &mut Vec<Answer>,
        ended: &mut Vec<DeploymentId>,
        events: &mut Vec<(DeploymentId, usize)>,
    ) -> Result<(), StoreError> {
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
        for command in waiting.drain(..) {
            match command {
                Command::Event(id, at_ms, event) => {
                    match events.iter_mut().find(|(known, _)| *known == id) {
                        Some((_, count)) => *count += 1,
                        None => events.push((id, 1)),
                    }
                    if begun.is_ok() {
                        // A failed write shows again at the commit, where the loss is counted.
                        let _ = self.append(id, at_ms, &event);
                    }
                }
                Command::Accept(delivery, reply) => {
                    let limits = self.limits;
                    answers.push(self.step(reply, |c| commands::accept(c, &delivery, &limits)));
                }
                Command::Enqueue(order, now, reply) => {
                    answers.push(self.step(reply, |c| commands::enqueue(c, &order, now, 1)));
                }
                Command::Claim(repo, now, reply) => {
                    answers.push(self.step(reply, |c| commands::claim(c, &repo, now)));
                }
                Command::Progress(id, progress, reply) => {
                    answers.push(self.step(reply, |c| commands::progress(c, id, &progress)));
                }
                Command::Finish(id, ending, reply) => {
                    self.name_losses(id, ending.ended_ms);
                    let limits = self.limits;
                    ended.push(id);
                    answers.push(self.step(reply, |c| commands::finish(c, id, &ending, &limits)));
                }
                Command::Recover(now, reply) => {
                    let limits = self.limits;
                    answers.push(self.step(reply, |c| commands::recover(c, now, &limits)));
                }
                Command::Close(reply) => answers.push(Box::new(move |result| drop(reply.send(result)))),
            }
        }
        begun?;
        if self.connection.is_autocommit() {
            // SQLite rolled the whole transaction back by itself, as it does on a full disk.
            return Err(StoreError::Full);
        }
        self.connection.execute_batch("COMMIT").inspect_err(|_| {
            let _ = self.connection.execute_batch("ROLLBACK");
        })?;
        Ok(())
    }

    /// Carries one command out inside a savepoint, so that its failure is its own. Its answer waits for the commit.
    fn step<T: Send + 'static>(
        &self,
        reply: Reply<T>,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Answer {
        let done = (|| {
            if self.connection.is_autocommit() {
                return Err(StoreError::Full); // no transaction: its beginning or an earlier command failed for all
            }
            self.connection.execute_batch("SAVEPOINT one")?;
            match work(&self.connection) {
                Ok(value) => {
                    self.connection.execute_batch("RELEASE one")?;
                    Ok(value)
                }
                Err(error) => {
                    if !self.connection.is_autocommit() {
                        self.connection.execute_batch("ROLLBACK TO one; RELEASE one")?;
                    }
                    Err(error)
                }
            }
        })();
        Box::new(move |committed| {
            let result = match (done, committed) {
                (Ok(value), Ok(())) => Ok(value),
                (Ok(_), Err(error)) | (Err(error), _) => Err(error),
            };
            drop(reply.send(result));
        })
    }

    fn append(&mut self, id: DeploymentId, at_ms: i64, event: &Event) -> Result<(), StoreError> {
        let limits = self.limits;
        let text = serde_json::to_string(event).map_err(|e| StoreError::Sqlite(e.to_string()))?;
        let state = self.load_log(id);
        if state.last_seq >= limits.events || state.bytes.saturating_add(text.len()) > limits.event_bytes {
            state.dropped += 1;
            return Ok(());
        }
        state.last_seq += 1;
        state.bytes += text.len();
        let seq = state.last_seq;
        self.connection
            .prepare_cached("INSERT INTO events (deployment, seq, at_ms, event) VALUES (?, ?, ?, ?)")?
            .execute(params![id, seq, at_ms, text])?;
        Ok(())
    }

    /// Says at the end of a log how much of it is missing.
    fn name_losses(&mut self, id: DeploymentId, at_ms: i64) {
        let Some(state) = self.logs.get_mut(&id) else { return };
        let mut missing = Vec::new();
        if state.dropped > 0 {
            missing.push(format!("{} more events are not kept: the log of one deployment is bounded", state.dropped));
        }
        if state.lost > 0 {
            missing.push(format!("{} events could not be written: the disk was full or failed", state.lost));
        }
        state.bytes = 0;
        let seq = state.last_seq;
        for (extra, text) in (1..).zip(missing) {
            let event = serde_json::to_string(&Event::Warning { text }).unwrap_or_default();
            let _ = self.connection.execute(
                "INSERT OR IGNORE INTO events (deployment, seq, at_ms, event) VALUES (?, ?, ?, ?)",
                params![id, seq + extra, at_ms, event],
            );
        }
    }

    fn load_log(&mut self, id: DeploymentId) -> &mut LogState {
        let connection = &self.connection;
        self.logs.entry(id).or_insert_with(|| {
            let (last_seq, bytes) = connection
                .query_row(
                    "SELECT coalesce(max(seq), 0), coalesce(sum(length(event)), 0) FROM events WHERE deployment = ?",
                    [id],
                    |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
                )
                .unwrap_or_default();
            LogState { last_seq, bytes: usize::try_from(bytes).unwrap_or(0), ..LogState::default() }
        })
    }
}

/// Opens the connection that writes.
pub(super) fn open(path: &std::path::Path) -> Result<Connection, StoreError> {
    let fail = |reason: String| StoreError::Open { file: path.display().to_string(), reason };
    let mut connection = Connection::open(path).map_err(|e| fail(e.to_string()))?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(|e| fail(e.to_string()))?;
    super::schema::prepare_writer(&mut connection).map_err(|e| fail(e.to_string()))?;
    // Leave the beginning of transactions to `BEGIN IMMEDIATE` above.
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    Ok(connection)
}
