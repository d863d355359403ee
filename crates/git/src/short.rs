//! Short forms of a commit's name.

use git2::{Oid, Repository};

/// The first seven characters of a hash, for places that have no repository at hand.
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// A commit as short as it is unambiguous.
pub(super) fn short_id(repo: &Repository, id: Oid) -> String {
    let full = id.to_string();
    let found = repo.find_object(id, None).and_then(|object| object.short_id());
    found.ok().and_then(|short| short.as_str().map(str::to_owned).ok()).unwrap_or_else(|| short(&full).to_owned())
}
