//! To whom a file of the server belongs that commits may bring as well, such as `.env`. One that turnout itself wrote
//! for a commit, and with which no deployment succeeded, is removed by the next commit that takes it out, and does not
//! keep a later commit from bringing another. Otherwise one bad push could leave a repository in a state that no
//! further push can repair.
//!
//! What turnout wrote is known by a record of the file itself, not of its content: whoever pushes can guess or copy
//! what the server's user has there, and git then tracks the user's file without anybody having written it.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use git2::{Oid, Repository};

use super::{
    decide::Plan,
    look::Owned,
    node::{Kind, Node, shown},
    note,
};
use crate::{objects, session::Session};

const NAME: &str = "turnout-own-files";
const NEW: &str = "turnout-own-files.new";
const HEAD: &str =
    "Files of the server's own that turnout wrote, as they were then. Any other belongs to the server's user.\n";
/// Bytes of a record, at most.
const LONGEST: u64 = 64 * 1024;

/// What is known of the files of the server's own.
pub(super) fn of(repo: &Repository, top: &Path, session: &Session) -> Vec<Owned> {
    let deployed = session.remote.deployed.as_deref().and_then(|commit| Oid::from_str(commit).ok());
    let recorded = read(repo);
    let files = session.remote.own_files.iter();
    let known = files.map(|file| {
        let found = fs::symlink_metadata(top.join(file)).ok();
        Owned {
            name: file.as_os_str().as_bytes().to_vec(),
            deployed: deployed.is_some_and(|commit| node(repo, commit, file).is_some()),
            ours: found.is_some_and(|found| recorded.contains(&line(file, &found))),
        }
    });
    known.collect()
}

/// Records which of them a check-out has just written.
///
/// # Errors
/// The record cannot be written.
pub(super) fn record(repo: &Repository, top: &Path, plan: &Plan, session: &Session) -> io::Result<()> {
    let mut lines = read(repo);
    let before = lines.clone();
    for file in &session.remote.own_files {
        let name = file.as_os_str().as_bytes();
        if !plan.write.contains_key(name) && !plan.remove.contains_key(name) {
            continue;
        }
        let own = format!(" {}", shown(name));
        lines.retain(|line| !line.ends_with(&own));
        if plan.write.contains_key(name)
            && let Ok(found) = fs::symlink_metadata(top.join(file))
        {
            lines.push(line(file, &found));
        }
    }
    if lines == before {
        return Ok(());
    }
    let folder = repo.path();
    let text = HEAD.to_owned() + &lines.into_iter().map(|line| line + "\n").collect::<String>();
    note::put(&folder.join(NEW), &folder.join(NAME), text.as_bytes(), |_| Ok(()))
}

/// The lines of the record. One that cannot be read says that nothing is turnout's: then nothing is taken away.
fn read(repo: &Repository) -> Vec<String> {
    let mut text = String::new();
    let read = File::open(repo.path().join(NAME)).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    text.lines().skip(1).map(str::to_owned).collect()
}

/// A file as it is: another one under its name, other content and other rights are all seen in it.
fn line(file: &Path, found: &Metadata) -> String {
    format!(
        "{}:{} {} {}.{:09} {}.{:09} {}",
        found.dev(),
        found.ino(),
        found.size(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
        shown(file.as_os_str().as_bytes())
    )
}

fn node(repo: &Repository, commit: Oid, file: &Path) -> Option<Node> {
    let entry = objects::tree_of(repo, commit).ok()?.get_path(file).ok()?;
    Some(Node { kind: Kind::of(u32::try_from(entry.filemode_raw()).ok()?)?, id: entry.id() })
}
