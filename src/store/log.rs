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

use super::{DeploymentId, LogLine, Millis, Store, StoreError};
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

#[derive(Default)]
struct Guarded {
    /// Lines on their way to the disk.
    pending: Vec<LogLine>,
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
            Event::StepStarted { .. } | Event::Progress { .. } => true,
            Event::StepEnded { outcome, text, elapsed, .. } => {
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
            state.pending.push(line);
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
                state.pending.push(line);
            }
            state.pending.extend(tail);
        }
        let (deployment, shared) = (self.deployment, self.state.clone());
        let mut taken = Vec::new();
        move |db: &Connection| write(db, deployment, &shared, &mut taken)
    }

    fn flush_soon(&self, state: &mut Guarded) {
        if state.flushing {
            return;
        }
        let (deployment, shared) = (self.deployment, self.state.clone());
        let mut taken = Vec::new();
        let write = move |db: &Connection| write(db, deployment, &shared, &mut taken);
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
    taken: &mut Vec<LogLine>,
) -> rusqlite::Result<()> {
    {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.flushing = false;
        taken.append(&mut state.pending);
    }
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO log_lines (deployment, seq, at, kind, source, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for LogLine { seq, at, kind, source, text } in taken.iter() {
        let at: &Millis = at;
        insert.execute(params![deployment, seq, at, kind, source, text])?;
    }
    Ok(())
}
