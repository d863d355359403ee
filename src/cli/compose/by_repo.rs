//! `--repo NAME`: the project that turnout deploys for a repository, found by its name in repos.yaml.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use super::args::Global;
use crate::{
    config::{self, LiveRepos, SettingsArgs},
    deploy::{self, Chosen, Failure, View},
    report::redact::Redactor,
};

/// Variables that choose project and files: what the name of a repository says goes before.
const CHOOSING: [&str; 6] = [
    "COMPOSE_FILE",
    "COMPOSE_PROJECT_NAME",
    "COMPOSE_PROFILES",
    "COMPOSE_ENV_FILES",
    "COMPOSE_DISABLE_ENV_FILE",
    "COMPOSE_PATH_SEPARATOR",
];

/// Chooses project and files of the repository that is asked for, if one is, and writes them into the options.
///
/// # Errors
/// Settings or repos.yaml cannot be read by this user, there is no such repository, or its files cannot be chosen.
pub(super) fn choose(global: &mut Global) -> anyhow::Result<Option<Chosen>> {
    let Some(name) = global.repo.clone() else { return Ok(None) };
    let settings = config::gather(&SettingsArgs::default())?;
    let (repos, mistakes) = LiveRepos::open_sound(&settings.repos, settings.variables(), &settings.last_good());
    let list = &repos.checked().repos.repos;
    let Some(repo) = list.iter().find(|repo| repo.name.eq_ignore_ascii_case(&name)) else {
        let known: Vec<&str> = list.iter().map(|repo| repo.name.as_str()).collect();
        let has = if known.is_empty() { "it has none".to_owned() } else { format!("it has: {}", known.join(", ")) };
        // The one that is looked for may be among the mistakes.
        let wrong = if mistakes.0.is_empty() { String::new() } else { format!("\n{mistakes}") };
        anyhow::bail!("no repository `{name}` in {} ({has}){wrong}", settings.repos.display());
    };
    let said = |failure: Failure| match failure.hint {
        Some(hint) => anyhow::anyhow!("{}\n  hint: {hint}", failure.summary),
        None => anyhow::anyhow!(failure.summary),
    };
    let redactor = Redactor::new();
    let repo = deploy::place::alone(repo, list).map_err(said)?;
    let chosen = deploy::choose_project(&repo, &View::of(&repo), &redactor)
        .map_err(|failure| said(failure.redacted(&redactor)))?;
    for name in CHOOSING.iter().filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        writeln!(io::stderr(), "warning: {name} in the environment is not heeded: --repo chooses project and files")?;
    }
    let request = &chosen.request;
    global.files.clone_from(&request.files);
    global.project_name.clone_from(&request.project_name);
    global.project_directory.clone_from(&request.project_directory);
    global.env_files.clone_from(&request.env_files);
    global.profiles.extend(request.profiles.iter().cloned());
    Ok(Some(chosen))
}

/// The environment of the process, as far as it does not choose what the repository's name has chosen. The project's name
/// stands there too, so that commands which need no more still work where a file is broken.
pub(super) fn settle(environment: &mut BTreeMap<String, String>, chosen: &Chosen) {
    for name in CHOOSING {
        environment.remove(name);
    }
    environment.insert("COMPOSE_PROJECT_NAME".to_owned(), chosen.stack.project.clone());
}
