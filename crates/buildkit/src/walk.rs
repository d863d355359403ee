//! Which files of a directory belong to a build context: sorted, filtered, each directory before what is in it.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use turnout_files::{self as files, Folder, Lost, Reach, Refusal};

use super::{
    dockerignore::{DockerIgnore, Judgement},
    error::OfferError,
};

/// Deepest directory that is entered. A bound on recursion, far beyond what the engine can unpack (PATH_MAX).
const MAX_DEPTH: usize = 2_048;
/// The problem of a context that nobody reads any more.
pub const ABANDONED: &str = "nobody reads the context any more";

/// What is selected from where.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Root of the context.
    pub root: Folder,
    /// What is left out.
    pub ignore: DockerIgnore,
    /// Paths selected whatever `ignore` says.
    pub always: Vec<String>,
    /// Whether exceptions with wildcards reach into excluded directories: they do for BuildKit's clients, not for the
    /// classic builder's.
    pub wild_exceptions: bool,
    /// If there are any, only these paths, what is below them, and `always`.
    pub only: Vec<String>,
}

/// One selected entry.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Path below the root of the walk.
    pub path: &'a Path,
    /// Its name in the context.
    pub name: &'a str,
    /// What was known of it when the directory was read. Links are not followed.
    pub meta: &'a Metadata,
    /// What it is; links are not followed.
    pub kind: Kind,
}

/// Kind of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder; what is in it are entries of their own.
    Directory,
    /// A regular file, whose content is read when it is asked for.
    File,
    /// Another name of a file that came before.
    HardLink(String),
    /// A symbolic link and its target.
    Symlink(PathBuf),
    /// A named pipe.
    Pipe,
    /// A socket; it cannot be sent.
    Socket,
    /// A character or block device.
    Device,
}

/// Visits every selected entry in a fixed order: by name, bytewise, a directory's content right after it. Directories
/// that are excluded themselves come only when something in them does not.
///
/// # Errors
/// What cannot be read, and whatever `visit` says.
pub fn walk<E: From<OfferError>>(
    selection: &Selection,
    visit: &mut dyn FnMut(&Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut walker = Walker { selection, visit, linked: HashMap::new(), pending: Vec::new() };
    walker.directory(selection.root.path(), "", &Judgement::default(), 0)
}

/// An ignore file that was found: its path as it was asked for, and its content.
pub type IgnoreFile = (PathBuf, Vec<u8>);

/// Reads the ignore file of a context: the first of `candidates` (relative to `root`, or absolute) that exists.
/// Returns the patterns, and which file they came from with its content.
pub fn read_ignore(
    reach: &Reach,
    root: &Path,
    candidates: &[PathBuf],
) -> Result<(DockerIgnore, Option<IgnoreFile>), OfferError> {
    for candidate in candidates {
        let path = root.join(candidate);
        let bytes = match reach.read(&path, files::Kind::IGNORE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(cannot(&path, error)),
        };
        let parsed = DockerIgnore::parse(&String::from_utf8_lossy(&bytes))
            .map_err(|error| OfferError::Context { path: path.clone(), problem: error.to_string() })?;
        return Ok((parsed, Some((candidate.clone(), bytes))));
    }
    Ok((DockerIgnore::default(), None))
}

struct Walker<'a, E> {
    selection: &'a Selection,
    visit: &'a mut dyn FnMut(&Entry<'_>) -> Result<(), E>,
    /// Regular files with several links: device and inode to the first name.
    linked: HashMap<(u64, u64), String>,
    /// Excluded directories on the way to the current one, not visited until something in them is.
    pending: Vec<(PathBuf, String, Metadata)>,
}

impl<E: From<OfferError>> Walker<'_, E> {
    fn directory(&mut self, path: &Path, relative: &str, above: &Judgement, depth: usize) -> Result<(), E> {
        if depth > MAX_DEPTH {
            return Err(OfferError::Context {
                path: path.to_owned(),
                problem: format!("is more than {MAX_DEPTH} directories deep: exclude it in .dockerignore"),
            }
            .into());
        }
        let mut names = Vec::new();
        let root = &self.selection.root;
        for entry in root.at(path, || fs::read_dir(path)).flatten().map_err(|e| cannot(path, e))? {
            names.push(entry.map_err(|e| cannot(path, e))?.file_name());
        }
        names.sort();
        for name in names {
            let path = path.join(&name);
            let Some(name) = name.to_str() else {
                return Err(OfferError::Context {
                    path,
                    problem: "its name is not UTF-8, which no ignore pattern and no Dockerfile can name: rename it"
                        .into(),
                }
                .into());
            };
            let relative = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            self.entry(&path, relative, above, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, relative: String, above: &Judgement, depth: usize) -> Result<(), E> {
        let Selection { ignore, always, only, wild_exceptions, root: _ } = self.selection;
        let below = format!("{relative}/");
        let wanted = always.contains(&relative);
        let leads_on = always.iter().any(|p| p.starts_with(&below));
        let within = only.is_empty() || only.iter().any(|p| *p == relative || relative.starts_with(&format!("{p}/")));
        let leads_within = only.iter().any(|p| p.starts_with(&below));
        if !within && !leads_within && !wanted && !leads_on {
            return Ok(());
        }
        let judgement = ignore.judge(&relative, above);
        let excluded = (judgement.excluded() || !within) && !wanted;
        let returns = match wild_exceptions {
            true => ignore.may_include_below(&relative),
            false => ignore.may_include_below_literally(&relative),
        };
        let may_return = returns || !judgement.excluded();
        if excluded && !leads_on && !may_return {
            return Ok(());
        }
        let meta = match self.selection.root.at(path, || fs::symlink_metadata(path)).flatten() {
            Ok(meta) => meta,
            // Deleted since the directory was listed. Only an excluded entry is none of the build's business.
            Err(error) if excluded && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(cannot(path, error).into()),
        };
        if meta.is_dir() {
            self.pending.push((path.to_owned(), relative.clone(), meta));
            if !excluded {
                self.visit_pending()?;
            }
            self.directory(path, &relative, &judgement, depth + 1)?;
            if self.pending.last().is_some_and(|(_, name, _)| *name == relative) {
                self.pending.pop();
            }
            return Ok(());
        }
        if excluded {
            return Ok(());
        }
        self.visit_pending()?;
        let kind = self.kind(path, &relative, &meta)?;
        (self.visit)(&Entry { path, name: &relative, meta: &meta, kind })
    }

    fn visit_pending(&mut self) -> Result<(), E> {
        for (path, name, meta) in std::mem::take(&mut self.pending) {
            (self.visit)(&Entry { path: &path, name: &name, meta: &meta, kind: Kind::Directory })?;
        }
        Ok(())
    }

    fn kind(&mut self, path: &Path, relative: &str, meta: &Metadata) -> Result<Kind, OfferError> {
        let kind = meta.file_type();
        Ok(if kind.is_symlink() {
            Kind::Symlink(fs::read_link(path).map_err(|e| cannot(path, e))?)
        } else if kind.is_file() {
            match self.linked.get(&(meta.dev(), meta.ino())) {
                Some(first) => Kind::HardLink(first.clone()),
                None => {
                    if meta.nlink() > 1 {
                        self.linked.insert((meta.dev(), meta.ino()), relative.to_owned());
                    }
                    Kind::File
                }
            }
        } else if kind.is_fifo() {
            Kind::Pipe
        } else if kind.is_socket() {
            Kind::Socket
        } else {
            Kind::Device
        })
    }
}

/// Opens a selected file for reading: no link is followed and no pipe waited for, as the entry may have been swapped
/// since it was looked at. Reads exactly as many bytes as the file has now.
pub fn open(root: &Folder, path: &Path) -> Result<(Metadata, Exact), OfferError> {
    let (meta, file) = root.open(path).map_err(|e| cannot(path, e))?;
    let size = meta.len();
    let (root, path) = (root.clone(), path.to_owned());
    Ok((meta, Exact { root, path, file, size, left: size, shrunk: false }))
}

/// Reads exactly the announced number of bytes, and knows when they were not there.
pub struct Exact {
    root: Folder,
    path: PathBuf,
    file: File,
    size: u64,
    left: u64,
    shrunk: bool,
}

impl Exact {
    /// The error, if the file shrank while it was read.
    pub fn check(&self, path: &Path) -> Result<(), OfferError> {
        if !self.shrunk {
            return Ok(());
        }
        Err(OfferError::Context {
            path: path.to_owned(),
            problem: format!(
                "shrank while it was read ({} of {} bytes were there): exclude files that are being written in \
                 .dockerignore, or deploy again",
                self.size - self.left,
                self.size
            ),
        })
    }

    /// Whether the file has more than was read of it. What it had at first is a state it really was in, so this is
    /// worth a note, not a failure: log files grow.
    pub fn grew(&self) -> bool {
        self.file.metadata().is_ok_and(|now| now.len() > self.size)
    }
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(window) = buffer.get_mut(..want).filter(|window| !window.is_empty()) else { return Ok(0) };
        let file = &mut self.file;
        let got = self.root.at(&self.path, || file.read(window)).flatten()?;
        if got == 0 {
            self.shrunk = true;
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file shrank while it was read"));
        }
        self.left -= got as u64;
        Ok(got)
    }
}

/// An I/O failure at a path of the context, with what to do about it.
pub fn cannot(path: &Path, error: io::Error) -> OfferError {
    let problem = match error.kind() {
        io::ErrorKind::PermissionDenied if files::hint(&error).is_some() => told(&error, ""),
        io::ErrorKind::BrokenPipe => ABANDONED.to_owned(),
        io::ErrorKind::PermissionDenied => format!("{error}: let this user read it, or exclude it in .dockerignore"),
        io::ErrorKind::NotFound => format!("{error}: it disappeared while the context was read: deploy again"),
        _ => told(&error, ""),
    };
    OfferError::Context { path: path.to_owned(), problem }
}

/// An error with what to do: the gate knows, or else `usual` says it.
pub fn told(error: &io::Error, usual: &str) -> String {
    match files::hint(error) {
        Some(hint) => format!("{error}: {hint}"),
        None if usual.is_empty() => error.to_string(),
        None => format!("{error}: {usual}"),
    }
}

/// Why the reader of a context gave nothing.
pub fn lost(lost: Lost) -> OfferError {
    let path = match &lost {
        Lost::Hangs(Refusal::Hangs(path, _)) => path.clone(),
        Lost::Hangs(_) | Lost::Died(_) => PathBuf::new(),
    };
    OfferError::Context { path, problem: told(&lost.into(), "") }
}
