//! What git tracks in a work tree, submodules included.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use git2::Repository;

use super::{error::GitError, open::open};

/// Submodules inside submodules, at most.
const DEEPEST: usize = 8;
/// Mode of an entry that stands for a submodule.
const GITLINK: u32 = 0o160_000;
/// Mode of a link.
const LINK: u32 = 0o120_000;

/// What came with commits and leads elsewhere, as paths from the top of the work tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommittedLinks {
    /// Symbolic links that git tracks.
    pub links: BTreeSet<PathBuf>,
    /// Submodules; what links they have is not looked up.
    pub modules: BTreeSet<PathBuf>,
}

/// The links and submodules that git tracks. Reads the index only.
///
/// # Errors
/// When the work tree or its index cannot be read.
pub fn committed_links(path: &Path) -> Result<CommittedLinks, GitError> {
    let index = open(path)?.index().map_err(|error| GitError::local(path, "read the index of", &error))?;
    let mut found = CommittedLinks::default();
    for entry in index.iter() {
        let name = || PathBuf::from(OsStr::from_bytes(&entry.path));
        match entry.mode {
            LINK => drop(found.links.insert(name())),
            GITLINK => drop(found.modules.insert(name())),
            _ => {}
        }
    }
    Ok(found)
}

/// Every tracked file, as a path from the top of the work tree, in the order of the names' bytes. Of submodules
/// those files that are tracked in them. Reads indexes only, not the files.
///
/// # Errors
/// When the work tree or its index cannot be read.
pub fn tracked_files(path: &Path) -> Result<Vec<PathBuf>, GitError> {
    let repo = open(path)?;
    let mut files = Vec::new();
    collect(&repo, Path::new(""), 0, &mut files).map_err(|error| GitError::local(path, "read the index of", &error))?;
    // Byte by byte, not part by part as paths are compared: who looks for a folder's files counts on it.
    files.sort_unstable_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    files.dedup();
    Ok(files)
}

fn collect(repo: &Repository, above: &Path, depth: usize, out: &mut Vec<PathBuf>) -> Result<(), git2::Error> {
    let index = repo.index()?;
    for entry in index.iter() {
        let own = Path::new(OsStr::from_bytes(&entry.path));
        let name = above.join(own);
        if entry.mode != GITLINK {
            out.push(name);
            continue;
        }
        let own = repo.workdir().map(|top| top.join(own));
        // One that was never fetched has no files.
        if let Some(Ok(submodule)) = own.filter(|_| depth < DEEPEST).map(Repository::open) {
            collect(&submodule, &name, depth + 1, out)?;
        }
    }
    Ok(())
}
