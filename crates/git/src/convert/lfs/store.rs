//! The objects of Git LFS that are here: `lfs/objects` in the repository's folder, as git-lfs keeps them, so that both
//! find what the other has fetched.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use git2::{Config, Repository};
use sha2::{Digest as _, Sha256};

use super::pointer::Pointer;

/// A folder of objects.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store of a repository: `lfs.storage`, else `lfs` in its common folder.
    pub(crate) fn of(repo: &Repository, config: &Config) -> Self {
        let common = repo.commondir();
        let set = config.get_path("lfs.storage").ok().filter(|path| !path.as_os_str().is_empty());
        // Relative to the repository's own folder, as git-lfs has it.
        Self { folder: set.map_or_else(|| common.join("lfs"), |path| common.join(path)) }
    }

    /// The store of another repository on this machine.
    pub(crate) fn in_folder(git_dir: &Path) -> Self {
        Self { folder: git_dir.join("lfs") }
    }

    /// Where the object lies or would lie.
    pub(crate) fn place(&self, pointer: &Pointer) -> PathBuf {
        let oid = &pointer.oid;
        let part = |from: usize| oid.get(from..from + 2).unwrap_or_default();
        self.folder.join("objects").join(part(0)).join(part(2)).join(oid)
    }

    /// Whether the object is here, whole and right. A damaged one is as good as none: the fetched one takes its place.
    pub(crate) fn has(&self, pointer: &Pointer) -> bool {
        let file = self.place(pointer);
        fs::metadata(&file).is_ok_and(|found| found.is_file() && found.len() == pointer.size)
            && File::open(&file).and_then(|file| digest(file, &mut io::sink())).is_ok_and(|oid| oid == pointer.oid)
    }

    /// Takes an object from another store, if it is there.
    pub(crate) fn copy_from(&self, other: &Store, pointer: &Pointer) -> io::Result<bool> {
        let Ok(from) = File::open(other.place(pointer)) else { return Ok(false) };
        let mut arriving = self.arriving(pointer)?;
        let mut from = from.take(pointer.size.saturating_add(1));
        io::copy(&mut from, &mut arriving)?;
        arriving.settle().map(|()| true)
    }

    /// A place for an object that arrives.
    pub(crate) fn arriving(&self, pointer: &Pointer) -> io::Result<Arriving> {
        let folder = self.folder.join("tmp");
        fs::create_dir_all(&folder)?;
        // The name is no other's: whoever fetches holds the repository's lock.
        let path = folder.join(format!("turnout-{}", pointer.oid));
        let file = File::create(&path)?;
        Ok(Arriving { file, path, place: self.place(pointer), pointer: pointer.clone(), sum: Sha256::new(), size: 0 })
    }
}

/// An object on its way. Removed unless it is settled.
pub(crate) struct Arriving {
    file: File,
    path: PathBuf,
    place: PathBuf,
    pointer: Pointer,
    sum: Sha256,
    size: u64,
}

impl Arriving {
    /// Puts the object into the store, if it is what the pointer says.
    pub(crate) fn settle(self) -> io::Result<()> {
        let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        if self.size != self.pointer.size {
            return wrong(format!("{} bytes arrived, the pointer says {}", self.size, self.pointer.size));
        }
        let sum = hex::encode(self.sum.clone().finalize());
        if sum != self.pointer.oid {
            return wrong(format!("its SHA-256 is {sum}, the pointer says {}", self.pointer.oid));
        }
        // After a crash a whole object or none.
        self.file.sync_all()?;
        if let Some(folder) = self.place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::rename(&self.path, &self.place)
    }
}

impl Write for Arriving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size.saturating_add(bytes.len() as u64) > self.pointer.size {
            let text = format!("more bytes arrive than the {} that the pointer says", self.pointer.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let length = self.file.write(bytes)?;
        self.sum.update(bytes.get(..length).unwrap_or_default());
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// SHA-256 in hex of all that is read, which is passed on.
pub(crate) fn digest(mut from: impl Read, to: &mut impl Write) -> io::Result<String> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let length = from.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        sum.update(chunk);
        to.write_all(chunk)?;
    }
    Ok(hex::encode(sum.finalize()))
}
