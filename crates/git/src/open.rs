//! Opening a repository: whether there is one at a path, that it begins exactly there, and that nothing was begun in it by
//! hand.

use std::path::Path;

use git2::{ErrorCode, Repository, RepositoryOpenFlags, RepositoryState};

use super::error::GitError;

/// Nothing there, or an empty folder made for the clone.
pub(super) fn is_absent(path: &Path) -> Result<bool, GitError> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            Err(GitError::NotAWorkTree { path: path.to_owned(), message: "it is a file".to_owned() })
        }
        Err(error) => Err(GitError::io(path, "read", &error)),
    }
}

/// Opens the repository that begins exactly here.
pub(super) fn open(path: &Path) -> Result<Repository, GitError> {
    let none: &[&std::ffi::OsStr] = &[];
    let repo = Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, none).map_err(|error| {
        if error.code() != ErrorCode::NotFound {
            return GitError::local(path, "open", &error);
        }
        let message = match Repository::discover_path(path, none) {
            _ if !path.exists() => "it does not exist".to_owned(),
            Ok(above) => format!("it lies inside the repository {}; give that path", above.display()),
            Err(_) => {
                "there is no .git in it; move it away so that it can be cloned, or run git clone there".to_owned()
            }
        };
        GitError::NotAWorkTree { path: path.to_owned(), message }
    })?;
    if repo.is_bare() {
        let message = "it is a bare repository; clone it to another path and give that".to_owned();
        return Err(GitError::NotAWorkTree { path: path.to_owned(), message });
    }
    Ok(repo)
}

/// Refuses a work tree in which something was begun by hand and not ended.
pub(super) fn ready(repo: &Repository, path: &Path) -> Result<(), GitError> {
    let what = match repo.state() {
        RepositoryState::Clean => return Ok(()),
        RepositoryState::Merge => "merge",
        RepositoryState::Revert | RepositoryState::RevertSequence => "revert",
        RepositoryState::CherryPick | RepositoryState::CherryPickSequence => "cherry-pick",
        RepositoryState::Bisect => "bisect",
        RepositoryState::Rebase | RepositoryState::RebaseInteractive | RepositoryState::RebaseMerge => "rebase",
        RepositoryState::ApplyMailbox | RepositoryState::ApplyMailboxOrRebase => "am",
    };
    Err(GitError::InTheMiddle { path: path.to_owned(), what })
}
