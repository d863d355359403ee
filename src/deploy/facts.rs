//! Collects what the decision about builds rests on.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Failure, prepare::Loaded};
use crate::{
    compose::{dockerignore::DockerIgnore, model::Service},
    config::{self, Repo},
    decide::{Base, BuildFacts, Context, Facts, Ignore, Mode, REBUILD_TRIGGER, ServiceFacts, TriggerFile, Triggers},
    engine::image::{request, walk::read_ignore},
    git::{self, GitError},
    plan::Observed,
    store::Before,
};

/// What is known before the engine is asked.
#[derive(Debug, Clone)]
pub struct Known {
    /// What was compared with.
    pub base: Base,
    /// The changed files, or why they are not known.
    pub changed: Result<Vec<String>, String>,
    /// The caller wants a rebuild, for this reason.
    pub forced: Option<String>,
}

/// What a first deployment is compared with, as git calls it.
const PREVIOUS: &str = "HEAD~1";

/// Asks git what changed since the commit that was deployed last, and since every later attempt: an image may be of
/// any of them, so that a commit which takes a failed one back differs from the last success in nothing and still needs
/// a build. Blocking.
pub fn what_changed(path: &Path, before: Before, head: &str, forced: Option<String>) -> Known {
    let (base, against) = match before.success {
        Some(commit) => (Base::LastDeployed(commit.clone()), commit),
        None => (Base::PreviousCommit, PREVIOUS.to_owned()),
    };
    let mut changed = BTreeSet::new();
    for against in std::iter::once(&against).chain(&before.attempts) {
        match git::changed_files(path, against, head) {
            Ok(files) => changed.extend(files.into_iter().map(|file| file.path)),
            Err(GitError::UnknownCommit { shallow: false, .. }) if against == PREVIOUS => {
                let why = "this is the branch's first commit, with none before it to compare with".to_owned();
                return Known { base, changed: Err(why), forced };
            }
            Err(error) => return Known { base, changed: Err(error.to_string()), forced },
        }
    }
    Known { base, changed: Ok(changed.into_iter().collect()), forced }
}

/// Everything the decision rests on.
///
/// # Errors
/// Bad globs, or an unreadable `.dockerignore`.
pub fn gather(repo: &Repo, loaded: &Loaded, observed: &Observed, known: Known) -> Result<Facts, Failure> {
    let root = repo.real_path.as_path();
    let triggers = Triggers::new(&repo.triggers).map_err(|error| Failure::new(error.to_string()))?;
    let services = loaded
        .project
        .services
        .iter()
        .map(|(name, service)| {
            let image = service.image_name(&loaded.project.name, name);
            Ok(ServiceFacts {
                name: name.clone(),
                build: build_facts(root, service)?,
                image_missing: observed.images.get(&image).is_none_or(|state| state.id.is_none()),
                bind_mounts: service
                    .volumes
                    .iter()
                    .filter(|mount| mount.r#type == "bind")
                    .filter_map(|mount| inside(root, Path::new(&mount.source)))
                    .collect(),
            })
        })
        .collect::<Result<_, Failure>>()?;
    Ok(Facts {
        mode: match repo.rebuild {
            config::Rebuild::Auto => Mode::Auto,
            config::Rebuild::Triggers => Mode::Triggers,
        },
        base: known.base,
        changed: known.changed,
        triggers,
        trigger_file: trigger_file(root),
        forced: known.forced,
        compose_files: loaded.stack.files.clone(),
        services,
    })
}

fn trigger_file(root: &Path) -> TriggerFile {
    if std::fs::symlink_metadata(root.join(REBUILD_TRIGGER)).is_err() {
        return TriggerFile::Absent;
    }
    // Where git cannot tell, the file is taken for a tracked one: it is then never removed.
    match git::is_tracked(root, Path::new(REBUILD_TRIGGER)) {
        Ok(false) => TriggerFile::Untracked,
        Ok(true) | Err(_) => TriggerFile::Tracked,
    }
}

fn build_facts(root: &Path, service: &Service) -> Result<Option<BuildFacts>, Failure> {
    let Some(build) = &service.build else { return Ok(None) };
    let context = PathBuf::from(&build.context);
    let place = match request::is_remote(&build.context) {
        true => Context::Outside(build.context.clone()),
        false => inside(root, &context).map_or_else(|| Context::Outside(build.context.clone()), Context::Inside),
    };
    let dockerfile = match build.dockerfile_inline.is_empty() {
        false => None,
        true if build.dockerfile.is_empty() => Some(context.join("Dockerfile")),
        true => Some(context.join(&build.dockerfile)),
    };
    let ignore: Option<Arc<dyn Ignore>> = match &place {
        Context::Inside(_) => {
            let own = dockerfile.as_ref().map(|file| PathBuf::from(format!("{}.dockerignore", file.display())));
            let candidates: Vec<PathBuf> = own.into_iter().chain([context.join(".dockerignore")]).collect();
            let (ignore, _) = read_ignore(&context, &candidates).map_err(|error| Failure::new(error.to_string()))?;
            Some(Arc::new(move |path: &str| DockerIgnore::excludes(&ignore, path)))
        }
        Context::Outside(_) => None,
    };
    Ok(Some(BuildFacts {
        context: place,
        dockerfile: dockerfile.and_then(|file| inside(root, &file)),
        more_contexts: build
            .additional_contexts
            .values()
            .filter_map(|context| inside(root, Path::new(context)))
            .collect(),
        services: build
            .additional_contexts
            .values()
            .filter_map(|context| context.strip_prefix("service:"))
            .map(str::to_owned)
            .collect(),
        ignore,
    }))
}

/// The path from the top of the repository, if it lies inside.
fn inside(root: &Path, path: &Path) -> Option<String> {
    let relative = path.strip_prefix(root).ok()?;
    Some(relative.to_string_lossy().into_owned())
}
