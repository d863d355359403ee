//! Removes earlier images of a project after its deployment, as `keep_images` says.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    config::{Repo, units},
    decide::leftovers::{self, Removal, short},
    engine::{Engine, EngineError, leftovers::Removed, patience::unless_given_up},
    report::Reporter,
};

/// Projects without earlier images beyond those that are kept, and how many that are, as this daemon left them. To list
/// the images of a host takes the engine longer than all else that a deployment with nothing to do asks of it.
#[derive(Debug, Default)]
pub struct Tidy(Mutex<HashMap<String, usize>>);

impl Tidy {
    /// Steps are carried out that may leave images.
    pub fn disturb(&self, project: &str) {
        self.lock().remove(project);
    }

    fn holds(&self, project: &str, keep: usize) -> bool {
        self.lock().get(project) == Some(&keep)
    }

    fn note(&self, project: &str, keep: usize) {
        self.lock().insert(project.to_owned(), keep);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // Only whole values are written under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a good deployment ends with: earlier images go, and with `cache` the build cache is cut to that many bytes. Ends at
/// once when the deployment is called off, which it is too late for.
pub async fn tidy(
    known: &Tidy,
    engine: &Engine,
    repo: &Repo,
    project: &str,
    cache: Option<u64>,
    reporter: &dyn Reporter,
    cancel: &CancellationToken,
) {
    let work = async {
        remove_earlier(known, engine, repo, project, reporter, cancel).await;
        if let Some(keep) = cache {
            cut_build_cache(engine, keep, reporter).await;
        }
    };
    if unless_given_up(work, cancel, Duration::ZERO).await.is_none() {
        reporter.info("cancelled when all was done: only earlier images were still being removed".to_owned());
    }
}

/// Removes what is beyond `keep_images` of the project and tells of it. What goes wrong here is told, and makes no
/// deployment fail: all that runs, runs.
async fn remove_earlier(
    tidy: &Tidy,
    engine: &Engine,
    repo: &Repo,
    project: &str,
    reporter: &dyn Reporter,
    cancel: &CancellationToken,
) {
    if tidy.holds(project, repo.keep_images) {
        return;
    }
    let images = match engine.built_images(project).await {
        Ok(images) => images,
        Err(error) => {
            return reporter.warn(format!("earlier images of {project} cannot be looked at ({error}); they stay"));
        }
    };
    let mut all_gone = true;
    for removal in leftovers::earlier(&images, repo.keep_images).removals {
        if cancel.is_cancelled() {
            return;
        }
        match remove(engine, &removal).await {
            Ok(text) => reporter.info(text),
            Err(error) => {
                all_gone = false;
                let what = format!("image {} of {}", short(&removal.id), removal.of);
                reporter.warn(format!("{what} cannot be removed ({error}); the next deployment tries again"));
                // Where one call hangs, or the engine is gone, the others would only hold the lane as well.
                if error.is_lost() || matches!(error, EngineError::NoAnswer { .. }) {
                    return;
                }
            }
        }
    }
    if all_gone {
        tidy.note(project, repo.keep_images);
    }
}

/// Cuts the engine's build cache to `keep` bytes after a build, where the daemon's settings say so, and tells of it.
async fn cut_build_cache(engine: &Engine, keep: u64, reporter: &dyn Reporter) {
    let limit = units::shown(keep);
    match engine.cut_build_cache(keep).await {
        Ok(0) => tracing::debug!("the build cache is within {limit}"),
        Ok(freed) => reporter.info(format!(
            "freed {} of the engine's build cache; {limit} of it are kept (TURNOUT_KEEP_BUILD_CACHE)",
            units::shown(freed)
        )),
        Err(error) => reporter.warn(format!("the build cache cannot be cut to {limit} ({error}); it stays as it is")),
    }
}

/// Removes one image; what happened, in words.
///
/// # Errors
/// When the engine does not answer, or fails in the middle.
pub async fn remove(engine: &Engine, removal: &Removal) -> Result<String, EngineError> {
    let Removal { id, of, why, .. } = removal;
    Ok(match engine.remove_built(id).await? {
        Removed::Gone => format!("removed image {} of {of}, {why}", short(id)),
        Removed::Needed(what) => format!("image {} of {of} stays: {what}", short(id)),
    })
}
