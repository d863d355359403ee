//! A stream that may be stuck: lines are handed to a thread that writes them, and what does not fit any more while the
//! stream takes nothing is counted instead of waited for.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use crate::report;

/// Writes that wait for the stream: some seconds of a busy daemon, a few megabytes at most.
const WAITING: usize = 4_096;
/// Bytes that are written at one time.
const AT_ONCE: usize = 64 << 10;
/// How long a writer waits for a full outlet before the stream counts as stuck, once.
const PATIENCE: Duration = Duration::from_millis(200);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(2);
/// How long the end waits for a stream that takes nothing.
const END: Duration = Duration::from_secs(1);

/// The way to the stream. Clones share it.
#[derive(Clone)]
pub struct Outlet {
    lines: SyncSender<Message>,
    lost: Arc<AtomicU64>,
    /// Nothing was taken for [`PATIENCE`]: from then on nobody waits until there is room again.
    stuck: Arc<AtomicBool>,
}

enum Message {
    Lines(Vec<u8>),
    Flush(SyncSender<()>),
}

impl Outlet {
    /// An outlet to this stream. `priorities`: its lines begin with one, as journald wants it.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn new(stream: impl Write + Send + 'static, priorities: bool) -> io::Result<Outlet> {
        Outlet::with_room(stream, if priorities { "<4>" } else { "" }, WAITING)
    }

    fn with_room(mut stream: impl Write + Send + 'static, warning: &'static str, room: usize) -> io::Result<Outlet> {
        let (lines, waiting) = mpsc::sync_channel(room);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            while let Ok(first) = waiting.recv() {
                // All that waits goes in one write. A stream that fails (its reader has gone) is no reason to end: the log
                // file has every line.
                let (mut together, mut asked) = (Vec::new(), Vec::<SyncSender<()>>::new());
                let mut next = Some(first);
                while let Some(message) = next {
                    match message {
                        Message::Lines(lines) if together.is_empty() => together = lines,
                        Message::Lines(lines) => together.extend_from_slice(&lines),
                        Message::Flush(done) => asked.push(done),
                    }
                    next = if together.len() < AT_ONCE { waiting.try_recv().ok() } else { None };
                }
                let _ = stream.write_all(&together);
                let lost = counted.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let _ = writeln!(
                        stream,
                        "{warning}turnout: {} missing here, nothing took more; the log file has all",
                        report::counted(lost, "line")
                    );
                }
                let _ = stream.flush();
                for done in asked {
                    let _ = done.try_send(());
                }
            }
        })?;
        Ok(Outlet { lines, lost, stuck: Arc::default() })
    }

    /// Waits a moment until everything is written.
    #[expect(clippy::disallowed_methods, reason = "the end of the process, on a thread of its own")]
    pub fn finish(&self) {
        let (done, finished) = mpsc::sync_channel(1);
        let (mut message, mut patience) = (Message::Flush(done), END);
        while let Err(TrySendError::Full(same)) = self.lines.try_send(message) {
            if patience.is_zero() {
                return;
            }
            message = same;
            thread::sleep(LOOK);
            patience = patience.saturating_sub(LOOK);
        }
        let _ = finished.recv_timeout(patience);
    }
}

impl Write for Outlet {
    #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut message = Message::Lines(lines.to_vec());
        let mut patience = PATIENCE;
        loop {
            match self.lines.try_send(message) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => {
                    self.stuck.store(false, Ordering::Relaxed);
                    return Ok(lines.len());
                }
                Err(TrySendError::Full(_)) if self.stuck.load(Ordering::Relaxed) || patience.is_zero() => {
                    self.stuck.store(true, Ordering::Relaxed);
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    return Ok(lines.len());
                }
                // A stream that is slow and takes all the same costs this moment and no line.
                Err(TrySendError::Full(same)) => {
                    message = same;
                    thread::sleep(LOOK);
                    patience = patience.saturating_sub(LOOK);
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Outlet {
    type Writer = Outlet;

    fn make_writer(&'a self) -> Outlet {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn a_stuck_stream_costs_lines_and_no_time() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut outlet = Outlet::with_room(ours, "<4>", 4).unwrap();
        // Far more than the socket and the outlet hold: without losing any this would wait for ever.
        let line = [b"x".repeat(9_999).as_slice(), b"\n"].concat();
        for _ in 0..1_000 {
            outlet.write_all(&line).unwrap();
        }
        let reader = thread::spawn(move || {
            let mut all = String::new();
            theirs.read_to_string(&mut all).map(|_| all).unwrap()
        });
        // As soon as somebody reads there is room again; until then this line is lost as well.
        let mut written = 1_000;
        loop {
            outlet.write_all(b"the end\n").unwrap();
            if !outlet.stuck.load(Ordering::Relaxed) {
                break;
            }
            written += 1;
            thread::yield_now();
        }
        outlet.finish();
        drop(outlet);
        let all = reader.join().unwrap();
        let whole = all.lines().filter(|line| line.len() == 9_999).count();
        let lost =
            all.lines().filter_map(|line| line.strip_prefix("<4>turnout: ")?.split(' ').next()?.parse::<usize>().ok());
        assert_eq!(whole + lost.sum::<usize>(), written);
        assert!(whole < 1_000 && all.contains("the end\n"), "{whole} lines came through");
    }
}
