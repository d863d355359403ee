//! Which builder makes a repository's images.

use crate::{
    config::{Builder, Repo},
    engine::image::BuilderChoice,
};

/// The builder that a repository wants.
pub(super) fn of(repo: &Repo) -> BuilderChoice {
    match repo.builder {
        Builder::Auto => BuilderChoice::Auto,
        Builder::Classic => BuilderChoice::Classic,
        Builder::Buildkit => BuilderChoice::BuildKit,
    }
}
