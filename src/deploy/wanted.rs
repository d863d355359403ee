//! Whether a deployment brought the newest commit that a push wanted, and what is said where it did not.

use super::{Failure, Recorder};
use crate::{
    config::Repo,
    git::{self, short},
    report::Reporter as _,
    store::{Cause, Deployment, Store},
};

/// The newest wanted commit of the repository, where `commit`, which was deployed, has it; then it is not wanted any more.
///
/// A forge may tell of a push before its own servers have it: what was fetched then lacks it, and it stays wanted. Where
/// somebody asked for the branch as it is after the push, the branch is what is wanted, also if the push was undone there.
pub(super) async fn reached(
    store: &Store,
    job: &Deployment,
    repo: &Repo,
    commit: &str,
    branch: &str,
    recorder: &Recorder,
) -> Result<Option<String>, Failure> {
    let wanted = store.wanted(&repo.name).await.map_err(|error| Failure::new(error.to_string()))?;
    let Some(wanted) = wanted else { return Ok(None) };
    if job.kind == Cause::Manual && !job.pinned && job.id >= wanted.before {
        return Ok(Some(wanted.commit));
    }
    let (path, deployed, pushed) = (repo.real_path.clone(), commit.to_owned(), wanted.commit.clone());
    let reach = tokio::task::spawn_blocking(move || git::reach(&path, &deployed, &pushed)).await;
    if matches!(reach, Ok(Ok(git::Reach::Within))) {
        return Ok(Some(wanted.commit));
    }
    // One that was pushed meanwhile has a deployment of its own.
    if job.id >= wanted.before && !job.pinned {
        recorder.warn(format!(
            "{} was pushed and is not in what {branch} has at the remote; it stays wanted: `turnout deploy {}` looks again",
            short(&wanted.commit),
            repo.name
        ));
    }
    Ok(None)
}

/// What to do about a commit that was taken back: by its branch it is refused.
pub fn all_the_same(repo: &str, commit: &str) -> String {
    format!("push a newer commit, or deploy this one all the same: turnout deploy {repo} --commit {}", short(commit))
}

/// What is said of a wanted commit when a deployment ends that should have brought it. Of a held repository the hold says
/// it. `failed`: it was not called off, and what failed may be the commit's own fault.
pub(super) async fn left(store: &Store, job: &Deployment, failed: bool) -> Option<String> {
    // A store that does not answer is told of when the end is recorded.
    let wanted = store.wanted(&job.repo).await.ok().flatten().filter(|wanted| job.id >= wanted.before)?;
    if store.held(&job.repo).await.is_ok_and(|hold| hold.is_some()) {
        return None;
    }
    if store.why_reverted(&job.repo, &wanted.commit).await.is_ok_and(|why| why.is_some()) {
        return Some(format!(
            "{} stays wanted ({}), and was taken back: {}",
            short(&wanted.commit),
            wanted.cause,
            all_the_same(&job.repo, &wanted.commit)
        ));
    }
    let again = format!("`turnout deploy {}`", job.repo);
    Some(format!(
        "{} stays wanted ({}): {}",
        short(&wanted.commit),
        wanted.cause,
        if failed {
            format!("where it is at fault itself, correct it and push again; where it is not, {again} tries it again")
        } else {
            format!("{again} brings it, or the push sent again")
        }
    ))
}
