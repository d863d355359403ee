//! What is said about the switch, and is not right.

use super::super::Failure;
use crate::{config::Repo, switch::Mistakes};

/// The mistakes as a failure: those of repos.yaml with file and line, as the others there.
pub(super) fn not_said(repo: &Repo, mistakes: &Mistakes) -> Failure {
    let (mut is_ours, mut is_commits) = (false, false);
    let each = mistakes.0.iter().map(|mistake| match repo.switch_places.mistake(&mistake.path, &mistake.message) {
        Some(mistake) => {
            is_ours = true;
            mistake.to_string()
        }
        None => {
            is_commits = true;
            format!("in the Compose file: {mistake}")
        }
    });
    let each: Vec<String> = each.collect();
    let correct = match (is_ours, is_commits) {
        (true, false) => "correct it in repos.yaml; it counts as soon as the file is written",
        (false, _) => "correct it in the Compose file",
        (true, true) => "correct both",
    };
    Failure::new(format!("what is said about the switch does not fit: {}", each.join("; ")))
        .hint(format!("nothing was changed; {correct}"))
}
