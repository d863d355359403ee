//! Stacks that were deployed under names which are gone: a repository was renamed in the list, moved, or taken out of it.
//! Pure.
//!
//! A renamed repository means another Compose project, so its next deployment would start a second stack on empty
//! volumes beside the one that serves. That is refused unless it is asked for. There is no exception for stacks without
//! volumes: the two would compete for ports and names all the same, and one line in the list settles it.

use std::{collections::BTreeMap, path::Path};

use super::{Failure, owner};
use crate::{
    config::{Repo, repos::project_from},
    engine::Stack,
    report::counted,
    store::Place,
};

/// What the engine holds, by project.
pub type Stacks = BTreeMap<String, Stack>;

/// Of which repository a stack is, by its name at that time.
struct Origin<'s> {
    name: &'s str,
    place: Option<&'s Place>,
}

/// A container's labels say it; of what was taken down, and of what is older than these labels, the store does.
fn origin<'s>(stack: &'s Stack, places: &'s [Place]) -> Option<Origin<'s>> {
    let of_project = || places.iter().filter(|place| place.project == stack.project);
    match &stack.repository {
        Some(name) => Some(Origin { name, place: of_project().find(|place| place.repo == *name) }),
        None => of_project().next().map(|place| Origin { name: &place.repo, place: Some(place) }),
    }
}

/// The project's name without a colour, as far as it can be told.
fn without_color(project: &str, name: &str, color: &str) -> Option<String> {
    let by_color =
        project.strip_prefix(color).filter(|rest| !rest.is_empty() && project.ends_with(&project_from(name)));
    let key = project_from(name);
    let by_name = (!key.is_empty() && project.len() > key.len() && project.ends_with(&key)).then_some(key);
    by_color.map(str::to_owned).or(by_name).or_else(|| project.strip_prefix(color).map(str::to_owned))
}

/// Whether a project is the repository's under another colour.
fn is_other_color(repo: &Repo, project: &str, name: &str) -> bool {
    let ends = |key: &str| project.len() > key.len() && project.ends_with(key);
    // Of a renamed repository the former name tells more than the end of a word: `redshop` is no colour of `hop`.
    let former = project_from(name);
    let more = !name.eq_ignore_ascii_case(&repo.name) && former.len() > repo.project.len() && ends(&former);
    ends(&repo.project) && !more
}

/// What is asked about a first deployment.
pub struct First<'a> {
    /// The repository that is deployed for the first time.
    pub repo: &'a Repo,
    /// All that are configured.
    pub all: &'a [Repo],
    /// The project that is to be deployed.
    pub project: &'a str,
    /// The colour that its `.env` chooses.
    pub color: &'a str,
    /// The address of its remote, without credentials.
    pub remote: Option<&'a str>,
    /// What was deployed before.
    pub places: &'a [Place],
    /// A second stack is asked for.
    pub new_stack: bool,
}

/// Refuses a first deployment that would start a second stack of the same repository. `Ok` with words where one is
/// started because somebody asked for it.
///
/// # Errors
/// With the former stack's name, and the lines to write or the commands to run.
pub fn refuse_second(first: &First<'_>, stacks: &Stacks) -> Result<Option<String>, Failure> {
    let First { repo, project, places, new_stack, .. } = first;
    let deployed = places.iter().any(|place| place.repo == repo.name && place.project == *project);
    if deployed || stacks.contains_key(*project) {
        return Ok(None);
    }
    let Some((stack, origin)) = stacks.values().find_map(|stack| Some((stack, same_repository(first, stack)?))) else {
        return refuse_beside_by_hand(first, stacks);
    };
    let has = holds(stack);
    let former = &stack.project;
    if *new_stack {
        return Ok(Some(format!("{former} ({has}) stays beside the new stack {project}, as was asked for")));
    }
    let keep = match without_color(former, origin.name, first.color) {
        Some(key) => format!(
            "to go on with {former}, write `project: {key}` among the keys of `{}` in repos.yaml (in the short form: `{}: \
             {{ path: {}, project: {key} }}`)",
            repo.name,
            repo.name,
            repo.path.display()
        ),
        None => {
            format!("to go on with {former}, choose COLOR in {} and `project` in repos.yaml to make it", repo.env_file)
        }
    };
    Err(Failure::new(format!(
        "{} would start a second stack, {project}, on volumes of its own: {former} is there already ({has}), deployed for \
         `{}`{}",
        repo.name,
        origin.name,
        if lies_in(repo, first.all, stack, &origin) {
            " from the same work tree"
        } else if same_remote(first, &origin) {
            " from the same remote"
        } else {
            ", an entry of the same name"
        }
    ))
    .hint(format!(
        "nothing was changed; {keep}; or take it down with its volumes (`turnout compose -p {former} down -v`); or have \
         both: `turnout deploy {} --new-stack`",
        repo.name
    )))
}

/// Refuses the first deployment of a repository whose stack somebody brought up with Compose: it would start a second one,
/// which is empty, beside the one that serves. What was deployed in another colour has passed that already.
fn refuse_beside_by_hand(first: &First<'_>, stacks: &Stacks) -> Result<Option<String>, Failure> {
    let First { repo, project, places, new_stack, .. } = first;
    let Some(stack) = stacks.values().find(|stack| origin(stack, places).is_none() && is_by_hand(first, stack)) else {
        return Ok(None);
    };
    let (former, has) = (&stack.project, holds(stack));
    let is_ours = |origin: Origin<'_>| origin.name.eq_ignore_ascii_case(&repo.name);
    let known = places.iter().any(|place| place.repo.eq_ignore_ascii_case(&repo.name))
        || stacks.values().any(|stack| origin(stack, places).is_some_and(is_ours));
    if *new_stack || known || is_other_color(repo, former, &repo.name) {
        return Ok(Some(format!(
            "{former} ({has}), which `docker compose` made from the same work tree, stays beside the new stack {project}, \
             whose volumes are its own"
        )));
    }
    let keep = match apart(former) {
        Some((color, key)) => format!(
            "to go on with {former} and its volumes, let COLOR in {} and `project` in repos.yaml together make that name: \
             `COLOR={color}` and `{}: {{ path: {}, project: {key} }}`, for instance",
            repo.env_file,
            repo.name,
            repo.path.display()
        ),
        None => format!("{former} cannot be gone on with, its name is too short for COLOR and `project`"),
    };
    Err(Failure::new(format!(
        "{} would start a second stack, {project}, on empty volumes of its own: {former} is there already ({has}), which \
         `docker compose` made from the same work tree",
        repo.name
    ))
    .hint(format!(
        "nothing was changed; {keep}; or take it down (`turnout compose -p {former} down` keeps its volumes), and have a new \
         stack: `turnout deploy {} --new-stack`",
        repo.name
    )))
}

/// Whether a stack that is not turnout's comes from the repository's work tree. Volumes do not tell, so of those that are
/// left alone the name must, which Compose takes from the folder.
fn is_by_hand(first: &First<'_>, stack: &Stack) -> bool {
    let named = || {
        let folder = first.repo.path.file_name().map(|name| name.to_string_lossy());
        folder.is_some_and(|folder| project_from(&folder) == stack.project)
    };
    match stack.folders.is_empty() {
        false => is_own(first.repo, first.all, stack.folders.iter()),
        true => stack.containers.is_empty() && named(),
    }
}

/// A project's name as a colour and the rest.
fn apart(project: &str) -> Option<(&str, &str)> {
    let begins = |(at, c): &(usize, char)| *at > 0 && c.is_ascii_alphanumeric();
    project.char_indices().find(begins).map(|(at, _)| project.split_at(at))
}

/// What would be lost with a stack, in words.
fn holds(stack: &Stack) -> String {
    let count = stack.containers.len();
    let containers = (count > 0).then(|| counted(count, "container"));
    let volumes: Vec<&str> = stack.volumes.iter().map(String::as_str).collect();
    let volumes = (!volumes.is_empty()).then(|| format!("volumes {}", volumes.join(", ")));
    containers.into_iter().chain(volumes).collect::<Vec<_>>().join(", ")
}

/// The origin of another stack of turnout's, where that is the same repository and not merely of another colour.
fn same_repository<'s>(first: &First<'s>, stack: &'s Stack) -> Option<Origin<'s>> {
    let First { repo, all, project, places, .. } = first;
    if stack.project == *project {
        return None;
    }
    let origin = origin(stack, places)?;
    if is_other_color(repo, &stack.project, origin.name) {
        return None;
    }
    if origin.name.eq_ignore_ascii_case(&repo.name) {
        return Some(origin);
    }
    // What another entry of the list goes on with is that one's.
    if all.iter().any(|other| other.name.eq_ignore_ascii_case(origin.name) && other.name != repo.name) {
        return None;
    }
    // One that another entry lies in is no longer anybody else's by its remote.
    (lies_in(repo, all, stack, &origin) || same_remote(first, &origin)).then_some(origin)
}

fn same_remote(first: &First<'_>, origin: &Origin<'_>) -> bool {
    let cloned_from = origin.place.and_then(|place| place.remote.as_deref());
    matches!((cloned_from, first.remote), (Some(one), Some(other)) if address(one) == address(other))
}

fn lies_in(repo: &Repo, all: &[Repo], stack: &Stack, origin: &Origin<'_>) -> bool {
    let recorded = origin.place.and_then(|place| place.path.as_ref());
    is_own(repo, all, stack.folders.iter().chain(recorded))
}

fn is_own<'s>(repo: &Repo, all: &[Repo], mut folders: impl Iterator<Item = &'s String>) -> bool {
    folders.any(|folder| owner::of_folder(all, Path::new(folder)).is_some_and(|owner| owner.name == repo.name))
}

/// The form in which addresses are compared.
fn address(text: &str) -> &str {
    let text = text.trim_end_matches('/');
    text.strip_suffix(".git").unwrap_or(text)
}

/// A stack that no configured repository goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// What the engine holds.
    pub stack: Stack,
    /// The repository for which it was deployed.
    pub repository: String,
    /// Where that lay, where known.
    pub path: Option<String>,
    /// This turnout has it in its database. Another one on the machine may look after one that is not.
    pub recorded: bool,
    /// The command that removes it.
    pub remove: String,
    /// What to write in the list to go on with it.
    pub adopt: String,
}

/// Finds stacks of turnout's that no configured repository claims. `claimed`: the projects of those that are.
pub fn strays(all: &[Repo], claimed: &dyn Fn(&str) -> bool, stacks: &Stacks, places: &[Place]) -> Vec<Stray> {
    let mut found = Vec::new();
    for stack in stacks.values().filter(|stack| !claimed(&stack.project)) {
        let Some(origin) = origin(stack, places) else { continue };
        if all.iter().any(|repo| repo.name.eq_ignore_ascii_case(origin.name)) {
            continue;
        }
        let recorded = origin.place.and_then(|place| place.path.clone()).filter(|path| !path.is_empty());
        let path = recorded.or_else(|| stack.folders.first().cloned());
        let key = without_color(&stack.project, origin.name, super::stack::DEFAULT_COLOR);
        let key = key.unwrap_or_else(|| project_from(origin.name));
        let heir = path.as_ref().and_then(|path| owner::of_folder(all, Path::new(path)));
        let adopt = match (heir, &path) {
            (Some(heir), _) => format!("`project: {key}` among the keys of `{}`", heir.name),
            (None, Some(path)) => format!("`{}: {{ path: {path}, project: {key} }}`", origin.name),
            (None, None) => format!("`{}` with its path and `project: {key}`", origin.name),
        };
        let remove = format!("turnout compose -p {} down", stack.project);
        let (repository, recorded) = (origin.name.to_owned(), origin.place.is_some());
        found.push(Stray { stack: stack.clone(), repository, path, recorded, remove, adopt });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn repos(text: &str) -> Vec<Repo> {
        let look = |path: &Path| config::repos::PathState::Directory(path.to_path_buf());
        config::repos::parse(text, "repos.yaml", &look).unwrap().repos
    }

    fn stack(project: &str, repository: Option<&str>, folder: Option<&str>) -> Stack {
        Stack {
            project: project.to_owned(),
            repository: repository.map(str::to_owned),
            folders: folder.into_iter().map(str::to_owned).collect(),
            volumes: [format!("{project}_data")].into(),
            ..Stack::default()
        }
    }

    fn place(repo: &str, project: &str, path: &str, remote: Option<&str>) -> Place {
        let remote = remote.map(str::to_owned);
        Place { repo: repo.to_owned(), project: project.to_owned(), path: Some(path.to_owned()), remote }
    }

    #[test]
    fn a_second_stack_is_known_by_name_place_and_remote() {
        let (tree, other) = (Some("/srv/shop"), Some("/srv/other"));
        let hub = Some("https://hub.example/acme/shop");
        // The list, the project, what the engine holds beside it, what the store says; whether that is refused.
        type Row<'a> = (&'a str, &'a str, Stack, Vec<Place>, bool);
        let table: Vec<Row<'_>> = vec![
            ("store: /srv/shop", "redstore", stack("redshop", Some("shop"), tree), vec![], true),
            ("store: /srv/shop", "bluestore", stack("redshop", Some("shop"), Some("/srv/shop/deploy")), vec![], true),
            ("hop: /srv/shop", "redhop", stack("redshop", Some("shop"), tree), vec![], true),
            // Taken down but for its volumes: the store knows.
            (
                "store: /srv/shop",
                "redstore",
                stack("redshop", None, None),
                vec![place("shop", "redshop", "/srv/shop", None)],
                true,
            ),
            // Moved, too: the remote is the same.
            (
                "store: /srv/new",
                "redstore",
                stack("redshop", Some("shop"), tree),
                vec![place("shop", "redshop", "/srv/shop", hub)],
                true,
            ),
            ("shop: { path: /srv/shop, project: acme }", "redacme", stack("redshop", Some("shop"), tree), vec![], true),
            // Another colour.
            ("shop: /srv/shop", "blueshop", stack("redshop", Some("shop"), tree), vec![], false),
            (
                "shop: { path: /srv/shop, project: webshop }",
                "bluewebshop",
                stack("redwebshop", Some("shop"), tree),
                vec![],
                false,
            ),
            (
                "store: { path: /srv/shop, project: shop }",
                "blueshop",
                stack("redshop", Some("shop"), tree),
                vec![],
                false,
            ),
            // Somebody else's, and one that is configured still.
            ("store: /srv/shop", "redstore", stack("redshop", Some("shop"), other), vec![], false),
            ("store: /srv/new", "redstore", stack("shop", None, tree), vec![], false),
            (
                "store: /srv/new\nshop: /srv/shop",
                "redstore",
                stack("redshop", Some("shop"), tree),
                vec![place("shop", "redshop", "/srv/shop", hub)],
                false,
            ),
            // No first deployment.
            (
                "store: /srv/shop",
                "redstore",
                stack("redshop", Some("shop"), tree),
                vec![place("store", "redstore", "/srv/shop", None)],
                false,
            ),
        ];
        for (list, project, beside, places, refused) in table {
            let all = repos(list);
            let stacks = Stacks::from([(beside.project.clone(), beside)]);
            let first = |new_stack| First {
                repo: &all[0],
                all: &all,
                project,
                color: if project.starts_with("red") { "red" } else { "blue" },
                remote: Some("https://hub.example/acme/shop.git"),
                places: &places,
                new_stack,
            };
            let judged = refuse_second(&first(false), &stacks);
            assert_eq!(judged.is_err(), refused, "{list} {stacks:?} {places:?}: {judged:?}");
            assert!(!judged.is_ok_and(|note| note.is_some()));
            assert_eq!(refuse_second(&first(true), &stacks).unwrap().is_some(), refused);
            let there = Stacks::from([(project.to_owned(), stack(project, None, None))]);
            let both = stacks.into_iter().chain(there).collect();
            assert_eq!(refuse_second(&first(false), &both), Ok(None), "it is there already");
        }
    }

    #[test]
    fn no_empty_stack_is_started_beside_one_that_compose_made() {
        let all = repos("wiki: /srv/wiki\nblog: /srv/blog");
        let judged = |project: &str, beside: &[Stack], places: &[Place], new_stack| {
            let stacks = beside.iter().map(|stack| (stack.project.clone(), stack.clone())).collect();
            let color = project.trim_end_matches("wiki");
            refuse_second(&First { repo: &all[0], all: &all, project, color, remote: None, places, new_stack }, &stacks)
        };
        let tree = Some("/srv/wiki");
        let by_hand = stack("wiki", None, tree);
        // One that was taken down, of which the volumes are left.
        for there in [by_hand.clone(), stack("encyclopedia", None, Some("/srv/wiki/deploy")), stack("wiki", None, None)]
        {
            let failure = judged("redwiki", std::slice::from_ref(&there), &[], false).unwrap_err();
            assert!(
                failure.summary.contains(&format!("{0} is there already (volumes {0}_data)", there.project)),
                "{failure}"
            );
            let hint = failure.hint.unwrap();
            let (color, key) = apart(&there.project).unwrap();
            assert_eq!(format!("{color}{key}"), there.project);
            for part in
                ["--new-stack", &format!("COLOR={color}"), &format!("wiki: {{ path: /srv/wiki, project: {key} }}")]
            {
                assert!(hint.contains(part), "{hint}");
            }
            assert!(judged("redwiki", &[there], &[], true).unwrap().is_some_and(|note| note.contains("stays beside")));
        }
        // Another colour of what is deployed already, whether the store knows it or a container does; and one by hand.
        let deployed = stack("redwiki", Some("wiki"), tree);
        let place = place("wiki", "redwiki", "/srv/wiki", None);
        assert!(judged("bluewiki", &[by_hand.clone(), deployed], &[], false).is_ok_and(|note| note.is_some()));
        assert!(judged("bluewiki", std::slice::from_ref(&by_hand), &[place], false).is_ok_and(|note| note.is_some()));
        assert!(judged("bluewiki", &[stack("redwiki", None, tree)], &[], false).is_ok_and(|note| note.is_some()));
        // It is gone on with; and what is somebody else's.
        assert_eq!(judged("wiki", &[by_hand], &[], false), Ok(None));
        assert_eq!(judged("redwiki", &[stack("blog", None, Some("/srv/blog"))], &[], false), Ok(None));
        assert_eq!(judged("redwiki", &[stack("other", None, None)], &[], false), Ok(None));
        assert_eq!(apart("w"), None);
    }

    #[test]
    fn the_lines_to_write_make_the_former_project() {
        for (list, project, color) in
            [("store: /srv/shop", "redstore", "red"), ("store: /srv/shop", "bluestore", "blue")]
        {
            let all = repos(list);
            let stacks = Stacks::from([("redshop".to_owned(), stack("redshop", Some("shop"), Some("/srv/shop")))]);
            let first = First { repo: &all[0], all: &all, project, color, remote: None, places: &[], new_stack: false };
            let failure = refuse_second(&first, &stacks).unwrap_err();
            let hint = failure.hint.unwrap();
            assert!(hint.contains("`store: { path: /srv/shop, project: shop }`"), "{hint}");
            assert!(failure.summary.contains("redshop_data"), "{}", failure.summary);
        }
    }

    #[test]
    fn strays_are_those_that_nobody_claims() {
        let all = repos("store: /srv/shop\nblog: /srv/blog");
        let stacks: Stacks = [
            stack("redshop", Some("shop"), Some("/srv/shop")),
            stack("redblog", Some("blog"), Some("/srv/blog")),
            stack("redwiki", Some("wiki"), Some("/srv/wiki")),
            stack("redold", None, None),
            stack("else", None, Some("/srv/blog")),
            stack("redmine", Some("gone"), Some("/srv/gone")),
        ]
        .map(|stack| (stack.project.clone(), stack))
        .into();
        let places = [place("old", "redold", "/srv/old", None)];
        let found = strays(&all, &|project| project == "redmine", &stacks, &places);
        let shown: Vec<String> = found
            .iter()
            .map(|stray| format!("{}: {} {}", stray.stack.project, stray.repository, stray.adopt))
            .collect();
        assert_eq!(
            shown,
            [
                "redold: old `old: { path: /srv/old, project: old }`",
                "redshop: shop `project: shop` among the keys of `store`",
                "redwiki: wiki `wiki: { path: /srv/wiki, project: wiki }`",
            ]
        );
    }
}
