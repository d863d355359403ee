//! Whether a commit that a push told of has arrived, and whether it lies in the history of the one that is checked out.

use std::path::Path;

use git2::{ErrorCode, Oid, Repository};

use super::{error::GitError, objects, open::open};

/// Where a commit is, as seen from the one that is checked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It is that one, or lies before it.
    Within,
    /// It is there, but not in this one's history.
    Beside,
    /// It is not there.
    Absent,
}

/// What is here under the first digits of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// This commit, in full.
    Commit(String),
    /// Several things begin so.
    Several,
    /// No commit does.
    Absent,
}

/// The commit that begins with these digits, among what is here.
///
/// # Errors
/// When the repository cannot be read.
pub fn known(path: &Path, digits: &str) -> Result<Known, GitError> {
    let repo = open(path)?;
    match repo.find_commit_by_prefix(digits) {
        Ok(commit) => Ok(Known::Commit(commit.id().to_string())),
        Err(error) if error.code() == ErrorCode::Ambiguous => Ok(Known::Several),
        Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => Ok(Known::Absent),
        Err(error) => Err(GitError::local(path, "look for a commit in", &error)),
    }
}

/// Commits that these have in their history, themselves included, and `base` has not: the newest first, `most` at most. What is not
/// here is left out.
///
/// # Errors
/// When the repository cannot be read.
pub fn beyond(path: &Path, base: &str, tips: &[String], most: usize) -> Result<Vec<String>, GitError> {
    let repo = open(path)?;
    let local = |error: git2::Error| GitError::local(path, "read the history of", &error);
    let mut walk = repo.revwalk().map_err(local)?;
    for tip in tips {
        let tip = Oid::from_str(tip).map_err(local)?;
        if objects::commit(&repo, tip).is_ok() {
            walk.push(tip).map_err(local)?;
        }
    }
    walk.hide(Oid::from_str(base).map_err(local)?).map_err(local)?;
    // A shallow history ends without its beginning.
    Ok(walk.take(most).map_while(Result::ok).map(|id| id.to_string()).collect())
}

/// Looks for `commit` from `tip`; both in full.
///
/// # Errors
/// When the repository cannot be read.
pub fn reach(path: &Path, tip: &str, commit: &str) -> Result<Reach, GitError> {
    let repo = open(path)?;
    let local = |error: git2::Error| GitError::local(path, "look for a commit in", &error);
    let (tip, commit) = (Oid::from_str(tip).map_err(local)?, Oid::from_str(commit).map_err(local)?);
    Ok(within(&repo, tip, commit))
}

fn within(repo: &Repository, tip: Oid, commit: Oid) -> Reach {
    match objects::commit(repo, commit) {
        _ if tip == commit => Reach::Within,
        Err(_) => Reach::Absent,
        // A history that was cut off proves nothing.
        Ok(_) if repo.is_shallow() || repo.graph_descendant_of(tip, commit).unwrap_or(true) => Reach::Within,
        Ok(_) => Reach::Beside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_one_commit_several_or_none_and_what_comes_after_it_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repository::init(folder.path()).unwrap();
        let tree = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let commit = |second: i64, parents: &[Oid]| {
            let who = git2::Signature::new("Ann", "ann@example.org", &git2::Time::new(second, 0)).unwrap();
            let parents: Vec<_> = parents.iter().map(|id| repo.find_commit(*id).unwrap()).collect();
            let parents: Vec<_> = parents.iter().collect();
            repo.commit(None, &who, &who, "x", &tree, &parents).unwrap()
        };
        let one = commit(1, &[]);
        let two = commit(2, &[one]);
        let (left, right) = (commit(3, &[two]), commit(4, &[two]));
        let text = |id: &Oid| id.to_string();
        let found = |base: &Oid, tips: &[&Oid], most| {
            let tips: Vec<String> = tips.iter().map(|id| text(id)).collect();
            beyond(folder.path(), &text(base), &tips, most).unwrap()
        };
        assert_eq!(found(&one, &[&two, &one], 9), [text(&two)]);
        let mut both = found(&one, &[&left, &right], 9);
        both.sort();
        let mut expected = [&two, &left, &right].map(text);
        expected.sort();
        assert_eq!(both, expected);
        assert_eq!((found(&one, &[&left, &right], 2).len(), found(&two, &[&one], 9).len()), (2, 0));
        // What is not here is left out.
        assert_eq!(beyond(folder.path(), &text(&one), &["1".repeat(40)], 9).unwrap(), Vec::<String>::new());

        assert_eq!(known(folder.path(), &text(&one)[..12]).unwrap(), Known::Commit(text(&one)));
        assert_eq!(known(folder.path(), &"1".repeat(40)).unwrap(), Known::Absent);
        // Among so many, two begin with the same four digits.
        let mut seen = std::collections::BTreeSet::new();
        let twice = (5..5_000)
            .map(|second| text(&commit(second, &[]))[..4].to_owned())
            .find(|digits| !seen.insert(digits.clone()));
        assert_eq!(known(folder.path(), &twice.unwrap()).unwrap(), Known::Several);
    }
}
