//! The door for objects: what a fetch brought is looked at, object by object and by their headers alone, before a reference
//! names it. So no walk through the history, of which libgit2 does some by itself, meets a commit that fills the memory.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use git2::{Oid, Repository};

use super::{error::GitError, objects};

/// Objects of one fetch, at most. libgit2 holds some hundred bytes of each while it takes them in.
pub(super) const MOST_OBJECTS: usize = 10_000_000;
/// Where the names of the objects begin in an index of version 2, after its table of first bytes.
const NAMES: u64 = 8 + 1024;
/// Bytes of a name.
const NAME: usize = 20;

/// The packs that were there before a fetch.
pub(super) struct Before<'r> {
    repo: &'r Repository,
    indexes: BTreeSet<PathBuf>,
}

impl<'r> Before<'r> {
    pub(super) fn of(repo: &'r Repository) -> Self {
        Self { repo, indexes: indexes(repo) }
    }

    /// Looks at what has come since, as long as it may go on; takes it away again if some of it is too large.
    ///
    /// # Errors
    /// Says which object.
    pub(super) fn look(&self, go_on: &dyn Fn() -> Result<(), GitError>) -> Result<(), GitError> {
        for index in indexes(self.repo).difference(&self.indexes) {
            look_at(self.repo, index, go_on).inspect_err(|_| {
                // First the index, by which the pack is found.
                let pack = index.with_extension("pack");
                let _ = fs::remove_file(index).and_then(|()| fs::remove_file(pack));
            })?;
        }
        Ok(())
    }
}

fn indexes(repo: &Repository) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(repo.commondir().join("objects/pack"));
    let files = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|file| file.extension() == Some(OsStr::new("idx"))).collect()
}

fn look_at(repo: &Repository, index: &Path, go_on: &dyn Fn() -> Result<(), GitError>) -> Result<(), GitError> {
    let failed = |error: &io::Error| GitError::io(index, "read", error);
    let (count, mut names) = names(index).map_err(|error| failed(&error))?;
    let odb = repo.odb().map_err(|error| GitError::local(repo.path(), "read", &error))?;
    for _ in 0..count {
        go_on()?;
        let mut name = [0; NAME];
        names.read_exact(&mut name).map_err(|error| failed(&error))?;
        let looked = Oid::from_bytes(&name).and_then(|id| {
            let (size, kind) = odb.read_header(id)?;
            objects::refuse(id, kind, size as u64)
        });
        looked.map_err(|error| GitError::other("take in what was fetched", error.message()))?;
    }
    Ok(())
}

/// How many objects an index has, and a reader that stands before the first name: the whole may have gigabytes.
fn names(index: &Path) -> io::Result<(u32, BufReader<File>)> {
    let mut file = BufReader::new(File::open(index)?);
    let mut head = [0; 8];
    file.read_exact(&mut head)?;
    if head != *b"\xfftOc\0\0\0\x02" {
        return Err(io::Error::other("it is no index of version 2"));
    }
    file.seek(SeekFrom::Start(NAMES - 4))?;
    let mut count = [0; 4];
    file.read_exact(&mut count)?;
    Ok((u32::from_be_bytes(count), file))
}
