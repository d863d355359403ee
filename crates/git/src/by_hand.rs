//! Goes to one commit because somebody said so. The next [`update`](super::update()) goes back to the branch.
//!
//! The work tree is on no branch meanwhile ([`detached`]), so no branch moves and no commit is lost.

use git2::{ErrorCode, Oid, Repository};
use tokio_util::sync::CancellationToken;

use super::{
    advance, branch, checkout, clone, detached,
    error::GitError,
    lock,
    open::{is_absent, open, ready},
    remote::{Divergence, Moved, Remote, Updated},
    session::Session,
    short::short_id,
    stale,
    transfer::{self, Want},
    update::{finish, on_a_thread, origin},
};
use turnout_report::Reporter;

/// Where the branches and tags are kept that were fetched only to look for a commit.
const LOOKED_AT: &str = "refs/turnout/all/*";
/// Fewest digits by which a commit is known, as for git.
const FEWEST_DIGITS: usize = 4;

/// Checks out what a commit (its digits or the first of them), a branch or a tag of this name stands for. Clones what is
/// absent; fetches a commit that is not there. Local changes stay, or are named if they stand in the way.
///
/// # Errors
/// See [`GitError`]; the work tree is as before.
pub async fn check_out(
    remote: &Remote,
    revision: &str,
    reporter: &dyn Reporter,
    cancel: CancellationToken,
) -> Result<Updated, GitError> {
    let revision = revision.to_owned();
    on_a_thread(remote, reporter, cancel, move |session| run(session, &revision)).await
}

fn run(session: &Session, revision: &str) -> Result<Updated, GitError> {
    let remote = &session.remote;
    let path = &remote.path;
    let local = |error: git2::Error| GitError::local(path, "check out in", &error);
    if is_absent(path)? {
        clone::into_place(session)?;
    }
    let repo = open(path)?;
    let _lock = lock::wait(repo.path(), &session.stop)?;
    let _under_way = stale::begin(&repo, session)?;
    ready(&repo, path)?;
    let address = origin(&repo, remote)?;
    let head = repo.head().ok().and_then(|head| Some(head.peel_to_commit().ok()?.id()));
    let tip = match here(&repo, revision, path)? {
        Some(tip) => tip,
        None => {
            transfer::warn_of_plain_http(&address, &remote.auth, session);
            fetch(&repo, revision, session)?
        }
    };
    let branch = remote.branch.clone().or_else(|| branch::checked_out(&repo)).or_else(|| detached::left_branch(&repo));
    let mut moved = Moved::UpToDate { ahead: 0 };
    if head != Some(tip) {
        may_leave(&repo, head, branch.as_deref(), session)?;
        let from =
            branch::checked_out(&repo).unwrap_or_else(|| head.map_or_else(String::new, |id| short_id(&repo, id)));
        checkout::to(&repo, tip, advance::mode(session), session)?;
        detached::arrive(&repo, tip).map_err(local)?;
        checkout::finished(&repo, session)?;
        moved = Moved::Detached { from };
    } else if checkout::is_unfinished(&repo) {
        checkout::to(&repo, tip, advance::mode(session), session)?;
        checkout::finished(&repo, session)?;
    }
    forget_looked_at(&repo);
    finish(&repo, &address, session)?;
    Ok(Updated {
        old: head.map(|id| id.to_string()),
        new: tip.to_string(),
        remote_tip: tip.to_string(),
        branch: branch.unwrap_or_default(),
        moved,
    })
}

/// The commit of these digits, where it is here already. Names are always asked of the remote: they move.
fn here(repo: &Repository, revision: &str, path: &std::path::Path) -> Result<Option<Oid>, GitError> {
    if !is_digits(revision) {
        return Ok(None);
    }
    match repo.find_commit_by_prefix(revision) {
        Ok(commit) => Ok(Some(commit.id())),
        Err(error) if error.code() == ErrorCode::Ambiguous => Err(GitError::other(
            format!("find commit {revision} in {}", path.display()),
            "several begin with these digits; give more of them",
        )),
        Err(_) => Ok(None),
    }
}

fn fetch(repo: &Repository, revision: &str, session: &Session) -> Result<Oid, GitError> {
    let address = origin(repo, &session.remote)?;
    match transfer::fetch(repo, &address, true, &Want::Revision(revision), session) {
        Err(GitError::MissingRevision { .. }) if is_digits(revision) => {
            match transfer::fetch(repo, &address, true, &Want::Prefix(revision), session) {
                Err(GitError::MissingRevision { .. }) if repo.is_shallow() => Err(GitError::other(
                    format!("find commit {revision} in {}", session.remote.path.display()),
                    format!(
                        "it is no branch and no tag there, and the clone here is shallow: `git -C {} fetch --unshallow` \
                         brings its whole history",
                        session.remote.path.display()
                    ),
                )),
                fetched => Ok(fetched?.tip),
            }
        }
        fetched => Ok(fetched?.tip),
    }
}

fn is_digits(revision: &str) -> bool {
    (FEWEST_DIGITS..=40).contains(&revision.len()) && revision.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Commits that were made without a branch, and that none holds, would be lost.
fn may_leave(repo: &Repository, head: Option<Oid>, branch: Option<&str>, session: &Session) -> Result<(), GitError> {
    let Some(head) = head.filter(|_| branch::checked_out(repo).is_none()) else { return Ok(()) };
    if session.remote.on_divergence == Divergence::Reset || detached::is_ours(repo, head) || is_held(repo, head) {
        return Ok(());
    }
    Err(GitError::Detached {
        path: session.remote.path.clone(),
        commit: short_id(repo, head),
        reason: " and that commit is not part of any branch",
        branch: branch.unwrap_or("<branch>").to_owned(),
    })
}

fn is_held(repo: &Repository, commit: Oid) -> bool {
    let Ok(all) = repo.references() else { return false };
    all.flatten()
        .filter(|reference| reference.is_branch() || reference.is_remote() || reference.is_tag())
        .filter_map(|reference| Some(reference.peel_to_commit().ok()?.id()))
        .any(|tip| tip == commit || repo.graph_descendant_of(tip, commit).unwrap_or(false))
}

fn forget_looked_at(repo: &Repository) {
    let Ok(looked_at) = repo.references_glob(LOOKED_AT) else { return };
    for mut reference in looked_at.flatten() {
        let _ = reference.delete();
    }
}
