//! The variables with which a repository's `.env` speaks to Compose: what turnout makes of each. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::stack::{self, Stack};
use crate::config::{Orphans, Repo};

type Env = BTreeMap<String, String>;

/// Files that COMPOSE_FILE names, where nothing else chooses: neither `compose_files` in repos.yaml nor a dev or prod
/// file, which DEBUG chooses.
pub fn files(env: &Env, repo: &Repo, present: &BTreeSet<String>) -> Option<Vec<String>> {
    let chosen = !repo.compose_files.is_empty() || present.iter().any(|name| stack::is_choice(name));
    (!chosen).then(|| named(env)).flatten()
}

fn named(env: &Env) -> Option<Vec<String>> {
    let list = set(env, "COMPOSE_FILE")?;
    let separator = env.get("COMPOSE_PATH_SEPARATOR").filter(|text| !text.is_empty()).map_or(":", String::as_str);
    Some(list.split(separator).map(str::trim).filter(|file| !file.is_empty()).map(str::to_owned).collect())
}

/// Profiles of repos.yaml, and those that COMPOSE_PROFILES adds.
pub fn profiles(env: &Env, repo: &Repo) -> Vec<String> {
    let mut all = repo.profiles.clone();
    for profile in set(env, "COMPOSE_PROFILES").unwrap_or_default().split(',').map(str::trim) {
        if !profile.is_empty() && !all.iter().any(|known| known == profile) {
            all.push(profile.to_owned());
        }
    }
    all
}

/// What is not done as the variable says, and what is done instead.
pub fn notes(env: &Env, repo: &Repo, chosen: &Stack) -> Vec<String> {
    let file = &repo.env_file;
    let mut notes = Vec::new();
    if let Some(files) = named(env).filter(|files| *files != chosen.files) {
        notes.push(format!(
            "COMPOSE_FILE in {file} is not followed: {} is taken ({}); write `compose_files: [{}]` in repos.yaml to have \
             what it names",
            chosen.files.join(", "),
            chosen.reason,
            files.join(", ")
        ));
    }
    if let Some(name) = set(env, "COMPOSE_PROJECT_NAME").filter(|name| *name != chosen.project) {
        notes.push(format!(
            "COMPOSE_PROJECT_NAME={name} in {file} is not followed: the project is COLOR + name, {}; `project` in \
             repos.yaml and COLOR in {file} change it",
            chosen.project
        ));
    }
    if let Some(files) = set(env, "COMPOSE_ENV_FILES") {
        notes.push(format!(
            "COMPOSE_ENV_FILES={files} in {file} is not followed, as Compose itself reads it only from its environment; \
             `env_file` in repos.yaml names another file"
        ));
    }
    let is_on =
        |name: &str| set(env, name).is_some_and(|text| matches!(text.to_lowercase().as_str(), "1" | "t" | "true"));
    if repo.orphans == Orphans::Remove
        && (is_on("COMPOSE_IGNORE_ORPHANS")
            || set(env, "COMPOSE_REMOVE_ORPHANS").is_some() && !is_on("COMPOSE_REMOVE_ORPHANS"))
    {
        notes.push(format!(
            "what {file} says about orphans is not followed: they are removed; `orphans: keep` in repos.yaml leaves them"
        ));
    }
    if repo.orphans == Orphans::Keep && is_on("COMPOSE_REMOVE_ORPHANS") {
        notes.push(format!("COMPOSE_REMOVE_ORPHANS in {file} is not followed: repos.yaml says `orphans: keep`"));
    }
    notes
}

fn set<'e>(env: &'e Env, name: &str) -> Option<&'e str> {
    env.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn repo(more: &str) -> Repo {
        let look = |path: &std::path::Path| config::PathState::Directory(path.to_path_buf());
        let text = format!("shop: {{ path: /srv/shop{more} }}");
        config::repos::parse(&text, "repos.yaml", &look).unwrap().repos.remove(0)
    }

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn compose_file_counts_where_nothing_else_chooses() {
        let two = env(&[("COMPOSE_FILE", "a.yml;deploy/b.yml"), ("COMPOSE_PATH_SEPARATOR", ";")]);
        let plain = BTreeSet::from(["compose.yaml".to_owned()]);
        let pair = BTreeSet::from(["compose.prod.yaml".to_owned()]);
        assert_eq!(files(&two, &repo(""), &plain).unwrap(), ["a.yml", "deploy/b.yml"]);
        assert_eq!(files(&two, &repo(""), &pair), None);
        assert_eq!(files(&two, &repo(", compose_files: x.yml"), &plain), None);
        assert_eq!(files(&env(&[("COMPOSE_FILE", "")]), &repo(""), &plain), None);
        let chosen = stack::choose("shop", &[], None, None, &pair).unwrap();
        assert!(notes(&two, &repo(""), &chosen)[0].contains("compose_files: [a.yml, deploy/b.yml]"));
    }

    #[test]
    fn the_others_are_added_or_told() {
        let profiles = profiles(&env(&[("COMPOSE_PROFILES", "b, c,b")]), &repo(", profiles: [a, b]"));
        assert_eq!(profiles, ["a", "b", "c"]);
        let chosen = stack::choose("shop", &[], None, None, &BTreeSet::from(["compose.yaml".to_owned()])).unwrap();
        for (name, value, more, told) in [
            ("COMPOSE_PROJECT_NAME", "acme", "", true),
            ("COMPOSE_PROJECT_NAME", "redshop", "", false),
            ("COMPOSE_ENV_FILES", "a.env", "", true),
            ("COMPOSE_IGNORE_ORPHANS", "true", "", true),
            ("COMPOSE_IGNORE_ORPHANS", "true", ", orphans: keep", false),
            ("COMPOSE_REMOVE_ORPHANS", "0", "", true),
            ("COMPOSE_REMOVE_ORPHANS", "1", "", false),
            ("COMPOSE_REMOVE_ORPHANS", "1", ", orphans: keep", true),
        ] {
            let notes = notes(&env(&[(name, value)]), &repo(more), &chosen);
            assert_eq!(!notes.is_empty(), told, "{name}={value}{more}: {notes:?}");
        }
    }
}
