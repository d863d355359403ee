//! Checks out one revision of a remote into a folder in which nobody works: files of the former revision are replaced,
//! others kept.

use git2::{Oid, Repository, RepositoryInitOptions};
use tokio_util::sync::CancellationToken;

use super::{
    address::Address,
    checkout,
    error::GitError,
    lock,
    open::{is_absent, open},
    remote::Remote,
    session::Session,
    stale,
    transfer::{self, Want},
    update::on_a_thread,
};
use turnout_report::Reporter;

/// Checks a revision out, without a branch: what a branch, a tag, a reference in full or a commit (40 digits) of this
/// name stands for now; `HEAD` is the default branch. Files of the revision that was there before are replaced, others kept.
/// Nothing is asked of the remote when a commit is wanted that is there. Gives the commit.
///
/// # Errors
/// See [`GitError`].
pub async fn pin(
    remote: &Remote,
    revision: &str,
    reporter: &dyn Reporter,
    cancel: CancellationToken,
) -> Result<String, GitError> {
    let revision = revision.to_owned();
    on_a_thread(remote, reporter, cancel, move |session| run(session, &revision)).await
}

fn run(session: &Session, revision: &str) -> Result<String, GitError> {
    let remote = &session.remote;
    let local = |error: git2::Error| GitError::local(&remote.path, "check out in", &error);
    let Some(url) = &remote.url else { return Err(GitError::Absent { path: remote.path.clone() }) };
    let address = Address::parse(url)?;
    let repo = if is_absent(&remote.path)? {
        let mut options = RepositoryInitOptions::new();
        options.external_template(false);
        Repository::init_opts(&remote.path, &options).map_err(local)?
    } else {
        open(&remote.path)?
    };
    let _lock = lock::wait(repo.path(), &session.stop)?;
    let _under_way = stale::begin(&repo, session)?;
    let head = repo.head().ok().and_then(|head| Some(head.peel_to_commit().ok()?.id()));
    if let (Some(head), 40, Ok(wanted)) = (head, revision.len(), Oid::from_str(revision))
        && head == wanted
        && !checkout::is_unfinished(&repo)
    {
        return Ok(head.to_string());
    }
    transfer::warn_of_plain_http(&address, &remote.auth, session);
    let tip = transfer::fetch(&repo, &address, true, &Want::Revision(revision), session)?.tip;
    if head != Some(tip) || checkout::is_unfinished(&repo) {
        // Files of the former revision go, and changes to them. What else is there stays: it may be what a container has
        // written into a folder of the project.
        checkout::to(&repo, tip, checkout::Mode::Fill, session)?;
        // Last: it says that the rest is done.
        repo.set_head_detached(tip).map_err(local)?;
        checkout::finished(&repo, session)?;
    }
    Ok(tip.to_string())
}
