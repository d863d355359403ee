//! Names that must never be written: they would change the repository itself, or leave the work tree.
//!
//! The rules are those of `verify_path` in git's `read-cache.c`: no `.`, `..`, `.git` in any case, nor what HFS+ and NTFS
//! take for it, and no `.gitmodules` that is a link.

use gix_validate::path::component::{Error, Mode, Options};

use super::node::Kind;

/// Which file systems' readings of a name count too (`core.protectHFS`, `core.protectNTFS`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Protect {
    pub(super) hfs: bool,
    pub(super) ntfs: bool,
}

/// Says why a path may not be written; none: it may.
pub(super) fn fault(name: &[u8], kind: Kind, protect: Protect) -> Option<Error> {
    let options = Options { protect_windows: false, protect_hfs: protect.hfs, protect_ntfs: protect.ntfs };
    let mut parts = name.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let leaf = (parts.peek().is_none() && kind == Kind::Link).then_some(Mode::Symlink);
        if let Err(error) = gix_validate::path::component(part.into(), leaf, options) {
            return Some(error);
        }
        // On Windows the part behind a backslash is a name of its own.
        let behind = part.split(|byte| *byte == b'\\').skip(1).filter(|piece| !piece.is_empty());
        for piece in behind.filter(|piece| protect.ntfs && *piece != b"." && *piece != b"..") {
            if let Err(error) = gix_validate::path::component(piece.into(), leaf, options) {
                return Some(error);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_into_the_repository_are_found() {
        let usual = Protect { hfs: false, ntfs: true };
        let bad: &[(&[u8], Kind)] = &[
            (b".git", Kind::File),
            (b".git/config", Kind::File),
            (b"a/.GIT/hooks/post-checkout", Kind::Program),
            (b"a/../b", Kind::File),
            (b"./a", Kind::File),
            (b"a//b", Kind::File),
            (b"/etc/passwd", Kind::File),
            (b"git~1", Kind::Link),
            (b"GIT~1/config", Kind::File),
            (b".git . ./config", Kind::File),
            (b".git::$INDEX_ALLOCATION/config", Kind::File),
            (b"a\\.git\\config", Kind::File),
            (b".gitmodules", Kind::Link),
            (b".GITMODULES ", Kind::Link),
            (b"gitmod~1", Kind::Link),
        ];
        for (name, kind) in bad {
            assert!(fault(name, *kind, usual).is_some(), "{}", String::from_utf8_lossy(name));
        }
        let good: &[(&[u8], Kind)] = &[
            (b".gitignore", Kind::File),
            (b".gitmodules", Kind::File),
            (b"a/.github/x.yml", Kind::File),
            (b"git~2", Kind::File),
            (b"a\\b", Kind::File),
            (b"con", Kind::File),
            (b"..a/b..", Kind::File),
            (b".g\xe2\x80\x8cit", Kind::File),
        ];
        for (name, kind) in good {
            assert!(fault(name, *kind, usual).is_none(), "{}", String::from_utf8_lossy(name));
        }
        let apple = Protect { hfs: true, ntfs: true };
        assert!(fault(b".g\xe2\x80\x8cit/config", Kind::File, apple).is_some());
        let neither = Protect { hfs: false, ntfs: false };
        assert!(fault(b"git~1", Kind::File, neither).is_none() && fault(b".gIt", Kind::File, neither).is_some());
    }
}
