//! What stands at a path in a commit or in the index: a file, a program, a link or a submodule.

use git2::Oid;

/// A path from the top of the work tree, with slashes, as the bytes that git has.
pub(super) type Name = Vec<u8>;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The blob; for a submodule, its commit.
    pub(super) id: Oid,
}

/// The four kinds that git tells apart (git-fast-import(1), "filemodify").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// A file that may be executed.
    Program,
    /// A symbolic link; its blob is where it leads.
    Link,
    /// A submodule, for which there is a folder.
    Module,
}

impl Kind {
    /// From a mode in a tree or in the index; none for a folder and for what is unknown. Permissions beyond the owner's
    /// right to execute are not kept by git; old trees have them.
    pub(super) fn of(mode: u32) -> Option<Self> {
        match mode & 0o170_000 {
            0o100_000 if mode & 0o100 != 0 => Some(Self::Program),
            0o100_000 => Some(Self::File),
            0o120_000 => Some(Self::Link),
            0o160_000 => Some(Self::Module),
            _ => None,
        }
    }

    /// The mode that git writes.
    pub(super) fn mode(self) -> u32 {
        match self {
            Self::File => 0o100_644,
            Self::Program => 0o100_755,
            Self::Link => 0o120_000,
            Self::Module => 0o160_000,
        }
    }
}

/// The folders on the way to a path, outermost first.
pub(super) fn parents(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.iter().enumerate().filter(|(_, byte)| **byte == b'/').filter_map(|(at, _)| name.get(..at))
}

/// The folder of a path (empty for the top) and its own name in there.
pub(super) fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
        None => (&[], name),
    }
}

/// A path as it is shown.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
