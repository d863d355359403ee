//! How far an update has come with the work tree, for whoever ends it in the middle and says what is so.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

/// What the work tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// As it was before the update.
    Untouched,
    /// Some of its files are of the former commit and some of the new one.
    Half,
    /// At the new commit, and perhaps some of its submodules, or files of Git LFS, are not yet.
    Arrived,
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Untouched => "the work tree is as before",
            Self::Half => {
                "some files of the work tree are of the new commit and some of the former one; the next deployment goes on \
                 with that"
            }
            Self::Arrived => "the work tree is at the new commit already; the next deployment sees to the rest of it",
        })
    }
}

/// The stage, as the thread that works and the one that waits both see it.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU8>);

impl Progress {
    pub(super) fn now(&self) -> Stage {
        match self.0.load(Ordering::Acquire) {
            0 => Stage::Untouched,
            1 => Stage::Half,
            _ => Stage::Arrived,
        }
    }

    /// A repository is at this stage. One that lies elsewhere than the work tree, such as a clone that is not in its place
    /// yet, says nothing of it.
    pub(super) fn reach(&self, stage: Stage, repository: Option<&Path>, work_tree: &Path) {
        let is_of_it = |repository: &Path| {
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            real(repository).starts_with(real(work_tree))
        };
        if repository.is_some_and(is_of_it) {
            self.0.store(stage as u8, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_work_tree_counts() {
        let progress = Progress::default();
        let (top, inner) = (Path::new("/no/site"), Path::new("/no/site/lib"));
        progress.reach(Stage::Half, Some(Path::new("/no/.site.clone-1")), top);
        progress.reach(Stage::Half, None, top);
        assert_eq!(progress.now(), Stage::Untouched);
        progress.reach(Stage::Half, Some(top), top);
        assert_eq!(progress.clone().now(), Stage::Half);
        progress.reach(Stage::Arrived, Some(inner), top);
        assert_eq!(progress.now(), Stage::Arrived);
    }
}
