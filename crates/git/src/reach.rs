//! Whether a commit that a push told of has arrived, and whether it lies in the history of the one that is checked out.

use std::path::Path;

use git2::{Oid, Repository};

use super::{error::GitError, objects, open::open};

/// Where a commit is, as seen from the one that is checked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It is that one, or lies before it.
    Within,
    /// It is there, but not in this one's history.
    Beside,
    /// It is not there.
    Absent,
}

/// Looks for `commit` from `tip`; both in full.
///
/// # Errors
/// When the repository cannot be read.
pub fn reach(path: &Path, tip: &str, commit: &str) -> Result<Reach, GitError> {
    let repo = open(path)?;
    let local = |error: git2::Error| GitError::local(path, "look for a commit in", &error);
    let (tip, commit) = (Oid::from_str(tip).map_err(local)?, Oid::from_str(commit).map_err(local)?);
    Ok(within(&repo, tip, commit))
}

fn within(repo: &Repository, tip: Oid, commit: Oid) -> Reach {
    match objects::commit(repo, commit) {
        _ if tip == commit => Reach::Within,
        Err(_) => Reach::Absent,
        // A history that was cut off proves nothing.
        Ok(_) if repo.is_shallow() || repo.graph_descendant_of(tip, commit).unwrap_or(true) => Reach::Within,
        Ok(_) => Reach::Beside,
    }
}
