//! What an update that was killed left in the repository's own folder: locks of libgit2, and unfinished packs.
//!
//! libgit2's files say nothing of who made them. So each update leaves a note while it runs. If the next one, which
//! holds [`super::lock`], finds it, the former one died; and a lock is taken for its own if it is younger than the
//! note, belongs to the same user, and nobody uses it: no process has it open, and no `git` works in this repository.
//! Everything else is somebody else's and stays.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use git2::Repository;

use super::{checkout, error::GitError, session::Session};
use turnout_report::Event;

const NAME: &str = "turnout-update";
const NEW: &str = "turnout-update.new";
const TEXT: &str = "An update by turnout is under way. If turnout does not run, its next update removes the locks and unfinished \
                    packs that this one has left.\n";
/// Files that are looked at, at most. Limits what a repository with very many references costs.
const MOST_FILES: usize = 200_000;
/// Names in the message, at most.
const NAMED: usize = 5;

/// Under way, until dropped.
#[derive(Debug)]
pub(super) struct UnderWay(PathBuf);

/// Notes that an update is under way, and tidies up after one that was killed. Whoever calls holds the lock of the
/// repository.
///
/// # Errors
/// When the repository's own folder cannot be written.
pub(super) fn begin(repo: &Repository, session: &Session) -> Result<UnderWay, GitError> {
    let note = repo.path().join(NAME);
    if let Ok(since) = fs::symlink_metadata(&note) {
        let removed = tidy_up(repo, &since);
        if !removed.is_empty() {
            let top = repo.path().display();
            session.tell(Event::Info {
                text: format!("removed what a killed update of turnout had left in {top}: {}", list(&removed)),
            });
        }
    }
    checkout::note::put(&repo.path().join(NEW), &note, TEXT.as_bytes(), |_| Ok(()))
        .map_err(|error| GitError::io(&note, "write", &error))?;
    Ok(UnderWay(note))
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // One that stays has the next update look for what is not there.
        let _ = fs::remove_file(&self.0);
    }
}

fn list(removed: &[String]) -> String {
    let more = removed.len().saturating_sub(NAMED);
    let named: Vec<&str> = removed.iter().take(NAMED).map(String::as_str).collect();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", named.join(", "))
}

/// Removes what is the dead one's. Gives the names of what is gone, from the repository's own folder on.
fn tidy_up(repo: &Repository, since: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    let tops = [repo.commondir(), repo.path()];
    for (at, top) in tops.iter().enumerate() {
        if !tops.iter().take(at).any(|former| former == top) {
            look(top, &mut found, &mut 0);
        }
    }
    found.retain(|(_, meta)| is_of(meta, since));
    if found.is_empty() {
        return Vec::new();
    }
    let work = repo.workdir().unwrap_or(repo.path());
    let users = Users::of(&[work, repo.path(), repo.commondir()]);
    let mut removed = Vec::new();
    for (file, meta) in found {
        // Not if it is another one by now.
        let same = fs::symlink_metadata(&file).is_ok_and(|now| (now.dev(), now.ino()) == (meta.dev(), meta.ino()));
        if same && !users.use_it(&file) && fs::remove_file(&file).is_ok() {
            let name = file.strip_prefix(repo.commondir()).unwrap_or(&file);
            removed.push(name.display().to_string());
        }
    }
    removed
}

/// Whether it was made by the user who made the note, and not before it.
fn is_of(meta: &Metadata, note: &Metadata) -> bool {
    let at = |meta: &Metadata| (meta.ctime(), meta.ctime_nsec());
    meta.is_file() && meta.uid() == note.uid() && at(meta) >= at(note)
}

/// Finds locks and what is unfinished, also in the repositories of submodules (`modules`).
fn look(folder: &Path, found: &mut Vec<(PathBuf, Metadata)>, seen: &mut usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        *seen += 1;
        if *seen > MOST_FILES {
            return;
        }
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if name == "objects" {
                unfinished(&path, found);
                unfinished(&path.join("pack"), found);
            } else if !name.as_bytes().starts_with(b"lfs") {
                look(&path, found, seen);
            } else {
                unfinished(&path.join("tmp"), found);
            }
        } else if path.extension() == Some(OsStr::new("lock")) {
            found.extend(entry.metadata().ok().map(|meta| (path, meta)));
        }
    }
}

/// Packs and objects that were growing: libgit2's (`pack_git2_…`, `tmp_object_git2_…`), and ours of Git LFS.
fn unfinished(folder: &Path, found: &mut Vec<(PathBuf, Metadata)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.as_bytes();
        let is_ours = name.windows(6).any(|six| six == b"_git2_")
            || (name.starts_with(b"turnout-") && folder.ends_with("lfs/tmp"));
        if is_ours {
            found.extend(entry.metadata().ok().map(|meta| (entry.path(), meta)));
        }
    }
}

/// Who works with the repository now.
struct Users {
    /// Every file that a process has open, by its name: to look at the files themselves could hang on a dead mount.
    open: HashSet<PathBuf>,
    /// Whether a `git` runs in it. It closes some locks long before it is done with them.
    git: bool,
}

impl Users {
    /// Looks at the processes that may be looked at: ours, and for root all.
    fn of(places: &[&Path]) -> Self {
        let places: Vec<PathBuf> = places.iter().filter_map(|place| place.canonicalize().ok()).collect();
        let mut users = Self { open: HashSet::new(), git: false };
        let Ok(processes) = fs::read_dir("/proc") else {
            // Nothing is known, so everything may be in use.
            users.git = true;
            return users;
        };
        for process in processes.flatten().filter(|entry| entry.file_name().as_bytes().iter().all(u8::is_ascii_digit)) {
            // It may have ended meanwhile, or be another user's.
            let _ = users.add(&process.path(), &places);
        }
        users
    }

    fn add(&mut self, process: &Path, places: &[PathBuf]) -> io::Result<()> {
        let name = fs::read(process.join("comm"))?;
        if name.starts_with(b"git") {
            let here = fs::read_link(process.join("cwd"))?;
            let words = fs::read(process.join("cmdline"))?;
            let named = |place: &PathBuf| {
                let place = place.as_os_str().as_bytes();
                !place.is_empty() && words.windows(place.len()).any(|part| part == place)
            };
            self.git |= places.iter().any(|place| here.starts_with(place) || named(place));
        }
        for file in fs::read_dir(process.join("fd"))?.flatten() {
            self.open.extend(fs::read_link(file.path()));
        }
        Ok(())
    }

    fn use_it(&self, file: &Path) -> bool {
        self.git || file.canonicalize().is_ok_and(|file| self.open.contains(&file))
    }
}
