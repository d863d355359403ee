//! The gate to commits, tags and trees: their size is looked at before libgit2, which unpacks objects whole, holds one.

use git2::{Blob, Commit, ErrorClass, ErrorCode, ObjectType, Oid, Repository, Tree};

use turnout_report::units;

/// Bytes of a commit or a tag. The longest messages in use have some tens of kilobytes. Limits memory.
const LARGEST_NOTE: u64 = 1 << 20;
/// Bytes of a tree: some 700,000 entries in one folder. Limits memory.
const LARGEST_TREE: u64 = 32 << 20;
/// Bytes of one file. Limits memory.
pub(super) const LARGEST_BLOB: u64 = 256 << 20;
/// Tags that name tags, at most.
const MOST_TAGS: usize = 10;

/// A commit that is not too large.
pub(super) fn commit(repo: &Repository, id: Oid) -> Result<Commit<'_>, git2::Error> {
    look(repo, id)?;
    repo.find_commit(id)
}

/// A tree that is not too large.
pub(super) fn tree(repo: &Repository, id: Oid) -> Result<Tree<'_>, git2::Error> {
    look(repo, id)?;
    repo.find_tree(id)
}

/// The tree of a commit, neither of them too large.
pub(super) fn tree_of(repo: &Repository, id: Oid) -> Result<Tree<'_>, git2::Error> {
    tree(repo, commit(repo, id)?.tree_id())
}

/// A blob of at most so many bytes.
pub(super) fn blob(repo: &Repository, id: Oid, most: u64) -> Result<Blob<'_>, git2::Error> {
    let (size, kind) = repo.odb()?.read_header(id)?;
    if kind == ObjectType::Blob && size as u64 > most {
        return Err(too_large(id, kind, size as u64, most));
    }
    repo.find_blob(id)
}

/// The commit that an object stands for: itself, or what a tag names.
pub(super) fn commit_of(repo: &Repository, id: Oid) -> Result<Commit<'_>, git2::Error> {
    let mut at = id;
    for _ in 0..MOST_TAGS {
        match look(repo, at)? {
            ObjectType::Tag => at = repo.find_tag(at)?.target_id(),
            _ => return repo.find_commit(at),
        }
    }
    Err(fault(format!("{id} is a tag of a tag, more than {MOST_TAGS} deep")))
}

/// Refuses an object that is larger than its kind may be. Blobs are looked at by those who know what they are for.
pub(super) fn look(repo: &Repository, id: Oid) -> Result<ObjectType, git2::Error> {
    let (size, kind) = repo.odb()?.read_header(id)?;
    refuse(id, kind, size as u64).map(|()| kind)
}

pub(super) fn refuse(id: Oid, kind: ObjectType, size: u64) -> Result<(), git2::Error> {
    let most = match kind {
        ObjectType::Commit | ObjectType::Tag => LARGEST_NOTE,
        ObjectType::Tree => LARGEST_TREE,
        _ => return Ok(()),
    };
    if size > most { Err(too_large(id, kind, size, most)) } else { Ok(()) }
}

fn too_large(id: Oid, kind: ObjectType, size: u64, most: u64) -> git2::Error {
    fault(format!(
        "{kind} {id} has {}, more than the {} that turnout reads of one: take it out of the history",
        units::shown(size),
        units::shown(most)
    ))
}

fn fault(message: String) -> git2::Error {
    git2::Error::new(ErrorCode::Invalid, ErrorClass::Object, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> (tempfile::TempDir, Repository) {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repository::init(folder.path()).unwrap();
        (folder, repo)
    }

    #[test]
    fn what_is_no_blob_has_a_limit_before_it_is_read() {
        let (_folder, repo) = repository();
        let odb = repo.odb().unwrap();
        let empty = odb.write(ObjectType::Tree, b"").unwrap();
        let head = format!("tree {empty}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\n");
        let small = odb.write(ObjectType::Commit, head.as_bytes()).unwrap();
        let large = head.clone() + &"m".repeat(LARGEST_NOTE as usize);
        let large = odb.write(ObjectType::Commit, large.as_bytes()).unwrap();
        assert_eq!(commit(&repo, small).unwrap().id(), small);
        let error = commit(&repo, large).unwrap_err().message().to_owned();
        assert!(error.contains(&format!("commit {large} has 1.0 MB, more than")), "{error}");
        // A tag that is small, of one that is not.
        let tag = |of: Oid, text: &str| {
            let text = format!("object {of}\ntype commit\ntag t\ntagger a <a> 1 +0000\n\n{text}");
            odb.write(ObjectType::Tag, text.as_bytes()).unwrap()
        };
        assert_eq!(commit_of(&repo, tag(small, "")).unwrap().id(), small);
        assert!(commit_of(&repo, tag(large, "")).is_err());
        assert!(commit_of(&repo, tag(small, &"m".repeat(LARGEST_NOTE as usize))).is_err());
        assert!(refuse(empty, ObjectType::Tree, LARGEST_TREE).is_ok());
        assert!(refuse(empty, ObjectType::Tree, LARGEST_TREE + 1).is_err());
    }

    #[test]
    fn tags_of_tags_end() {
        let (_folder, repo) = repository();
        let odb = repo.odb().unwrap();
        let tree = odb.write(ObjectType::Tree, b"").unwrap();
        let head = format!("tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\n");
        let mut at = odb.write(ObjectType::Commit, head.as_bytes()).unwrap();
        for depth in 0..=MOST_TAGS {
            let kind = if depth == 0 { "commit" } else { "tag" };
            let text = format!("object {at}\ntype {kind}\ntag t\ntagger a <a> 1 +0000\n\n");
            at = odb.write(ObjectType::Tag, text.as_bytes()).unwrap();
        }
        let error = commit_of(&repo, at).unwrap_err().message().to_owned();
        assert!(error.contains("10 deep"), "{error}");
    }

    #[test]
    fn a_blob_is_read_up_to_what_it_is_for() {
        let (_folder, repo) = repository();
        let id = repo.blob(b"12345").unwrap();
        assert_eq!(blob(&repo, id, 5).unwrap().content(), b"12345");
        assert!(blob(&repo, id, 4).is_err());
    }
}
