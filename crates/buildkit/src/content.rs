//! Directories of blobs that BuildKit reads and writes over the session: containerd's content service, as far as
//! caches of `type=local` and contexts of `oci-layout://` need it. Blobs pass in pieces and are never held whole.

use std::{collections::HashMap, io::Read as _, sync::Arc};

use bytes::Bytes;
use hyper::header::HeaderMap;
use sha2::{Digest, Sha256};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt as _,
};
use turnout_files::{self as files, Opened};

use super::{
    grpc::{Call, Handler, Status, handler},
    layout::Layout,
    protobuf::{Field, fields, put_bytes, put_varint},
};

/// Piece of a blob in one message, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;
/// What a message of a write wants.
const COMMIT: u64 = 2;

/// A directory on offer.
#[derive(Debug, Clone)]
pub struct Store {
    /// Where its blobs and its index lie.
    pub layout: Layout,
    /// Whether it may be written to.
    pub writable: bool,
}

/// Directories by the names that the build knows them by.
pub type Stores = HashMap<String, Store>;

/// The methods, by path.
pub fn methods(stores: Stores) -> Vec<(String, Handler)> {
    let stores = Arc::new(stores);
    let mut methods = Vec::new();
    let mut add = |name: &str, handler: Handler| {
        methods.push((format!("/containerd.services.content.v1.Content/{name}"), handler));
    };
    add("Info", {
        let stores = Arc::clone(&stores);
        handler(move |call| info(Arc::clone(&stores), call))
    });
    add("Read", {
        let stores = Arc::clone(&stores);
        handler(move |call| read(Arc::clone(&stores), call))
    });
    add("Write", {
        let stores = Arc::clone(&stores);
        handler(move |call| write(Arc::clone(&stores), call))
    });
    // Writes are begun anew, never resumed: there is no status to tell and nothing to abort.
    add("Status", handler(|_| async { Err(Status::not_found("no such write")) }));
    add("Abort", handler(|_| async { Err(Status::not_found("no such write")) }));
    methods
}

fn store<'a>(stores: &'a Stores, metadata: &HeaderMap) -> Result<&'a Store, Status> {
    let name = metadata.get("buildkit-attachable-store-id").and_then(|name| name.to_str().ok()).unwrap_or_default();
    stores.get(name).ok_or_else(|| Status::not_found(format!("no directory of blobs {name}")))
}

/// Text and numbers of a request by field number.
fn parts(message: &[u8]) -> (HashMap<u64, Vec<u8>>, HashMap<u64, u64>) {
    let (mut texts, mut numbers) = (HashMap::new(), HashMap::new());
    for (number, field) in fields(message) {
        match field {
            Field::Bytes(bytes) => drop(texts.insert(number, bytes.to_vec())),
            Field::Varint(value) => drop(numbers.insert(number, value)),
            Field::Fixed(_) => {}
        }
    }
    (texts, numbers)
}

fn text(texts: &HashMap<u64, Vec<u8>>, number: u64) -> String {
    texts.get(&number).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

fn failed(error: &dyn std::fmt::Display) -> Status {
    Status::failed(error.to_string())
}

async fn open(store: &Store, digest: &str) -> Result<Opened, Status> {
    let absent = || Status::not_found(format!("content {digest}: not found"));
    let path = store.layout.blob(digest).ok_or_else(absent)?;
    let layout = store.layout.clone();
    let opened = files::blocking(move || layout.open(&path)).await;
    match opened.unwrap_or_else(|lost| Err(lost.into())) {
        Ok(opened) => Ok(opened),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(absent()),
        Err(error) => Err(failed(&error)),
    }
}

async fn info(stores: Arc<Stores>, mut call: Call) -> Result<(), Status> {
    let request = call.requests.next().await?.unwrap_or_default();
    let digest = text(&parts(&request).0, 1);
    let size = open(store(&stores, &call.metadata)?, &digest).await?.meta().len();
    let (mut info, mut answer) = (Vec::new(), Vec::new());
    put_bytes(&mut info, 1, digest.as_bytes());
    put_varint(&mut info, 2, size);
    put_bytes(&mut answer, 1, &info);
    send(&call, answer).await
}

async fn read(stores: Arc<Stores>, mut call: Call) -> Result<(), Status> {
    let request = call.requests.next().await?.unwrap_or_default();
    let (texts, numbers) = parts(&request);
    let number = |field: u64| numbers.get(&field).copied().unwrap_or_default();
    let mut file = open(store(&stores, &call.metadata)?, &text(&texts, 1)).await?;
    let size = file.meta().len();
    let mut offset = number(2).min(size);
    let wanted = match number(3) {
        0 => size - offset,
        wanted => wanted.min(size - offset),
    };
    file.go_to(offset).map_err(|error| failed(&error))?;
    let mut file = file.take(wanted);
    loop {
        // Piece by piece where a file system that hangs is given up: the engine would wait for as long as it does.
        let read = files::blocking(move || {
            let mut buffer = vec![0; CHUNK_BYTES];
            let got = file.read(&mut buffer)?;
            buffer.truncate(got);
            Ok::<_, std::io::Error>((file, buffer))
        });
        let read = read.await.unwrap_or_else(|lost| Err(lost.into()));
        let (rest, data) = read.map_err(|error| failed(&error))?;
        file = rest;
        if data.is_empty() {
            return Ok(());
        }
        let mut answer = Vec::with_capacity(data.len() + 16);
        put_varint(&mut answer, 1, offset);
        put_bytes(&mut answer, 2, &data);
        offset += data.len() as u64;
        send(&call, answer).await?;
    }
}

async fn send(call: &Call, answer: Vec<u8>) -> Result<(), Status> {
    call.answers.send(Bytes::from(answer)).await.map_err(|_| Status::failed("the caller is gone"))
}

/// A blob that is being written; removed unless it was completed.
struct Ingest {
    path: std::path::PathBuf,
    file: File,
    hash: Sha256,
    offset: u64,
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // Gone already when it was completed.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Ingest {
    async fn begin(store: &Store) -> Result<Self, Status> {
        let mut name = [0u8; 16];
        getrandom::fill(&mut name).map_err(|error| failed(&error))?;
        let directory = store.layout.ingest();
        fs::create_dir_all(&directory).await.map_err(|error| failed(&error))?;
        let path = directory.join(hex::encode(name));
        let file = File::create_new(&path).await.map_err(|error| failed(&error))?;
        Ok(Self { path, file, hash: Sha256::new(), offset: 0 })
    }

    fn digest(&self) -> String {
        format!("sha256:{}", hex::encode(self.hash.clone().finalize()))
    }

    async fn append(&mut self, data: &[u8]) -> Result<(), Status> {
        self.file.write_all(data).await.map_err(|error| failed(&error))?;
        self.hash.update(data);
        self.offset += data.len() as u64;
        Ok(())
    }

    async fn commit(&mut self, store: &Store, total: u64, expected: &str) -> Result<(), Status> {
        let digest = self.digest();
        if (total != 0 && total != self.offset) || (!expected.is_empty() && expected != digest) {
            return Err(Status::failed(format!("a blob came in as {digest} of {} bytes, not {expected}", self.offset)));
        }
        let path = store.layout.blob(&digest).ok_or_else(|| Status::failed("not a digest"))?;
        self.file.sync_all().await.map_err(|error| failed(&error))?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).await.map_err(|error| failed(&error))?;
        }
        fs::rename(&self.path, path).await.map_err(|error| failed(&error))
    }
}

async fn write(stores: Arc<Stores>, mut call: Call) -> Result<(), Status> {
    let store = store(&stores, &call.metadata)?.clone();
    if !store.writable {
        return Err(Status::failed("this directory of blobs is only read"));
    }
    let mut ingest: Option<Ingest> = None;
    let (mut total, mut expected) = (0, String::new());
    while let Some(request) = call.requests.next().await? {
        let (texts, numbers) = parts(&request);
        let number = |field: u64| numbers.get(&field).copied().unwrap_or_default();
        if number(3) != 0 {
            total = number(3);
        }
        if texts.contains_key(&4) {
            expected = text(&texts, 4);
            if open(&store, &expected).await.is_ok() {
                return Err(Status::already_exists(format!("content {expected}: already exists")));
            }
        }
        let ingest = match &mut ingest {
            Some(ingest) => ingest,
            none => none.insert(Ingest::begin(&store).await?),
        };
        let action = number(1);
        if let Some(data) = texts.get(&6) {
            if number(5) != ingest.offset {
                return Err(Status::failed(format!("offset {} of {}", number(5), ingest.offset)));
            }
            ingest.append(data).await?;
        }
        if action == COMMIT {
            ingest.commit(&store, total, &expected).await?;
        }
        let mut answer = Vec::new();
        put_varint(&mut answer, 1, action);
        put_varint(&mut answer, 4, ingest.offset);
        put_varint(&mut answer, 5, total);
        if action == COMMIT {
            put_bytes(&mut answer, 6, ingest.digest().as_bytes());
        }
        send(&call, answer).await?;
        if action == COMMIT {
            return Ok(());
        }
    }
    Ok(())
}
