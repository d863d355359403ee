//! The index: what git believes of the work tree. Read by libgit2, written in git's own format
//! (gitformat-index(5), versions 2 to 4), with the cached trees that keep `git status` quick.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use git2::{IndexEntryExtendedFlag, Oid};
use sha1::{Digest as _, Sha1};

use super::{
    node::{Kind, Name, Node, parents},
    tree::Tree,
};

const ASSUME_UNCHANGED: u16 = 0x8000;
const EXTENDED: u16 = 0x4000;
const STAGE: u16 = 0x3000;
const LONGEST_NAME_TOLD: usize = 0x0fff;

/// What the file system said of a file when it was last known to be as in the index. Cut to 32 bits, as git has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Proof {
    /// Seconds and nanoseconds.
    pub(super) ctime: (u32, u32),
    pub(super) mtime: (u32, u32),
    pub(super) dev: u32,
    pub(super) ino: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u32,
}

/// A path in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) node: Node,
    pub(super) proof: Proof,
    /// Left out of the work tree (`git update-index --skip-worktree`, sparse checkouts).
    pub(super) skip: bool,
    /// Not to be looked at (`git update-index --assume-unchanged`).
    pub(super) assume: bool,
    /// Only announced (`git add --intent-to-add`).
    pub(super) announced: bool,
}

impl Entry {
    /// One of which nothing is known but what it is to be.
    pub(super) fn new(node: Node) -> Self {
        Self { node, proof: Proof::default(), skip: false, assume: false, announced: false }
    }
}

/// The whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Index {
    pub(super) entries: BTreeMap<Name, Entry>,
    /// Paths in conflict, which have no single state.
    pub(super) unmerged: BTreeSet<Name>,
    /// Its form; 0 for one that does not exist yet.
    pub(super) version: u32,
    /// When the file was written, in seconds and nanoseconds.
    pub(super) written: (u32, u32),
}

/// Reads the index; an empty one where there is no file.
pub(super) fn read(file: &Path) -> Result<Index, git2::Error> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(found) = std::fs::metadata(file) else { return Ok(Index::default()) };
    let theirs = git2::Index::open(file)?;
    let mut index = Index {
        version: theirs.version(),
        // Cut to 32 bits on both sides of every comparison.
        written: (found.mtime() as u32, found.mtime_nsec() as u32),
        ..Index::default()
    };
    for entry in theirs.iter() {
        let Some(kind) = Kind::of(entry.mode).filter(|_| entry.flags & STAGE == 0) else {
            index.unmerged.insert(entry.path);
            continue;
        };
        let time = |time: git2::IndexTime| (time.seconds() as u32, time.nanoseconds());
        let proof = Proof {
            ctime: time(entry.ctime),
            mtime: time(entry.mtime),
            dev: entry.dev,
            ino: entry.ino,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.file_size,
        };
        let more = IndexEntryExtendedFlag::from_bits_truncate(entry.flags_extended);
        index.entries.insert(
            entry.path,
            Entry {
                node: Node { kind, id: entry.id },
                proof,
                skip: more.is_skip_worktree(),
                assume: entry.flags & ASSUME_UNCHANGED != 0,
                announced: more.is_intent_to_add(),
            },
        );
    }
    Ok(index)
}

impl Index {
    /// The bytes of the file. `tree` is the one whose folders are recorded where the index agrees with them.
    pub(super) fn encode(&self, tree: &Tree) -> Vec<u8> {
        let any_extended = self.entries.values().any(|entry| entry.skip || entry.announced);
        let version = match self.version {
            4 => 4,
            _ if any_extended => 3,
            _ => 2,
        };
        let mut out = Vec::with_capacity(self.entries.len() * 100);
        out.extend_from_slice(b"DIRC");
        put(&mut out, version);
        put(&mut out, u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        let mut before: &[u8] = &[];
        for (name, entry) in &self.entries {
            let start = out.len();
            entry.encode(name, &mut out);
            if version == 4 {
                let common = before.iter().zip(name).take_while(|(a, b)| a == b).count();
                offset(before.len() - common, &mut out);
                out.extend_from_slice(name.get(common..).unwrap_or_default());
                out.push(0);
                before = name;
            } else {
                out.extend_from_slice(name);
                // One to eight zeros, up to a multiple of eight.
                out.resize(out.len() + 8 - (out.len() - start) % 8, 0);
            }
        }
        let cached = self.cached_trees(tree);
        if !cached.is_empty() {
            out.extend_from_slice(b"TREE");
            put(&mut out, u32::try_from(cached.len()).unwrap_or(u32::MAX));
            out.extend_from_slice(&cached);
        }
        let sum = Sha1::digest(&out);
        out.extend_from_slice(&sum);
        out
    }

    /// The extension TREE: the folders in the order of a walk, each with its object where the index says the same, else
    /// with `-1`.
    fn cached_trees(&self, tree: &Tree) -> Vec<u8> {
        let mut stale: BTreeSet<&[u8]> = BTreeSet::new();
        let mut differs: Vec<&[u8]> = Vec::new();
        for (name, entry) in &self.entries {
            if entry.announced || tree.nodes.get(name) != Some(&entry.node) {
                differs.push(name);
            }
        }
        differs.extend(tree.nodes.keys().filter(|name| !self.entries.contains_key(*name)).map(Vec::as_slice));
        for name in differs {
            stale.insert(&[]);
            stale.extend(parents(name));
        }
        let mut out = Vec::new();
        // A walk: each folder before those in it. Sorted as if every folder ended with a slash, which is how they are kept.
        let mut order: Vec<(&Name, Vec<u8>)> = tree
            .folders
            .keys()
            .map(|name| (name, if name.is_empty() { Vec::new() } else { [name.as_slice(), b"/"].concat() }))
            .collect();
        order.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
        for (name, _) in order {
            let Some(folder) = tree.folders.get(name) else { continue };
            out.extend_from_slice(super::node::split(name).1);
            out.push(0);
            let is_stale = stale.contains(name.as_slice());
            let count = if is_stale { "-1".to_owned() } else { folder.nodes.to_string() };
            out.extend_from_slice(format!("{count} {}\n", folder.folders).as_bytes());
            if !is_stale {
                out.extend_from_slice(folder.id.as_bytes());
            }
        }
        out
    }
}

impl Entry {
    fn encode(&self, name: &[u8], out: &mut Vec<u8>) {
        let Self { node, proof, skip, assume, announced } = *self;
        let Proof { ctime, mtime, dev, ino, uid, gid, size } = proof;
        for number in [ctime.0, ctime.1, mtime.0, mtime.1, dev, ino, node.kind.mode(), uid, gid, size] {
            put(out, number);
        }
        out.extend_from_slice(node.id.as_bytes());
        let mut flags = u16::try_from(name.len().min(LONGEST_NAME_TOLD)).unwrap_or_default();
        let mut more = 0;
        if assume {
            flags |= ASSUME_UNCHANGED;
        }
        if skip {
            more |= IndexEntryExtendedFlag::SKIP_WORKTREE.bits();
        }
        if announced {
            more |= IndexEntryExtendedFlag::INTENT_TO_ADD.bits();
        }
        if more != 0 {
            flags |= EXTENDED;
        }
        out.extend_from_slice(&flags.to_be_bytes());
        if more != 0 {
            out.extend_from_slice(&more.to_be_bytes());
        }
    }
}

fn put(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// The variable width of a number in version 4: that of offsets in packs.
fn offset(mut number: usize, out: &mut Vec<u8>) {
    let mut bytes = vec![(number & 0x7f) as u8];
    while number > 0x7f {
        number = (number >> 7) - 1;
        bytes.push((number & 0x7f) as u8 | 0x80);
    }
    out.extend(bytes.into_iter().rev());
}

/// The blob without content, whose size of nothing proves something.
pub(super) fn is_empty_blob(id: Oid) -> bool {
    const EMPTY: [u8; 20] = [
        0xe6, 0x9d, 0xe2, 0x9b, 0xb2, 0xd1, 0xd6, 0x43, 0x4b, 0x8b, 0x29, 0xae, 0x77, 0x5a, 0xd8, 0xc2, 0xe4, 0x8c,
        0x53, 0x91,
    ];
    id.as_bytes() == EMPTY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libgit2_reads_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let node = |kind, number| Node { kind, id: Oid::from_bytes(&[number; 20]).unwrap() };
        let proof = Proof { ctime: (1, 2), mtime: (3, 4), dev: 5, ino: 6, uid: 7, gid: 8, size: 9 };
        // The longest that libgit2 takes in version 4, and as long as makes the flags too short to say so.
        let long = vec![b'n'; 4095];
        for (version, marked) in [(2, false), (3, true), (4, false), (4, true)] {
            let mut index = Index { version, ..Index::default() };
            let names: [&[u8]; 6] = [b"a", b"a/b", b"a/b.c", b"ab", "é".as_bytes(), &long];
            for (number, name) in names.into_iter().enumerate() {
                let kind = [Kind::File, Kind::Program, Kind::Link, Kind::Module][number % 4];
                let mut entry = Entry { proof, ..Entry::new(node(kind, number as u8)) };
                entry.skip = marked && number == 2;
                entry.announced = marked && number == 4;
                entry.assume = number == 1;
                index.entries.insert(name.to_vec(), entry);
            }
            let file = folder.path().join(format!("index-{version}-{marked}"));
            std::fs::write(&file, index.encode(&Tree::default())).unwrap();
            let found = read(&file).unwrap();
            assert_eq!((found.entries, found.version), (index.entries, version));
        }
    }

    #[test]
    fn numbers_are_as_wide_as_in_packs() {
        for (number, expected) in [(0, &[0][..]), (127, &[127]), (128, &[0x80, 0]), (16_511, &[0xff, 0x7f])] {
            let mut out = Vec::new();
            offset(number, &mut out);
            assert_eq!(out, expected, "{number}");
        }
    }
}
