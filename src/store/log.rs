//! A deployment's log: taken without waiting, written in bulk, bounded by name.
//!
//! The first lines and the last ones are kept; what lies between is left out, and a line says how much. The end of a
//! failed build is what its reader needs, so it must not be what the limit cuts.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, params};

use super::{DeploymentId, DomainEvent, LogLine, Millis, Store, StoreError, journal};
use crate::report::{Event, Outcome, counted, redact::Redactor};

/// How much of a log is kept.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Lines from the beginning.
    pub head_lines: usize,
    /// Bytes from the beginning.
    pub head_bytes: usize,
    /// Lines from the end, once the beginning is full.
    pub tail_lines: usize,
    /// Bytes of one line; the rest of it is cut.
    pub line_bytes: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        LogLimits { head_lines: 20_000, head_bytes: 4 << 20, tail_lines: 500, line_bytes: 4_096 }
    }
}

/// Takes the lines of one deployment. Clones share it. Never blocks on the disk.
#[derive(Clone)]
pub struct LogHandle {
    store: Store,
    deployment: DeploymentId,
    redactor: Redactor,
    limits: LogLimits,
    state: Arc<Mutex<Guarded>>,
}

/// What one job writes.
#[derive(Default)]
struct Pending {
    lines: Vec<LogLine>,
    /// What happened beside them, and when.
    happened: Vec<(Millis, DomainEvent)>,
}

impl Pending {
    fn append(&mut self, other: &mut Pending) {
        self.lines.append(&mut other.lines);
        self.happened.append(&mut other.happened);
    }
}

#[derive(Default)]
struct Guarded {
    /// On its way to the disk.
    pending: Pending,
    /// A job that will take `pending` is in the writer's inbox.
    flushing: bool,
    lines: usize,
    bytes: usize,
    last_seq: i64,
    tail: VecDeque<LogLine>,
    left_out: usize,
}

impl Store {
    /// Begins the log of a deployment. Every line passes `redactor` before it is kept.
    pub fn log_handle(&self, deployment: DeploymentId, redactor: Redactor, limits: LogLimits) -> LogHandle {
        self.log_handle_after(deployment, redactor, limits, 0)
    }

    /// Goes on with the log of a deployment after its line number `last`.
    pub fn log_handle_after(
        &self,
        deployment: DeploymentId,
        redactor: Redactor,
        limits: LogLimits,
        last: i64,
    ) -> LogHandle {
        let state = Guarded { last_seq: last, ..Guarded::default() };
        LogHandle { store: self.clone(), deployment, redactor, limits, state: Arc::new(Mutex::new(state)) }
    }
}

impl LogHandle {
    /// Takes an event. Progress is for terminals and leaves no line. False where the beginning of the log is full, and it
    /// is only kept if it is one of the last.
    pub fn event(&self, event: &Event) -> bool {
        match event {
            Event::Phase { name } => self.line("phase", None, name),
            Event::Info { text } | Event::Build { text, .. } => self.line("info", None, text),
            Event::Warning { text } => self.line("warning", None, text),
            Event::Progress { .. } => true,
            Event::StepStarted { step, text } => {
                self.happened(DomainEvent::StepBegan { step: *step, text: self.redactor.redact(text).into_owned() });
                true
            }
            Event::StepEnded { step, outcome, text, elapsed } => {
                self.happened(DomainEvent::StepEnded {
                    step: *step,
                    outcome: *outcome,
                    text: self.redactor.redact(text).into_owned(),
                    took: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                });
                let word = match outcome {
                    Outcome::Done => "done",
                    Outcome::Skipped => "skipped",
                    Outcome::Failed => "failed",
                    Outcome::Abandoned => "abandoned",
                };
                self.line("step", None, &format!("{word}: {text} ({:.1} s)", elapsed.as_secs_f64()))
            }
            Event::Output { source, line } => self.line("output", Some(source), line),
        }
    }

    /// As much of a line as is kept.
    pub fn cut(&self, mut text: String) -> String {
        if text.len() > self.limits.line_bytes {
            text.truncate(text.floor_char_boundary(self.limits.line_bytes));
            text.push('…');
        }
        text
    }

    /// Takes what is told of a step. Where the beginning of the log is full it goes the way of the lines: the end of the
    /// deployment tells of what failed, and the log says how much is left out.
    fn happened(&self, event: DomainEvent) {
        let mut state = self.lock();
        if state.lines < self.limits.head_lines && state.bytes < self.limits.head_bytes {
            let at = self.store.inner.clock.now();
            state.pending.happened.push((at, event));
            self.flush_soon(&mut state);
        }
    }

    /// Takes a line, see [`LogHandle::event`].
    pub fn line(&self, kind: &str, source: Option<&str>, text: &str) -> bool {
        let text = self.cut(self.redactor.line(text).into_owned());
        let source = source.map(|source| self.redactor.line(source).into_owned());
        let mut state = self.lock();
        state.last_seq += 1;
        let line =
            LogLine { seq: state.last_seq, at: self.store.inner.clock.now(), kind: kind.to_owned(), source, text };
        if state.lines < self.limits.head_lines && state.bytes < self.limits.head_bytes {
            state.lines += 1;
            state.bytes += line.text.len();
            state.pending.lines.push(line);
            self.flush_soon(&mut state);
            true
        } else {
            state.tail.push_back(line);
            if state.tail.len() > self.limits.tail_lines {
                state.tail.pop_front();
                state.left_out += 1;
            }
            false
        }
    }

    /// Writes everything, the kept end included, and waits for the disk. To be called before the deployment ends.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn close(&self) -> Result<(), StoreError> {
        let write = self.last_write();
        self.store.inner.writer.run("writing the deployment's log", write).await
    }

    /// As [`LogHandle::close`], without waiting: the deployment's end, asked for next, is written after it.
    ///
    /// # Errors
    /// The store is closed. A failure to write is logged.
    pub async fn close_soon(&self) -> Result<(), StoreError> {
        let write = self.last_write();
        self.store.inner.writer.hand_in("writing the deployment's log", write).await
    }

    fn last_write(&self) -> impl FnMut(&Connection) -> rusqlite::Result<()> + Send + use<> {
        {
            let mut state = self.lock();
            let tail = mem::take(&mut state.tail);
            if let (left_out @ 1.., Some(first)) = (mem::take(&mut state.left_out), tail.front()) {
                let text =
                    format!("{} left out here: the log keeps its beginning and its end", counted(left_out, "line"));
                // Its number is that of the last line left out.
                let line = LogLine { seq: first.seq - 1, at: first.at, kind: "warning".to_owned(), source: None, text };
                state.pending.lines.push(line);
            }
            state.pending.lines.extend(tail);
        }
        let (deployment, shared) = (self.deployment, self.state.clone());
        let (clock, mut taken) = (Arc::clone(&self.store.inner.clock), Pending::default());
        move |db: &Connection| write(db, deployment, &shared, &mut taken, clock.now())
    }

    fn flush_soon(&self, state: &mut Guarded) {
        if state.flushing {
            return;
        }
        let (deployment, shared) = (self.deployment, self.state.clone());
        let (clock, mut taken) = (Arc::clone(&self.store.inner.clock), Pending::default());
        let write = move |db: &Connection| write(db, deployment, &shared, &mut taken, clock.now());
        // A full inbox is no loss: the next line or `close` tries again.
        state.flushing = self.store.inner.writer.try_run("writing the deployment's log", write).is_some();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Guarded> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is pending. `taken` holds what a first, undone run of the same job took.
fn write(
    db: &Connection,
    deployment: DeploymentId,
    state: &Mutex<Guarded>,
    taken: &mut Pending,
    now: Millis,
) -> rusqlite::Result<()> {
    {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.flushing = false;
        taken.append(&mut state.pending);
    }
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO log_lines (deployment, seq, at, kind, source, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for LogLine { seq, at, kind, source, text } in &taken.lines {
        insert.execute(params![deployment, seq, at, kind, source, text])?;
    }
    for (at, event) in &taken.happened {
        journal::of_deployment(db, *at, deployment, event)?;
    }
    match taken.lines.last() {
        Some(last) => journal::log_written(db, now, deployment, last.seq),
        None => Ok(()),
    }
}
