//! From a path to an open file or folder, within reach. What is opened here can be looked at, not yet read (`O_PATH`).

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{
    reach::{Reach, Repository},
    refusal::Refusal,
};

/// Links on one way, at most; as many as the kernel follows.
const MOST_LINKS: usize = 40;
/// The kernel's own file systems, by the numbers in <linux/magic.h>: proc, sysfs, cgroup, cgroup2, devpts, debugfs,
/// tracefs, securityfs, bpf, configfs, pstore, efivarfs, selinux, smack, nsfs, binfmt_misc, mqueue.
const KERNELS: [u64; 17] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
    0x6265_6570,
    0x6165_676c,
    0xde5e_81e4,
    0xf97c_ff8c,
    0x4341_5d53,
    0x6e73_6673,
    0x4249_4e4d,
    0x1980_0202,
];
/// An empty file, wherever it lies.
const NOTHING: &str = "/dev/null";

const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Opens what is at a path, to look at it.
///
/// # Errors
/// Those of the file system, and what is out of reach.
pub(super) fn look(reach: &Reach, path: &Path) -> io::Result<OwnedFd> {
    let repository = match reach {
        Reach::Anywhere => return Ok(rustix::fs::open(path, LOOK, Mode::empty())?),
        Reach::Repository(repository) => repository,
    };
    let top = rustix::fs::open(&repository.root, LOOK | OFlags::DIRECTORY, Mode::empty())?;
    if let Some(inside) = repository.inside(path) {
        let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&top, inside, LOOK, Mode::empty(), how) {
            // It leads out, perhaps with the leave of the server's user; or the kernel does not know this call, or a
            // sandbox denies it.
            Err(Errno::XDEV | Errno::LOOP | Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::INVAL) => {}
            found => return Ok(found?),
        }
    }
    Traveller { repository, top, way: Vec::new(), ahead: VecDeque::new() }.go(path)
}

/// Who chose a step of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    /// Whoever wrote the path, in a file of the repository.
    Path,
    /// A link that came with a commit, by its path in the repository.
    Link(PathBuf),
    /// A link of the server's own.
    Server,
}

/// Goes a way step by step, never through a link without having looked at it.
struct Traveller<'r> {
    repository: &'r Repository,
    top: OwnedFd,
    /// The folders so far, by name.
    way: Vec<(OsString, OwnedFd)>,
    ahead: VecDeque<(OsString, By)>,
}

impl Traveller<'_> {
    fn go(&mut self, path: &Path) -> io::Result<OwnedFd> {
        match self.repository.inside(path) {
            Some(inside) => self.prepend(inside, &By::Path),
            None => {
                if let Some(found) = self.leave(path.to_owned(), &By::Path)? {
                    return Ok(found);
                }
            }
        }
        let mut links = 0;
        while let Some((name, by)) = self.ahead.pop_front() {
            if name == ".." {
                if self.way.pop().is_none() {
                    let above = self.repository.root.join("..");
                    if let Some(found) = self.leave(above, &by)? {
                        return Ok(found);
                    }
                }
                continue;
            }
            let above = self.way.last().map_or(self.top.as_fd(), |(_, folder)| folder.as_fd());
            let found = rustix::fs::openat(above, &name, LOOK | OFlags::NOFOLLOW, Mode::empty())?;
            if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::Symlink {
                self.way.push((name, found));
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::LOOP.into());
            }
            let to = PathBuf::from(OsString::from_vec(rustix::fs::readlinkat(&found, c"", Vec::new())?.into_bytes()));
            let here: PathBuf = self.way.iter().map(|(name, _)| name).chain([&name]).collect();
            let by = if self.repository.is_committed(&here) { By::Link(here) } else { By::Server };
            if !to.is_absolute() {
                self.prepend(&to, &by);
            } else if let Some(found) = self.leave(to, &by)? {
                return Ok(found);
            }
        }
        match self.way.pop() {
            Some((_, found)) => Ok(found),
            None => Ok(rustix::fs::openat(&self.top, c".", LOOK, Mode::empty())?),
        }
    }

    fn prepend(&mut self, path: &Path, by: &By) {
        for part in path.components().rev() {
            match part {
                Component::Normal(name) => self.ahead.push_front((name.to_owned(), by.clone())),
                Component::ParentDir => self.ahead.push_front((OsStr::new("..").to_owned(), by.clone())),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
    }

    /// Goes on at an absolute path. Nothing where that or a later step leads inside again: the way goes on there.
    fn leave(&mut self, to: PathBuf, by: &By) -> io::Result<Option<OwnedFd>> {
        self.way.clear();
        let mut by = by.clone();
        let mut at = normal(&to);
        let mut whole = to;
        loop {
            if let Some(inside) = self.repository.inside(&at).map(Path::to_owned) {
                self.prepend(&inside, &by);
                return Ok(None);
            }
            let Some((name, own)) = self.ahead.pop_front() else { break };
            whole.push(&name);
            if name == ".." {
                at.pop();
                // The server's own link leads where it leads; a commit may add a way further in, none out of there.
                if by == By::Server {
                    by = own;
                }
            } else {
                at.push(name);
            }
        }
        if at == Path::new(NOTHING) {
            return Ok(Some(rustix::fs::open(NOTHING, LOOK, Mode::empty())?));
        }
        if by == By::Server || self.repository.outside {
            return outside(&whole).map(Some);
        }
        // Whether it matters that nothing is there is for the reader to say, as anywhere.
        if matches!(rustix::fs::lstat(&at), Err(Errno::NOENT | Errno::NOTDIR)) {
            return Err(Errno::NOENT.into());
        }
        let link = if let By::Link(link) = by { Some(link) } else { None };
        Err(Refusal::Outside { repository: self.repository.name.clone(), link, to: at }.into())
    }
}

/// Opens what lies outside of the repository and may be read: nothing of the kernel's.
fn outside(path: &Path) -> io::Result<OwnedFd> {
    let kernels = || io::Error::from(Refusal::Kernels(path.to_owned()));
    let found = match rustix::fs::openat2(CWD, path, LOOK, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
        Err(Errno::LOOP) if rustix::fs::open(path, LOOK, Mode::empty()).is_ok() => return Err(kernels()),
        Err(Errno::NOSYS | Errno::PERM) => {
            // Magic links have no other place, and this is said of the real one.
            let real = std::fs::canonicalize(path)?;
            if ["/proc", "/sys", "/dev/fd"].iter().any(|own| real.starts_with(own) || path.starts_with(own)) {
                return Err(kernels());
            }
            rustix::fs::open(&real, LOOK | OFlags::NOFOLLOW, Mode::empty())?
        }
        other => other?,
    };
    let system = rustix::fs::fstatfs(&found)?.f_type;
    // A number of 32 bits, in a field whose width and sign differ by architecture.
    if KERNELS.iter().any(|kernels| *kernels as u32 == system as u32) { Err(kernels()) } else { Ok(found) }
}

/// Without `..`, by the text alone.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}
