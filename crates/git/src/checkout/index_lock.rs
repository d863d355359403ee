//! git's own lock of the index, taken in a way that shows whose it is.
//!
//! `index.lock` keeps other git programs from writing the index meanwhile. It comes into being by a link, whole at once,
//! and holds a sentence of ours: one that a crash left is told from that of a git that runs.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use git2::Repository;
use tokio_util::sync::CancellationToken;

use super::note;
use crate::error::GitError;

const OURS: &str = "turnout checks out a commit. If it does not run, its next update removes this file.\n";
/// How long to wait for another git program: `git status` holds the lock for a moment.
const PATIENCE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(20);

/// Held until dropped.
#[derive(Debug)]
pub(super) struct IndexLock {
    folder: PathBuf,
}

/// Takes the lock. Whoever calls holds the lock of the whole repository, so that one of ours is a dead one's.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, as all of libgit2's work has")]
pub(super) fn take(repo: &Repository, stop: &CancellationToken) -> Result<IndexLock, GitError> {
    let folder = repo.path().to_owned();
    let lock = folder.join("index.lock");
    let fault = |error: io::Error| GitError::io(&lock, "make", &error);
    let begun = Instant::now();
    loop {
        match link(&folder.join("turnout-index.lock"), &lock) {
            Ok(()) => return Ok(IndexLock { folder }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fault(error)),
        }
        if is_ours(&lock) {
            fs::remove_file(&lock).map_err(fault)?;
        } else if stop.is_cancelled() || begun.elapsed() > PATIENCE {
            let lock = lock.display();
            return Err(GitError::Busy {
                message: format!(
                    "another git process holds {lock}; if none is running, a crashed one left it: remove that file"
                ),
            });
        } else {
            std::thread::sleep(RETRY);
        }
    }
}

/// Makes the lock, whole at once.
fn link(beside: &Path, lock: &Path) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(beside)?.write_all(OURS.as_bytes())?;
    let linked = match fs::hard_link(beside, lock) {
        // A file system without links. A crash between the next two steps leaves a lock that nobody owns.
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
            File::create_new(lock).and_then(|mut file| file.write_all(OURS.as_bytes()))
        }
        other => other,
    };
    let _ = fs::remove_file(beside);
    linked
}

fn is_ours(lock: &Path) -> bool {
    let mut text = Vec::new();
    let read = File::open(lock).and_then(|file| file.take(OURS.len() as u64).read_to_end(&mut text));
    read.is_ok() && text == OURS.as_bytes()
}

impl IndexLock {
    /// Puts a new index in place.
    pub(super) fn write(&self, content: &[u8], shared: Option<Shared>) -> Result<(), GitError> {
        let index = self.folder.join("index");
        note::put(&self.folder.join("turnout-index.new"), &index, content, |file| {
            let Some(shared) = shared else { return Ok(()) };
            let mode = shared.apply(file.metadata()?.permissions().mode());
            file.set_permissions(fs::Permissions::from_mode(mode))
        })
        .map_err(|error| GitError::io(&index, "write", &error))
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.folder.join("index.lock"));
    }
}

/// Who may use the files of the repository besides their owner (`core.sharedRepository`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shared {
    /// These permissions are added.
    Also(u32),
    /// These permissions, and no others.
    Exactly(u32),
}

impl Shared {
    /// From the setting, as git-config(1) describes it.
    pub(super) fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "group" | "true" | "yes" | "on" | "1" => Some(Self::Also(0o660)),
            "all" | "world" | "everybody" | "2" => Some(Self::Also(0o664)),
            number => match u32::from_str_radix(number, 8) {
                // Without write access for its owner git could not go on.
                Ok(mode) if mode & 0o600 == 0o600 => Some(Self::Exactly(mode & 0o666)),
                _ => None,
            },
        }
    }

    fn apply(self, mode: u32) -> u32 {
        match self {
            Self::Also(more) => mode | more,
            Self::Exactly(mode) => mode,
        }
    }
}
