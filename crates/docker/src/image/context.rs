//! The build context as a tar stream for the classic builder: never more than a few chunks in memory.

use std::{
    fs::Metadata,
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tar::{EntryType, Header};
use tokio::sync::mpsc;
use turnout_buildkit::{
    OfferError, Sent,
    walk::{ABANDONED, Entry, Kind, Selection, cannot, lost, open, walk},
};
use turnout_files::{self as files, Folder};

/// Size of one chunk of the stream, in bytes.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that may wait for the engine. Together with [`CHUNK_BYTES`] this bounds the memory of an upload: a faster
/// disk than engine must not fill it.
pub const CHUNKS_IN_FLIGHT: usize = 8;

/// What is sent to the engine.
#[derive(Debug, Clone)]
pub struct ContextPlan {
    /// Which files of the directory, as `.dockerignore` leaves them.
    pub selection: Selection,
    /// Files that exist only in the stream, by their path in it; they displace files of the same path.
    pub injected: Vec<(String, Vec<u8>)>,
}

/// A context being read.
pub struct ContextStream {
    /// The tar stream in pieces; the channel's bound keeps the reader from running ahead of the engine.
    pub chunks: mpsc::Receiver<Result<Bytes, io::Error>>,
    /// What became of it.
    pub upload: Upload,
}

/// The reader of a context. Dropping it stops the reading.
pub struct Upload {
    outcome: tokio::task::JoinHandle<Result<Sent, OfferError>>,
    stop: Arc<AtomicBool>,
}

impl Upload {
    /// What was sent, once the answer is there. That the engine stopped reading is no error of the context: it needed
    /// no more, or says itself what was wrong.
    ///
    /// # Errors
    /// A file could not be sent.
    pub async fn finish(mut self) -> Result<Sent, OfferError> {
        self.stop.store(true, Ordering::Relaxed);
        match (&mut self.outcome).await {
            Ok(Err(OfferError::Context { problem, .. })) if problem == ABANDONED => Ok(Sent::default()),
            Ok(outcome) => outcome,
            Err(error) => {
                Err(OfferError::Context { path: Default::default(), problem: format!("the reader died: {error}") })
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Starts reading the context on a blocking thread.
pub fn stream(plan: ContextPlan) -> ContextStream {
    let (sender, chunks) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let outcome = tokio::spawn(async move {
        let writer = ChannelWriter { sender: sender.clone(), stop: stopped, buffer: Vec::new() };
        let outcome = match files::blocking(move || write(&plan, writer)).await {
            Ok(outcome) => outcome,
            Err(error) => Err(lost(error)),
        };
        if let Err(error) = &outcome {
            // Breaks the request off: a truncated context must never look complete.
            let _ = sender.send(Err(io::Error::other(error.to_string()))).await;
        }
        outcome
    });
    ContextStream { chunks, upload: Upload { outcome, stop } }
}

/// Writes the whole context as a tar stream.
pub fn write(plan: &ContextPlan, sink: impl Write) -> Result<Sent, OfferError> {
    let root = plan.selection.root.clone();
    let mut writer = TarWriter { tar: tar::Builder::new(sink), sent: Sent::default(), root };
    walk(&plan.selection, &mut |entry| {
        if plan.injected.iter().any(|(name, _)| name == entry.name) { Ok(()) } else { writer.entry(entry) }
    })?;
    for (name, content) in &plan.injected {
        writer.generated(plan.selection.root.path(), name, content)?;
    }
    let root = plan.selection.root.path();
    let mut sink = writer.tar.into_inner().map_err(|e| cannot(root, e))?;
    sink.flush().map_err(|e| cannot(root, e))?;
    Ok(writer.sent)
}

struct TarWriter<W: Write> {
    tar: tar::Builder<W>,
    sent: Sent,
    root: Folder,
}

impl<W: Write> TarWriter<W> {
    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), OfferError> {
        let Entry { path, name, meta, kind } = entry;
        match kind {
            Kind::Directory => {
                let mut header = header(meta, EntryType::Directory);
                self.append(path, &mut header, &format!("{name}/"), io::empty())
            }
            Kind::File => self.file(path, name),
            Kind::HardLink(first) => self.link(path, header(meta, EntryType::Link), name, Path::new(first)),
            Kind::Symlink(target) => self.link(path, header(meta, EntryType::Symlink), name, target),
            Kind::Pipe => {
                let mut header = header(meta, EntryType::Fifo);
                self.append(path, &mut header, name, io::empty())
            }
            Kind::Socket => {
                self.sent.notes.push(format!("{name}: a socket, not sent"));
                Ok(())
            }
            Kind::Device => {
                let block = std::os::unix::fs::FileTypeExt::is_block_device(&meta.file_type());
                let mut header = header(meta, if block { EntryType::Block } else { EntryType::Char });
                header.set_device_major(rustix::fs::major(meta.rdev())).map_err(|e| cannot(path, e))?;
                header.set_device_minor(rustix::fs::minor(meta.rdev())).map_err(|e| cannot(path, e))?;
                self.append(path, &mut header, name, io::empty())
            }
        }
    }

    fn file(&mut self, path: &Path, name: &str) -> Result<(), OfferError> {
        let (meta, mut content) = open(&self.root, path)?;
        let mut header = header(&meta, EntryType::Regular);
        header.set_size(meta.len());
        let result = self.append(path, &mut header, name, &mut content);
        content.check(path)?;
        result?;
        if content.grew() {
            self.sent.notes.push(format!("{name}: grew while it was read; its first {} bytes were sent", meta.len()));
        }
        self.sent.bytes += meta.len();
        Ok(())
    }

    fn generated(&mut self, root: &Path, name: &str, content: &[u8]) -> Result<(), OfferError> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        // A fixed time: what is generated must not differ from one build to the next.
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        self.append(&root.join(name), &mut header, name, content)
    }

    fn append(&mut self, path: &Path, header: &mut Header, name: &str, data: impl Read) -> Result<(), OfferError> {
        self.sent.entries += 1;
        self.tar.append_data(header, name, data).map_err(|e| cannot(path, e))
    }

    fn link(&mut self, path: &Path, mut header: Header, name: &str, to: &Path) -> Result<(), OfferError> {
        self.sent.entries += 1;
        self.tar.append_link(&mut header, name, to).map_err(|e| cannot(path, e))
    }
}

/// A header that says what matters in a build: mode and time, and root as the owner.
fn header(meta: &Metadata, entry_type: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(entry_type);
    header.set_mode(meta.mode() & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

/// Cuts what is written into chunks and hands them to the channel, waiting while it is full.
struct ChannelWriter {
    sender: mpsc::Sender<Result<Bytes, io::Error>>,
    stop: Arc<AtomicBool>,
    buffer: Vec<u8>,
}

impl ChannelWriter {
    fn hand_over(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, ABANDONED))
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, ABANDONED));
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(CHUNK_BYTES);
        }
        let room = CHUNK_BYTES.saturating_sub(self.buffer.len());
        let take = room.min(data.len());
        self.buffer.extend_from_slice(data.get(..take).unwrap_or_default());
        if self.buffer.len() >= CHUNK_BYTES {
            self.hand_over()?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_over()
    }
}
