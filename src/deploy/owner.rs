//! Whose project is it? Two repositories can come to mean the same one, by `COLOR` in a `.env` that nobody compares:
//! `red` + `shop` and `re` + `dshop`. The one that came second must not replace what the first one runs.

use super::{
    Failure,
    stack::{Stack, USUAL_COLORS},
};
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

/// Refuses a project that another repository of the list has under a usual colour, even where nothing of it runs just now:
/// whoever may push to one repository could take the place of another one before that comes up again.
///
/// Two usual colours never make one name of two `project`s, so only an unusual one is refused.
///
/// # Errors
/// With the other repository's name and what to do.
pub fn refuse_claimed(repo: &Repo, all: &[Repo], stack: &Stack) -> Result<(), Failure> {
    if USUAL_COLORS.contains(&stack.color.as_str()) {
        return Ok(());
    }
    let as_other = |other: &Repo| stack.project.strip_suffix(other.project.as_str()).map(str::to_owned);
    let claim = all.iter().filter(|other| other.name != repo.name && other.project != repo.project).find_map(|other| {
        as_other(other).filter(|color| USUAL_COLORS.contains(&color.as_str())).map(|color| (other, color))
    });
    let Some((other, color)) = claim else { return Ok(()) };
    Err(Failure::new(format!(
        "COLOR={} makes the project {}, and that is what repository `{}` has with COLOR={color}",
        stack.color, stack.project, other.name
    ))
    .hint(format!(
        "nothing was changed; choose another COLOR in {}, or give one of the two another `project` in the list",
        repo.env_file
    )))
}

/// The repository in whose work tree a folder lies; of work trees inside each other the inner one counts.
pub fn of_folder<'r>(all: &'r [Repo], folder: &std::path::Path) -> Option<&'r Repo> {
    let depth = |repo: &&Repo| {
        let roots = [&repo.real_path, &repo.path].into_iter().filter(|root| folder.starts_with(root));
        roots.map(|root| root.components().count()).max()
    };
    all.iter().filter(|repo| depth(repo).is_some()).max_by_key(depth)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        config::{gather::path_state, repos},
        deploy::stack,
    };

    #[test]
    fn no_color_makes_the_project_that_another_repository_has() {
        let dir = tempfile::tempdir().unwrap();
        let entry = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            format!("{name}: {}\n", path.display())
        };
        let list: String = ["shop", "myshop", "dshop"].map(entry).concat();
        let repos = repos::parse(&list, "repos.yaml", &path_state).unwrap().repos;
        let present = BTreeSet::from(["compose.yaml".to_owned()]);
        let judged = |name: &str, color: &str| {
            let repo = repos.iter().find(|repo| repo.name == name).unwrap();
            let stack = stack::choose(&repo.project, &[], Some(color), None, &present).unwrap();
            refuse_claimed(repo, &repos, &stack).map_err(|refused| refused.summary)
        };
        for (name, color) in [("shop", "red"), ("dshop", "red"), ("myshop", "green"), ("shop", "bluem"), ("shop", "x")]
        {
            assert_eq!(judged(name, color), Ok(()), "{name} {color}");
        }
        for (name, color, project, other, under) in [
            ("shop", "redmy", "redmyshop", "myshop", "red"),
            ("shop", "bluemy", "bluemyshop", "myshop", "blue"),
            ("dshop", "re", "redshop", "shop", "red"),
        ] {
            let words = format!(
                "COLOR={color} makes the project {project}, and that is what repository `{other}` has with COLOR={under}"
            );
            assert_eq!(judged(name, color), Err(words));
        }
    }
}
