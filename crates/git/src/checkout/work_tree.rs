//! The work tree as the file system has it, reached folder by folder and never through a link.
//!
//! Each folder is opened relative to the one above it, so that whoever may write in one cannot turn it into a link to
//! elsewhere between a look and a deed.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use super::{
    node::{Name, parents, split},
    room::Room,
};

/// What begins the names of files that are written beside the one they are to replace. After a crash they are removed.
pub(super) const BESIDE: &str = ".turnout-new.";

/// The work tree, and the folder in it that was used last.
#[derive(Debug)]
pub(super) struct WorkTree {
    path: PathBuf,
    top: OwnedFd,
    way: Vec<(Name, OwnedFd)>,
    written: u64,
}

/// A folder that was looked for.
pub(super) enum Place<'w> {
    Here(BorrowedFd<'w>),
    /// Neither it nor something else in its place.
    Absent,
    /// The first so many bytes of its path lead to something that is no folder.
    Blocked(usize),
}

impl WorkTree {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Self { path, top, way: Vec::new(), written: 0 })
    }

    /// Where something lies, as an absolute path.
    pub(super) fn path_of(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name))
    }

    /// The folder of this path; made, with those above it, if `make` says so.
    pub(super) fn folder(&mut self, name: &[u8], make: bool) -> io::Result<Place<'_>> {
        let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
        let common = self.way.iter().zip(&parts).take_while(|((have, _), want)| have == *want).count();
        self.way.truncate(common);
        for (depth, part) in parts.iter().enumerate().skip(common) {
            let above = self.way.last().map_or(self.top.as_fd(), |(_, folder)| folder.as_fd());
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = || rustix::fs::openat(above, *part, flags, Mode::empty());
            let opened = match open() {
                Err(Errno::NOENT) if make => {
                    match rustix::fs::mkdirat(above, *part, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    open()
                }
                other => other,
            };
            match opened {
                Ok(folder) => self.way.push(((*part).to_vec(), folder)),
                Err(Errno::NOENT) => return Ok(Place::Absent),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let length = parts.iter().take(depth + 1).map(|part| part.len() + 1).sum::<usize>() - 1;
                    return Ok(Place::Blocked(length));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Place::Here(self.way.last().map_or(self.top.as_fd(), |(_, folder)| folder.as_fd())))
    }

    /// The folder, which must be there or be made.
    fn made(&mut self, name: &[u8]) -> io::Result<BorrowedFd<'_>> {
        match self.folder(name, true)? {
            Place::Here(folder) => Ok(folder),
            Place::Absent => Err(io::ErrorKind::NotFound.into()),
            Place::Blocked(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// What is at a path, links not followed. `Err` in the `Ok`: something on the way is no folder.
    pub(super) fn look(&mut self, name: &[u8]) -> io::Result<Result<Option<Stat>, usize>> {
        let (folder, own) = split(name);
        match self.folder(folder, false)? {
            Place::Absent => Ok(Ok(None)),
            Place::Blocked(length) => Ok(Err(length)),
            Place::Here(folder) => match rustix::fs::statat(folder, own, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => Ok(Ok(Some(found))),
                Err(Errno::NOENT) => Ok(Ok(None)),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Where the link at a path leads.
    pub(super) fn link(&mut self, name: &[u8]) -> io::Result<Vec<u8>> {
        let (folder, own) = split(name);
        match self.folder(folder, false)? {
            Place::Here(folder) => Ok(rustix::fs::readlinkat(folder, own, Vec::new())?.into_bytes()),
            Place::Absent | Place::Blocked(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The start of the regular file at a path, at most so many bytes.
    pub(super) fn read(&mut self, name: &[u8], most: u64) -> io::Result<Vec<u8>> {
        let (folder, own) = split(name);
        let Place::Here(folder) = self.folder(folder, false)? else { return Err(io::ErrorKind::NotFound.into()) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut text = Vec::new();
        File::from(rustix::fs::openat(folder, own, flags, Mode::empty())?).take(most).read_to_end(&mut text)?;
        Ok(text)
    }

    /// The names in a folder, and whether each is a folder itself; nothing where there is none.
    pub(super) fn list(&mut self, name: &[u8]) -> io::Result<Vec<(Name, bool)>> {
        let Place::Here(folder) = self.folder(name, false)? else { return Ok(Vec::new()) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let readable = rustix::fs::openat(folder, c".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&readable)? {
            let entry = entry?;
            let own = entry.file_name().to_bytes();
            if own == b"." || own == b".." {
                continue;
            }
            let is_folder = match entry.file_type() {
                FileType::Unknown => {
                    rustix::fs::statat(&readable, own, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|found| is_folder(&found))
                }
                known => known == FileType::Directory,
            };
            names.push((own.to_vec(), is_folder));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether files can be made, replaced and removed in a folder; if it is absent, in the next one above that is there.
    /// Gives the folder that cannot be written.
    pub(super) fn unwritable(&mut self, name: &[u8]) -> io::Result<Option<(Name, Errno)>> {
        let mut at = name;
        loop {
            match self.folder(at, false)? {
                Place::Here(folder) => {
                    let want = Access::WRITE_OK | Access::EXEC_OK;
                    return Ok(match rustix::fs::accessat(folder, c".", want, AtFlags::EACCESS) {
                        Err(error @ (Errno::ACCESS | Errno::ROFS | Errno::PERM)) => Some((at.to_vec(), error)),
                        _ => None,
                    });
                }
                Place::Absent | Place::Blocked(_) if !at.is_empty() => at = split(at).0,
                Place::Absent | Place::Blocked(_) => return Ok(None),
            }
        }
    }

    /// What we may still write on the file system of the work tree.
    pub(super) fn room(&self) -> io::Result<Room> {
        let found = rustix::fs::fstatvfs(File::open(&self.path)?)?;
        Ok(Room {
            bytes: found.f_bavail.saturating_mul(found.f_frsize),
            inodes: (found.f_files != 0).then_some(found.f_favail),
            block: found.f_frsize,
            size: (found.f_blocks.saturating_mul(found.f_frsize), found.f_files),
        })
    }

    /// The folders on the way to these paths that are not there yet, each after the one that holds it.
    pub(super) fn absent_folders<'n>(&mut self, names: impl Iterator<Item = &'n Name>) -> io::Result<BTreeSet<Name>> {
        let (mut absent, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for name in names {
            for folder in parents(name) {
                if !seen.contains(folder) {
                    seen.insert(folder.to_vec());
                    if !matches!(self.folder(folder, false)?, Place::Here(_)) {
                        absent.insert(folder.to_vec());
                    }
                }
            }
        }
        Ok(absent)
    }

    /// Brings everything that was written to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.path)?)?)
    }

    /// Puts a regular file in place, whatever file or link was there before.
    pub(super) fn write(&mut self, name: &[u8], program: bool, fill: &mut Fill<'_>) -> io::Result<Stat> {
        let mode = Mode::from_raw_mode(if program { 0o777 } else { 0o666 });
        self.replace(name, |folder, beside| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(folder, beside, flags, mode)?);
            fill(&mut file)?;
            file.flush()
        })
    }

    /// Puts a link in place, whatever file or link was there before.
    pub(super) fn write_link(&mut self, name: &[u8], to: &[u8]) -> io::Result<Stat> {
        self.replace(name, |folder, beside| Ok(rustix::fs::symlinkat(to, folder, beside)?))
    }

    fn replace(&mut self, name: &[u8], make: impl FnOnce(BorrowedFd<'_>, &str) -> io::Result<()>) -> io::Result<Stat> {
        let (folder, own) = split(name);
        self.written += 1;
        let beside = format!("{BESIDE}{}", self.written);
        let folder = self.made(folder)?;
        let done = make(folder, &beside)
            .and_then(|()| Ok(rustix::fs::renameat(folder, beside.as_str(), folder, own)?))
            .and_then(|()| Ok(rustix::fs::statat(folder, own, AtFlags::SYMLINK_NOFOLLOW)?));
        if done.is_err() {
            let _ = rustix::fs::unlinkat(folder, beside.as_str(), AtFlags::empty());
        }
        done
    }

    /// Makes a folder if none is there.
    pub(super) fn make_folder(&mut self, name: &[u8]) -> io::Result<()> {
        self.made(name).map(|_| ())
    }

    /// Removes a file or link; one that is gone is removed. Says whether its folder is there.
    pub(super) fn remove(&mut self, name: &[u8]) -> io::Result<bool> {
        self.unlink(name, AtFlags::empty())
    }

    /// Removes a folder if it is empty; says whether it is gone. One that is not empty, the point of a mount, or in a
    /// folder that we may not write stays, as with git.
    pub(super) fn remove_folder(&mut self, name: &[u8]) -> bool {
        // An open folder must not stand for one that is made anew later.
        let depth = name.split(|byte| *byte == b'/').count();
        self.way.truncate(depth - 1);
        self.unlink(name, AtFlags::REMOVEDIR).is_ok()
    }

    /// Removes a folder with all that is in it.
    pub(super) fn remove_all(&mut self, name: &[u8]) -> io::Result<()> {
        for (own, is_folder) in self.list(name)? {
            let inner = [name, b"/", &own].concat();
            if is_folder { self.remove_all(&inner)? } else { self.unlink(&inner, AtFlags::empty()).map(|_| ())? }
        }
        self.way.clear();
        self.unlink(name, AtFlags::REMOVEDIR).map(|_| ())
    }

    fn unlink(&mut self, name: &[u8], flags: AtFlags) -> io::Result<bool> {
        let (folder, own) = split(name);
        match self.folder(folder, false)? {
            Place::Here(folder) => match rustix::fs::unlinkat(folder, own, flags) {
                Ok(()) | Err(Errno::NOENT) => Ok(true),
                Err(error) => Err(error.into()),
            },
            Place::Absent | Place::Blocked(_) => Ok(false),
        }
    }

    /// Removes what a crash left of [`BESIDE`] in a folder.
    pub(super) fn sweep(&mut self, folder: &[u8]) -> io::Result<()> {
        for (own, is_folder) in self.list(folder)? {
            if !is_folder && own.starts_with(BESIDE.as_bytes()) {
                let name = if folder.is_empty() { own } else { [folder, b"/", &own].concat() };
                self.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// Writes the content of a file.
pub(super) type Fill<'f> = dyn FnMut(&mut File) -> io::Result<()> + 'f;

pub(super) fn is_folder(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Directory
}
