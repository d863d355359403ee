//! Where the daemon's log goes: standard output (journald) and files with a stable link for `tail -F`.

use std::{
    borrow::Cow,
    io::{self, Write},
    os::fd::AsFd,
    path::Path,
};

use anyhow::Context as _;
use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer as _, fmt, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{
    log_fields::{MaskedFields, masked_json},
    log_file::{Limits, LogFile},
    outlet::Outlet,
};
use crate::report::redact::{Redactor, escape_marks};

/// Lines waiting for the disk before writers wait too; nothing is dropped.
const BUFFERED_LINES: usize = 16_384;
/// Bytes of lines that are written to the file at one time.
const BUFFERED_BYTES: usize = 64 << 10;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Writes what is still buffered when it is dropped.
pub struct Guard {
    _file: WorkerGuard,
    stdout: Outlet,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stdout.finish();
    }
}

/// Starts logging. Keep the guard until the end.
///
/// # Errors
/// When the filter cannot be parsed or the log directory cannot be written.
pub fn start(
    filter: &str,
    format: Format,
    directory: &Path,
    limits: Limits,
    redactor: &Redactor,
) -> anyhow::Result<Guard> {
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
    let file = LogFile::open(directory, limits, format == Format::Json)
        .with_context(|| format!("cannot write a log file in {}", directory.display()))?;
    // What comes together goes in one write: whoever writes the lines flushes when none waits any more.
    let file = io::BufWriter::with_capacity(BUFFERED_BYTES, file);
    // Not lossy: a full buffer makes writers wait rather than lose a line.
    let (file, guard) =
        NonBlockingBuilder::default().lossy(false).buffered_lines_limit(BUFFERED_LINES).thread_name("log").finish(file);
    // journald stamps each line itself.
    let journald = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), io::stdout());
    // Whoever reads standard output may stop to read; nothing here waits for that.
    let outlet = Outlet::new(io::stdout(), journald).context("cannot start the thread that writes standard output")?;
    let guard = Guard { _file: guard, stdout: outlet.clone() };
    let json = (format == Format::Json).then(|| redactor.clone());
    let fields = || MaskedFields(redactor.clone());
    let file = Redacting { inner: file, priorities: false, json: json.clone() };
    let stdout = Redacting { inner: outlet, priorities: journald, json };
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
                    .fmt_fields(fields())
                    .with_writer(stdout)
                    .with_filter(filter()?),
            )
            .with(
                fmt::layer()
                    .with_target(false)
                    .with_ansi(false)
                    .fmt_fields(fields())
                    .with_writer(file)
                    .with_filter(filter()?),
            )
            .init(),
        Format::Text => registry
            .with(
                fmt::layer()
                    .with_target(false)
                    .with_ansi(io::IsTerminal::is_terminal(&io::stdout()))
                    .fmt_fields(fields())
                    .with_writer(stdout)
                    .with_filter(filter()?),
            )
            .with(
                fmt::layer()
                    .with_target(false)
                    .with_ansi(false)
                    .fmt_fields(fields())
                    .with_writer(file)
                    .with_filter(filter()?),
            )
            .init(),
    }
    Ok(guard)
}

/// Whether a stream is the one that systemd connected to the journal: `JOURNAL_STREAM` names its device and inode (see
/// systemd.exec(5)), and is still set for programs whose output goes elsewhere.
pub(super) fn is_journal(named: Option<&str>, stream: impl AsFd) -> bool {
    let named = named.and_then(|named| named.split_once(':'));
    let named = named.and_then(|(device, inode)| Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?)));
    let here = rustix::fs::fstat(stream).ok().map(|stat| (stat.st_dev, stat.st_ino));
    named.is_some() && named == here
}

/// What journald takes off the beginning of a line as its priority; see sd-daemon(3).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// A writer that makes lines fit to be read by others. The subscriber writes whole lines at once.
#[derive(Clone)]
struct Redacting<M> {
    inner: M,
    /// Each line begins with its priority.
    priorities: bool,
    /// Lines are JSON, masked with this value by value. Those of text are masked field by field, see [`MaskedFields`].
    json: Option<Redactor>,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Redacting<M> {
    type Writer = RedactingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter { inner: self.inner.make_writer(), priority: None, json: self.json.clone() }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        let priority = self.priorities.then(|| priority(*meta.level()));
        RedactingWriter { priority, ..self.make_writer() }
    }
}

struct RedactingWriter<W> {
    inner: W,
    priority: Option<&'static str>,
    json: Option<Redactor>,
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        // The fields of a line of text were masked when they were written.
        let clean = match &self.json {
            None => text,
            Some(redactor) => match serde_json::from_str(&text) {
                Ok(fields) => Cow::Owned(format!("{}\n", masked_json(fields, redactor))),
                Err(_) => Cow::Owned(redactor.redact(&text).into_owned()),
            },
        };
        let clean = escape_marks(&clean, self.json.is_some());
        match self.priority {
            None => self.inner.write_all(clean.as_bytes())?,
            // Of a text of several lines journald makes several entries.
            Some(priority) => {
                let lines: String = clean.split_inclusive('\n').flat_map(|line| [priority, line]).collect();
                self.inner.write_all(lines.as_bytes())?;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_looks_like_the_form_of_a_line_leaves_the_form() {
        let redactor = Redactor::default();
        redactor.add("\"level\":\"INFO\"");
        redactor.add("deployment");
        redactor.add("s3cret-word");
        let mut writer = RedactingWriter { inner: Vec::new(), priority: None, json: Some(redactor) };
        let line = "{\"level\":\"INFO\",\"message\":\"it is s3cret-word\",\"deployment\":7}\n";
        writer.write_all(line.as_bytes()).unwrap();
        let text = String::from_utf8(writer.inner).unwrap();
        let fields: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(fields["deployment"], 7);
        assert_eq!(fields["level"], "INFO");
        assert_eq!(fields["message"], "it is [redacted]");
        assert!(text.ends_with("}\n"));
    }
}
