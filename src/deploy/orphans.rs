//! Which containers of a project that no service stands behind go with a deployment, and which stay, and why.
//! Pure.
//!
//! A container goes if turnout made it (its label says so), or if it can only be of an earlier state of what is
//! deployed: the project was deployed by turnout before, and the container was made from the same work tree and from
//! no other Compose files. What somebody started beside it (other files, another folder, `compose run`) stays.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    compose::{
        labels::{CONFIG_FILES, TURNOUT_REPOSITORY, WORKING_DIR},
        model::Project,
    },
    config::{Orphans, Repo},
    plan::ObservedContainer,
    store::Before,
};

/// What becomes of orphans, for a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judged {
    /// Those that stay, by container ID, with why and what to do.
    pub spared: BTreeMap<String, String>,
    /// Containers of services whose profiles are off that go nonetheless: turnout made them while they were on.
    pub idle: BTreeSet<String>,
    /// Networks that the Compose files no longer name go too: turnout deployed the project before, and may remove what it
    /// left.
    pub networks: bool,
}

/// Judges every container of the project.
pub fn judge(repo: &Repo, project: &Project, before: &Before, containers: &[ObservedContainer]) -> Judged {
    let known = before.success.is_some() || !before.attempts.is_empty();
    let mut judged = Judged { networks: known && repo.orphans == Orphans::Remove, ..Judged::default() };
    for container in containers {
        if container.oneoff {
            // Of `compose run`: whoever ran it may want to look at what it left.
            judged.spared.insert(container.id.clone(), String::new());
            continue;
        }
        if project.services.contains_key(&container.service) || project.set_aside.contains_key(&container.service) {
            continue;
        }
        let marked = container.labels.get(TURNOUT_REPOSITORY).is_some_and(|name| *name == repo.name);
        if project.disabled_services.contains_key(&container.service) && (!marked || repo.orphans == Orphans::Keep) {
            continue;
        }
        if marked && repo.orphans == Orphans::Remove {
            judged.idle.insert(container.id.clone());
        } else if let Some(why) = spare(repo, project, before, container) {
            judged.spared.insert(container.id.clone(), why);
        }
    }
    judged
}

fn spare(repo: &Repo, project: &Project, before: &Before, container: &ObservedContainer) -> Option<String> {
    let by_hand = format!("remove it with `docker rm -f {}` if it is not wanted", container.name);
    if repo.orphans == Orphans::Keep {
        return Some(format!("repos.yaml says `orphans: keep`; {by_hand}"));
    }
    if let Some(other) = container.labels.get(TURNOUT_REPOSITORY) {
        return Some(format!("it was deployed for the repository `{other}`; {by_hand}"));
    }
    if before.success.is_none() && before.attempts.is_empty() {
        return Some(format!(
            "it was there before turnout deployed {} for the first time; the next deployment removes it unless \
             repos.yaml says `orphans: keep`",
            project.name
        ));
    }
    let from = container.labels.get(WORKING_DIR).map(std::path::Path::new);
    if !from.is_some_and(|from| from.starts_with(&repo.real_path) || from.starts_with(&repo.path)) {
        return Some(format!("it was made from another folder than {}; {by_hand}", repo.path.display()));
    }
    // One file of those deployed now is enough: a commit may have added or taken away the others.
    let files = container.labels.get(CONFIG_FILES).map(String::as_str).unwrap_or_default();
    if !files.split(',').any(|file| project.config_files.iter().any(|own| own == file)) {
        return Some(format!("it was made from other Compose files ({files}); {by_hand}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, plan::RunState};

    fn container(service: &str, labels: &[(&str, &str)]) -> ObservedContainer {
        ObservedContainer {
            id: service.to_owned(),
            name: format!("redshop-{service}-1"),
            service: service.to_owned(),
            state: RunState::Running,
            started: None,
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            number: Some(1),
            oneoff: false,
            config_hash: String::new(),
            image_label: String::new(),
            image_id: String::new(),
            networks: BTreeMap::new(),
            mounts: Vec::new(),
        }
    }

    #[test]
    fn what_goes_and_what_stays() {
        let text = |orphans: &str| format!("shop: {{ path: /srv/shop, orphans: {orphans} }}");
        let repo = |orphans: &str| {
            let look = |path: &std::path::Path| config::repos::PathState::Directory(path.to_path_buf());
            config::repos::parse(&text(orphans), "repos.yaml", &look).unwrap().repos.remove(0)
        };
        let mut project = Project {
            name: "redshop".into(),
            working_dir: "/srv/shop".into(),
            config_files: vec!["/srv/shop/compose.yaml".into()],
            ..Project::default()
        };
        project.services.insert("web".into(), Default::default());
        project.disabled_services.insert("debug".into(), Default::default());
        let deployed = Before { success: Some("abc".into()), ..Before::default() };
        let mine = [(TURNOUT_REPOSITORY, "shop")];
        let old = [(WORKING_DIR, "/srv/shop"), (CONFIG_FILES, "/srv/shop/compose.yaml")];
        let beside = [(WORKING_DIR, "/srv/shop"), (CONFIG_FILES, "/srv/shop/tools.yaml")];
        let elsewhere = [(WORKING_DIR, "/srv/other"), (CONFIG_FILES, "/srv/shop/compose.yaml")];
        type Labels<'a> = &'a [(&'a str, &'a str)];
        let table: &[(&str, &str, Labels<'_>, &Before, Option<&str>)] = &[
            ("remove", "gone", &mine, &Before::default(), None),
            ("remove", "gone", &old, &deployed, None),
            ("remove", "gone", &old, &Before::default(), Some("before turnout deployed")),
            ("remove", "gone", &beside, &deployed, Some("other Compose files")),
            ("remove", "gone", &elsewhere, &deployed, Some("another folder")),
            ("remove", "gone", &[(TURNOUT_REPOSITORY, "blog")], &deployed, Some("`blog`")),
            ("keep", "gone", &mine, &deployed, Some("orphans: keep")),
            ("keep", "gone", &old, &deployed, Some("orphans: keep")),
        ];
        for (orphans, service, labels, before, spared) in table {
            let judged = judge(&repo(orphans), &project, before, &[container(service, labels)]);
            let found = judged.spared.get(*service).map(String::as_str);
            assert_eq!(found.is_some(), spared.is_some(), "{orphans} {labels:?}: {found:?}");
            assert!(found.unwrap_or_default().contains(spared.unwrap_or_default()), "{found:?}");
        }
        for (orphans, labels, goes) in [("remove", &mine[..], true), ("remove", &old, false), ("keep", &mine, false)] {
            let judged = judge(&repo(orphans), &project, &deployed, &[container("debug", labels)]);
            assert_eq!(judged.idle.contains("debug"), goes, "{orphans} {labels:?}");
            assert!(judged.spared.is_empty());
        }
        project.set_aside.insert("worker".into(), Default::default());
        let judged = judge(&repo("remove"), &project, &deployed, &[container("worker", &mine)]);
        assert_eq!(judged, Judged { networks: true, ..Judged::default() });
        let oneoff = ObservedContainer { oneoff: true, ..container("gone", &mine) };
        let judged = judge(&repo("remove"), &project, &deployed, &[oneoff]);
        assert_eq!(judged.spared.get("gone").map(String::as_str), Some(""));
    }
}
