//! Puts local commits on top of the remote's, in memory: the work tree is not touched until all of them fit.

use git2::{ErrorCode, Oid, RebaseOptions, Repository, Signature};

use super::{checkout, error::GitError, session::Session, short::short_id};

/// Rebases the commits of `tip` (since `since`, or since the common ancestor) onto `target`. Returns the new tip and
/// how many commits stand on top.
pub(super) fn onto(
    repo: &Repository,
    tip: Oid,
    since: Option<Oid>,
    target: Oid,
    session: &Session,
) -> Result<(Oid, usize), GitError> {
    let local = |error: git2::Error| GitError::local(&session.remote.path, "rebase", &error);
    // libgit2 holds every path of it in memory.
    checkout::refuse_too_much(repo, target, session)?;
    let annotated = |oid: Oid| repo.find_annotated_commit(oid).map_err(local);
    let (branch, upstream, onto) = (annotated(tip)?, annotated(since.unwrap_or(target))?, annotated(target)?);
    let mut options = RebaseOptions::new();
    options.inmemory(true);
    let mut rebase = repo.rebase(Some(&branch), Some(&upstream), Some(&onto), Some(&mut options)).map_err(local)?;
    let committer = repo.signature().or_else(|_| Signature::now("turnout", "turnout@localhost")).map_err(local)?;
    let mut new_tip = target;
    let mut count = 0;
    while let Some(step) = rebase.next() {
        session.go_on()?;
        let id = step.map_err(local)?.id();
        let index = rebase.inmemory_index().map_err(local)?;
        if index.has_conflicts() {
            let files = index
                .conflicts()
                .map_err(local)?
                .flatten()
                .filter_map(|conflict| conflict.our.or(conflict.their).or(conflict.ancestor))
                .map(|entry| String::from_utf8_lossy(&entry.path).into_owned())
                .collect();
            let subject = repo.find_commit(id).ok().and_then(|commit| Some(commit.summary().ok()??.to_owned()));
            return Err(GitError::RebaseConflict {
                commit: short_id(repo, id),
                subject: subject.unwrap_or_default(),
                files,
            });
        }
        match rebase.commit(None, &committer, None) {
            Ok(commit) => {
                new_tip = commit;
                count += 1;
            }
            // Its change is on the remote already.
            Err(error) if error.code() == ErrorCode::Applied => {}
            Err(error) => return Err(local(error)),
        }
    }
    Ok((new_tip, count))
}
