//! The settings of a repository that a check-out follows.

use std::{io, path::PathBuf};

use git2::{Config, Repository};

use super::{index_lock::Shared, names::Protect, sparse::Sparse};
use crate::error::GitError;

/// See git-config(1), section `core`, for each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) file_mode: bool,
    pub(super) symlinks: bool,
    pub(super) trust_ctime: bool,
    pub(super) check_stat_minimal: bool,
    pub(super) protect: Protect,
    pub(super) shared: Option<Shared>,
}

impl Settings {
    pub(super) fn of(repo: &Repository) -> Result<Self, git2::Error> {
        let config = repo.config()?.snapshot()?;
        let minimal = config.get_string("core.checkstat").is_ok_and(|value| value.eq_ignore_ascii_case("minimal"));
        Ok(Self {
            file_mode: is_on(&config, "core.filemode", true),
            symlinks: is_on(&config, "core.symlinks", true),
            trust_ctime: is_on(&config, "core.trustctime", true),
            check_stat_minimal: minimal,
            // The defaults on Linux.
            protect: Protect {
                hfs: is_on(&config, "core.protecthfs", false),
                ntfs: is_on(&config, "core.protectntfs", true),
            },
            shared: config.get_string("core.sharedrepository").ok().and_then(|value| Shared::parse(&value)),
        })
    }
}

fn is_on(config: &Config, name: &str, default: bool) -> bool {
    config.get_bool(name).unwrap_or(default)
}

/// The sparse set of the work tree; none where it is to hold everything.
pub(super) fn sparse(repo: &Repository) -> Result<Option<Sparse>, GitError> {
    let local = |error: git2::Error| GitError::local(repo.path(), "read the settings of", &error);
    let config = repo.config().and_then(|mut config| config.snapshot()).map_err(local)?;
    if !is_on(&config, "core.sparsecheckout", false) {
        return Ok(None);
    }
    let file: PathBuf = repo.path().join("info/sparse-checkout");
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        // git holds everything then, too.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(GitError::io(&file, "read", &error)),
    };
    let cone = is_on(&config, "core.sparsecheckoutcone", false);
    let outside = is_on(&config, "sparse.expectfilesoutsideofpatterns", false);
    Ok(Some(Sparse::parse(&text, cone, outside)))
}
