//! A work tree that was taken to one commit because somebody said so, and is on no branch: git's own form of this state.
//! What says that it was our doing, and where it returns to:
//!
//! - `refs/turnout/by-hand` holds the commit, so that it stays even if no branch has it.
//! - `TURNOUT_BRANCH` beside HEAD names the branch that was left.

use git2::{Oid, Repository};

use super::branch;

/// Holds the commit, so that it stays even if no branch has it.
const COMMIT: &str = "refs/turnout/by-hand";
/// Beside HEAD: names the branch that was left for a commit, as a symbolic reference.
pub const LEFT_BRANCH: &str = "TURNOUT_BRANCH";
/// Whether HEAD is at this commit, without a branch, by our own doing.
pub(super) fn is_ours(repo: &Repository, head: Oid) -> bool {
    repo.refname_to_id(COMMIT).is_ok_and(|ours| ours == head)
}

/// The branch that was left for a commit, while HEAD is there.
pub(super) fn left_branch(repo: &Repository) -> Option<String> {
    let head = repo.head().ok()?.target()?;
    if branch::checked_out(repo).is_some() || !is_ours(repo, head) {
        return None;
    }
    let left = repo.find_reference(LEFT_BRANCH).ok()?;
    left.symbolic_target().ok().flatten()?.strip_prefix("refs/heads/").map(str::to_owned)
}

/// HEAD follows the files: on no branch.
pub(super) fn arrive(repo: &Repository, target: Oid) -> Result<(), git2::Error> {
    if let Some(branch) = branch::checked_out(repo) {
        repo.reference_symbolic(LEFT_BRANCH, &format!("refs/heads/{branch}"), true, "turnout: leave")?;
    }
    repo.reference(COMMIT, target, true, "turnout: by hand")?;
    repo.set_head_detached(target)
}

/// HEAD is on its branch (again).
pub(super) fn settled(repo: &Repository) {
    forget(repo, LEFT_BRANCH);
}

fn forget(repo: &Repository, name: &str) {
    if let Ok(mut reference) = repo.find_reference(name) {
        // One that stays is only of use where HEAD is on no branch.
        let _ = reference.delete();
    }
}
