//! What a service writes that outlives its container, and whether others write it as well (ADR 23, *writes*
//! and *common*).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use turnout_compose::model::{Mount, Project, Service};

use crate::facts::{Facts, FileKind};

/// One place that is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Storage {
    /// A named volume, by the engine's name for it, and the part of it that is mounted (empty: all).
    Volume(String, String),
    /// A folder or file of the host.
    Bind(String),
    /// A volume without a name, at this path.
    Anonymous(String),
    /// A volume that the image declares, at this path, and which no mount covers.
    OfImage(String),
}

impl Storage {
    /// Whether two containers may have the same one.
    pub fn is_one_place(&self) -> bool {
        matches!(self, Storage::Volume(..) | Storage::Bind(_))
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Storage::Volume(name, part) if part.is_empty() => write!(f, "the volume {name}"),
            Storage::Volume(name, part) => write!(f, "{part} of the volume {name}"),
            Storage::Bind(path) => write!(f, "{path}"),
            Storage::Anonymous(path) => write!(f, "a volume without a name at {path}"),
            Storage::OfImage(path) => write!(f, "{path}, a volume that its image declares"),
        }
    }
}

/// Which services write to which volumes and folders.
#[derive(Debug, Default)]
pub(crate) struct Writers<'a> {
    by_service: BTreeMap<&'a str, BTreeSet<Storage>>,
    common: BTreeSet<Storage>,
}

impl<'a> Writers<'a> {
    /// Of all services; `jobs` do not run beside others, and so make nothing common.
    pub(crate) fn of(project: &'a Project, facts: &Facts, jobs: &BTreeSet<&str>) -> Writers<'a> {
        let by_service: BTreeMap<&str, BTreeSet<Storage>> =
            project.services.keys().map(|name| (name.as_str(), written(project, facts, name))).collect();
        let mut writers: BTreeMap<&Storage, u32> = BTreeMap::new();
        for (name, places) in by_service.iter().filter(|(name, _)| !jobs.contains(*name)) {
            let count = project.services.get(*name).map_or(0, Service::scale);
            for place in places.iter().filter(|place| place.is_one_place()) {
                let writers = writers.entry(place).or_default();
                *writers = writers.saturating_add(count);
            }
        }
        let common = writers.into_iter().filter(|(_, count)| *count > 1).map(|(place, _)| place.clone()).collect();
        Writers { by_service, common }
    }

    /// What a service writes.
    pub(crate) fn written(&self, service: &str) -> impl Iterator<Item = &Storage> {
        self.by_service.get(service).into_iter().flatten()
    }

    /// What a service writes and nobody else does; named places first.
    pub(crate) fn alone(&self, service: &str) -> Option<&Storage> {
        self.written(service).find(|place| !self.common.contains(*place))
    }
}

/// What a service writes, that of the services whose volumes it has included.
fn written(project: &Project, facts: &Facts, name: &str) -> BTreeSet<Storage> {
    let mut places = BTreeSet::new();
    let mut targets = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut left = vec![(name, false)];
    while let Some((at, read_only)) = left.pop() {
        let Some(service) = project.services.get(at) else { continue };
        if !seen.insert(at) {
            continue;
        }
        for mount in &service.volumes {
            targets.insert(clean(&mount.target));
            if !read_only && let Some(place) = place(project, facts, mount) {
                places.insert(place);
            }
        }
        targets.extend(service.tmpfs.iter().filter_map(|entry| entry.split(':').next()).map(clean));
        for entry in &service.volumes_from {
            let mut parts = entry.split(':');
            if let Some(from) = parts.next().filter(|from| *from != "container") {
                left.push((from, read_only || parts.next() == Some("ro")));
            }
        }
    }
    let Some(service) = project.services.get(name) else { return places };
    let image = facts.images.get(&service.image_name(&project.name, name));
    let declared = image.into_iter().flat_map(|image| &image.volumes).map(|path| clean(path));
    // The engine makes a volume for a declared path unless something is mounted at exactly this path.
    places.extend(declared.filter(|path| !targets.contains(path)).map(|path| Storage::OfImage(path.to_owned())));
    places
}

/// The place that a mount writes, if it does.
fn place(project: &Project, facts: &Facts, mount: &Mount) -> Option<Storage> {
    if mount.read_only {
        return None;
    }
    match mount.r#type.as_str() {
        "volume" | "cluster" if mount.source.is_empty() => Some(Storage::Anonymous(clean(&mount.target).to_owned())),
        "volume" | "cluster" => {
            let own = project.volumes.get(&mount.source).and_then(Option::as_ref).map(|volume| volume.name.as_str());
            let named = facts.volumes.get(&mount.source).map(String::as_str).or(own);
            let name = named.filter(|name| !name.is_empty()).unwrap_or(&mount.source);
            let part = mount.volume.as_ref().map_or("", |options| options.subpath.as_str());
            Some(Storage::Volume(name.to_owned(), part.to_owned()))
        }
        "bind" => (!is_no_data(facts, &mount.source)).then(|| Storage::Bind(clean(&mount.source).to_owned())),
        // A tmpfs ends with its container, an image is read-only, and pipes hold nothing.
        _ => None,
    }
}

/// Whether a path of the host holds no data: sockets, the kernel's file systems, clocks, and what git tracks whole and
/// clean (ADR 23, *writes*).
fn is_no_data(facts: &Facts, source: &str) -> bool {
    let source = clean(source);
    let known = facts.files.get(source);
    known.is_some_and(|file| file.tracked || file.kind != FileKind::Ordinary)
        || source.ends_with(".sock")
        || matches!(source, "/etc/localtime" | "/etc/timezone" | "/usr/share/zoneinfo")
        || ["/proc", "/sys", "/dev"].iter().any(|top| source == *top || source.starts_with(&format!("{top}/")))
}

/// Whether a service has the engine's socket (ADR 23, rule 3).
pub(crate) fn has_engine_socket(service: &Service) -> bool {
    const SOCKETS: &[&str] = &["docker.sock", "podman.sock", "containerd.sock"];
    service.use_api_socket
        || service.volumes.iter().any(|mount| {
            mount.r#type == "bind" && mount.source.rsplit('/').next().is_some_and(|name| SOCKETS.contains(&name))
        })
}

/// A path without a slash at its end.
fn clean(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if !path.is_empty() => "/",
        path => path,
    }
}
