//! Questions to a work tree: where it is, what changed, what is tracked. Quick, local, and blocking.

use std::path::Path;

use git2::{AttrCheckFlags, Commit, Delta, DiffOptions, ErrorCode, Repository};

use super::{address::Address, branch, detached, error::GitError, objects, open::open, short::short_id, traps};

/// Where a work tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit in hex.
    pub commit: String,
    /// The same, as short as it is unambiguous.
    pub short: String,
    /// First line of its message.
    pub subject: String,
    /// Name of its author.
    pub author: String,
    /// The branch; none when detached.
    pub branch: Option<String>,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It has other content, another mode or another type.
    Modified,
    /// It is gone.
    Deleted,
}

/// A file that differs between two states. A renamed file is a deleted and an added one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Path from the top of the work tree, with slashes.
    pub path: String,
    /// Added, changed or deleted.
    pub change: Change,
}

/// One commit, for the record of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The commit in hex.
    pub commit: String,
    /// The first digits of it, as people write it.
    pub short: String,
    /// First line of its message.
    pub subject: String,
    /// Name of its author.
    pub author: String,
    /// When it was committed, in seconds since 1970 UTC.
    pub time: i64,
}

/// Where the work tree is.
///
/// # Errors
/// When there is no work tree or it has no commit.
pub fn head(path: &Path) -> Result<Head, GitError> {
    let repo = open(path)?;
    let commit = resolve(&repo, path, "HEAD")?;
    Ok(Head {
        commit: commit.id().to_string(),
        short: short_id(&repo, commit.id()),
        subject: subject(&commit),
        author: author(&commit),
        branch: branch::checked_out(&repo),
    })
}

/// The files that differ between two commits. `base` and `head` are whatever git understands: hashes, `HEAD~1`.
///
/// # Errors
/// [`GitError::UnknownCommit`] when one of them is not there: `HEAD~1` of a first commit, a base that was force-pushed
/// away, a shallow clone.
pub fn changed_files(path: &Path, base: &str, head: &str) -> Result<Vec<ChangedFile>, GitError> {
    let repo = open(path)?;
    let local = |error: git2::Error| GitError::local(path, "compare commits in", &error);
    let (base, head) = (resolve(&repo, path, base)?, resolve(&repo, path, head)?);
    let (base, head) = (base.tree().map_err(local)?, head.tree().map_err(local)?);
    let mut options = DiffOptions::new();
    options.include_typechange(true).ignore_submodules(false);
    let diff = repo.diff_tree_to_tree(Some(&base), Some(&head), Some(&mut options)).map_err(local)?;
    Ok(files(&diff))
}

/// The tracked files that differ between a commit and what lies in the work tree: `git diff --name-only <base>`.
/// Includes changes made by hand; untracked files are not named.
///
/// # Errors
/// As [`changed_files`].
pub fn changed_in_work_tree(path: &Path, base: &str) -> Result<Vec<ChangedFile>, GitError> {
    let repo = open(path)?;
    let local = |error: git2::Error| GitError::local(path, "compare files in", &error);
    traps::refuse(&repo, path)?;
    let tree = resolve(&repo, path, base)?.tree().map_err(local)?;
    let mut options = DiffOptions::new();
    options.include_typechange(true).include_untracked(false);
    let diff = repo.diff_tree_to_workdir_with_index(Some(&tree), Some(&mut options)).map_err(local)?;
    Ok(files(&diff))
}

/// The tracked files that somebody changed by hand: not as in the commit that is checked out, nor left out of the work
/// tree or declared unchanged in the index. Submodules and files that are converted in
/// ways of which libgit2 knows nothing are not looked at.
///
/// # Errors
/// As [`changed_files`].
pub fn changed_by_hand(path: &Path) -> Result<Vec<String>, GitError> {
    /// `CE_VALID` among the flags of an entry, and `CE_SKIP_WORKTREE` among the further ones.
    const ASSUMED: u16 = 0x8000;
    const LEFT_OUT: u16 = 0x4000;
    let repo = open(path)?;
    let index = repo.index().map_err(|error| GitError::local(path, "read the index of", &error))?;
    let is_asked = |file: &str| {
        let entry = index.get_path(Path::new(file), 0);
        let quiet = entry.is_some_and(|entry| {
            entry.flags & ASSUMED != 0 || entry.flags_extended & LEFT_OUT != 0 || entry.mode == 0o160_000
        });
        let converted = ["filter", "working-tree-encoding"].iter().any(|attribute| {
            matches!(repo.get_attr(Path::new(file), attribute, AttrCheckFlags::default()), Ok(Some(_)))
        });
        !quiet && !converted
    };
    // First, for it looks at what the questions above read, too.
    let changed = changed_in_work_tree(path, "HEAD")?;
    Ok(changed.into_iter().map(|file| file.path).filter(|file| is_asked(file)).collect())
}

/// Whether git tracks the file (a path from the top of the work tree). A tracked file must not be deleted from it.
///
/// # Errors
/// When the work tree or its index cannot be read.
pub fn is_tracked(path: &Path, file: &Path) -> Result<bool, GitError> {
    let repo = open(path)?;
    let index = repo.index().map_err(|error| GitError::local(path, "read the index of", &error))?;
    // Any stage: a file in conflict is tracked too.
    Ok((0..=3).any(|stage| index.get_path(file, stage).is_some()))
}

/// The commits that `head` has and `base` has not, newest first, at most `limit`; without a base, the last ones.
///
/// # Errors
/// As [`changed_files`].
pub fn short_log(path: &Path, base: Option<&str>, head: &str, limit: usize) -> Result<Vec<LogEntry>, GitError> {
    let repo = open(path)?;
    let local = |error: git2::Error| GitError::local(path, "read the history of", &error);
    let mut walk = repo.revwalk().map_err(local)?;
    walk.push(resolve(&repo, path, head)?.id()).map_err(local)?;
    if let Some(base) = base {
        walk.hide(resolve(&repo, path, base)?.id()).map_err(local)?;
    }
    let mut entries = Vec::new();
    for id in walk.take(limit) {
        // A shallow history ends without its beginning.
        let Ok(commit) = id.and_then(|id| objects::commit(&repo, id)) else { break };
        entries.push(LogEntry {
            commit: commit.id().to_string(),
            short: short_id(&repo, commit.id()),
            subject: subject(&commit),
            author: author(&commit),
            time: commit.time().seconds(),
        });
    }
    Ok(entries)
}

/// Where a branch of the remote was at the last fetch; else where the local one is. `None` where there is neither.
pub fn branch_tip(path: &Path, branch: &str) -> Option<String> {
    let repo = open(path).ok()?;
    let at = |name: String| repo.refname_to_id(&name).ok();
    let tip = at(format!("refs/remotes/origin/{branch}")).or_else(|| at(format!("refs/heads/{branch}")));
    tip.map(|tip| tip.to_string())
}

/// Where the branch that is followed was at the last fetch: this one, else the one that is checked out, or was left for a commit.
pub fn followed_tip(path: &Path, branch: Option<&str>) -> Option<String> {
    let repo = open(path).ok()?;
    let branch =
        branch.map(str::to_owned).or_else(|| branch::checked_out(&repo)).or_else(|| detached::left_branch(&repo));
    branch_tip(path, &branch?)
}

/// The address that a work tree is fetched from, without credentials: the configured one, else that of `origin`.
pub fn remote_address(path: &Path, configured: Option<&str>) -> Option<String> {
    let url = match configured {
        Some(url) => url.to_owned(),
        None => open(path).ok()?.find_remote("origin").ok()?.url().ok()?.to_owned(),
    };
    Address::parse(&url).ok().map(|address| address.to_string())
}

fn resolve<'r>(repo: &'r Repository, path: &Path, revision: &str) -> Result<Commit<'r>, GitError> {
    repo.revparse_single(revision).and_then(|object| object.peel_to_commit()).map_err(|error| match error.code() {
        ErrorCode::NotFound | ErrorCode::InvalidSpec | ErrorCode::Ambiguous | ErrorCode::Peel => {
            GitError::UnknownCommit { path: path.to_owned(), revision: revision.to_owned(), shallow: repo.is_shallow() }
        }
        _ => GitError::local(path, "find a commit in", &error),
    })
}

fn files(diff: &git2::Diff<'_>) -> Vec<ChangedFile> {
    diff.deltas()
        .filter_map(|delta| {
            let change = match delta.status() {
                Delta::Added | Delta::Copied | Delta::Untracked => Change::Added,
                Delta::Deleted => Change::Deleted,
                Delta::Unmodified | Delta::Ignored => return None,
                _ => Change::Modified,
            };
            let file = if change == Change::Deleted { delta.old_file() } else { delta.new_file() };
            let path = String::from_utf8_lossy(file.path_bytes()?).into_owned();
            Some(ChangedFile { path, change })
        })
        .collect()
}

fn subject(commit: &Commit<'_>) -> String {
    String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).chars().take(200).collect()
}

fn author(commit: &Commit<'_>) -> String {
    String::from_utf8_lossy(commit.author().name_bytes()).chars().take(100).collect()
}
