//! What the loader reads from: the disk, and git repositories that are fetched into the user's cache.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    compose::{
        remote::GitFile,
        source::{DiskFiles, FileSource},
    },
    git::{Divergence, GitError, Remote, update},
    report::Silent,
};

/// The disk and the cache.
pub(super) struct Files {
    disk: DiskFiles,
    /// Where fetched repositories lie.
    cache: Option<PathBuf>,
    /// Each repository is brought up to date once a load.
    fetched: RefCell<BTreeMap<PathBuf, ()>>,
}

impl Files {
    /// The cache is below `XDG_CACHE_HOME`, else `~/.cache`.
    pub(super) fn new(environment: &BTreeMap<String, String>) -> Files {
        let folder = |name: &str| environment.get(name).filter(|path| path.starts_with('/')).map(PathBuf::from);
        let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
        Files {
            disk: DiskFiles::default(),
            cache: cache.map(|cache| cache.join("turnout/compose")),
            fetched: RefCell::default(),
        }
    }
}

/// Reads a file. A pipe of the shell (`<(...)`) gives its text once, and a load reads its files more than once (for the
/// settings, the name, the content): the first text is kept.
///
/// # Errors
/// As [`DiskFiles`].
pub(super) fn read(disk: &DiskFiles, path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileTypeExt as _;
    static PIPES: Mutex<BTreeMap<PathBuf, Vec<u8>>> = Mutex::new(BTreeMap::new());
    if !std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo()) {
        return disk.read(path);
    }
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = pipes.get(path) {
        return Ok(text.clone());
    }
    let text = disk.read(path)?;
    pipes.insert(path.to_owned(), text.clone());
    Ok(text)
}

impl FileSource for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read(&self.disk, path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.disk.is_dir(path)
    }

    fn stays_in(&self, path: &Path, folder: &Path) -> bool {
        self.disk.stays_in(path, folder)
    }

    fn link_target(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        self.disk.link_target(path)
    }

    fn fetch(&self, repository: &GitFile) -> Result<PathBuf, String> {
        use std::os::unix::fs::DirBuilderExt as _;
        let Some(cache) = &self.cache else {
            return Err("there is no place to keep it: neither XDG_CACHE_HOME nor HOME is set".to_owned());
        };
        let GitFile { url, reference, folder: _ } = repository;
        let place = cache.join(hex::encode(Sha256::digest(format!("{url}#{reference}"))));
        if self.fetched.borrow().contains_key(&place) {
            return Ok(place);
        }
        // An address may carry a token, and git keeps it beside the files: nobody else's business.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(cache);
        made.map_err(|error| format!("cannot create {}: {error}", cache.display()))?;
        let mut remote = Remote::new(&place);
        remote.url = Some(url.clone());
        // `HEAD` is the default branch under another name.
        remote.branch = Some(reference.clone()).filter(|reference| !reference.is_empty() && reference != "HEAD");
        // Compose does not fetch them either, and they would choose further addresses.
        remote.submodules = false;
        // Nobody works in the cache: what the server has is right.
        remote.on_divergence = Divergence::Reset;
        bring(&remote).map_err(|error| match reference.as_str() {
            "" => error,
            named => format!("{error} (branches are found by name; {named} must be one)"),
        })?;
        self.fetched.borrow_mut().insert(place.clone(), ());
        Ok(place)
    }
}

/// Brings a repository up to date on a thread of its own: the caller may or may not be inside a runtime.
fn bring(remote: &Remote) -> Result<(), String> {
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
            let done: Result<_, GitError> = runtime.block_on(update(remote, &Silent, CancellationToken::new()));
            done.map(|_| ()).map_err(|error| error.to_string())
        });
        work.join().unwrap_or_else(|_| Err("fetching ended unexpectedly".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::fd::AsRawFd as _};

    use super::*;

    #[test]
    fn a_pipe_is_read_once_and_kept() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"services: {}\n").unwrap();
        drop(writer);
        let path = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
        for _ in 0..3 {
            assert_eq!(read(&DiskFiles::default(), &path).unwrap(), b"services: {}\n");
        }
    }
}
