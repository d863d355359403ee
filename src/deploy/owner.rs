//! Whose project is it? Two repositories can come to mean the same one, by `COLOR` in a `.env` that nobody compares:
//! `red` + `shop` and `re` + `dshop`. The one that came second must not replace what the first one runs.

use super::Failure;
use crate::{
    compose::labels::WORKING_DIR,
    config::Repo,
    plan::{ObservedContainer, RunState},
};

/// Refuses a project that runs from the work tree of another repository of the list.
///
/// Work trees that are in no list (any more) do not count: a repository may have moved, and `docker compose` may have
/// been at work before.
///
/// # Errors
/// With the other repository's name and what to do.
pub fn refuse_anothers(
    repo: &Repo,
    all: &[Repo],
    project: &str,
    containers: &[ObservedContainer],
) -> Result<(), Failure> {
    for container in containers.iter().filter(|c| c.state != RunState::Removing) {
        let Some(from) = container.labels.get(WORKING_DIR).map(std::path::Path::new) else { continue };
        let Some(owner) = of_folder(all, from) else { continue };
        if owner.name == repo.name {
            continue;
        }
        return Err(Failure::new(format!(
            "project {project} belongs to repository `{}`: its container {} was made from {}",
            owner.name,
            container.name,
            from.display()
        ))
        .hint(format!(
            "nothing was changed; give one of the two another `project` in the list or another COLOR in its {}, or, \
             if `{}` is to take the project over, remove it first (`turnout compose -p {project} down`)",
            repo.env_file, repo.name
        )));
    }
    Ok(())
}

/// The repository in whose work tree a folder lies; of work trees inside each other the inner one counts.
pub fn of_folder<'r>(all: &'r [Repo], folder: &std::path::Path) -> Option<&'r Repo> {
    let depth = |repo: &&Repo| {
        let roots = [&repo.real_path, &repo.path].into_iter().filter(|root| folder.starts_with(root));
        roots.map(|root| root.components().count()).max()
    };
    all.iter().filter(|repo| depth(repo).is_some()).max_by_key(depth)
}
