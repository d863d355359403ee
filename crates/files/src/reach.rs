//! From where files may be read for a project.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// From where files may be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reach {
    /// Wherever the user may: `turnout compose`, whose user chose the project.
    #[default]
    Anywhere,
    /// From a repository, as its commits and its server's user chose.
    Repository(Arc<Repository>),
}

/// A work tree whose content others choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its name in `repos.yaml`.
    pub name: String,
    /// The top of the work tree, links resolved.
    pub root: PathBuf,
    /// The same as it is written in `repos.yaml`, perhaps through links.
    pub written: PathBuf,
    /// Links that git tracks, from the top of the work tree.
    pub links: BTreeSet<PathBuf>,
    /// Submodules, from the top of the work tree: what lies below is a commit's as well.
    pub modules: BTreeSet<PathBuf>,
    /// Whether what leads out of it is read too.
    pub outside: bool,
}

impl Repository {
    /// The path from the top, if it lies below it as it is written.
    pub(super) fn inside<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(&self.root).or_else(|_| path.strip_prefix(&self.written)).ok()
    }

    /// Whether a link, by its path from the top, came with a commit.
    pub(super) fn is_committed(&self, link: &Path) -> bool {
        self.links.contains(link) || link.ancestors().any(|above| self.modules.contains(above))
    }
}

impl Reach {
    /// For a look at what the engine mounts, wherever that lies: whoever looks shows nothing of it.
    #[must_use]
    pub fn looking(&self) -> Self {
        match self {
            Self::Anywhere => Self::Anywhere,
            Self::Repository(repository) => {
                Self::Repository(Arc::new(Repository { outside: true, ..(**repository).clone() }))
            }
        }
    }

    /// What a file counts to, where files hang: its repository, else itself.
    pub(super) fn place<'p>(&'p self, path: &'p Path) -> &'p Path {
        match self {
            Self::Anywhere => path,
            Self::Repository(repository) => &repository.root,
        }
    }
}
