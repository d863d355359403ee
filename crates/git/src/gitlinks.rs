//! Submodules that a work tree names and that are not brought up to date, with the reason. git passes over them without
//! a word, and their folders stay empty.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use git2::{Repository, Submodule, SubmoduleUpdate};

use super::{error::GitError, ini, modules, open::open};

/// Mode of an entry that stands for a submodule.
const GITLINK: u32 = 0o160_000;

/// A submodule that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Path from the top of the work tree.
    pub path: String,
    /// Why it was not brought to the commit that its parent names.
    pub reason: Reason,
}

/// Why a submodule stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The commit names a submodule and `.gitmodules` says nothing of it: a repository that was added like a file.
    NotConfigured,
    /// `.gitmodules` names it, without an address.
    NoAddress,
    /// `submodule.<name>.update` is `none`.
    UpdateNone,
    /// `submodules:` is not set for this repository.
    NotWanted,
}

impl LeftOut {
    /// What it means and what to do, in a sentence.
    pub fn to_sentence(&self) -> String {
        let Self { path, reason } = self;
        match reason {
            Reason::NotConfigured => format!(
                "{path} is a submodule of which .gitmodules says nothing, so its folder stays empty, as with git: name it there (git \
                 submodule add URL {path}), or commit its files instead (git rm --cached {path}, remove {path}/.git, git add {path})"
            ),
            Reason::NoAddress => {
                format!(
                    "{path} is a submodule without an address in .gitmodules, so it is left out, as with git: set its url there"
                )
            }
            Reason::UpdateNone => {
                format!("{path} is a submodule whose `update` is none, so it stays as it is, as with git")
            }
            Reason::NotWanted => format!(
                "{path} is a submodule and stays as it is: set `submodules: true` for this repository in repos.yaml to have it follow"
            ),
        }
    }
}

/// The submodules of what is checked out that an update leaves as they are. Reads the index and the settings only.
///
/// # Errors
/// When the work tree or its index cannot be read.
pub fn left_out(path: &Path, submodules: bool) -> Result<Vec<LeftOut>, GitError> {
    let repo = open(path)?;
    in_repository(&repo, path, submodules)
}

/// As [`left_out`], of an open repository.
pub(super) fn in_repository(repo: &Repository, path: &Path, submodules: bool) -> Result<Vec<LeftOut>, GitError> {
    let local = |error: git2::Error| GitError::local(path, "read the submodules of", &error);
    let index = repo.index().map_err(local)?;
    let links: Vec<String> = index
        .iter()
        .filter(|entry| entry.mode == GITLINK)
        .map(|entry| String::from_utf8_lossy(&entry.path).into_owned())
        .collect();
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let text = modules::read(repo)?.unwrap_or_default();
    // libgit2 lists also what .gitmodules does not name.
    let known: BTreeMap<String, Submodule<'_>> = repo
        .submodules()
        .map_err(local)?
        .into_iter()
        .map(|submodule| (submodule.path().to_string_lossy().into_owned(), submodule))
        .collect();
    let named = named(repo, &text);
    let reason = |path: &String| {
        let Some(has_address) = named.get(path) else { return Some(Reason::NotConfigured) };
        if known.get(path).is_some_and(|submodule| submodule.update_strategy() == SubmoduleUpdate::None) {
            return Some(Reason::UpdateNone);
        }
        if !has_address {
            return Some(Reason::NoAddress);
        }
        (!submodules).then_some(Reason::NotWanted)
    };
    Ok(links.into_iter().filter_map(|path| Some(LeftOut { reason: reason(&path)?, path })).collect())
}

/// The paths of which `.gitmodules` or the repository's own configuration speaks, and whether with an address.
fn named(repo: &Repository, text: &[u8]) -> BTreeMap<String, bool> {
    let settings = ini::settings(text);
    let config = repo.config().and_then(|mut config| config.snapshot()).ok();
    let given: HashSet<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
    let has = |key: &str| given.contains(key) || config.as_ref().is_some_and(|config| config.get_string(key).is_ok());
    let paths = settings.iter().filter_map(|(name, path)| {
        let name = name.strip_prefix("submodule.")?.strip_suffix(".path")?;
        Some((path.trim_end_matches('/').to_owned(), has(&format!("submodule.{name}.url"))))
    });
    paths.collect()
}
