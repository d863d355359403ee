//! The access log: a line a request. No request waits for it: lines go to a thread of their own through a queue that has an
//! end, and what does not fit is dropped and counted.

use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use crate::date;

/// Lines that wait to be written.
const LINES: usize = 8_192;
/// Bytes of a value that a client chose.
const VALUE: usize = 1_024;
/// Bytes that are written at once.
const BATCH: usize = 64 << 10;

/// How long the last lines may take.
const LAST: Duration = Duration::from_secs(2);

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One object a line
    Json,
    /// As Apache and nginx call it
    Combined,
}

/// One request, as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'e> {
    /// Set when it is handed in.
    pub(crate) time: String,
    pub(crate) client: String,
    pub(crate) listen: String,
    /// Empty: it is no route's.
    pub(crate) repository: &'e str,
    pub(crate) method: Cow<'e, str>,
    pub(crate) host: Cow<'e, str>,
    pub(crate) target: Cow<'e, str>,
    pub(crate) version: &'static str,
    /// 0: it got no answer.
    pub(crate) status: u16,
    /// Bytes of the answer's body that the client took.
    pub(crate) sent: u64,
    /// Bytes that the container got.
    pub(crate) received: u64,
    pub(crate) millis: f64,
    /// To the head of the container's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_millis: Option<f64>,
    /// Of the container that answered; without it the proxy did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) colour: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_address: Option<String>,
    pub(crate) id: Cow<'e, str>,
    pub(crate) referer: Cow<'e, str>,
    pub(crate) agent: Cow<'e, str>,
    /// Why it ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<&'static str>,
}

/// What a client said, no longer than a line has room for.
pub(crate) fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..VALUE).unwrap_or(bytes))
}

/// Milliseconds with their thousandths.
pub(crate) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

#[derive(Debug)]
enum Said {
    Line(Vec<u8>),
    Reopen,
    /// What was handed in before was written when this is dropped.
    End(SyncSender<()>),
}

/// Where lines are handed in.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    format: Format,
    lines: SyncSender<Said>,
    dropped: Arc<AtomicU64>,
}

/// Where lines go.
#[derive(Debug)]
enum Sink {
    Output,
    File(PathBuf, Option<File>),
}

impl AccessLog {
    /// Opens the file; `-` is the standard output.
    pub(crate) fn open(path: PathBuf, format: Format) -> Result<AccessLog, String> {
        let sink = if path.as_os_str() == "-" {
            Sink::Output
        } else {
            let file = opened(&path)
                .map_err(|error| format!("cannot open the access log {} to append to it: {error}", path.display()))?;
            Sink::File(path, Some(file))
        };
        let (send, lines) = sync_channel(LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        let started = thread.spawn(move || write(&lines, sink, &counted));
        started.map_err(|error| format!("cannot start the thread of the access log: {error}"))?;
        Ok(AccessLog { format, lines: send, dropped })
    }

    /// Hands in a line.
    pub(crate) fn note(&self, mut entry: Entry<'_>) {
        #[expect(clippy::disallowed_methods, reason = "what the log says")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = match self.format {
            Format::Json => {
                entry.time = date::rfc3339(since);
                let Ok(mut line) = serde_json::to_vec(&entry) else { return };
                line.push(b'\n');
                line
            }
            Format::Combined => combined(&entry, since.as_secs()),
        };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.lines.try_send(Said::Line(line))
            && self.dropped.fetch_add(1, Relaxed) == 0
        {
            tracing::warn!(
                "the access log does not keep up: lines are dropped from now on, and counted in the metrics"
            );
        }
    }

    /// The file is another one now.
    pub(crate) fn reopen(&self) {
        if self.lines.try_send(Said::Reopen).is_err() {
            tracing::error!("the access log cannot be opened anew: as many lines as may be wait to be written");
        }
    }

    /// Waits until what was handed in is written; not for ever.
    pub(crate) fn finish(&self) {
        let (waits, ended) = sync_channel(1);
        if self.lines.try_send(Said::End(waits)).is_ok() {
            let _ = ended.recv_timeout(LAST);
        }
    }

    /// Lines that were dropped since the proxy began.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl<'e> Entry<'e> {
    /// Of a client's request, of which nothing more is known yet.
    pub(crate) fn of(client: String, listen: String) -> Entry<'e> {
        let none = Cow::Borrowed("");
        Entry {
            time: String::new(),
            client,
            listen,
            repository: "",
            method: none.clone(),
            host: none.clone(),
            target: none.clone(),
            version: "",
            status: 0,
            sent: 0,
            received: 0,
            millis: 0.0,
            container_millis: None,
            colour: None,
            generation: None,
            target_address: None,
            id: none.clone(),
            referer: none.clone(),
            agent: none,
            cut: None,
        }
    }
}

fn combined(entry: &Entry<'_>, seconds: u64) -> Vec<u8> {
    let Entry { client, method, target, version, status, sent, referer, agent, .. } = entry;
    let mut line = format!("{client} - - [{}] \"", date::log(seconds)).into_bytes();
    if method.is_empty() {
        line.push(b'-');
    }
    quoted(&mut line, method);
    if !method.is_empty() {
        line.push(b' ');
        quoted(&mut line, target);
        line.push(b' ');
        line.extend_from_slice(version.as_bytes());
    }
    // Whoever left before an answer, as nginx writes it.
    let status = if *status == 0 { 499 } else { *status };
    let _ = write!(line, "\" {status} {sent}");
    for value in [referer, agent] {
        line.extend_from_slice(b" \"");
        if value.is_empty() {
            line.push(b'-');
        }
        quoted(&mut line, value);
        line.push(b'"');
    }
    line.push(b'\n');
    line
}

/// Nothing that a client says ends a quotation or a line.
fn quoted(line: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f => drop(write!(line, "\\x{byte:02X}")),
            _ => line.push(byte),
        }
    }
}

fn opened(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Writes until nobody hands lines in any more.
fn write(lines: &Receiver<Said>, mut sink: Sink, dropped: &AtomicU64) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut failing = false;
    let mut next = lines.recv().ok();
    while let Some(said) = next.take() {
        let (mut reopen, mut end) = (false, None);
        match said {
            Said::Line(line) => batch.extend_from_slice(&line),
            Said::Reopen => reopen = true,
            Said::End(waits) => end = Some(waits),
        }
        let more =
            if batch.len() < BATCH && !reopen && end.is_none() { lines.try_recv() } else { Err(TryRecvError::Empty) };
        if let Ok(more) = more {
            next = Some(more);
            continue;
        }
        match sink.put(&batch) {
            Ok(()) => failing = false,
            Err(error) => {
                let lost = batch.iter().filter(|byte| **byte == b'\n').count();
                dropped.fetch_add(u64::try_from(lost).unwrap_or(0), Relaxed);
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!("the access log cannot be written: {error}; its lines are lost until it can");
                }
            }
        }
        batch.clear();
        if reopen {
            sink.reopen();
        }
        drop(end);
        next = lines.recv().ok();
    }
}

impl Sink {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Output => io::stdout().lock().write_all(bytes).and_then(|()| io::stdout().flush()),
            Sink::File(_, Some(file)) => file.write_all(bytes),
            Sink::File(path, none) => none.insert(opened(path)?).write_all(bytes),
        }
    }

    fn reopen(&mut self) {
        let Sink::File(path, file) = self else { return };
        match opened(path) {
            Ok(new) => {
                tracing::info!("the access log {} was opened anew", path.display());
                *file = Some(new);
            }
            Err(error) => {
                tracing::error!(
                    "the access log {} cannot be opened anew: {error}; the old one goes on",
                    path.display()
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_quoted_ends_a_quotation() {
        let entry = Entry {
            method: "GET".into(),
            target: "/\"a\\".into(),
            version: "HTTP/1.1",
            status: 200,
            sent: 5,
            agent: "b\u{1b}\n".into(),
            ..Entry::of("192.0.2.7".to_owned(), String::new())
        };
        assert_eq!(
            String::from_utf8(combined(&entry, 0)).unwrap(),
            "192.0.2.7 - - [01/Jan/1970:00:00:00 +0000] \"GET /\\x22a\\x5C HTTP/1.1\" 200 5 \"-\" \"b\\x1B\\x0A\"\n"
        );
        let none = Entry::of("::1".to_owned(), String::new());
        assert!(String::from_utf8(combined(&none, 0)).unwrap().ends_with("\"-\" 499 0 \"-\" \"-\"\n"));
    }
}
