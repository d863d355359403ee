//! What blue/green deployment has to know of images and files before it can derive anything. Reads, changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{
    super::{Failure, TreeProject, View, compute::compute, mounted},
    tree::{Seen, Tree, Whole, at},
};
use crate::{
    compose::model::Project,
    config::{MountedChange, Repo},
    decide::mounted::Policy,
    engine::Engine,
    files::Kind,
    inputs::{Hasher, InputSettings},
    switch::{Facts, FileFacts, ImageFacts, ReadFrom},
};

/// Bytes of one configuration file that is looked through for names of services; larger ones are data.
const TEXT: Kind = Kind { most: 64 << 10 };
/// Bytes of all of them.
const ALL_TEXT: usize = 1 << 20;
/// Bytes of all that a colour reads from copies: whatever a commit mounts, it fills the disk no further.
const ALL_COPIED: u64 = 1 << 30;

/// The facts of a project. `colour`: the COLOR that it was loaded with. `state`: the state directory. Whose volumes it uses, whoever
/// knows that adds.
///
/// # Errors
/// When the engine does not answer.
pub async fn gather(
    repo: &Repo,
    loaded: &TreeProject,
    colour: &str,
    engine: &Engine,
    state: &Path,
) -> Result<Facts, Failure> {
    let project = &loaded.project;
    let images: BTreeSet<String> =
        project.services.iter().map(|(name, service)| service.image_name(&project.name, name)).collect();
    let said = engine.images_say(images).await?;
    let images = said.into_iter().map(|(name, says)| {
        let facts = ImageFacts {
            volumes: says.volumes,
            ports: says.ports,
            command: says.command,
            entrypoint: says.entrypoint,
            healthcheck: says.healthcheck,
            start_period: says.start_period,
        };
        (name, facts)
    });
    let images = images.collect();
    let policies = mounted::policies(repo, loaded)?;
    let ignoring = policies.into_iter().filter(|(_, policy)| *policy == Policy::Said(MountedChange::Ignore));
    let ignoring = ignoring.map(|(name, _)| name).collect();
    let (root, looked, view) = (repo.real_path.clone(), project.clone(), loaded.view.clone());
    let digests = InputSettings::copied(state, &repo.name);
    let files = compute(repo, "looking at what is mounted", move || of_files(&root, &looked, &view, digests)).await?;
    Ok(Facts { images, files, ignoring, colour: Some(colour.to_owned()), volumes: BTreeMap::new() })
}

/// Sources of bind mounts, and files of configs and secrets. `digests`: where digests of their contents are remembered.
fn of_files(root: &Path, project: &Project, view: &View, digests: PathBuf) -> BTreeMap<String, FileFacts> {
    let binds = project.services.values().flat_map(|service| service.with_steps()).flat_map(|service| &service.volumes);
    let binds = binds.filter(|mount| mount.r#type == "bind");
    let mut paths: BTreeSet<&str> = binds.map(|mount| mount.source.as_str()).collect();
    paths.extend(project.configs.values().map(|config| config.file.as_str()));
    paths.extend(project.secrets.values().map(|secret| secret.file.as_str()));
    paths.remove("");
    if paths.is_empty() {
        return BTreeMap::new();
    }
    let elsewhere = (view.tree() != root).then(|| Tree::fetched(view.tree(), root));
    let mut looker = Looker {
        tree: Tree::of(root),
        elsewhere,
        view,
        hasher: Hasher::open(digests),
        left: ALL_TEXT,
        copied: ALL_COPIED,
    };
    let facts = paths.into_iter().map(|path| (path.to_owned(), looker.look(project, Path::new(path)))).collect();
    // What is read elsewhere is gone afterwards.
    if looker.elsewhere.is_none()
        && let Err(error) = looker.hasher.save(true)
    {
        tracing::debug!(%error, "cannot remember the digests of mounted files; they are read again the next time");
    }
    facts
}

struct Looker<'a> {
    tree: Tree,
    /// The work tree of another commit, whose files are named as if they lay in the first one.
    elsewhere: Option<Tree>,
    view: &'a View,
    hasher: Hasher,
    /// Bytes of text that may still be looked through.
    left: usize,
    /// Bytes that may still be copied.
    copied: u64,
}

impl Looker<'_> {
    fn look(&mut self, project: &Project, path: &Path) -> FileFacts {
        let Seen { kind, there, inside } = self.tree.look(path);
        let inside = match &self.elsewhere {
            None => inside,
            // What is data here is data, whatever the other commit has at that path.
            Some(_) if there && !matches!(inside, Some(Ok(_))) => inside,
            Some(other) => other.look(&self.view.at(path)).inside,
        };
        let Some(inside) = inside else { return FileFacts { kind, ..FileFacts::default() } };
        let whole = match inside {
            Ok(whole) => whole,
            Err(keeps) => return FileFacts { kind, inside: Some(ReadFrom::Place(keeps)), ..FileFacts::default() },
        };
        let text = self.text(project, &whole);
        let name = path.file_name().unwrap_or(OsStr::new("files"));
        // Whoever looks shows nothing of it, and mounts may come from anywhere.
        let reach = project.reach.looking();
        let read = match whole.digest(name, &reach, &mut self.hasher, &mut self.copied) {
            Ok(digest) => ReadFrom::Snapshot(digest),
            Err(keeps) => ReadFrom::Place(keeps),
        };
        FileFacts { tracked: true, kind, text, inside: Some(read) }
    }

    fn text(&mut self, project: &Project, whole: &Whole) -> String {
        let mut text = String::new();
        for file in &whole.files {
            let bytes = project.reach.read(&at(&whole.real, file), TEXT).unwrap_or_default();
            let Ok(more) = String::from_utf8(bytes) else { continue };
            if more.len() > self.left {
                break;
            }
            self.left -= more.len();
            text.push_str(&more);
            text.push('\n');
        }
        text
    }
}
