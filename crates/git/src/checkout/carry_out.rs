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
    settings::Settings,
    tree::Tree,
    work_tree::WorkTree,
};
use crate::{
    convert::{Content, Converter},
    error::GitError,
    objects::{self, LARGEST_BLOB},
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
    limit: u64,
) -> Result<(), GitError> {
    let is_file = |kind: Kind| matches!(kind, Kind::File | Kind::Program);
    let odb = repo.odb().map_err(|error| GitError::local(repo.path(), "read", &error))?;
    let mut size: u64 = 0;
    for (name, node) in plan.write.iter().filter(|(_, node)| node.kind != Kind::Module) {
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
        size = size.saturating_add(own as u64);
    }
    let top = work.path_of(b"");
    // A small pack can hold what fills a disk.
    if limit != 0 && size > limit {
        return Err(GitError::TooLarge { path: top, size, limit });
    }
    let files = plan.write.iter().filter(|(_, node)| is_file(node.kind));
    converter.prepare(files.map(|(name, node)| (name.as_slice(), node.id)))?;
    // What cannot be asked is left to the deed.
    if work.room().is_ok_and(|room| room < size) {
        return Err(GitError::NoSpace { path: top });
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
) -> Result<Index, GitError> {
    remove(plan, &index, work)?;
    let singly = plan.write.len() <= SYNCED_SINGLY;
    for (name, node) in &plan.write {
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
    Ok(index)
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
