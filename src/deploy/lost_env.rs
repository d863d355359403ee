//! A `.env` that is gone: without it the colour is the default one, and the next deployment would start a second stack on
//! empty volumes beside the one that serves, with none of its settings. Pure.

use super::{
    Failure,
    former::{First, Stacks},
};
use crate::report::counted;

/// Refuses a first deployment under the default colour where another stack of the repository is there and the file that
/// would say so is not.
///
/// # Errors
/// With both stacks, and what to write.
pub fn refuse(first: &First<'_>, stacks: &Stacks, env_is_there: bool) -> Result<(), Failure> {
    let First { repo, project, color, new_stack, places, .. } = first;
    if env_is_there || *new_stack {
        return Ok(());
    }
    let of_repo = |stack: &str| places.iter().any(|place| place.project == stack && place.repo == repo.name);
    let other = stacks.values().find(|stack| {
        let ours = stack.repository.as_ref() == Some(&repo.name) || of_repo(&stack.project);
        stack.project != *project && stack.project.ends_with(&repo.project) && ours && !stack.containers.is_empty()
    });
    let Some(other) = other else { return Ok(()) };
    let was = other.project.strip_suffix(repo.project.as_str()).unwrap_or_default();
    Err(Failure::new(format!(
        "{} is not there, so {} would start a second stack, {project}, on volumes of its own and without its settings: {} is \
         there already ({} of it)",
        repo.path.join(&repo.env_file).display(),
        repo.name,
        other.project,
        counted(other.containers.len(), "container")
    ))
    .hint(format!(
        "nothing was changed; put the file back, with COLOR={was}; or write COLOR={color} into it to have {project} from now \
         on, or `turnout deploy {} --new-stack`",
        repo.name
    )))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config,
        engine::{ContainerStatus, Stack},
        store::Place,
    };

    #[test]
    fn only_where_another_stack_of_the_repository_is_there() {
        let look = |path: &Path| config::repos::PathState::Directory(path.to_path_buf());
        let all = config::repos::parse("shop: /srv/shop", "repos.yaml", &look).unwrap().repos;
        let container = ContainerStatus {
            id: String::new(),
            name: String::new(),
            service: String::new(),
            number: Some(1),
            oneoff: false,
            image: String::new(),
            state: "running".to_owned(),
            health: None,
            exit_code: None,
            status: String::new(),
            ports: Vec::new(),
            created: 0,
            needs: Vec::new(),
        };
        let stack = |project: &str, repository: Option<&str>, containers: usize| Stack {
            project: project.to_owned(),
            repository: repository.map(str::to_owned),
            containers: vec![container.clone(); containers],
            ..Stack::default()
        };
        let place = Place { repo: "shop".into(), project: "blueshop".into(), path: None, remote: None };
        for (stack, places, there, new_stack, refused) in [
            (stack("blueshop", Some("shop"), 2), vec![], false, false, true),
            (stack("blueshop", None, 1), vec![place.clone()], false, false, true),
            (stack("blueshop", None, 1), vec![], false, false, false),
            (stack("blueshop", Some("shop"), 0), vec![], false, false, false),
            (stack("bluewiki", Some("wiki"), 1), vec![], false, false, false),
            (stack("blueshop", Some("shop"), 2), vec![], true, false, false),
            (stack("blueshop", Some("shop"), 2), vec![], false, true, false),
        ] {
            let stacks: Stacks = [(stack.project.clone(), stack.clone())].into();
            let (project, color) = ("redshop", "red");
            let first = First { repo: &all[0], all: &all, project, color, remote: None, places: &places, new_stack };
            let judged = refuse(&first, &stacks, there);
            assert_eq!(judged.is_err(), refused, "{stack:?} {there}");
            if let Err(failure) = judged {
                assert!(failure.hint.unwrap().contains("COLOR=blue"));
            }
        }
    }
}
