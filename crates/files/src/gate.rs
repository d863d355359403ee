//! Opens and reads files through the gate: checks what a path is before it is opened for reading, and bounds what is
//! read.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek as _, SeekFrom},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::FileTypeExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::{folder::Folder, kind::Kind, reach::Reach, refusal::Refusal, watch::at, way};

/// `/dev/null`, on every Linux.
const NOTHING: (u32, u32) = (1, 3);

/// A regular file, open for reading. Reading tells the clock where it is.
#[derive(Debug)]
pub struct Opened {
    file: File,
    meta: Metadata,
    path: PathBuf,
    place: PathBuf,
}

impl Opened {
    /// What it was when it was opened.
    pub fn meta(&self) -> &Metadata {
        &self.meta
    }

    /// Goes on reading at this byte.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn go_to(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset)).map(drop)
    }

    /// The file itself, for who reads it in another way.
    pub fn into_file(self) -> File {
        self.file
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = &mut self.file;
        at(&self.place, &self.path, || file.read(buffer))?
    }
}

impl Reach {
    /// The whole of a file.
    ///
    /// # Errors
    /// Those of the file system; [`Refusal`] for what is no regular file, too large, out of reach, or hangs.
    pub fn read(&self, path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
        let opened = self.open(path)?;
        // One byte more than the file: read in one go, and seen to end in a second one.
        let size = opened.meta.len().min(kind.most);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default().saturating_add(1));
        opened.take(kind.most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > kind.most { Err(Refusal::TooLarge(kind.most).into()) } else { Ok(bytes) }
    }

    /// Opens a regular file. `/dev/null` is an empty one; a pipe of the shell (`<(...)`, /dev/stdin) is one where the
    /// user chose it.
    ///
    /// # Errors
    /// As [`Reach::read`].
    pub fn open(&self, path: &Path) -> io::Result<Opened> {
        let place = self.place(path);
        let file = at(place, path, || {
            let found = way::look(self, path)?;
            let stat = rustix::fs::fstat(&found)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => reopen(&found),
                FileType::CharacterDevice if is_nothing(&stat) => reopen(&found),
                // To open a pipe is to wait for whoever writes to it, perhaps for ever. One of a shell has no name that
                // leads back to it; it is open already.
                FileType::Fifo if *self == Self::Anywhere && std::fs::canonicalize(path).is_err() => File::open(path),
                _ => Err(Refusal::NotAFile(word(&stat)).into()),
            }
        })??;
        let meta = file.metadata()?;
        let expected = meta.is_file() || meta.file_type().is_fifo() || meta.file_type().is_char_device();
        if !expected {
            return Err(Refusal::Swapped.into());
        }
        Ok(Opened { file, meta, path: path.to_owned(), place: place.to_owned() })
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// As [`Reach::read`].
    pub fn folder(&self, path: &Path) -> io::Result<Folder> {
        let opened = at(self.place(path), path, || {
            let found = way::look(self, path)?;
            let stat = rustix::fs::fstat(&found)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Ok(found),
                FileType::RegularFile => Err(io::Error::from(Refusal::NotAFolder("a file"))),
                _ => Err(Refusal::NotAFolder(word(&stat)).into()),
            }
        })??;
        Ok(Folder::new(path.to_owned(), self.clone(), opened))
    }

    /// Does something at a path that may hang.
    ///
    /// # Errors
    /// Its file system hangs.
    pub fn at<T>(&self, path: &Path, work: impl FnOnce() -> T) -> io::Result<T> {
        at(self.place(path), path, work)
    }

    /// What is at a path, links followed as far as this reaches.
    ///
    /// # Errors
    /// As [`Reach::read`], but for what it is.
    pub fn kind(&self, path: &Path) -> io::Result<FileType> {
        at(self.place(path), path, || {
            let found = way::look(self, path)?;
            Ok(FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode))
        })?
    }
}

/// Opens for reading what was looked at: that very file, whatever has its name by now.
fn reopen(found: &OwnedFd) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let name = format!("/proc/self/fd/{}", found.as_raw_fd());
    Ok(File::from(rustix::fs::open(name, flags, Mode::empty())?))
}

fn is_nothing(stat: &Stat) -> bool {
    (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == NOTHING
}

/// What it is, for an error.
fn word(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::BlockDevice => "a block device",
        // Numbers of terminals: /dev/tty, consoles, serial lines, and both ends of pseudo-terminals.
        FileType::CharacterDevice => match rustix::fs::major(stat.st_rdev) {
            4 | 5 | 136..=143 => "a terminal",
            _ => "a device",
        },
        FileType::Unknown => "something unknown",
    }
}
