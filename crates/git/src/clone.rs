//! Clones into a neighbouring folder and renames it into place, so that a half clone is never taken for a work tree.

use std::path::{Path, PathBuf};

use git2::{Repository, RepositoryInitOptions};

use super::{
    address::Address,
    branch, checkout,
    error::GitError,
    lock,
    remote::{Moved, Updated},
    session::Session,
    stage::Stage,
    transfer::{self, Want},
};
use turnout_report::Event;

/// Clones the remote of the session to its path, which must be absent or an empty folder.
pub(super) fn into_place(session: &Session) -> Result<Updated, GitError> {
    let path = &session.remote.path;
    let Some(url) = &session.remote.url else { return Err(GitError::Absent { path: path.clone() }) };
    let address = Address::parse(url)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(GitError::Absent { path: path.clone() });
    };
    if !parent.as_os_str().is_empty() && !parent.is_dir() {
        // Not created: it may be the mount point of a disk that is missing.
        let message = format!("its parent folder {} does not exist; create or mount it", parent.display());
        return Err(GitError::NotAWorkTree { path: path.clone(), message });
    }
    let prefix = nursery_prefix(name);
    sweep(parent, &prefix);
    session.tell(Event::Info { text: format!("cloning {address} to {}", path.display()) });

    let nursery = Nursery::beside(path, parent, &prefix)?;
    let (branch, tip) = fill(&nursery.path, &address, session)?;
    session.go_on()?;
    nursery.become_(path)?;
    session.progress.reach(Stage::Arrived, Some(path), path);
    Ok(Updated { old: None, new: tip.clone(), remote_tip: tip, branch, moved: Moved::Cloned })
}

fn fill(folder: &Path, address: &Address, session: &Session) -> Result<(String, String), GitError> {
    let local = |error: git2::Error| GitError::local(&session.remote.path, "clone to", &error);
    let mut options = RepositoryInitOptions::new();
    options.no_reinit(true).external_template(false);
    if let Some(branch) = &session.remote.branch {
        options.initial_head(branch);
    }
    let repo = Repository::init_opts(folder, &options).map_err(local)?;
    let stored = match address {
        // Relative to the caller's folder, which the clone does not know.
        Address::Local(text) if !text.contains("://") => {
            std::path::absolute(text).map_or_else(|_| text.clone(), |path| path.to_string_lossy().into_owned())
        }
        _ => address.storable(),
    };
    repo.remote("origin", &stored).map_err(local)?;
    transfer::warn_of_plain_http(address, &session.remote.auth, session);
    let want = session.remote.branch.as_deref().map_or(Want::DefaultBranch, Want::Branch);
    let fetched = transfer::fetch(&repo, address, true, &want, session)?;
    session.go_on()?;

    checkout::to(&repo, fetched.tip, checkout::Mode::Fill, session)?;
    let full = format!("refs/heads/{}", fetched.branch);
    repo.reference(&full, fetched.tip, true, "clone").map_err(local)?;
    repo.set_head(&full).map_err(local)?;
    branch::remember_remote(&repo, &fetched.branch, fetched.tip).map_err(local)?;
    checkout::finished(&repo, session)?;
    let mut config = repo.config().map_err(local)?;
    config.set_str(&format!("branch.{}.remote", fetched.branch), "origin").map_err(local)?;
    config.set_str(&format!("branch.{}.merge", fetched.branch), &full).map_err(local)?;
    Ok((fetched.branch, fetched.tip.to_string()))
}

/// A folder that is removed unless it becomes the clone. Locked, so that a sweep can tell it from one left by a crash.
pub(super) struct Nursery {
    path: PathBuf,
    _lock: lock::Lock,
    done: bool,
}

impl Nursery {
    /// A folder below `parent`, after those that crashed work of the same kind left there were removed.
    pub(super) fn swept(target: &Path, parent: &Path, prefix: &str) -> Result<Self, GitError> {
        sweep(parent, prefix);
        Self::beside(target, parent, prefix)
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn beside(target: &Path, parent: &Path, prefix: &str) -> Result<Self, GitError> {
        for attempt in 0..100u32 {
            let path = parent.join(format!("{prefix}{}-{attempt}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    let lock = lock::attempt(&path)?
                        .ok_or_else(|| GitError::Busy { message: format!("{} is in use", path.display()) })?;
                    return Ok(Self { path, _lock: lock, done: false });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(GitError::io(parent, "create a folder in", &error)),
            }
        }
        Err(GitError::Busy { message: format!("too many clones of {} at once", target.display()) })
    }

    fn become_(mut self, target: &Path) -> Result<(), GitError> {
        // Fails where something has come into being at the target meanwhile, unless it is an empty folder.
        std::fs::rename(&self.path, target).map_err(|error| match error.kind() {
            std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => {
                GitError::Busy { message: format!("something appeared at {} during the clone", target.display()) }
            }
            _ => GitError::io(target, "move the clone to", &error),
        })?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes what crashed clones of the same target left behind.
fn sweep(parent: &Path, prefix: &str) {
    for left in left_behind(parent, prefix) {
        let _ = left.remove();
    }
}

/// A folder that a crashed clone left behind; locked, so that nobody takes it up meanwhile.
#[derive(Debug)]
pub struct Abandoned {
    path: PathBuf,
    _lock: lock::Lock,
}

impl Abandoned {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of its files, as far as they can be seen.
    pub fn size(&self) -> u64 {
        let (mut open, mut size) = (vec![self.path.clone()], 0_u64);
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                // Links are not followed.
                let Ok(meta) = entry.metadata() else { continue };
                if meta.is_dir() {
                    open.push(entry.path());
                } else {
                    size = size.saturating_add(meta.len());
                }
            }
        }
        size
    }

    /// Removes it.
    ///
    /// # Errors
    /// When that is not allowed, or fails in the middle.
    pub fn remove(&self) -> std::io::Result<()> {
        std::fs::remove_dir_all(&self.path)
    }
}

/// What clones of this work tree left behind when they crashed. One that is under way is not among them.
pub fn abandoned_clones(target: &Path) -> Vec<Abandoned> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else { return Vec::new() };
    left_behind(parent, &nursery_prefix(name))
}

fn nursery_prefix(name: &std::ffi::OsStr) -> String {
    format!(".{}.clone-", name.to_string_lossy())
}

fn left_behind(parent: &Path, prefix: &str) -> Vec<Abandoned> {
    let folder = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let own = entries.flatten().filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(prefix) && entry.file_type().is_ok_and(|kind| kind.is_dir())
    });
    let free = own.filter_map(|entry| {
        let lock = lock::attempt(&entry.path()).ok().flatten()?;
        Some(Abandoned { path: entry.path(), _lock: lock })
    });
    free.collect()
}
