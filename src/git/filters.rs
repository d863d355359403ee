//! Files that git passes through a program on their way into the work tree (`filter=` in `.gitattributes`: Git LFS,
//! git-crypt and others). No program is run here, and libgit2 would write what is stored instead: a pointer, or
//! ciphertext, which then goes into an image. So such files are refused by name, before anything is written.

use std::path::Path;

use git2::{AttrCheckFlags, AttrValue, Delta, FileMode, Index, Oid, Repository};

use super::error::GitError;

/// Refuses to write files of `target` that need a filter. Only those count that a check-out coming from `from` would
/// write; without `from`, all.
pub(super) fn refuse(repo: &Repository, from: Option<Oid>, target: Oid, path: &Path) -> Result<(), GitError> {
    let files = needed(repo, from, target).map_err(|error| GitError::local(path, "read the attributes of", &error))?;
    if files.is_empty() {
        Ok(())
    } else {
        Err(GitError::Filtered {
            path: path.to_owned(),
            files,
            advice: "turnout does not run it; let git itself write the files (git clone, or git pull) and deploy again"
                .to_owned(),
        })
    }
}

fn needed(repo: &Repository, from: Option<Oid>, target: Oid) -> Result<Vec<String>, git2::Error> {
    let tree = repo.find_commit(target)?.tree()?;
    let mut index = Index::new()?;
    index.read_tree(&tree)?;
    if !has_attributes(repo, &index) {
        return Ok(Vec::new());
    }
    // A handle of its own, whose index is the target's: attributes count as they are there, wherever they stand.
    let ahead = Repository::open(repo.path())?;
    ahead.set_index(&mut index)?;
    let before = match from {
        Some(commit) => Some(repo.find_commit(commit)?.tree()?),
        None => None,
    };
    let diff = repo.diff_tree_to_tree(before.as_ref(), Some(&tree), None)?;
    let mut files = Vec::new();
    for delta in diff.deltas() {
        let file = delta.new_file();
        if delta.status() == Delta::Deleted || !matches!(file.mode(), FileMode::Blob | FileMode::BlobExecutable) {
            continue;
        }
        let Some(name) = file.path() else { continue };
        if let Some(filter) = filter(&ahead, name, AttrCheckFlags::INDEX_ONLY)? {
            files.push(format!("{} ({filter})", name.display()));
        }
    }
    Ok(files)
}

fn has_attributes(repo: &Repository, index: &Index) -> bool {
    let is_one = |path: &[u8]| path == b".gitattributes" || path.ends_with(b"/.gitattributes");
    repo.commondir().join("info/attributes").exists() || index.iter().any(|entry| is_one(&entry.path))
}

/// The attribute that calls for a program or a conversion that libgit2 has not, as it is written.
fn filter(repo: &Repository, file: &Path, from: AttrCheckFlags) -> Result<Option<String>, git2::Error> {
    for name in ["filter", "working-tree-encoding"] {
        if let AttrValue::String(value) = AttrValue::from_string(repo.get_attr(file, name, from)?)
            && !value.eq_ignore_ascii_case("utf-8")
        {
            return Ok(Some(format!("{name}={value}")));
        }
    }
    Ok(None)
}
