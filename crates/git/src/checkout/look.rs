//! Collects what is known of each path: index, commits, work tree.

use std::{
    collections::{BTreeMap, btree_map},
    io,
    path::Path,
};

use git2::{ObjectType, Oid, Repository};
use rustix::fs::{FileType, Stat};

use super::{
    decide::{Facts, There},
    index::{Entry, Index, Proof, is_empty_blob},
    node::{Kind, Name, Node},
    settings::Settings,
    sparse::Sparse,
    tree::Tree,
    work_tree::{WorkTree, is_folder},
};
use crate::{convert::Converter, error::GitError, session::Session, traps};

/// Names of files in the way of one path, at most; more are not needed to say that they are there.
const STRANGERS: usize = 200;

/// The four states that a path may have.
pub(super) struct States<'s> {
    pub(super) index: &'s Index,
    pub(super) old: &'s Tree,
    pub(super) new: &'s Tree,
    /// Of an interrupted check-out.
    pub(super) half: &'s [Tree],
    pub(super) sparse: Option<&'s Sparse>,
    /// Of the server's own, whatever git says of them.
    pub(super) own: &'s [Owned],
}

/// What is known of a file of the server's own.
pub(super) struct Owned {
    pub(super) name: Name,
    /// The commit that was deployed last with success has it.
    pub(super) deployed: bool,
    /// turnout wrote what is there, and nobody has touched it since.
    pub(super) ours: bool,
}

/// Where to look, and how.
pub(super) struct Eyes<'e, 'r> {
    pub(super) repo: &'r Repository,
    pub(super) work: &'e mut WorkTree,
    pub(super) converter: &'e mut Converter<'r>,
    pub(super) settings: Settings,
    pub(super) session: &'e Session,
}

/// Looks at everything that the index or one of the commits has.
pub(super) fn facts(states: &States<'_>, eyes: &mut Eyes<'_, '_>) -> Result<BTreeMap<Name, Facts>, GitError> {
    let mut all = BTreeMap::new();
    let States { index, old, new, half, .. } = states;
    let trees = half.iter().chain([*old, *new]).flat_map(|tree| tree.nodes.keys());
    for name in index.entries.keys().chain(&index.unmerged).chain(trees) {
        if !all.contains_key(name) {
            all.insert(name.clone(), known(name, states));
        }
    }
    let mut blocking = Vec::new();
    for (name, facts) in &mut all {
        eyes.session.go_on()?;
        facts.there = eyes.see(name, facts, states)?;
        if let There::Blocked(at) = &facts.there {
            blocking.push(at.clone());
        }
    }
    for name in blocking {
        if let btree_map::Entry::Vacant(place) = all.entry(name) {
            let mut facts = known(place.key(), states);
            facts.there = eyes.see(place.key(), &facts, states)?;
            place.insert(facts);
        }
    }
    Ok(all)
}

fn known(name: &[u8], states: &States<'_>) -> Facts {
    let States { index, old, new, half, sparse, own } = states;
    let entry = index.entries.get(name).copied();
    let new = new.nodes.get(name).copied();
    let is_module = new.or(entry.map(|entry| entry.node)).is_some_and(|node| node.kind == Kind::Module);
    let owned = own.iter().find(|own| own.name == name);
    Facts {
        index: entry,
        unmerged: index.unmerged.contains(name),
        old: old.nodes.get(name).copied(),
        new,
        half: half.iter().map(|tree| tree.nodes.get(name).copied()).collect(),
        half_folder: half.iter().any(|tree| tree.has_folder(name)),
        wanted: sparse.is_none_or(|sparse| sparse.holds(name, is_module)),
        own: owned.is_some(),
        deployed: owned.is_some_and(|own| own.deployed),
        ours: owned.is_some_and(|own| own.ours),
        there: There::Absent,
    }
}

impl Eyes<'_, '_> {
    fn see(&mut self, name: &Name, facts: &Facts, states: &States<'_>) -> Result<There, GitError> {
        let is_concerned = facts.old != facts.new
            || facts.index.map(|entry| entry.node) != facts.new
            || facts.half.iter().any(|node| *node != facts.new);
        match self.try_see(name, facts, states) {
            Ok(there) => Ok(there),
            // Nothing is to be done there, so nothing has to be known.
            Err(_) if !is_concerned => Ok(There::Blocked(name.clone())),
            Err(Trouble::Io(error)) => Err(GitError::not_writable(&self.work.path_of(name), &error)),
            Err(Trouble::Git(error)) => Err(GitError::local(&self.work.path_of(name), "compare", &error)),
            Err(Trouble::Ours(error)) => Err(error),
        }
    }

    fn try_see(&mut self, name: &Name, facts: &Facts, states: &States<'_>) -> Result<There, Trouble> {
        let found = match self.work.look(name)? {
            Err(length) => return Ok(There::Blocked(name.get(..length).unwrap_or(name).to_vec())),
            Ok(None) => return Ok(There::Absent),
            Ok(Some(found)) => found,
        };
        if is_folder(&found) {
            return self.folder(name, facts, &found, states.index);
        }
        let proof = proof(&found);
        if let Some(entry) = facts.index
            && self.is_proved(&entry, &found, states.index.written)
        {
            return Ok(There::Known(entry.node, proof));
        }
        let mut tried: Vec<Node> = Vec::new();
        let candidates = facts.index.map(|entry| entry.node).into_iter().chain(facts.new);
        for node in candidates.chain(facts.half.iter().copied().flatten()) {
            if !tried.contains(&node) && self.is_same(name, node, &found)? {
                return Ok(There::Known(node, proof));
            }
            tried.push(node);
        }
        let ignored = facts.index.is_none() && !facts.own && self.is_ignored(name)?;
        Ok(There::Own { ignored })
    }

    /// Whether size, times and inode show that a file is still what the index says.
    fn is_proved(&self, entry: &Entry, found: &Stat, index_written: (u32, u32)) -> bool {
        let (now, then) = (proof(found), entry.proof);
        // Written in the same tick of the clock as the index: it may have changed after that without a trace.
        let is_racy = index_written != (0, 0)
            && (then.mtime.0 > index_written.0
                || (then.mtime.0 == index_written.0
                    && (then.mtime.1 == 0 || index_written.1 == 0 || then.mtime.1 >= index_written.1)));
        let at = |a: (u32, u32), b: (u32, u32)| a.0 == b.0 && (a.1 == b.1 || a.1 == 0 || b.1 == 0);
        self.has_kind(entry.node.kind, found)
            && !is_racy
            && at(now.mtime, then.mtime)
            && now.size == then.size
            && (then.size != 0 || is_empty_blob(entry.node.id))
            && (self.settings.check_stat_minimal
                || ((!self.settings.trust_ctime || at(now.ctime, then.ctime))
                    && now.uid == then.uid
                    && now.gid == then.gid
                    && now.ino == then.ino))
    }

    fn has_kind(&self, kind: Kind, found: &Stat) -> bool {
        let program = found.st_mode & 0o100 != 0;
        match (FileType::from_raw_mode(found.st_mode), kind) {
            (FileType::RegularFile, Kind::File) => !program || !self.settings.file_mode,
            (FileType::RegularFile, Kind::Program) => program || !self.settings.file_mode,
            (FileType::RegularFile, Kind::Link) => !self.settings.symlinks,
            (FileType::Symlink, Kind::Link) => true,
            _ => false,
        }
    }

    fn is_same(&mut self, name: &[u8], node: Node, found: &Stat) -> Result<bool, Trouble> {
        if !self.has_kind(node.kind, found) {
            return Ok(false);
        }
        if node.kind != Kind::Link {
            let file = self.work.path_of(name);
            // Whether it can be read at all; without following links on the way.
            self.work.read(name, 0)?;
            return self.converter.is_same(name, node.id, &file).map_err(Trouble::Ours);
        }
        let (size, _) = self.repo.odb()?.read_header(node.id)?;
        if u64::try_from(found.st_size).ok() != u64::try_from(size).ok() {
            return Ok(false);
        }
        let content = if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
            self.work.link(name)?
        } else {
            self.work.read(name, size as u64)?
        };
        Ok(Oid::hash_object(ObjectType::Blob, &content)? == node.id)
    }

    fn folder(&mut self, name: &[u8], facts: &Facts, found: &Stat, index: &Index) -> Result<There, Trouble> {
        let is_module = |node: &Node| node.kind == Kind::Module;
        let here = facts.index.map(|entry| entry.node).filter(is_module);
        // A folder that somebody put in the place of a file is no submodule's, whatever the commit wants there.
        let may_be = facts.index.is_none() || here.is_some() || !facts.half.is_empty();
        if let Some(node) = facts.new.filter(is_module).filter(|_| may_be) {
            return Ok(There::Known(here.unwrap_or(node), proof(found)));
        }
        let half = facts.half.iter().copied().flatten().find(is_module);
        if let Some(node) = here.or(half)
            && self.work.list(name)?.iter().any(|(own, _)| own == b".git")
        {
            return Ok(There::Known(node, proof(found)));
        }
        let (mut strangers, mut repository) = (Vec::new(), false);
        // Only what may have to go is looked through.
        if facts.new.is_some() || facts.half_folder {
            self.strangers(name, index, &mut strangers, &mut repository)?;
        }
        Ok(There::Folder { strangers, repository })
    }

    fn strangers(
        &mut self,
        folder: &[u8],
        index: &Index,
        out: &mut Vec<Name>,
        repository: &mut bool,
    ) -> Result<(), Trouble> {
        for (own, is_folder) in self.work.list(folder)? {
            let name = [folder, b"/", &own].concat();
            *repository |= own == b".git";
            if out.len() >= STRANGERS || *repository {
                return Ok(());
            }
            if index.entries.contains_key(&name) || self.is_ignored(&name)? {
                continue;
            }
            if is_folder {
                self.strangers(&name, index, out, repository)?;
            } else {
                out.push(name);
            }
        }
        Ok(())
    }

    fn is_ignored(&self, name: &[u8]) -> Result<bool, Trouble> {
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(std::ffi::OsStr::from_bytes(name));
        // As for git, which does not follow it: such a file ignores nothing.
        if traps::above(&self.work.path_of(b""), path) {
            return Ok(false);
        }
        Ok(self.repo.is_path_ignored(path)?)
    }
}

/// What the index keeps of a file, cut to 32 bits.
pub(super) fn proof(found: &Stat) -> Proof {
    Proof {
        ctime: (found.st_ctime as u32, found.st_ctime_nsec as u32),
        mtime: (found.st_mtime as u32, found.st_mtime_nsec as u32),
        dev: found.st_dev as u32,
        ino: found.st_ino as u32,
        uid: found.st_uid,
        gid: found.st_gid,
        size: found.st_size as u32,
    }
}

enum Trouble {
    Io(io::Error),
    Git(git2::Error),
    Ours(GitError),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<git2::Error> for Trouble {
    fn from(error: git2::Error) -> Self {
        Self::Git(error)
    }
}
