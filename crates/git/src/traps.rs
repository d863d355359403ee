//! Files of git's own that libgit2 reads in a work tree as they are: whole, whatever their size; it opens what a link of
//! theirs leads to, and waits at a pipe for ever. git itself follows no such link (gitignore(5), gitattributes(5)).

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fmt,
    fs::{self, Metadata},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use git2::{Oid, Repository};

use super::{error::GitError, modules, objects};
use turnout_report::units;

/// What libgit2 reads in each folder, and keeps.
const READ: [&str; 2] = [".gitattributes", ".gitignore"];
/// Bytes of one of them, and of all of one name in a work tree. Limits memory: they are held, taken apart.
pub(super) const LARGEST: u64 = 1 << 20;
pub(super) const LARGEST_TOGETHER: u64 = 4 << 20;
/// Mode of a submodule in the index.
const GITLINK: u32 = 0o160_000;
/// Submodules inside submodules, as far as an update goes.
const DEEPEST: usize = 8;

/// Refuses a work tree that libgit2 must not compare, with the submodules in it, into which it looks as well.
///
/// # Errors
/// Names the file.
pub(super) fn refuse(repo: &Repository, top: &Path) -> Result<(), GitError> {
    below(repo, top, top, 0)
}

fn below(repo: &Repository, top: &Path, all: &Path, depth: usize) -> Result<(), GitError> {
    let doing = || format!("compare files in {}", all.display());
    let index = repo.index().map_err(|error| GitError::local(top, "read the index of", &error))?;
    modules::read(repo)?;
    let mut folders = BTreeSet::from([PathBuf::new()]);
    for entry in index.iter() {
        let path = Path::new(OsStr::from_bytes(&entry.path));
        if entry.mode == GITLINK && depth < DEEPEST {
            let (none, flags): (&[&OsStr], _) = (&[], git2::RepositoryOpenFlags::NO_SEARCH);
            let file = top.join(path);
            // One that was never fetched has no files.
            if let Ok(module) = Repository::open_ext(&file, flags, none) {
                below(&module, &file, all, depth + 1)?;
            }
        }
        let above = path.ancestors().skip(1);
        for folder in above {
            if !folders.insert(folder.to_owned()) {
                break;
            }
        }
    }
    for name in READ {
        let mut sum = Sum::default();
        for file in folders.iter().map(|folder| top.join(folder).join(name)) {
            let shown = file.strip_prefix(all).unwrap_or(&file).display();
            let refuse = |why: String| Err(GitError::other(doing(), why));
            match look(top, &file, |found| (found.is_dir(), found.is_file(), found.len())) {
                Ok((false, true, size)) => sum.add(&shown, size).or_else(refuse)?,
                Ok((true, ..)) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Ok(_) | Err(_) if file.is_symlink() => {
                    refuse(format!("{shown} is a link to something else than a file: take it out of the repository"))?
                }
                Ok(_) | Err(_) => refuse(format!("{shown} is no file that can be read: take it away"))?,
            }
        }
    }
    Ok(())
}

/// Refuses a commit after which a work tree would be one that libgit2 must not read.
///
/// # Errors
/// Says which file, and why.
pub(super) fn refuse_commit<'n>(
    repo: &Repository,
    files: impl IntoIterator<Item = (&'n [u8], Oid)>,
) -> Result<(), String> {
    let mut sums = READ.map(|name| (name, Sum::default()));
    for (path, blob) in files {
        let shown = || String::from_utf8_lossy(path).into_owned();
        let own = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        if path == modules::FILE.as_bytes() {
            let text = objects::blob(repo, blob, modules::LARGEST)
                .map_err(|error| format!("{}: {}", modules::FILE, error.message()))?;
            if let Some(why) = modules::fault(text.content()) {
                return Err(format!("{}: {why}", modules::FILE));
            }
        } else if let Some((_, sum)) = sums.iter_mut().find(|(name, _)| own == name.as_bytes()) {
            // One that is missing is told where it is to be written.
            let size = repo.odb().and_then(|odb| odb.read_header(blob)).map_or(0, |(size, _)| size as u64);
            sum.add(&shown(), size)?;
        }
    }
    Ok(())
}

/// Counts what is held of files of one name.
#[derive(Debug, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// One more.
    ///
    /// # Errors
    /// When it, or all together, are too large.
    pub(super) fn add(&mut self, file: &dyn fmt::Display, size: u64) -> Result<(), String> {
        self.0 = self.0.saturating_add(size);
        let advice = "git matches every file against it: say it with fewer lines";
        if size > LARGEST {
            return Err(format!("{file} has {}, more than {}; {advice}", units::shown(size), units::shown(LARGEST)));
        }
        if self.0 > LARGEST_TOGETHER {
            let most = units::shown(LARGEST_TOGETHER);
            return Err(format!("{file} and the others of its name have more than {most} together; {advice}"));
        }
        Ok(())
    }
}

/// Whether such a file stands in one of the folders above a path in the work tree.
pub(super) fn above(top: &Path, name: &Path) -> bool {
    let folders = name.ancestors().skip(1).map(|folder| top.join(folder));
    folders.flat_map(|folder| READ.map(|name| folder.join(name))).any(|file| is_trap(top, &file))
}

fn is_trap(top: &Path, file: &Path) -> bool {
    // A folder is none: nothing is read of it.
    let is_one = |found: &Metadata| !found.is_dir() && (!found.is_file() || found.len() > LARGEST);
    match look(top, file, is_one) {
        Ok(is_one) => is_one,
        // What cannot be looked at is not to be opened either.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Asks of a file, or of what a link leads to.
fn look<T>(top: &Path, file: &Path, ask: impl FnOnce(&Metadata) -> T) -> io::Result<T> {
    turnout_files::at(top, file, || fs::metadata(file))?.map(|found| ask(&found))
}
