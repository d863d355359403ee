//! The loader's only edge: reading files.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::remote::GitFile;

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
    fn stays_in(&self, _path: &Path, _folder: &Path) -> bool {
        true
    }
    /// Where a symbolic link leads in the end; nothing where there is none at this very path.
    ///
    /// # Errors
    ///
    /// What it leads to is not there.
    fn link_target(&self, _path: &Path) -> io::Result<Option<PathBuf>> {
        Ok(None)
    }
    /// Brings a git repository to this machine, at the place that is named; gives the folder where it then lies.
    ///
    /// # Errors
    ///
    /// Says why it cannot be had. Unless implemented, that nothing is fetched here.
    fn fetch(&self, repository: &GitFile) -> Result<PathBuf, String> {
        let url = crate::report::redact::redact_shapes(&repository.url);
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

/// The real disk.
#[derive(Debug, Clone, Copy)]
pub struct DiskFiles {
    /// Largest file that is read, in bytes.
    pub max_bytes: u64,
}

impl Default for DiskFiles {
    fn default() -> Self {
        DiskFiles { max_bytes: 8 << 20 }
    }
}

impl FileSource for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        use {io::Read, std::os::unix::fs::FileTypeExt};
        let mut bytes = Vec::new();
        // To open a named pipe is to wait for whoever writes to it, perhaps for ever. One of a shell (`<(...)`,
        // /dev/stdin) has no name that leads back to it; it is open already, and read.
        if std::fs::metadata(path)?.file_type().is_fifo() && std::fs::canonicalize(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is a named pipe, not a file"));
        }
        let file = std::fs::File::open(path)?;
        let about = file.metadata()?;
        if about.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
        }
        // One byte more than the file: read in one go, and seen to end in a second one.
        bytes.reserve(usize::try_from(about.len().min(self.max_bytes)).unwrap_or_default().saturating_add(1));
        file.take(self.max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.max_bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {} bytes", self.max_bytes)));
        }
        Ok(bytes)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn stays_in(&self, path: &Path, folder: &Path) -> bool {
        // What is not there is told where it is read.
        match (path.canonicalize(), folder.canonicalize()) {
            (Ok(path), Ok(folder)) => path.starts_with(folder),
            _ => true,
        }
    }

    fn link_target(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        if path.is_symlink() { path.canonicalize().map(Some) } else { Ok(None) }
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
}
