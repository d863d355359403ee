//! The repositories of `repos.yaml` with their secrets, which stand elsewhere: in the environment, or in files of their own.

use std::{collections::HashMap, path::Path};

use super::{
    Secret,
    gather::read_secret_file,
    repos::{Repos, TokenSource},
    stamp::{Stamp, stamp},
};

/// The repositories with what reading them needed from outside.
#[derive(Debug, Default)]
pub struct RepoList {
    /// What `repos.yaml` says.
    pub repos: Repos,
    /// Webhook secrets of single repositories, by name.
    pub secrets: HashMap<String, Secret>,
}

pub(super) fn secret_files(repos: &Repos) -> impl Iterator<Item = (&str, &Path)> {
    repos.repos.iter().filter_map(|repo| match &repo.secret {
        Some(TokenSource::File(file)) => Some((repo.name.as_str(), file.as_path())),
        _ => None,
    })
}

pub(super) fn secret_stamps(repos: &Repos) -> Vec<Option<Stamp>> {
    secret_files(repos).map(|(_, file)| stamp(file)).collect()
}

/// The secrets as they are now. One that cannot be had is empty: nothing is signed with that.
pub(super) fn present_secrets(repos: &Repos, variables: &HashMap<String, String>) -> HashMap<String, Secret> {
    let sources = repos.repos.iter().filter_map(|repo| Some((repo.name.clone(), repo.secret.as_ref()?)));
    sources.map(|(name, source)| (name, secret_of(source, variables).unwrap_or_default())).collect()
}

pub(super) fn secret_of(source: &TokenSource, variables: &HashMap<String, String>) -> Result<Secret, String> {
    let secret = match source {
        TokenSource::Env(name) => variables
            .get(name)
            .map(|text| Secret::new(text.as_str()))
            .ok_or_else(|| format!("the variable {name} is not set"))?,
        TokenSource::File(path) => {
            read_secret_file(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?
        }
    };
    match secret.reveal().trim() {
        "" => Err("it is empty".to_owned()),
        _ => Ok(secret),
    }
}
