//! The note that a check-out leaves in the repository's own folder while it runs.
//!
//! Written before the first change, removed when the index and HEAD are written. If it is found, a check-out was
//! interrupted, and files that equal one of its commits are its half work and nobody's changes.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::Path,
};

use git2::{Oid, Repository};

const NAME: &str = "turnout-checkout";
const NEW: &str = "turnout-checkout.new";
const HEAD: &str = "A check-out of turnout is under way between these commits. If turnout does not run, its next update goes on with it.\n";
/// Commits in a note, at most: each is another check-out that was interrupted after the one before.
const MOST: usize = 20;

/// The commits between which an interrupted check-out moved; empty where none was.
pub(super) fn read(repo: &Repository) -> io::Result<Vec<Oid>> {
    let file = match File::open(repo.path().join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(64 * 1024).read_to_string(&mut text)?;
    Ok(text.lines().skip(1).filter_map(|line| Oid::from_str(line).ok()).take(MOST).collect())
}

/// Whether there is a note.
pub(super) fn is_there(repo: &Repository) -> bool {
    repo.path().join(NAME).exists()
}

/// Notes these commits, durably.
pub(super) fn write(repo: &Repository, commits: &[Oid]) -> io::Result<()> {
    let mut text = HEAD.to_owned();
    // The first is where it began, the last ones where it goes now.
    let dropped = commits.len().saturating_sub(MOST);
    for commit in commits.iter().take(1).chain(commits.iter().skip(dropped.max(1))) {
        text.push_str(&format!("{commit}\n"));
    }
    let (new, folder) = (repo.path().join(NEW), repo.path());
    put(&new, &folder.join(NAME), text.as_bytes(), |_| Ok(()))
}

/// Takes the note away: all is done.
pub(super) fn remove(repo: &Repository) -> io::Result<()> {
    match fs::remove_file(repo.path().join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a file beside and renames it, so that it is there whole or not at all, also after a power cut.
pub(crate) fn put(
    beside: &Path,
    file: &Path,
    content: &[u8],
    adjust: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = File::create_new(beside)?;
    let done = new
        .write_all(content)
        .and_then(|()| adjust(&new))
        .and_then(|()| new.sync_all())
        .and_then(|()| fs::rename(beside, file));
    if done.is_err() {
        let _ = fs::remove_file(beside);
        return done;
    }
    // The name itself, too. Not every file system can.
    if let Some(folder) = file.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}
