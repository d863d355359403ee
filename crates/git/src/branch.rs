//! Branches by their references: which one is checked out, and what is known of the remote's.

use git2::{Oid, Repository};

/// The branch that HEAD names, also when it has no commit yet.
pub(super) fn checked_out(repo: &Repository) -> Option<String> {
    let head = repo.find_reference("HEAD").ok()?;
    let name = head.symbolic_target().ok().flatten()?;
    name.strip_prefix("refs/heads/").map(str::to_owned)
}

/// What we knew of the remote branch before this fetch.
pub(super) fn known_before(repo: &Repository, branch: &str) -> Option<Oid> {
    repo.refname_to_id(&format!("refs/remotes/origin/{branch}")).ok()
}

/// Sets the remote-tracking branch: from now on this is what we know of the remote.
pub(super) fn remember_remote(repo: &Repository, branch: &str, tip: Oid) -> Result<(), git2::Error> {
    let name = format!("refs/remotes/origin/{branch}");
    repo.reference(&name, tip, true, "turnout: fetch").map(|_| ())
}
