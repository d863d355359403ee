//! Where the daemon's log goes: standard output (journald) and a file a day with a stable link for `tail -F`.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::Context as _;
use tracing_appender::{
    non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard},
    rolling::{RollingFileAppender, Rotation},
};
use tracing_subscriber::{
    EnvFilter, Layer as _, fmt, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::report::redact::Redactor;

/// Name of the stable link beside the daily files.
pub const LATEST: &str = "turnout.log";
/// Lines waiting for the disk before writers wait too; nothing is dropped.
const BUFFERED_LINES: usize = 16_384;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging, with `keep` daily files at most. Keep the guard until the end: dropping it writes what is still buffered.
///
/// # Errors
/// When the filter cannot be parsed or the log directory cannot be written.
pub fn start(
    filter: &str,
    format: Format,
    directory: &Path,
    keep: usize,
    redactor: &Redactor,
) -> anyhow::Result<WorkerGuard> {
    let filter = || {
        EnvFilter::try_new(filter)
            .with_context(|| format!("log level `{filter}` is not understood; try `info`, `debug` or `turnout=debug`"))
    };
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create the log directory {}", directory.display()))?;
    // The stable link would point nowhere if it held a relative path.
    let directory = &directory
        .canonicalize()
        .with_context(|| format!("cannot resolve the log directory {}", directory.display()))?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("turnout")
        .filename_suffix("log")
        .latest_symlink(LATEST)
        .max_log_files(keep)
        .build(directory)
        .with_context(|| format!("cannot write a log file in {}", directory.display()))?;
    // Not lossy: a full buffer makes writers wait rather than lose a line.
    let (file, guard) =
        NonBlockingBuilder::default().lossy(false).buffered_lines_limit(BUFFERED_LINES).thread_name("log").finish(file);
    let file = Redacting { inner: file, redactor: redactor.clone() };
    let stdout = Redacting { inner: io::stdout, redactor: redactor.clone() };
    // journald stamps each line itself.
    let journald = std::env::var_os("JOURNAL_STREAM").is_some();
    let registry = tracing_subscriber::registry();
    match format {
        Format::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(stdout).with_filter(filter()?))
            .with(fmt::layer().json().flatten_event(true).with_writer(file).with_filter(filter()?))
            .init(),
        Format::Text if journald => registry
            .with(
                fmt::layer()
                    .with_target(false)
                    .with_ansi(false)
                    .without_time()
                    .with_writer(stdout)
                    .with_filter(filter()?),
            )
            .with(fmt::layer().with_target(false).with_ansi(false).with_writer(file).with_filter(filter()?))
            .init(),
        Format::Text => registry
            .with(
                fmt::layer()
                    .with_target(false)
                    .with_ansi(io::IsTerminal::is_terminal(&io::stdout()))
                    .with_writer(stdout)
                    .with_filter(filter()?),
            )
            .with(fmt::layer().with_target(false).with_ansi(false).with_writer(file).with_filter(filter()?))
            .init(),
    }
    Ok(guard)
}

/// A writer whose every write passes the redactor. The subscriber writes whole lines at once.
#[derive(Clone)]
struct Redacting<M> {
    inner: M,
    redactor: Redactor,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Redacting<M> {
    type Writer = RedactingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter { inner: self.inner.make_writer(), redactor: self.redactor.clone() }
    }
}

struct RedactingWriter<W> {
    inner: W,
    redactor: Redactor,
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) => self.inner.write_all(self.redactor.redact(text).as_bytes())?,
            Err(_) => self.inner.write_all(self.redactor.redact(&String::from_utf8_lossy(line)).as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

// `NonBlocking` is named so that the bound above is checked where it is used.
const _: fn() = || {
    fn takes<T: for<'a> MakeWriter<'a>>() {}
    takes::<Redacting<NonBlocking>>();
};
