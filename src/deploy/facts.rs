//! Collects the facts on which `decide` decides about builds: changed files, the trigger file, images and what they
//! would be built from.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{Failure, prepared::TreeProject};
use crate::{
    compose::model::Service,
    config::{self, Repo},
    decide::{Base, BuildFacts, Facts, Mode, REBUILD_TRIGGER, Seen, ServiceFacts, TriggerFile, Triggers},
    files,
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
    /// Whether the file that asks for a rebuild is there.
    pub trigger_file: TriggerFile,
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
    let trigger_file = trigger_file(path);
    let mut changed = BTreeSet::new();
    for against in std::iter::once(&against).chain(&before.attempts) {
        match git::changed_files(path, against, head) {
            Ok(files) => changed.extend(files.into_iter().map(|file| file.path)),
            Err(GitError::UnknownCommit { shallow: false, .. }) if against == PREVIOUS => {
                let why = "this is the branch's first commit, with none before it to compare with".to_owned();
                return Known { base, changed: Err(why), forced, trigger_file };
            }
            Err(error) => return Known { base, changed: Err(error.to_string()), forced, trigger_file },
        }
    }
    Known { base, changed: Ok(changed.into_iter().collect()), forced, trigger_file }
}

/// Everything the decision rests on. `inputs`: what goes into the images, where that is asked.
///
/// # Errors
/// A glob of the repository cannot be read.
pub fn gather(
    repo: &Repo,
    loaded: &TreeProject,
    observed: &Observed,
    known: Known,
    mut builds: BTreeMap<String, BuildFacts>,
) -> Result<Facts, Failure> {
    let triggers = Triggers::new(&repo.triggers).map_err(|error| Failure::new(error.to_string()))?;
    let project = &loaded.project;
    let facts = |(name, service): (&String, &Service)| {
        let image = service.image_name(&project.name, name);
        ServiceFacts {
            name: name.clone(),
            build: service
                .build
                .is_some()
                .then(|| builds.remove(name))
                .map(|facts| facts.unwrap_or(BuildFacts { seen: Seen::Foreign, bases: Vec::new() })),
            image_missing: observed.images.get(&image).is_none_or(|state| state.id.is_none()),
        }
    };
    let mut services: Vec<ServiceFacts> = project.services.iter().map(facts).collect();
    // Of those that take no part only what others are built upon was looked at.
    services.extend(builds.into_iter().map(|(name, build)| ServiceFacts {
        name,
        build: Some(build),
        image_missing: false,
    }));
    Ok(Facts {
        mode: match repo.rebuild {
            config::Rebuild::Auto => Mode::Auto,
            config::Rebuild::Triggers => Mode::Triggers,
        },
        base: known.base,
        changed: known.changed,
        triggers,
        trigger_file: known.trigger_file,
        forced: known.forced,
        services,
    })
}

fn trigger_file(root: &Path) -> TriggerFile {
    let file = root.join(REBUILD_TRIGGER);
    if !matches!(files::at(root, &file, || file.symlink_metadata()), Ok(Ok(_))) {
        return TriggerFile::Absent;
    }
    // Where git cannot tell, the file is taken for a tracked one: it is then never removed.
    match git::is_tracked(root, Path::new(REBUILD_TRIGGER)) {
        Ok(false) => TriggerFile::Untracked,
        Ok(true) | Err(_) => TriggerFile::Tracked,
    }
}
