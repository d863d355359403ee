//! The tree of a commit as one flat list of paths.

use std::collections::BTreeMap;

use git2::{Oid, Repository};

use super::node::{Kind, Name, Node, shown};
use crate::{error::GitError, objects};
use turnout_report::{counted, units};

/// Folders inside folders, at most. Limits the stack that a hostile repository can make us use.
const DEEPEST: usize = 400;
/// Bytes of one name, and of a whole path: what Linux takes (`NAME_MAX`, `PATH_MAX`), so longer ones cannot be written.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4096;
/// What one tree may mean. A few small tree objects can name each other so often that they mean billions of paths, and
/// long folders make long paths of short names. Each path is held several times while a check-out decides.
pub(super) const MOST: Most = Most { paths: 1_000_000, bytes: 64 << 20 };
/// Characters of a path in a message.
const SHOWN: usize = 200;

/// Limits of the paths that are held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    /// Files and folders.
    pub(super) paths: usize,
    /// The lengths of all paths together.
    pub(super) bytes: usize,
}

/// All paths of a tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: BTreeMap<Name, Node>,
    /// The folders by their path, the top among them as an empty one.
    pub(super) folders: BTreeMap<Name, Folder>,
    /// The lengths of all paths together.
    bytes: usize,
}

/// A reading of one commit, and when it has to end.
struct Reading<'r> {
    repo: &'r Repository,
    commit: Oid,
    most: Most,
    go_on: &'r dyn Fn() -> Result<(), GitError>,
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
    /// Reads the tree of a commit, as long as it may go on.
    ///
    /// # Errors
    /// When an object is missing, the tree is none that git would make, or it means more than [`MOST`].
    pub(super) fn of(
        repo: &Repository,
        commit: Oid,
        go_on: &dyn Fn() -> Result<(), GitError>,
    ) -> Result<Self, GitError> {
        Self::within(repo, commit, MOST, go_on)
    }

    /// The same, with other limits.
    pub(super) fn within(
        repo: &Repository,
        commit: Oid,
        most: Most,
        go_on: &dyn Fn() -> Result<(), GitError>,
    ) -> Result<Self, GitError> {
        let local = |error: git2::Error| read_fault(commit, &error);
        let id = objects::commit(repo, commit).map_err(local)?.tree_id();
        let mut all = Self::default();
        all.add(&Reading { repo, commit, most, go_on }, id, &mut Vec::new(), 0)?;
        Ok(all)
    }

    /// What is left of these limits beside this tree.
    pub(super) fn left_of(&self, most: Most) -> Most {
        Most {
            paths: most.paths.saturating_sub(self.nodes.len() + self.folders.len()),
            bytes: most.bytes.saturating_sub(self.bytes),
        }
    }

    /// Whether there are paths below this one.
    pub(super) fn has_folder(&self, name: &[u8]) -> bool {
        self.folders.contains_key(name)
    }

    fn add(&mut self, reading: &Reading<'_>, id: Oid, at: &mut Vec<u8>, depth: usize) -> Result<usize, GitError> {
        let Reading { repo, commit, most, go_on } = *reading;
        let damaged = |at: &[u8], message: &str| damaged(commit, at, message);
        if depth > DEEPEST {
            return Err(damaged(at, "its folders are nested too deeply"));
        }
        go_on()?;
        let tree = objects::tree(repo, id).map_err(|error| read_fault(commit, &error))?;
        let (mut folders, mut nodes) = (0, 0);
        for entry in &tree {
            let length = at.len();
            let name = entry.name_bytes();
            if name.len() > LONGEST_NAME {
                return Err(damaged(at, &format!("a name in it is longer than {LONGEST_NAME} bytes")));
            }
            if !at.is_empty() {
                at.push(b'/');
            }
            at.extend_from_slice(name);
            if at.len() > LONGEST_PATH {
                return Err(damaged(at, &format!("the path is longer than {LONGEST_PATH} bytes")));
            }
            // A mode is never negative.
            let mode = u32::try_from(entry.filemode_raw()).unwrap_or_default();
            if let Some(kind) = Kind::of(mode) {
                nodes += 1;
                self.bytes += at.len();
                if self.nodes.insert(at.clone(), Node { kind, id: entry.id() }).is_some() || self.has_folder(at) {
                    return Err(damaged(at, "it is there twice"));
                }
                self.refuse_too_much(commit, most)?;
            } else if mode & 0o170_000 == 0o040_000 {
                folders += 1;
                if self.nodes.contains_key(at.as_slice()) || self.has_folder(at) {
                    return Err(damaged(at, "it is there twice"));
                }
                nodes += self.add(reading, entry.id(), at, depth + 1)?;
            } else {
                return Err(damaged(at, "its mode is unknown"));
            }
            at.truncate(length);
        }
        self.bytes += at.len();
        self.folders.insert(at.clone(), Folder { id, folders, nodes });
        self.refuse_too_much(commit, most)?;
        Ok(nodes)
    }

    fn refuse_too_much(&self, commit: Oid, most: Most) -> Result<(), GitError> {
        let Most { paths, bytes } = most;
        let what = match () {
            () if self.nodes.len() + self.folders.len() > paths => {
                format!("it has more than {}, files and folders", counted(paths, "path"))
            }
            () if self.bytes > bytes => {
                format!("the paths of its files have more than {} together", units::shown(bytes as u64))
            }
            () => return Ok(()),
        };
        Err(GitError::other(
            format!("read the files of commit {commit}"),
            format!("{what}, which is more than turnout holds in memory: split the repository, or shorten its folders"),
        ))
    }
}

fn read_fault(commit: Oid, error: &git2::Error) -> GitError {
    GitError::other(
        format!("read the files of commit {commit}"),
        format!("{}; if the clone is partial or damaged, git fetch --refetch brings what is missing", error.message()),
    )
}

fn damaged(commit: Oid, at: &[u8], message: &str) -> GitError {
    let shown: String = shown(at).chars().take(SHOWN).collect();
    GitError::other(format!("read {shown:?} of commit {commit}"), message)
}

#[cfg(test)]
mod tests {
    use git2::ObjectType;

    use super::*;
    use crate::stage::Stage;

    /// A commit of a tree whose innermost folder has these files.
    fn commit(repo: &Repository, folders: &[&str], files: impl Iterator<Item = String>) -> Oid {
        let odb = repo.odb().unwrap();
        let blob = odb.write(ObjectType::Blob, b"").unwrap();
        let mut text = Vec::new();
        for name in files {
            text.extend_from_slice(format!("100644 {name}\0").as_bytes());
            text.extend_from_slice(blob.as_bytes());
        }
        let mut tree = odb.write(ObjectType::Tree, &text).unwrap();
        for folder in folders.iter().rev() {
            let above = [format!("40000 {folder}\0").as_bytes(), tree.as_bytes()].concat();
            tree = odb.write(ObjectType::Tree, &above).unwrap();
        }
        let text = format!("tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\n");
        odb.write(ObjectType::Commit, text.as_bytes()).unwrap()
    }

    #[test]
    fn long_folders_do_not_make_a_tree_too_large_for_memory() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repository::init(folder.path()).unwrap();
        let long = "f".repeat(250);
        let check = |folders: &[&str], count: usize, name: &str| {
            let commit = commit(&repo, folders, (0..count).map(|number| format!("{number:06}{name}")));
            match Tree::of(&repo, commit, &|| Ok(())) {
                Ok(tree) => {
                    let paths = tree.nodes.keys().chain(tree.folders.keys());
                    assert_eq!(tree.bytes, paths.map(Vec::len).sum::<usize>());
                    "fits".to_owned()
                }
                Err(error) => error.to_string(),
            }
        };
        let deep = vec![long.as_str(); 15];
        assert!(check(&deep, 20_000, "").contains("the paths of its files have more than 67.1 MB together"));
        assert_eq!(check(&deep, 1_000, ""), "fits");
        assert!(check(&[long.as_str(); 17], 1, "").contains("longer than 4096 bytes"));
        assert_eq!(check(&[], 1, &"n".repeat(249)), "fits");
        assert!(check(&["a"], 1, &"n".repeat(250)).contains("\"a\" of commit"));
        assert!(check(&[&"n".repeat(256)], 1, "").contains("longer than 255 bytes"));
    }

    #[test]
    fn files_and_folders_are_counted_together() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repository::init(folder.path()).unwrap();
        // The top, two folders, two files.
        let commit = commit(&repo, &["a", "b"], (0..2).map(|number| number.to_string()));
        let within = |paths| Tree::within(&repo, commit, Most { paths, ..MOST }, &|| Ok(()));
        assert!(within(5).is_ok());
        let error = within(4).unwrap_err().to_string();
        assert!(error.contains("more than 4 paths, files and folders"), "{error}");
        let left = within(5).unwrap().left_of(Most { paths: 7, bytes: 100 });
        assert_eq!((left.paths, left.bytes), (2, 100 - "aa/ba/b/0a/b/1".len()));
    }

    #[test]
    fn a_reading_ends_when_it_has_to() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repository::init(folder.path()).unwrap();
        let commit = commit(&repo, &["a", "b"], std::iter::empty());
        let asked = std::cell::Cell::new(0);
        let ended = Tree::of(&repo, commit, &|| {
            asked.set(asked.get() + 1);
            if asked.get() < 3 {
                Ok(())
            } else {
                Err(GitError::Cancelled { path: "/x".into(), stage: Stage::Untouched })
            }
        });
        assert!(matches!(ended, Err(GitError::Cancelled { .. })), "{ended:?}");
    }
}
