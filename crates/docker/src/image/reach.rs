//! Whether the gate lets a project's builds read all that they name. Blocking.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::FileType;
use turnout_buildkit::SecretSource;
use turnout_compose::model::Project;
use turnout_files::{self as files, Reach};

use super::{
    named::NamedContext,
    request::{BuildOptions, BuildRequest, Dockerfile, Source},
};

/// A path that may not be read.
#[derive(Debug)]
pub struct OutOfReach {
    /// The service whose build names it.
    pub service: String,
    /// The attribute, for instance `build.context`.
    pub attribute: String,
    /// The path as it was resolved against the project folder.
    pub path: PathBuf,
    /// Why not; [`files::hint`] knows what to do.
    pub error: io::Error,
}

/// The first path of a build that the gate would refuse, before anything is built. What is merely not there is told by the
/// build itself.
pub fn out_of_reach(project: &Project) -> Option<OutOfReach> {
    let reach = &project.reach;
    for name in project.services.keys().chain(project.disabled_services.keys()) {
        // What a build cannot do is told when it is asked for.
        let options = BuildOptions::default();
        let Ok(request) = BuildRequest::of(project, name, &project.environment, &HashMap::new(), options) else {
            continue;
        };
        for (attribute, path, wanted) in paths(&request) {
            let looked = match wanted {
                Wanted::File => reach.open(&path).map(drop),
                Wanted::Folder => reach.folder(&path).map(drop),
                Wanted::KeyOrAgent => match reach.kind(&path) {
                    Ok(FileType::Socket) => Ok(()),
                    _ => reach.open(&path).map(drop),
                },
                Wanted::FolderToMake => above(reach, &path),
            };
            if let Some(error) = looked.err().filter(|error| files::hint(error).is_some()) {
                return Some(OutOfReach { service: name.clone(), attribute, path, error });
            }
        }
    }
    None
}

/// What a path must be.
enum Wanted {
    File,
    Folder,
    /// What is missing of it is made.
    FolderToMake,
    /// A private key, or the socket of an agent.
    KeyOrAgent,
}

/// The folder, or the first above it that is there.
fn above(reach: &Reach, path: &Path) -> io::Result<()> {
    let looked = path.ancestors().map(|above| reach.folder(above).map(drop));
    let is_there = |looked: &io::Result<()>| !matches!(looked, Err(error) if error.kind() == io::ErrorKind::NotFound);
    looked.into_iter().find(is_there).unwrap_or(Ok(()))
}

/// Every path of this host that a build reads or writes, with the attribute that names it.
fn paths(request: &BuildRequest) -> Vec<(String, PathBuf, Wanted)> {
    let mut paths = Vec::new();
    let mut add = |attribute: &str, path: &Path, wanted: Wanted| {
        paths.push((format!("build.{attribute}"), path.to_owned(), wanted));
    };
    if let Source::Directory(root) = &request.source {
        add("context", root, Wanted::Folder);
        add("context", &root.join(".dockerignore"), Wanted::File);
    }
    match (&request.source, &request.dockerfile) {
        (Source::Directory(root), Dockerfile::Inside(inside)) => add("dockerfile", &root.join(inside), Wanted::File),
        (_, Dockerfile::Outside(path)) => add("dockerfile", path, Wanted::File),
        (Source::Remote(_), Dockerfile::Inside(_)) | (_, Dockerfile::Inline(_)) => {}
    }
    for (name, context) in &request.contexts {
        match context {
            NamedContext::Directory(path) | NamedContext::Layout { directory: path, .. } => {
                add(&format!("additional_contexts.{name}"), path, Wanted::Folder);
            }
            NamedContext::Address(_) => {}
        }
    }
    for (id, source) in &request.secrets {
        if let SecretSource::File(path) = source {
            add(&format!("secrets.{id}"), path, Wanted::File);
        }
    }
    for key in request.ssh.iter().filter(|key| !key.path.is_empty()) {
        add(&format!("ssh.{}", key.id), Path::new(&key.path), Wanted::KeyOrAgent);
    }
    for (attribute, key, caches) in
        [("cache_from", "src", &request.cache_from), ("cache_to", "dest", &request.cache_to)]
    {
        for cache in caches.iter().filter(|cache| cache.kind == "local" && !cache.text(key).is_empty()) {
            add(attribute, Path::new(cache.text(key)), Wanted::FolderToMake);
        }
    }
    paths
}
