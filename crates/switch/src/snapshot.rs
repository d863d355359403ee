//! Which files of the work tree the colours read from a snapshot: a copy that a pull does not change. A container reads what
//! is mounted whenever it likes, the live colour's too, while a check-out writes the next commit's files (ADR 31).
//!
//! A snapshot is called by a digest of what is in it. So what did not change has the same path, and with it the same hash of
//! the container's configuration; and what did change is another mount.

use std::collections::{BTreeMap, BTreeSet};

use turnout_compose::model::{Project, Service};

use crate::facts::{Facts, FileFacts, Keeps, ReadFrom};

/// A path of the work tree that containers mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// As the project has it: absolute.
    pub path: String,
    /// As people call it: from the project's folder.
    pub shown: String,
    /// Services that mount it.
    pub readers: Vec<String>,
    /// One of them may write it.
    pub writable: bool,
    /// Where they read it.
    pub read: ReadFrom,
}

/// All mounted paths of the work tree. `moving`: the services that a colour has.
pub(crate) fn mounted(project: &Project, facts: &Facts, moving: &BTreeSet<String>) -> Vec<Mounted> {
    let mut found: BTreeMap<String, Mounted> = BTreeMap::new();
    for (name, service) in &project.services {
        let moves = moving.contains(name);
        for (path, writable) in sources(project, service) {
            let Some(FileFacts { inside: Some(inside), .. }) = facts.files.get(&path) else { continue };
            let read = match (moves, inside) {
                (true, ReadFrom::Snapshot(_)) if facts.ignoring.contains(name) => ReadFrom::Place(Keeps::Said),
                (true, inside) => inside.clone(),
                (false, _) => ReadFrom::Place(Keeps::Stays),
            };
            let shown = path.strip_prefix(&format!("{}/", project.working_dir.display()));
            let shown = shown.map_or_else(|| path.clone(), |inside| format!("./{inside}"));
            let one = found.entry(path.clone()).or_insert_with(|| Mounted {
                path,
                shown,
                readers: Vec::new(),
                writable: false,
                read: read.clone(),
            });
            one.readers.push(name.clone());
            one.writable |= writable;
            // Of several who mount it, who looks after changes itself decides for all that move; what stays for itself alone.
            if matches!(one.read, ReadFrom::Place(Keeps::Stays)) || read == ReadFrom::Place(Keeps::Said) {
                one.read = read;
            }
        }
    }
    found.into_values().collect()
}

/// What a service mounts of the host's paths, and whether it may write there.
fn sources(project: &Project, service: &Service) -> BTreeMap<String, bool> {
    let mut sources = BTreeMap::new();
    for service in service.with_steps() {
        for mount in service.volumes.iter().filter(|mount| mount.r#type == "bind") {
            *sources.entry(mount.source.clone()).or_insert(false) |= !mount.read_only;
        }
        let configs = service.configs.iter().filter_map(|reference| project.configs.get(&reference.source));
        let secrets = service.secrets.iter().filter_map(|reference| project.secrets.get(&reference.source));
        let files = configs.chain(secrets).map(|object| &object.file).filter(|file| !file.is_empty());
        sources.extend(
            files.filter(|file| !sources.contains_key(*file)).map(|file| (file.clone(), false)).collect::<Vec<_>>(),
        );
    }
    sources
}

/// Has containers mount other paths: the new ones, by those that the project has. A colour gets copies so.
pub fn point(project: &mut Project, places: &BTreeMap<String, String>) {
    let turn = |path: &mut String| {
        if let Some(place) = places.get(path) {
            path.clone_from(place);
        }
    };
    for service in project.services.values_mut() {
        let own = service.volumes.iter_mut();
        let steps = service.pre_start.iter_mut().flat_map(|step| &mut step.spec.volumes);
        own.chain(steps).filter(|mount| mount.r#type == "bind").for_each(|mount| turn(&mut mount.source));
    }
    let used: BTreeSet<String> = project.services.values().flat_map(Service::with_steps).flat_map(references).collect();
    let objects = project.configs.iter_mut().chain(project.secrets.iter_mut());
    objects.filter(|(key, _)| used.contains(*key)).for_each(|(_, object)| turn(&mut object.file));
}

fn references(service: &Service) -> impl Iterator<Item = String> + '_ {
    service.configs.iter().chain(&service.secrets).map(|reference| reference.source.clone())
}
