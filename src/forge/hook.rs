//! Hooks: what a repository wants done about events besides deployments.

use super::{event::Event, told::told};
use crate::config::Repo;

/// A hook to be run: something that a repository wants done about an event, beside deployments or where there is none.
///
/// It is on disk with the delivery, in the journal, before the forge is answered. Whoever runs hooks is a reader of the
/// journal, as destinations of the outbox are: each is run at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The repository's configured name.
    pub repo: String,
    /// The hook's name.
    pub name: String,
    /// Why, in words: `fix was merged into main as 78a76ee by ada`.
    pub cause: String,
}

/// Which hooks there are as long as none can be configured.
pub fn no_hooks(_: &Repo, _: &Event) -> Vec<String> {
    Vec::new()
}

/// Answers which hooks a repository has for an event, by name, in the order in which they are run.
pub type HooksOf = dyn Fn(&Repo, &Event) -> Vec<String> + Send + Sync;

/// The hooks of a repository for an event of it.
pub(super) fn hooks_of(event: &Event, repo: &Repo, hooks: &HooksOf) -> Vec<Hook> {
    let hook = |name| Hook { repo: repo.name.clone(), name, cause: told(event) };
    hooks(repo, event).into_iter().map(hook).collect()
}
