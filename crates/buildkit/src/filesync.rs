//! Files for BuildKit: the sending side of its file synchronisation (fsutil's packets over `FileSync/DiffCopy`).
//!
//! The sender lists every selected entry in order, the receiver compares with what it has from the last build and
//! asks for the content of what differs, by position in the list.

use std::{
    collections::HashMap,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use hyper::header::HeaderMap;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use turnout_files::{self as files, Folder};

use super::{
    error::OfferError,
    grpc::{Call, Status},
    protobuf::{Field, fields, put_bytes, put_varint},
    record::Record,
    sent::Sent,
    walk::{ABANDONED, Entry, Kind, Selection, cannot, lost, open, walk},
};

/// Content in one packet, in bytes.
const CHUNK_BYTES: usize = 32 * 1024;
/// Packet types on the wire.
const REQUEST: u64 = 1;
const DATA: u64 = 2;
const FINISH: u64 = 3;
const ERROR: u64 = 4;
/// Go's file mode bits, which the packets carry.
const GO_DIRECTORY: u64 = 1 << 31;
const GO_SYMLINK: u64 = 1 << 27;
const GO_DEVICE: u64 = 1 << 26;
const GO_PIPE: u64 = 1 << 25;
const GO_SETUID: u64 = 1 << 23;
const GO_SETGID: u64 = 1 << 22;
const GO_CHARACTER: u64 = 1 << 21;
const GO_STICKY: u64 = 1 << 20;

/// One directory as BuildKit sees it.
#[derive(Debug, Clone)]
pub enum Files {
    /// A directory of this host.
    Directory(Selection),
    /// Files that exist only here, by name.
    Generated(Vec<(String, Vec<u8>)>),
}

/// Content by position in the list.
#[derive(Default)]
struct Contents(Mutex<HashMap<u64, Content>>);

#[derive(Clone)]
enum Content {
    Disk(Folder, PathBuf),
    Memory(Bytes),
}

/// Serves one synchronisation: sends the entries of a directory, then the content of each file that BuildKit asks for.
pub async fn diff_copy(offered: Arc<HashMap<String, Files>>, record: Arc<Record>, call: Call) -> Result<(), Status> {
    let Call { metadata, mut requests, answers } = call;
    let name = metadata.get("dir-name").and_then(|name| name.to_str().ok()).unwrap_or_default();
    let Some(files) = offered.get(name).cloned() else {
        return Err(Status::not_found(format!("no directory {name}")));
    };
    let contents = Arc::new(Contents::default());
    let listing = {
        let (contents, answers) = (Arc::clone(&contents), answers.clone());
        files::blocking(move || {
            let files = match files {
                Files::Directory(selection) => Files::Directory(narrowed(selection, &metadata)),
                generated => generated,
            };
            list(files, &contents, &answers)
        })
    };
    let serving = async {
        while let Some(packet) = requests.next().await? {
            let (mut kind, mut id, mut data) = (0, 0, &[][..]);
            for (number, field) in fields(&packet) {
                match (number, field) {
                    (1, Field::Varint(v)) => kind = v,
                    (3, Field::Varint(v)) => id = v,
                    (4, Field::Bytes(b)) => data = b,
                    _ => {}
                }
            }
            match kind {
                REQUEST => {
                    let content = contents.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
                    let content = content.ok_or_else(|| Status::failed(format!("no file number {id}")))?;
                    let to = answers.clone();
                    let sent = files::blocking(move || send_content(id, &content, &to)).await;
                    match sent {
                        Ok(Ok(sent)) => record.add(sent),
                        Ok(Err(error)) => return Err(give_up(&answers, &record, error).await),
                        Err(error) => return Err(give_up(&answers, &record, lost(error)).await),
                    }
                }
                FINISH => {
                    send(&answers, packet_of(FINISH, 0, &[])).await?;
                    return Ok(());
                }
                ERROR => return Err(Status::failed(String::from_utf8_lossy(data))),
                _ => {}
            }
        }
        Ok(())
    };
    let listed = async {
        match listing.await {
            Ok(Ok(sent)) => {
                record.add(sent);
                Ok(())
            }
            Ok(Err(error)) => Err(give_up(&answers, &record, error).await),
            Err(error) => Err(give_up(&answers, &record, lost(error)).await),
        }
    };
    tokio::try_join!(listed, serving).map(|_| ())
}

/// Tells the receiver and the build why no more comes.
async fn give_up(answers: &mpsc::Sender<Bytes>, record: &Record, error: OfferError) -> Status {
    let message = error.to_string();
    if !matches!(&error, OfferError::Context { problem, .. } if problem == ABANDONED) {
        record.fail(error);
    }
    let _ = send(answers, packet_of(ERROR, 0, message.as_bytes())).await;
    Status::failed(message)
}

async fn send(answers: &mpsc::Sender<Bytes>, packet: Bytes) -> Result<(), Status> {
    answers.send(packet).await.map_err(|_| Status::failed(ABANDONED))
}

/// The part of a directory that BuildKit asks for: usually the sources of COPY. More than it asks for does no harm, so
/// patterns and links are not followed up but widen the selection to everything.
fn narrowed(mut selection: Selection, metadata: &HeaderMap) -> Selection {
    let mut only = Vec::new();
    for value in metadata.get_all("followpaths") {
        let Ok(value) = value.to_str() else { return selection };
        let path = value.trim_matches('/').trim_start_matches("./");
        let literal = !path.is_empty()
            && !path.contains(['*', '?', '[', '\\', '%'])
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let mut so_far = selection.root.path().to_owned();
        let plain = path.split('/').all(|part| {
            so_far.push(part);
            selection.root.at(&so_far, || !so_far.is_symlink()).unwrap_or(false)
        });
        if !literal || !plain {
            return selection;
        }
        only.push(path.to_owned());
    }
    if only == [".dockerignore"] {
        // Asked for to learn the patterns, before there are any.
        selection.always = only.clone();
    }
    selection.only = only;
    selection
}

/// Lists all entries, then the end of the list.
fn list(files: Files, contents: &Contents, answers: &mpsc::Sender<Bytes>) -> Result<Sent, OfferError> {
    let gone = |path: &Path| OfferError::Context { path: path.to_owned(), problem: ABANDONED.to_owned() };
    let mut sent = Sent::default();
    let mut next = 0;
    let mut keep = |content: Option<Content>| {
        if let Some(content) = content {
            contents.0.lock().unwrap_or_else(PoisonError::into_inner).insert(next, content);
        }
        next += 1;
    };
    match files {
        Files::Directory(selection) => walk(&selection, &mut |entry| {
            let Some(stat) = stat_of(entry) else {
                sent.notes.push(format!("{}: a socket, not sent", entry.name));
                return Ok(());
            };
            keep((entry.kind == Kind::File).then(|| Content::Disk(selection.root.clone(), entry.path.to_owned())));
            sent.entries += 1;
            answers.blocking_send(listed(&stat)).map_err(|_| gone(entry.path))
        })?,
        Files::Generated(mut generated) => {
            generated.sort();
            for (name, content) in generated {
                let stat = generated_stat(&name, &content);
                keep(Some(Content::Memory(content.into())));
                sent.entries += 1;
                answers.blocking_send(listed(&stat)).map_err(|_| gone(Path::new(&name)))?;
            }
        }
    }
    answers.blocking_send(Bytes::new()).map_err(|_| gone(Path::new("")))?;
    Ok(sent)
}

fn send_content(id: u64, content: &Content, answers: &mpsc::Sender<Bytes>) -> Result<Sent, OfferError> {
    let mut sent = Sent::default();
    let mut give = |path: &Path, data: &[u8]| {
        sent.bytes += data.len() as u64;
        answers
            .blocking_send(packet_of(DATA, id, data))
            .map_err(|_| OfferError::Context { path: path.to_owned(), problem: ABANDONED.to_owned() })
    };
    match content {
        Content::Memory(bytes) => {
            for chunk in bytes.chunks(CHUNK_BYTES) {
                give(Path::new(""), chunk)?;
            }
            give(Path::new(""), &[])?;
        }
        Content::Disk(root, path) => {
            let (_, mut file) = open(root, path)?;
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let got = file.read(&mut buffer);
                file.check(path)?;
                let got = got.map_err(|error| cannot(path, error))?;
                // The empty packet that ends the file is the one of the empty read.
                give(path, buffer.get(..got).unwrap_or_default())?;
                if got == 0 {
                    break;
                }
            }
            if file.grew() {
                sent.notes.push(format!("{}: grew while it was read; what it had at first was sent", path.display()));
            }
        }
    }
    Ok(sent)
}

fn packet_of(kind: u64, id: u64, data: &[u8]) -> Bytes {
    let mut packet = Vec::with_capacity(data.len() + 16);
    put_varint(&mut packet, 1, kind);
    if id != 0 {
        put_varint(&mut packet, 3, id);
    }
    if !data.is_empty() {
        put_bytes(&mut packet, 4, data);
    }
    packet.into()
}

/// The packet that lists one entry; its type is zero and so left out.
fn listed(stat: &[u8]) -> Bytes {
    let mut packet = Vec::with_capacity(stat.len() + 4);
    put_bytes(&mut packet, 2, stat);
    packet.into()
}

/// An entry as the receiver reads it, owned by root; `None` for what cannot be sent.
fn stat_of(entry: &Entry<'_>) -> Option<Vec<u8>> {
    let meta = entry.meta;
    let bits = u64::from(meta.mode());
    let mut mode = bits & 0o777;
    for (unix, go) in [(0o4000, GO_SETUID), (0o2000, GO_SETGID), (0o1000, GO_STICKY)] {
        if bits & unix != 0 {
            mode |= go;
        }
    }
    let (mut size, mut link, mut device) = (0, String::new(), None);
    match &entry.kind {
        Kind::Directory => mode |= GO_DIRECTORY,
        Kind::File => size = meta.len(),
        Kind::HardLink(first) => link.clone_from(first),
        Kind::Symlink(target) => {
            mode |= GO_SYMLINK;
            link = target.to_string_lossy().into_owned();
        }
        Kind::Pipe => mode |= GO_PIPE,
        Kind::Socket => return None,
        Kind::Device => {
            let character = std::os::unix::fs::FileTypeExt::is_char_device(&meta.file_type());
            mode |= if character { GO_DEVICE | GO_CHARACTER } else { GO_DEVICE };
            device = Some((rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev())));
        }
    }
    let time = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
    let mut stat = stat(entry.name, mode, size, time, &link);
    if let Some((major, minor)) = device {
        put_varint(&mut stat, 8, u64::from(major));
        put_varint(&mut stat, 9, u64::from(minor));
    }
    Some(stat)
}

/// A generated file. The receiver takes a file of the same size and time for unchanged, so the time is made of the
/// content.
fn generated_stat(name: &str, content: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(content);
    let time = digest.iter().take(7).fold(0i64, |sum, byte| sum << 8 | i64::from(*byte));
    stat(name, 0o644, content.len() as u64, time, "")
}

fn stat(name: &str, mode: u64, size: u64, time: i64, link: &str) -> Vec<u8> {
    let mut stat = Vec::with_capacity(name.len() + link.len() + 32);
    put_bytes(&mut stat, 1, name.as_bytes());
    put_varint(&mut stat, 2, mode);
    if size != 0 {
        put_varint(&mut stat, 5, size);
    }
    put_varint(&mut stat, 6, time.cast_unsigned());
    if !link.is_empty() {
        put_bytes(&mut stat, 7, link.as_bytes());
    }
    stat
}
