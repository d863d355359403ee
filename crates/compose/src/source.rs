//! How the loader reads files: a trait, so that the loader itself does no I/O.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::FileType;

use super::remote::GitFile;
use turnout_files::{Kind, Reach};

/// What to do about a file that may not be read.
pub(super) use turnout_files::hint;

/// What the file system says, without the number of the error.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

/// Where the loader reads from.
pub trait FileSource {
    /// The bytes of a file.
    ///
    /// # Errors
    ///
    /// Whatever reading gives; larger than the implementation allows is `InvalidData`.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Whether something is there.
    fn exists(&self, path: &Path) -> bool;
    /// Whether a directory is there.
    fn is_dir(&self, path: &Path) -> bool;
    /// Whether a path stays in a folder when symbolic links are followed. True where there are none.
    fn stays_in(&self, path: &Path, folder: &Path) -> bool;
    /// Where a symbolic link leads in the end; nothing where there is none at this very path.
    ///
    /// # Errors
    ///
    /// What it leads to is not there.
    fn link_target(&self, _path: &Path) -> io::Result<Option<PathBuf>> {
        Ok(None)
    }
    /// From where the project's files may be read when it is built and run. Whoever wraps another source hands its answer
    /// on: there is none to fall back to that would be safe.
    fn reach(&self) -> Reach;
    /// Brings a git repository to this machine, at the place that is named; gives the folder where it then lies.
    ///
    /// # Errors
    ///
    /// Says why it cannot be had. Unless implemented, that nothing is fetched here.
    fn fetch(&self, repository: &GitFile) -> Result<PathBuf, String> {
        let url = turnout_report::redact::redact_shapes(&repository.url);
        Err(format!("{url} is not on this machine, and nothing is fetched here"))
    }
    /// Brings a published project to this machine; gives the folder where its files then lie. `reference` is
    /// `registry/name:tag`, as written.
    ///
    /// # Errors
    ///
    /// As [`FileSource::fetch`].
    fn fetch_artifact(&self, reference: &str) -> Result<PathBuf, String> {
        Err(format!("{reference} is not on this machine, and nothing is fetched here"))
    }
}

/// The real disk, as far as a project may read it.
#[derive(Debug, Clone)]
pub struct DiskFiles {
    /// How much of a file is read.
    pub kind: Kind,
    /// Everywhere, or the repository alone.
    pub reach: Reach,
}

impl Default for DiskFiles {
    fn default() -> Self {
        DiskFiles { kind: Kind::PROJECT, reach: Reach::Anywhere }
    }
}

impl DiskFiles {
    /// What a project of this reach may read.
    pub fn within(reach: Reach) -> Self {
        DiskFiles { kind: Kind::PROJECT, reach }
    }
}

impl FileSource for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.reach.read(path, self.kind)
    }

    fn exists(&self, path: &Path) -> bool {
        // What may not be read is there: who reads it then hears why not.
        match self.reach.kind(path) {
            Ok(_) => true,
            Err(error) => hint(&error).is_some(),
        }
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.reach.kind(path).is_ok_and(FileType::is_dir)
    }

    fn stays_in(&self, path: &Path, folder: &Path) -> bool {
        // What is not there is told where it is read.
        match (path.canonicalize(), folder.canonicalize()) {
            (Ok(path), Ok(folder)) => path.starts_with(folder),
            _ => true,
        }
    }

    fn link_target(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        self.reach.at(path, || if path.is_symlink() { path.canonicalize().map(Some) } else { Ok(None) })?
    }

    fn reach(&self) -> Reach {
        self.reach.clone()
    }
}

/// Files held in memory, for tests and for loading a commit's content without a checkout.
#[derive(Debug, Clone, Default)]
pub struct MapFiles(pub BTreeMap<PathBuf, Vec<u8>>);

impl MapFiles {
    /// Files from (absolute path, text) pairs.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> MapFiles {
        MapFiles(files.into_iter().map(|(path, text)| (path.into(), text.as_bytes().to_vec())).collect())
    }
}

impl FileSource for MapFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file or directory"))
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.contains_key(path) || self.is_dir(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file != path && file.starts_with(path))
    }

    fn stays_in(&self, _path: &Path, _folder: &Path) -> bool {
        true
    }

    fn reach(&self) -> Reach {
        Reach::Anywhere
    }
}
