//! The tree of a commit as one flat list of paths.

use std::collections::BTreeMap;

use git2::{Oid, Repository};

use super::node::{Kind, Name, Node, shown};
use crate::error::GitError;

/// Folders inside folders, at most. Limits the stack that a hostile repository can make us use.
const DEEPEST: usize = 400;
/// Paths in one tree, at most. A few small tree objects can name each other so often that they mean billions.
const MOST: usize = 5_000_000;

/// All paths of a tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: BTreeMap<Name, Node>,
    /// The folders by their path, the top among them as an empty one.
    pub(super) folders: BTreeMap<Name, Folder>,
}

/// A folder in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) id: Oid,
    /// Folders directly in it.
    pub(super) folders: usize,
    /// Paths below it at any depth that are no folders.
    pub(super) nodes: usize,
}

impl Tree {
    /// Reads the tree of a commit.
    ///
    /// # Errors
    /// When an object is missing or the tree is none that git would make.
    pub(super) fn of(repo: &Repository, commit: Oid) -> Result<Self, GitError> {
        let local = |error: git2::Error| read_fault(commit, &error);
        let id = repo.find_commit(commit).map_err(local)?.tree_id();
        let mut all = Self::default();
        all.add(repo, commit, id, &mut Vec::new(), 0)?;
        Ok(all)
    }

    /// Whether there are paths below this one.
    pub(super) fn has_folder(&self, name: &[u8]) -> bool {
        self.folders.contains_key(name)
    }

    fn add(
        &mut self,
        repo: &Repository,
        commit: Oid,
        id: Oid,
        at: &mut Vec<u8>,
        depth: usize,
    ) -> Result<usize, GitError> {
        if depth > DEEPEST {
            return Err(damaged(commit, at, "its folders are nested too deeply"));
        }
        let tree = repo.find_tree(id).map_err(|error| read_fault(commit, &error))?;
        let (mut folders, mut nodes) = (0, 0);
        for entry in &tree {
            let length = at.len();
            if !at.is_empty() {
                at.push(b'/');
            }
            at.extend_from_slice(entry.name_bytes());
            // A mode is never negative.
            let mode = u32::try_from(entry.filemode_raw()).unwrap_or_default();
            if let Some(kind) = Kind::of(mode) {
                nodes += 1;
                if self.nodes.insert(at.clone(), Node { kind, id: entry.id() }).is_some() || self.has_folder(at) {
                    return Err(damaged(commit, at, "it is there twice"));
                }
                if self.nodes.len() > MOST {
                    return Err(damaged(commit, at, "it has too many files"));
                }
            } else if mode & 0o170_000 == 0o040_000 {
                folders += 1;
                if self.nodes.contains_key(at.as_slice()) || self.has_folder(at) {
                    return Err(damaged(commit, at, "it is there twice"));
                }
                nodes += self.add(repo, commit, entry.id(), at, depth + 1)?;
            } else {
                return Err(damaged(commit, at, "its mode is unknown"));
            }
            at.truncate(length);
        }
        if self.folders.len() > MOST {
            return Err(damaged(commit, at, "it has too many folders"));
        }
        self.folders.insert(at.clone(), Folder { id, folders, nodes });
        Ok(nodes)
    }
}

fn read_fault(commit: Oid, error: &git2::Error) -> GitError {
    GitError::other(
        format!("read the files of commit {commit}"),
        format!("{}; if the clone is partial or damaged, git fetch --refetch brings what is missing", error.message()),
    )
}

fn damaged(commit: Oid, at: &[u8], message: &str) -> GitError {
    GitError::other(format!("read {:?} of commit {commit}", shown(at)), message)
}
