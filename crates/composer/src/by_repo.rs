//! `--repo NAME`: the project that turnout deploys for a repository. What the name stands for is told by whoever knows
//! repositories ([`Choose`]).

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use turnout_compose::load::LoadRequest;

use super::args::Global;

/// What the name of a repository stands for: files, project name, profiles, environment, and from where files are read.
///
/// # Errors
/// The list of repositories cannot be read by this user, there is no such repository, or its files cannot be chosen.
pub type Choose = dyn Fn(&str) -> anyhow::Result<LoadRequest>;

/// Variables that choose project and files: what the name of a repository says goes before.
const CHOOSING: [&str; 6] = [
    "COMPOSE_FILE",
    "COMPOSE_PROJECT_NAME",
    "COMPOSE_PROFILES",
    "COMPOSE_ENV_FILES",
    "COMPOSE_DISABLE_ENV_FILE",
    "COMPOSE_PATH_SEPARATOR",
];

/// Asks for project and files of the repository that is named, if one is, and writes them into the options.
pub(super) fn choose(global: &mut Global, ask: &Choose) -> anyhow::Result<Option<LoadRequest>> {
    let Some(name) = &global.repo else { return Ok(None) };
    let request = ask(name)?;
    for name in CHOOSING.iter().filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        writeln!(io::stderr(), "warning: {name} in the environment is not heeded: --repo chooses project and files")?;
    }
    global.files.clone_from(&request.files);
    global.project_name.clone_from(&request.project_name);
    global.project_directory.clone_from(&request.project_directory);
    global.env_files.clone_from(&request.env_files);
    global.profiles.extend(request.profiles.iter().cloned());
    Ok(Some(request))
}

/// The environment of the process, as far as it does not choose what the repository's name has chosen. The project's name
/// stands there too, so that commands which need no more still work where a file is broken.
pub(super) fn settle(environment: &mut BTreeMap<String, String>, chosen: &LoadRequest) {
    for name in CHOOSING {
        environment.remove(name);
    }
    if let Some(project) = &chosen.project_name {
        environment.insert("COMPOSE_PROJECT_NAME".to_owned(), project.clone());
    }
}
