//! Gives files that a check-out is about to change an inode of their own.
//!
//! libgit2 writes into the file that is there; git writes beside it and renames. Writing in place fails while the file
//! runs as a program ("text file busy"), fails on files of another owner in a folder of ours, and changes the text under
//! whoever has the file open. A copy that took the file's place before is written to instead.

use std::{fs, io, path::Path};

use git2::{Delta, ObjectType, Oid, Repository};

/// Name of the copy in the repository's own folder, where one that a crash left goes into no image. The next takes its
/// place: whoever is here holds the repository's lock.
const BESIDE: &str = "turnout-copy";

/// Replaces each regular file that differs between the two commits, and is unchanged in the work tree, by a copy of
/// itself. What cannot be copied is left to the check-out, whose error names it.
pub(super) fn renew(repo: &Repository, from: Oid, target: Oid) -> Result<(), git2::Error> {
    let Some(top) = repo.workdir().and_then(|top| top.canonicalize().ok()) else { return Ok(()) };
    let (old, new) = (repo.find_commit(from)?.tree()?, repo.find_commit(target)?.tree()?);
    for delta in repo.diff_tree_to_tree(Some(&old), Some(&new), None)?.deltas() {
        let Some(name) = delta.old_file().path().filter(|_| delta.status() == Delta::Modified) else { continue };
        let file = top.join(name);
        if !fs::symlink_metadata(&file).is_ok_and(|found| found.is_file()) || !stands_there(&top, name) {
            continue;
        }
        if Oid::hash_file(ObjectType::Blob, &file).is_ok_and(|content| content == delta.old_file().id()) {
            // Best effort: see above.
            let _ = copy_over(&file, &repo.path().join(BESIDE));
        }
    }
    Ok(())
}

/// Whether no folder on the way is a link to elsewhere.
fn stands_there(top: &Path, name: &Path) -> bool {
    let folder = name.parent().map_or_else(|| top.to_owned(), |folder| top.join(folder));
    folder.canonicalize().is_ok_and(|real| real == folder)
}

fn copy_over(file: &Path, beside: &Path) -> io::Result<()> {
    fs::copy(file, beside).and_then(|_| fs::rename(beside, file)).inspect_err(|_| {
        let _ = fs::remove_file(beside);
    })
}
