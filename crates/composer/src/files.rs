//! What the loader reads from: the disk, and what is fetched into the user's cache: git repositories and projects that
//! were published in a registry.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::apart::apart;
use turnout_compose::{
    remote::{ARTIFACT_FILE, GitFile, RemoteFile},
    source::{DiskFiles, FileSource},
};
use turnout_files::Reach;
use turnout_git::{Remote, pin};
use turnout_registry::{Artifact, Credentials, Name, docker_config_directory};
use turnout_report::Silent;

/// The disk and the cache.
pub(super) struct Files {
    disk: DiskFiles,
    /// The user's cache.
    cache: Option<PathBuf>,
    /// Each repository is brought up to date once a load.
    fetched: RefCell<BTreeMap<PathBuf, ()>>,
    /// All that was asked for.
    asked: RefCell<Vec<RemoteFile>>,
    /// Published projects by reference, looked up once a load.
    artifacts: RefCell<BTreeMap<String, PathBuf>>,
    /// What the registries are logged in to with, for published projects.
    credentials: Credentials,
}

impl Files {
    /// The cache is below `XDG_CACHE_HOME`, else `~/.cache`.
    pub(super) fn new(environment: &BTreeMap<String, String>) -> Files {
        let folder = |name: &str| environment.get(name).filter(|path| path.starts_with('/')).map(PathBuf::from);
        let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
        Files {
            disk: DiskFiles::default(),
            cache,
            fetched: RefCell::default(),
            asked: RefCell::default(),
            artifacts: RefCell::default(),
            credentials: Credentials::in_directory(docker_config_directory(environment)),
        }
    }

    /// What was fetched, or found to have been.
    pub(super) fn asked(&self) -> Vec<RemoteFile> {
        self.asked.borrow().clone()
    }

    /// A folder of the cache, for nobody else to look into: addresses may carry tokens, and projects secrets.
    fn cache(&self, part: &str) -> Result<PathBuf, String> {
        use std::os::unix::fs::DirBuilderExt as _;
        let Some(cache) = &self.cache else {
            return Err("there is no place to keep it: neither XDG_CACHE_HOME nor HOME is set".to_owned());
        };
        let cache = cache.join(part);
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&cache);
        made.map_err(|error| format!("cannot create {}: {error}", cache.display()))?;
        Ok(cache)
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

    fn reach(&self) -> Reach {
        self.disk.reach()
    }

    fn fetch(&self, repository: &GitFile) -> Result<PathBuf, String> {
        self.asked.borrow_mut().push(RemoteFile::Git(repository.clone()));
        let GitFile { url, reference, folder: _ } = repository;
        let place = self.cache("turnout/compose")?.join(hex::encode(Sha256::digest(format!("{url}#{reference}"))));
        if self.fetched.borrow().contains_key(&place) {
            return Ok(place);
        }
        let mut remote = Remote::new(&place);
        remote.url = Some(url.clone());
        bring(&remote, if reference.is_empty() { "HEAD" } else { reference })?;
        self.fetched.borrow_mut().insert(place.clone(), ());
        Ok(place)
    }

    fn fetch_artifact(&self, reference: &str) -> Result<PathBuf, String> {
        self.asked.borrow_mut().push(RemoteFile::Oci(reference.to_owned()));
        if let Some(place) = self.artifacts.borrow().get(reference) {
            return Ok(place.clone());
        }
        let name = Name::parse(reference).map_err(|error| error.to_string())?;
        // Where Compose keeps them: relative paths of the project end up here, and with them hashes of its services.
        let (cache, credentials) = (self.cache("docker-compose")?, &self.credentials);
        let place = apart(async || {
            let artifact = Artifact::find(name, credentials).await?;
            // Named after its content: what is there is right.
            let place = cache.join(artifact.digest().digits());
            if !place.join(ARTIFACT_FILE).is_file() {
                put_in_place(&place, &artifact.files(ARTIFACT_FILE).await?)
                    .with_context(|| format!("cannot write {}", place.display()))?;
            }
            Ok(place)
        });
        let place = place.map_err(|error| format!("{error:#}"))?;
        self.artifacts.borrow_mut().insert(reference.to_owned(), place.clone());
        Ok(place)
    }
}

/// Writes files into a folder that is there only when it is whole.
fn put_in_place(place: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let half = place.with_extension(format!("half-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&half);
    let written = std::fs::DirBuilder::new().mode(0o700).create(&half).and_then(|()| {
        files.iter().try_for_each(|(name, text)| {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(half.join(name))?;
            io::Write::write_all(&mut file, text)
        })
    });
    let done = written.and_then(|()| match std::fs::rename(&half, place) {
        // Somebody else was quicker, with the same content.
        Err(_) if place.join(ARTIFACT_FILE).is_file() => Ok(()),
        done => done,
    });
    // Gone, if all went well and we were first.
    let _ = std::fs::remove_dir_all(&half);
    done
}

/// Brings a revision of a repository here. Submodules are not fetched: Compose does not either, and they would choose
/// further addresses.
fn bring(remote: &Remote, revision: &str) -> Result<(), String> {
    let done = apart(async || Ok(pin(remote, revision, &Silent, CancellationToken::new()).await?));
    done.map(|_| ()).map_err(|error| error.to_string())
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
