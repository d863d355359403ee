//! Whose a file of the server's own is: turnout checks out what commits bring there, too. What a commit brought, and no
//! deployment succeeded with, goes with the next commit that takes it out; and what stayed of an earlier commit is no reason
//! to refuse a later one that brings the file. Else one push could leave a repository as no other push could repair it.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

use git2::{Oid, Repository};

use super::{
    index::Index,
    look::Owned,
    node::{Kind, Node},
    tree::Tree,
};
use crate::{error::GitError, transfer::Session};

/// Commits of the past that are looked through for what they had there. Older ones no longer tell.
const COMMITS: usize = 1_000;
/// Different contents that are compared with what is there.
const CONTENTS: usize = 16;

/// What is known of the files of the server's own. `from` is checked out, `new` is to be.
///
/// # Errors
/// Called off, or out of time.
pub(super) fn of(
    repo: &Repository,
    from: Option<Oid>,
    index: &Index,
    new: &Tree,
    session: &Session,
) -> Result<Vec<Owned>, GitError> {
    let deployed = session.remote.deployed.as_deref().and_then(|commit| Oid::from_str(commit).ok());
    let mut all = Vec::new();
    for file in &session.remote.own_files {
        let name = file.as_os_str().as_bytes().to_vec();
        let deployed = deployed.is_some_and(|commit| node(repo, commit, file).is_some());
        let is_brought = new.nodes.contains_key(&name) && !index.entries.contains_key(&name);
        let left = match from.filter(|_| is_brought) {
            Some(from) => earlier(repo, from, file, session)?,
            None => Vec::new(),
        };
        all.push(Owned { name, deployed, left });
    }
    Ok(all)
}

/// What commits up to this one had there. What cannot be read any more, in a shallow clone say, tells nothing.
fn earlier(repo: &Repository, from: Oid, file: &Path, session: &Session) -> Result<Vec<Node>, GitError> {
    let mut found: Vec<Node> = Vec::new();
    let Ok(mut walk) = repo.revwalk() else { return Ok(found) };
    if walk.push(from).is_err() {
        return Ok(found);
    }
    for commit in walk.take(COMMITS) {
        session.go_on()?;
        let Ok(commit) = commit else { break };
        match node(repo, commit, file) {
            Some(node) if node.kind != Kind::Link && !found.contains(&node) => found.push(node),
            _ => {}
        }
        if found.len() >= CONTENTS {
            break;
        }
    }
    Ok(found)
}

fn node(repo: &Repository, commit: Oid, file: &Path) -> Option<Node> {
    let entry = repo.find_commit(commit).ok()?.tree().ok()?.get_path(file).ok()?;
    Some(Node { kind: Kind::of(u32::try_from(entry.filemode_raw()).ok()?)?, id: entry.id() })
}
