//! Files of git's own that libgit2 reads in a work tree as they are: it opens what a link of theirs leads to, and waits at a
//! pipe for ever. git itself follows no such link (gitignore(5), gitattributes(5)).

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use git2::Repository;

/// What libgit2 reads in each folder.
const READ: [&str; 2] = [".gitignore", ".gitattributes"];
/// Mode of a link in the index.
const LINK: u32 = 0o120_000;

/// A link of the index that leads to something else than a file, if there is one.
pub(super) fn first(repo: &Repository, top: &Path) -> Option<PathBuf> {
    let index = repo.index().ok()?;
    let links = index.iter().filter(|entry| entry.mode == LINK);
    links.map(|entry| PathBuf::from(OsStr::from_bytes(&entry.path))).find(|path| {
        READ.iter().any(|name| path.file_name() == Some(OsStr::new(name))) && is_trap(top, &top.join(path))
    })
}

/// Whether such a file stands in one of the folders above a path in the work tree.
pub(super) fn above(top: &Path, name: &Path) -> bool {
    let folders = name.ancestors().skip(1).map(|folder| top.join(folder));
    folders.flat_map(|folder| READ.map(|name| folder.join(name))).any(|file| is_trap(top, &file))
}

fn is_trap(top: &Path, file: &Path) -> bool {
    let looked = turnout_files::at(top, file, || {
        if !file.is_symlink() {
            return Ok(false);
        }
        match file.metadata() {
            Ok(found) => Ok(!found.is_file() && !found.is_dir()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    });
    // What cannot be looked at is not to be opened either.
    looked.flatten().unwrap_or(true)
}
