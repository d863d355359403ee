//! Files that git passes through a program on their way into the work tree (`filter=` in `.gitattributes`: Git LFS,
//! git-crypt and others). No program is run here, and libgit2 would write what is stored instead: a pointer, or
//! ciphertext, which then goes into an image. So such files are refused by name, before anything is written.

use std::{io::Read as _, path::Path};

use git2::{AttrCheckFlags, AttrValue, Index, Repository};

use super::error::GitError;

/// What a pointer of Git LFS begins with (its specification, "The Pointer").
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// What a file encrypted by git-crypt begins with.
const GIT_CRYPT: &[u8] = b"\0GITCRYPT\0";

/// Refuses a work tree that holds what is stored in place of what is meant: it was cloned without the filter's program.
pub(super) fn refuse_stored(repo: &Repository, path: &Path) -> Result<(), GitError> {
    let files = stored(repo).map_err(|error| GitError::local(path, "read the attributes of", &error))?;
    if files.is_empty() { Ok(()) } else { Err(GitError::Unfiltered { path: path.to_owned(), files }) }
}

fn stored(repo: &Repository) -> Result<Vec<String>, git2::Error> {
    let index = repo.index()?;
    let Some(top) = repo.workdir().filter(|_| has_attributes(repo, &index)) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in index.iter().filter(|entry| entry.mode & 0o170_000 == 0o100_000) {
        let name = String::from_utf8_lossy(&entry.path).into_owned();
        let Some(filter) = filter(repo, Path::new(&name), AttrCheckFlags::FILE_THEN_INDEX)? else { continue };
        if is_stored_form(&top.join(&name)) {
            files.push(format!("{name} ({filter})"));
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

fn is_stored_form(file: &Path) -> bool {
    // Links are not followed: the attribute is of the file itself, and a link may lead to something that never ends.
    if !std::fs::symlink_metadata(file).is_ok_and(|found| found.is_file()) {
        return false;
    }
    let mut start = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(LFS.len() as u64).read_to_end(&mut start));
    read.is_ok() && (start.starts_with(LFS) || start.starts_with(GIT_CRYPT))
}
