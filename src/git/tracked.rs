//! What git tracks in a work tree, submodules included.

use std::path::Path;

use git2::Repository;

use super::{error::GitError, update::open};

/// Submodules inside submodules, at most.
const DEEPEST: usize = 8;
/// Mode of an entry that stands for a submodule.
const GITLINK: u32 = 0o160_000;

/// Every tracked file, as a path from the top of the work tree with slashes, in the order of the names. Of submodules
/// those files that are tracked in them. Reads indexes only, not the files.
///
/// # Errors
/// When the work tree or its index cannot be read.
pub fn tracked_files(path: &Path) -> Result<Vec<String>, GitError> {
    let repo = open(path)?;
    let mut files = Vec::new();
    collect(&repo, "", 0, &mut files).map_err(|error| GitError::local(path, "read the index of", &error))?;
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

fn collect(repo: &Repository, prefix: &str, depth: usize, out: &mut Vec<String>) -> Result<(), git2::Error> {
    let index = repo.index()?;
    for entry in index.iter() {
        let name = format!("{prefix}{}", String::from_utf8_lossy(&entry.path));
        if entry.mode != GITLINK {
            out.push(name);
            continue;
        }
        let own = repo.workdir().map(|top| top.join(String::from_utf8_lossy(&entry.path).as_ref()));
        // One that was never fetched has no files.
        if let Some(Ok(submodule)) = own.filter(|_| depth < DEEPEST).map(Repository::open) {
            collect(&submodule, &format!("{name}/"), depth + 1, out)?;
        }
    }
    Ok(())
}
