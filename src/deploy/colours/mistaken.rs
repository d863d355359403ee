//! What is said about the switch, and is not right.

use super::super::Failure;
use crate::{config::Repo, switch::Mistakes};

/// The mistakes as a failure.
pub(super) fn not_said(repo: &Repo, mistakes: &Mistakes) -> Failure {
    Failure::new(format!("{}: what is said about the switch does not fit: {mistakes}", repo.name))
        .hint("nothing was changed; correct `switch` in repos.yaml or x-turnout in the Compose file")
}
