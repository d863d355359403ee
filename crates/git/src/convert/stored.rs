//! Repairs work trees that were cloned without a filter's program: they hold LFS pointers or encrypted text where the
//! real content belongs.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use git2::{IndexEntry, IndexTime, Oid, Repository};

use super::{Content, Converter, LFS, Source, as_path, hash, open_no_follow, shown};
use crate::{error::GitError, session::Session};
use turnout_report::{Event, counted};

/// Name of a file beside, in the repository's own folder. The next takes its place: whoever is here holds the lock.
const BESIDE: &str = "turnout-lfs";

/// Puts the content of LFS where its pointers lie, and refuses a work tree with encrypted files.
///
/// # Errors
/// [`GitError::Unfiltered`] with the files that are encrypted, [`GitError::Lfs`] where content cannot be had.
pub fn restore_stored(repo: &Repository, session: &Session) -> Result<(), GitError> {
    let path = &session.remote.path;
    let local = |error: git2::Error| GitError::local(path, "read the index of", &error);
    let Some(top) = repo.workdir() else { return Ok(()) };
    let index = repo.index().map_err(local)?;
    let mut converter = Converter::new(repo, Source::WorkTree, session)?;
    let (mut pointers, mut encrypted) = (Vec::new(), Vec::new());
    if converter.attributes.are_none() {
        return Ok(());
    }
    for entry in index.iter().filter(|entry| entry.mode & 0o170_000 == 0o100_000) {
        session.go_on()?;
        let Some(filter) = converter.rules(&entry.path)?.filter else { continue };
        let file = top.join(as_path(&entry.path));
        if !holds_stored(&converter, &file, entry.id) {
            continue;
        }
        if filter == LFS && converter.pointer(entry.id).is_some() {
            pointers.push((entry, file));
        } else if converter.is_encrypted(entry.id) {
            encrypted.push(format!("{} (filter={filter})", shown(&entry.path)));
        }
    }
    if !encrypted.is_empty() {
        return Err(GitError::Unfiltered { path: path.clone(), files: encrypted });
    }
    if pointers.is_empty() {
        return Ok(());
    }
    converter.prepare(pointers.iter().map(|(entry, _)| (entry.path.as_slice(), entry.id)))?;
    let mut index = index;
    for (entry, file) in &pointers {
        session.go_on()?;
        let failed = |error: io::Error| GitError::io(file, "write", &error);
        let content = converter.to_work_tree(&entry.path, entry.id)?;
        let found = write_over(&content, file, &repo.path().join(BESIDE)).map_err(failed)?;
        index.add(&seen(entry, &found)).map_err(local)?;
    }
    index.write().map_err(local)?;
    let text = format!("put content of Git LFS in place of pointers: {}", counted(pointers.len(), "file"));
    session.tell(Event::Info { text });
    Ok(())
}

/// Whether the file is byte for byte what git stores.
fn holds_stored(converter: &Converter<'_>, file: &Path, blob: Oid) -> bool {
    // Links are not followed: the attribute is of the file itself, and a link may lead to something that never ends.
    let Ok(found) = fs::symlink_metadata(file) else { return false };
    if !found.is_file() || converter.size(blob) != Some(found.len()) {
        return false;
    }
    let hashed = open_no_follow(file).and_then(|mut opened| hash(&mut opened, found.len()));
    hashed.is_ok_and(|id| id == blob.as_bytes())
}

/// Writes beside and renames, so that whoever reads the file sees the one or the other.
fn write_over(content: &Content, file: &Path, beside: &Path) -> io::Result<Metadata> {
    let mode = fs::symlink_metadata(file)?.permissions();
    let written = match content {
        Content::Bytes(bytes) => fs::write(beside, bytes),
        Content::File { path, .. } => fs::copy(path, beside).map(drop),
    };
    let placed = written.and_then(|()| fs::set_permissions(beside, mode)).and_then(|()| fs::rename(beside, file));
    placed.inspect_err(|_| {
        let _ = fs::remove_file(beside);
    })?;
    fs::symlink_metadata(file)
}

/// The entry of a file as it is now, so that git need not look into it to take it for unchanged.
fn seen(entry: &IndexEntry, found: &Metadata) -> IndexEntry {
    // The index keeps the lower 32 bits of each.
    let low = |number: i64| u32::try_from(number & 0xffff_ffff).unwrap_or_default();
    let time = |seconds: i64, nanoseconds: i64| IndexTime::new(low(seconds).cast_signed(), low(nanoseconds));
    IndexEntry {
        ctime: time(found.ctime(), found.ctime_nsec()),
        mtime: time(found.mtime(), found.mtime_nsec()),
        dev: low(found.dev().cast_signed()),
        ino: low(found.ino().cast_signed()),
        mode: entry.mode,
        uid: found.uid(),
        gid: found.gid(),
        file_size: low(found.size().cast_signed()),
        id: entry.id,
        flags: entry.flags,
        flags_extended: entry.flags_extended,
        path: entry.path.clone(),
    }
}
