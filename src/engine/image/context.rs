//! The build context as a tar stream: sorted, filtered, and never more than a few chunks in memory.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tar::{EntryType, Header};
use tokio::sync::mpsc;

use super::error::ImageError;
use crate::compose::dockerignore::{DockerIgnore, Judgement, MAX_BYTES};

/// Size of one chunk of the stream, in bytes.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that may wait for the engine. Together with [`CHUNK_BYTES`] this bounds the memory of an upload: a faster
/// disk than engine must not fill it.
pub const CHUNKS_IN_FLIGHT: usize = 8;
/// Deepest directory that is entered. A bound on recursion, far beyond what the engine can unpack (PATH_MAX).
const MAX_DEPTH: usize = 2_048;

/// The problem of a context that nobody reads any more.
pub const ABANDONED: &str = "nobody reads the context any more";

/// What is sent to the engine.
#[derive(Debug, Clone)]
pub struct ContextPlan {
    /// Root of the context, absolute.
    pub root: PathBuf,
    /// What is left out.
    pub ignore: DockerIgnore,
    /// Paths sent whatever `ignore` says: the Dockerfile and the ignore file.
    pub always: Vec<String>,
    /// Files that exist only in the stream, by their path in it; they displace files of the same path.
    pub injected: Vec<(String, Vec<u8>)>,
}

/// What was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Entries of the tar stream.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// What the reader should know, for instance a socket that was skipped.
    pub notes: Vec<String>,
}

/// A context being read.
pub struct ContextStream {
    /// The tar stream.
    pub chunks: mpsc::Receiver<Result<Bytes, io::Error>>,
    /// Ends when everything was read and taken, with the first error if there was one.
    pub outcome: tokio::task::JoinHandle<Result<Sent, ImageError>>,
    /// Set to stop the reader early.
    pub stop: Arc<AtomicBool>,
}

impl Drop for ContextStream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Starts reading the context on a blocking thread.
pub fn stream(plan: ContextPlan) -> ContextStream {
    let (sender, chunks) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let outcome = tokio::task::spawn_blocking(move || {
        let outcome = write(&plan, ChannelWriter { sender: sender.clone(), stop: stopped, buffer: Vec::new() });
        if let Err(error) = &outcome {
            // Breaks the request off: a truncated context must never look complete.
            let _ = sender.blocking_send(Err(io::Error::other(error.to_string())));
        }
        outcome
    });
    ContextStream { chunks, outcome, stop }
}

/// Writes the whole context as a tar stream.
pub fn write(plan: &ContextPlan, sink: impl Write) -> Result<Sent, ImageError> {
    let mut writer =
        Writer { plan, tar: tar::Builder::new(sink), linked: HashMap::new(), sent: Sent::default(), pending: Vec::new() };
    writer.directory(&plan.root, "", &Judgement::default(), 0)?;
    writer.injected()?;
    let mut sink = writer.tar.into_inner().map_err(|e| cannot(&plan.root, e))?;
    sink.flush().map_err(|e| cannot(&plan.root, e))?;
    Ok(writer.sent)
}

/// Reads the ignore file of a context: the first of `candidates` (relative to `root`, or absolute) that exists.
pub fn read_ignore(root: &Path, candidates: &[PathBuf]) -> Result<(DockerIgnore, Option<PathBuf>), ImageError> {
    for candidate in candidates {
        let path = root.join(candidate);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(cannot(&path, error)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| cannot(&path, e))?;
        let parsed = DockerIgnore::parse(&String::from_utf8_lossy(&bytes))
            .map_err(|error| ImageError::Context { path: path.clone(), problem: error.to_string() })?;
        return Ok((parsed, Some(candidate.clone())));
    }
    Ok((DockerIgnore::default(), None))
}

struct Writer<'a, W: Write> {
    plan: &'a ContextPlan,
    tar: tar::Builder<W>,
    /// Regular files with several links: device and inode to the first path sent.
    linked: HashMap<(u64, u64), PathBuf>,
    sent: Sent,
    /// Excluded directories on the way to the current one, not sent until something in them is.
    pending: Vec<(String, Metadata)>,
}

impl<W: Write> Writer<'_, W> {
    fn directory(&mut self, path: &Path, relative: &str, above: &Judgement, depth: usize) -> Result<(), ImageError> {
        if depth > MAX_DEPTH {
            return Err(ImageError::Context {
                path: path.to_owned(),
                problem: format!("is more than {MAX_DEPTH} directories deep: exclude it in .dockerignore"),
            });
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(|e| cannot(path, e))? {
            names.push(entry.map_err(|e| cannot(path, e))?.file_name());
        }
        // Sorted, so that the same files always make the same stream.
        names.sort();
        for name in names {
            let path = path.join(&name);
            let Some(name) = name.to_str() else {
                return Err(ImageError::Context {
                    path,
                    problem: "its name is not UTF-8, which no ignore pattern and no Dockerfile can name: rename it".into(),
                });
            };
            let relative = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            self.entry(&path, relative, above, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, relative: String, above: &Judgement, depth: usize) -> Result<(), ImageError> {
        if self.plan.injected.iter().any(|(name, _)| *name == relative) {
            return Ok(());
        }
        let judgement = self.plan.ignore.judge(&relative, above);
        let below = format!("{relative}/");
        let leads_to_always = self.plan.always.iter().any(|p| p.starts_with(&below));
        let excluded = judgement.excluded() && !self.plan.always.contains(&relative);
        if excluded && !leads_to_always && !self.plan.ignore.may_include_below(&relative) {
            return Ok(());
        }
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            // Deleted since the directory was listed. Only an excluded entry is none of the build's business.
            Err(error) if excluded && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(cannot(path, error)),
        };
        if meta.is_dir() {
            self.pending.push((relative.clone(), meta));
            if !excluded {
                self.flush_pending()?;
            }
            self.directory(path, &relative, &judgement, depth + 1)?;
            if self.pending.last().is_some_and(|(name, _)| *name == relative) {
                self.pending.pop();
            }
            return Ok(());
        }
        if excluded {
            return Ok(());
        }
        self.flush_pending()?;
        self.leaf(path, &relative, &meta)
    }

    /// Sends the directories that lead to what comes next.
    fn flush_pending(&mut self) -> Result<(), ImageError> {
        for (name, meta) in std::mem::take(&mut self.pending) {
            let mut header = header(&meta, EntryType::Directory);
            let shown = self.plan.root.join(&name);
            self.append(&shown, &mut header, &format!("{name}/"), io::empty())?;
        }
        Ok(())
    }

    fn leaf(&mut self, path: &Path, relative: &str, meta: &Metadata) -> Result<(), ImageError> {
        let kind = meta.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|e| cannot(path, e))?;
            let mut header = header(meta, EntryType::Symlink);
            return self.append_link(path, &mut header, relative, &target);
        }
        if kind.is_file() {
            return self.file(path, relative);
        }
        if kind.is_socket() {
            self.sent.notes.push(format!("{relative}: a socket, not sent"));
            return Ok(());
        }
        let entry_type = if kind.is_fifo() {
            EntryType::Fifo
        } else if kind.is_block_device() {
            EntryType::Block
        } else {
            EntryType::Char
        };
        let mut header = header(meta, entry_type);
        if !kind.is_fifo() {
            let device = meta.rdev();
            header.set_device_major(rustix::fs::major(device)).map_err(|e| cannot(path, e))?;
            header.set_device_minor(rustix::fs::minor(device)).map_err(|e| cannot(path, e))?;
        }
        self.append(path, &mut header, relative, io::empty())
    }

    fn file(&mut self, path: &Path, relative: &str) -> Result<(), ImageError> {
        // Not following a link and not blocking: the entry may have been swapped since it was looked at.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags | rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
            .map(File::from)
            .map_err(|e| cannot(path, e.into()))?;
        let meta = file.metadata().map_err(|e| cannot(path, e))?;
        if !meta.is_file() {
            return Err(ImageError::Context {
                path: path.to_owned(),
                problem: "stopped being a regular file while the context was read: deploy again".into(),
            });
        }
        if meta.nlink() > 1 {
            let first = self.linked.entry((meta.dev(), meta.ino())).or_insert_with(|| PathBuf::from(relative)).clone();
            if first != Path::new(relative) {
                let mut header = header(&meta, EntryType::Link);
                return self.append_link(path, &mut header, relative, &first);
            }
        }
        let mut header = header(&meta, EntryType::Regular);
        header.set_size(meta.len());
        let mut exact = Exact { file, left: meta.len(), shrunk: false };
        let result = self.append(path, &mut header, relative, &mut exact);
        if exact.shrunk {
            return Err(ImageError::Context {
                path: path.to_owned(),
                problem: format!(
                    "shrank while it was read ({} of {} bytes were there): exclude files that are being written in \
                     .dockerignore, or deploy again",
                    meta.len() - exact.left,
                    meta.len()
                ),
            });
        }
        result?;
        if exact.file.metadata().is_ok_and(|now| now.len() > meta.len()) {
            self.sent.notes.push(format!("{relative}: grew while it was read; its first {} bytes were sent", meta.len()));
        }
        self.sent.bytes += meta.len();
        Ok(())
    }

    fn injected(&mut self) -> Result<(), ImageError> {
        for (name, content) in &self.plan.injected {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            // A fixed time: what is generated must not differ from one build to the next.
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            let shown = self.plan.root.join(name);
            self.append(&shown, &mut header, name, content.as_slice())?;
        }
        Ok(())
    }

    fn append(&mut self, path: &Path, header: &mut Header, name: &str, data: impl Read) -> Result<(), ImageError> {
        self.sent.entries += 1;
        self.tar.append_data(header, name, data).map_err(|e| cannot(path, e))
    }

    fn append_link(&mut self, path: &Path, header: &mut Header, name: &str, to: &Path) -> Result<(), ImageError> {
        self.sent.entries += 1;
        self.tar.append_link(header, name, to).map_err(|e| cannot(path, e))
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

/// Reads exactly the announced number of bytes, and knows when they were not there.
struct Exact {
    file: File,
    left: u64,
    shrunk: bool,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(window) = buffer.get_mut(..want).filter(|window| !window.is_empty()) else { return Ok(0) };
        let got = self.file.read(window)?;
        if got == 0 {
            self.shrunk = true;
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file shrank while it was read"));
        }
        self.left -= got as u64;
        Ok(got)
    }
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

fn cannot(path: &Path, error: io::Error) -> ImageError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return ImageError::Context { path: path.to_owned(), problem: ABANDONED.to_owned() };
    }
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => ": let this user read it, or exclude it in .dockerignore",
        io::ErrorKind::NotFound => ": it disappeared, or never was there",
        _ => "",
    };
    ImageError::Context { path: path.to_owned(), problem: format!("{error}{hint}") }
}
