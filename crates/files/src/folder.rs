//! A folder that was let through, whose files are read one by one: a build context.

use std::{
    fs::{File, Metadata},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{reach::Reach, refusal::Refusal, watch::at};

/// A folder, held open: whatever is put in the place of its name, its files are these.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    reach: Reach,
    opened: Arc<OwnedFd>,
}

impl Folder {
    pub(super) fn new(path: PathBuf, reach: Reach, opened: OwnedFd) -> Self {
        Self { path, reach, opened: Arc::new(opened) }
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does something at a path in it that may hang.
    ///
    /// # Errors
    /// Its file system hangs.
    pub fn at<T>(&self, path: &Path, work: impl FnOnce() -> T) -> io::Result<T> {
        at(self.reach.place(path), path, work)
    }

    /// Opens a regular file below, by its whole path. No link is followed, on the way neither: the entry may have been
    /// exchanged since it was looked at.
    ///
    /// # Errors
    /// Those of the file system, and what is no regular file.
    pub fn open(&self, path: &Path) -> io::Result<(Metadata, File)> {
        self.at(path, || {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let inside = path.strip_prefix(&self.path).map_err(|_| io::Error::from(Refusal::Swapped))?;
            let file = match rustix::fs::openat2(&*self.opened, inside, flags, Mode::empty(), how) {
                // A kernel before 5.6, or a sandbox that does not know the call.
                Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(&*self.opened, inside, flags, Mode::empty()),
                Err(Errno::LOOP | Errno::XDEV) => return Err(Refusal::Swapped.into()),
                other => other,
            };
            let file = File::from(file?);
            let meta = file.metadata()?;
            if meta.is_file() { Ok((meta, file)) } else { Err(Refusal::Swapped.into()) }
        })?
    }
}
