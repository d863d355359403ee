//! Carries a plan out: first what can be known to fail is looked at, then files go, then files come.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write as _},
};

use git2::{Oid, Repository};

use super::{
    decide::{Plan, Removed},
    index::Index,
    look,
    node::{Kind, Name, parents, shown, split},
    room::Need,
    settings::Settings,
    tree::Tree,
    work_tree::WorkTree,
};
use crate::{
    convert::{Content, Converter},
    error::GitError,
    objects::{self, LARGEST_BLOB},
    session::Session,
};
use turnout_report::units;

/// Up to so many files are brought to the disk one by one; for more the whole file system is asked at once.
const SYNCED_SINGLY: usize = 64;

/// Refuses a plan that cannot be carried out to its end, while nothing has been done yet.
pub(super) fn check(
    plan: &Plan,
    repo: &Repository,
    work: &mut WorkTree,
    converter: &mut Converter<'_>,
    session: &Session,
) -> Result<(), GitError> {
    let is_file = |kind: Kind| matches!(kind, Kind::File | Kind::Program);
    let odb = repo.odb().map_err(|error| GitError::local(repo.path(), "read", &error))?;
    let top = work.path_of(b"");
    // What cannot be asked is left to the deed.
    let room = work.room().ok();
    let mut need = Need::new(room.map_or(1, |room| room.block));
    for (name, node) in plan.write.iter().filter(|(_, node)| node.kind != Kind::Module) {
        session.go_on()?;
        let (own, _) = odb.read_header(node.id).map_err(|error| missing(name, node.id, &error))?;
        // It is held in memory while it is written.
        if own as u64 > LARGEST_BLOB {
            let what = format!(
                "it has {}, more than the {} that one file of git's may have",
                units::shown(own as u64),
                units::shown(LARGEST_BLOB)
            );
            let advice = "keep a file of that size with Git LFS";
            return Err(GitError::other(format!("check out {}", shown(name)), format!("{what}; {advice}")));
        }
        need.file(own as u64, split(name).1);
    }
    let absent = work.absent_folders(plan.write.keys());
    for folder in absent.map_err(|error| GitError::io(&top, "look at the folders of", &error))? {
        need.folder(split(&folder).1);
    }
    let (size, limit) = (need.total(), session.remote.most_written);
    // A small pack can hold what fills a disk.
    if limit != 0 && size > limit {
        return Err(GitError::TooLarge { path: top, size, limit });
    }
    let files = plan.write.iter().filter(|(_, node)| is_file(node.kind));
    converter.prepare(files.map(|(name, node)| (name.as_slice(), node.id)))?;
    // Content of Git LFS is there by now, and is copied.
    need.bytes = need.bytes.saturating_add(converter.kept_elsewhere());
    // Asked again: much may have been fetched.
    if let Some(why) = work.room().ok().and_then(|room| need.lacks(room, session.remote.spare)) {
        return Err(GitError::Tight { path: top, why });
    }
    let folders: BTreeSet<&[u8]> = plan.write.keys().chain(plan.remove.keys()).map(|name| split(name).0).collect();
    for folder in folders {
        let fault = work.unwritable(folder).map_err(|error| GitError::io(&top, "look at the folders of", &error))?;
        if let Some((folder, why)) = fault {
            return Err(GitError::not_writable(&work.path_of(&folder), &why.into()));
        }
    }
    Ok(())
}

/// Says that an object is not there.
fn missing(name: &[u8], id: Oid, error: &git2::Error) -> GitError {
    GitError::other(
        format!("read {} ({id})", shown(name)),
        format!("{}; if the clone is partial or damaged, git fetch --refetch brings what is missing", error.message()),
    )
}

/// Carries it out. Gives the index as it is to be written.
pub(super) fn carry_out(
    plan: &Plan,
    mut index: Index,
    repo: &Repository,
    work: &mut WorkTree,
    converter: &mut Converter<'_>,
    settings: Settings,
    session: &Session,
) -> Result<Index, GitError> {
    let top = work.path_of(b"");
    let absent = work.absent_folders(plan.write.keys());
    let mut fresh = Fresh {
        folders: absent.map_err(|error| GitError::io(&top, "look at the folders of", &error))?,
        files: Vec::new(),
    };
    remove(plan, &index, work)?;
    let written = write(plan, &mut index, repo, work, converter, settings, session, &mut fresh);
    if let Err(GitError::NoSpace { .. }) = &written {
        fresh.remove(work);
    }
    written.map(|()| index)
}

/// What a check-out wrote where nothing was.
struct Fresh<'p> {
    folders: BTreeSet<Name>,
    files: Vec<&'p Name>,
}

impl Fresh<'_> {
    /// Takes it away, as far as that goes: others need the room.
    fn remove(self, work: &mut WorkTree) {
        for file in self.files.into_iter().rev() {
            let _ = work.remove(file);
        }
        for folder in self.folders.iter().rev() {
            work.remove_folder(folder);
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "they are those of its only caller")]
fn write<'p>(
    plan: &'p Plan,
    index: &mut Index,
    repo: &Repository,
    work: &mut WorkTree,
    converter: &mut Converter<'_>,
    settings: Settings,
    session: &Session,
    fresh: &mut Fresh<'p>,
) -> Result<(), GitError> {
    let singly = plan.write.len() <= SYNCED_SINGLY;
    for (name, node) in &plan.write {
        // The next check-out goes on with what is half done.
        session.go_on()?;
        if node.kind != Kind::Module && matches!(work.look(name), Ok(Ok(None))) {
            fresh.files.push(name);
        }
        let failed = |work: &WorkTree, error: &io::Error| GitError::not_writable(&work.path_of(name), error);
        let blob = || objects::blob(repo, node.id, LARGEST_BLOB).map_err(|error| missing(name, node.id, &error));
        let written = match node.kind {
            Kind::Module => work.make_folder(name).and_then(|()| Ok(work.look(name)?.ok().flatten())),
            Kind::Link if settings.symlinks => work.write_link(name, blob()?.content()).map(Some),
            Kind::Link => {
                let blob = blob()?;
                work.write(name, false, &mut |file| file.write_all(blob.content())).map(Some)
            }
            Kind::File | Kind::Program => {
                let content = converter.to_work_tree(name, node.id)?;
                work.write(name, node.kind == Kind::Program, &mut |file| fill(file, &content, singly)).map(Some)
            }
        };
        let found = written.map_err(|error| failed(work, &error))?;
        if let (Some(found), Some(entry)) = (found, index.entries.get_mut(name)) {
            entry.proof = look::proof(&found);
        }
    }
    if !singly {
        work.sync().map_err(|error| GitError::io(&work.path_of(b""), "bring to the disk", &error))?;
    }
    Ok(())
}

fn fill(file: &mut File, content: &Content, sync: bool) -> io::Result<()> {
    match content {
        Content::Bytes(bytes) => file.write_all(bytes)?,
        Content::File { path, size } => {
            if io::copy(&mut File::open(path)?, file)? != *size {
                return Err(io::Error::other(format!("{} changed meanwhile", path.display())));
            }
        }
    }
    if sync { file.sync_data() } else { Ok(()) }
}

/// Removes what goes, innermost first, and folders that are empty then. A folder that will have files again stays: whoever
/// has mounted it goes on seeing them.
fn remove(plan: &Plan, index: &Index, work: &mut WorkTree) -> Result<(), GitError> {
    let mut kept: BTreeMap<Name, bool> = BTreeMap::new();
    for (name, what) in plan.remove.iter().rev() {
        let mut is_there = true;
        let removed = match what {
            Removed::File => work.remove(name).map(|there| is_there = there),
            Removed::Module => {
                work.remove_folder(name);
                Ok(())
            }
            Removed::Folder => work.remove_all(name),
        };
        removed.map_err(|error| GitError::not_writable(&work.path_of(name), &error))?;
        let above: Vec<&[u8]> = parents(name).collect();
        for folder in above.into_iter().rev().take_while(|_| is_there) {
            let keep = *kept.entry(folder.to_vec()).or_insert_with(|| will_have_files(index, folder));
            if keep || !work.remove_folder(folder) {
                break;
            }
        }
    }
    Ok(())
}

fn will_have_files(index: &Index, folder: &[u8]) -> bool {
    let below = [folder, b"/"].concat();
    let entries = index.entries.range(below.clone()..);
    entries.take_while(|(name, _)| name.starts_with(&below)).any(|(_, entry)| !entry.skip)
}

/// Removes what an interrupted check-out had begun to write beside its place.
pub(super) fn sweep<'t>(trees: impl IntoIterator<Item = &'t Tree>, work: &mut WorkTree) -> Result<(), GitError> {
    let folders: BTreeSet<&Name> = trees.into_iter().flat_map(|tree| tree.folders.keys()).collect();
    for folder in folders {
        work.sweep(folder).map_err(|error| GitError::io(&work.path_of(folder), "tidy up in", &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_full_disk_what_is_new_goes_and_the_rest_stays() {
        let top = tempfile::tempdir().unwrap();
        let mut work = WorkTree::open(top.path()).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<Name>>();
        std::fs::create_dir(top.path().join("there")).unwrap();
        let new = names(&["there/new", "made/in/new", "made/new", "shared/new"]);
        let folders = work.absent_folders(new.iter()).unwrap();
        assert_eq!(folders.iter().cloned().collect::<Vec<_>>(), names(&["made", "made/in", "shared"]));
        for name in &new {
            work.write(name, false, &mut |file| file.write_all(b"x")).unwrap();
        }
        // Somebody else's, meanwhile.
        std::fs::write(top.path().join("shared/own"), "x").unwrap();
        Fresh { folders, files: new.iter().collect() }.remove(&mut work);
        let left = |folder: &str| work_names(&top.path().join(folder));
        assert_eq!((left(""), left("there"), left("shared")), (vec!["shared", "there"], vec![], vec!["own"]));
    }

    fn work_names(folder: &std::path::Path) -> Vec<&'static str> {
        let known = ["made", "new", "own", "shared", "there"];
        known.into_iter().filter(|name| folder.join(name).exists()).collect()
    }
}
