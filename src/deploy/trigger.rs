//! The file whose presence has everything rebuilt: it goes once that is done.

use super::Recorder;
use crate::{
    config::Repo,
    decide::REBUILD_TRIGGER,
    engine::{ApplyError, Report},
    files,
    plan::{self, Plan},
    report::{Outcome, Reporter as _},
};

/// Whether every build of a plan has come to a good end.
pub(super) fn builds_succeeded(plan: &Plan, applied: &Result<Report, ApplyError>) -> bool {
    let report = match applied {
        Ok(report) | Err(ApplyError::Step { report, .. } | ApplyError::Cancelled { report, .. }) => report,
        Err(ApplyError::NotBegun(_)) => return false,
    };
    plan.steps
        .iter()
        .zip(&report.steps)
        .filter(|(step, _)| matches!(step.action, plan::Action::Build { .. }))
        .all(|(_, ended)| ended.outcome == Outcome::Done)
}

/// Removes it, and says so.
pub(super) async fn remove_trigger(repo: &Repo, recorder: &Recorder) {
    let (root, file) = (repo.real_path.clone(), repo.real_path.join(REBUILD_TRIGGER));
    let removed = files::blocking(move || files::at(&root, &file, || std::fs::remove_file(&file)).flatten()).await;
    match removed.unwrap_or_else(|lost| Err(lost.into())) {
        Ok(()) => recorder.info(format!("the build has succeeded, so {REBUILD_TRIGGER} is removed")),
        Err(error) => {
            recorder.warn(format!("{REBUILD_TRIGGER} cannot be removed ({error}); the next deployment rebuilds again"))
        }
    }
}
