//! Volumes, binds, tmpfs and image mounts.
//!
//! Two forms exist in the API. The older text form (`Binds`) creates a missing host path and knows SELinux labels;
//! the newer (`Mounts`) knows everything else and refuses a missing host path. Compose uses the first where it can,
//! and containers must look the same whoever created them, so do we.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    Mount as ApiMount, MountBindOptions, MountBindOptionsPropagationEnum, MountImageOptions, MountTmpfsOptions,
    MountType, MountVolumeOptions,
};
use turnout_compose::model::{BindOptions, ImageOptions, Mount, Project, Service, TmpfsOptions, VolumeOptions};

use super::{files::mounted_files, gate, names::volume_name, refuse, some, some_map};
use crate::{ApiVersion, EngineError};

/// A mount of the container that is being replaced, whose content its successor takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InheritedMount {
    /// `volume` or `bind`.
    pub kind: String,
    /// Volume name, or host path.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Whether the container may write there.
    pub writable: bool,
}

/// What a container mounts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mounts {
    /// In the text form `source:target:options`, as [`HostConfig`](bollard::models::HostConfig) takes them in `Binds`.
    pub binds: Vec<String>,
    /// In the structured form, for what the text form cannot say.
    pub mounts: Vec<ApiMount>,
    /// What the reader should know.
    pub warnings: Vec<String>,
}

/// All mounts of a service: inherited ones, its own, then secrets and configs that are files.
///
/// # Errors
/// Kinds and options that this daemon, or any single host, does not know.
pub fn mounts(
    project: &Project,
    name: &str,
    service: &Service,
    inherited: &[InheritedMount],
    version: ApiVersion,
) -> Result<Mounts, EngineError> {
    let mut result = Mounts::default();
    // By container path: what comes later wins, as with Compose; and the order of requests stays the same.
    let mut own: BTreeMap<String, OneMount> = BTreeMap::new();
    for old in inherited {
        own.insert(old.target.clone(), OneMount::Structured(Box::new(inherit(old))));
    }
    for (index, mount) in service.volumes.iter().enumerate() {
        let taken_over = mount.source.is_empty() && own.contains_key(&mount.target) && mount.r#type != "tmpfs";
        if !taken_over {
            own.insert(mount.target.clone(), one(project, name, index, mount, version)?);
        }
    }
    let (files, warnings) = mounted_files(project, name, service)?;
    result.warnings = warnings;
    for file in files {
        let mount = ApiMount {
            target: Some(file.target.clone()),
            source: Some(file.source),
            typ: Some(MountType::BIND),
            read_only: Some(true),
            bind_options: file.secret.then(MountBindOptions::default),
            ..Default::default()
        };
        own.entry(file.target).or_insert_with(|| OneMount::Structured(Box::new(mount)));
    }
    for mount in own.into_values() {
        match mount {
            OneMount::Text(text) => result.binds.push(text),
            OneMount::Structured(mount) => result.mounts.push(*mount),
        }
    }
    Ok(result)
}

enum OneMount {
    Text(String),
    Structured(Box<ApiMount>),
}

fn inherit(old: &InheritedMount) -> ApiMount {
    let InheritedMount { kind, source, target, writable } = old;
    ApiMount {
        target: Some(target.clone()),
        source: Some(source.clone()),
        typ: Some(if kind == "bind" { MountType::BIND } else { MountType::VOLUME }),
        read_only: Some(!writable),
        ..Default::default()
    }
}

fn one(
    project: &Project,
    name: &str,
    index: usize,
    mount: &Mount,
    version: ApiVersion,
) -> Result<OneMount, EngineError> {
    let Mount { r#type, source, target, read_only, consistency, bind, volume, tmpfs, image } = mount;
    let attribute = |rest: &str| format!("volumes[{index}]{rest}");
    let mut api = ApiMount {
        target: Some(target.clone()),
        source: some(source),
        read_only: Some(*read_only),
        consistency: some(consistency),
        ..Default::default()
    };
    match r#type.as_str() {
        "bind" => {
            if bind_fits_text(bind.as_ref()) {
                return Ok(OneMount::Text(text(source, mount)));
            }
            api.typ = Some(MountType::BIND);
            api.bind_options = bind.as_ref().map(|b| bind_options(name, &attribute, b, version)).transpose()?;
        }
        "volume" => {
            if !source.is_empty() {
                if !project.volumes.contains_key(source) {
                    let reason = format!("the project has no volume {source:?}");
                    return Err(refuse(name, attribute(".source"), reason));
                }
                let engine_name = volume_name(project, source);
                if volume_fits_text(volume.as_ref()) {
                    return Ok(OneMount::Text(text(&engine_name, mount)));
                }
                api.source = Some(engine_name);
            }
            api.typ = Some(MountType::VOLUME);
            api.volume_options = volume.as_ref().map(|v| volume_options(name, &attribute, v, version)).transpose()?;
        }
        "tmpfs" => {
            api.typ = Some(MountType::TMPFS);
            api.source = None;
            api.tmpfs_options = tmpfs.as_ref().map(|TmpfsOptions { size, mode }| MountTmpfsOptions {
                size_bytes: super::some_number(size.0),
                mode: super::some_number(i64::from(*mode)),
                options: None,
            });
        }
        "image" => {
            gate(version, ApiVersion::v1(48), "28.0", name, attribute(".type"))?;
            api.typ = Some(MountType::IMAGE);
            api.image_options =
                image.as_ref().map(|ImageOptions { subpath }| MountImageOptions { subpath: some(subpath) });
        }
        "npipe" => return Err(refuse(name, attribute(".type"), "named pipes exist on Windows only")),
        "cluster" => return Err(refuse(name, attribute(".type"), "cluster volumes need a Swarm")),
        other => return Err(refuse(name, attribute(".type"), format!("unknown kind of mount {other:?}"))),
    }
    Ok(OneMount::Structured(Box::new(api)))
}

/// Whether the text form can say all of it. A `bind:` section that does not ask for a missing host path to be created
/// wants a failure instead; only an SELinux label outweighs that, because the structured form would lose it.
fn bind_fits_text(bind: Option<&BindOptions>) -> bool {
    let Some(BindOptions { selinux, propagation, create_host_path, recursive }) = bind else { return true };
    (*create_host_path || !selinux.is_empty()) && propagation.is_empty() && recursive.is_empty()
}

fn volume_fits_text(volume: Option<&VolumeOptions>) -> bool {
    let Some(VolumeOptions { labels, nocopy, subpath }) = volume else { return true };
    labels.is_empty() && !nocopy && subpath.is_empty()
}

fn text(source: &str, mount: &Mount) -> String {
    let mut options = vec![if mount.read_only { "ro" } else { "rw" }];
    if let Some(bind) = &mount.bind {
        options.extend([bind.selinux.as_str(), bind.propagation.as_str()].into_iter().filter(|o| !o.is_empty()));
    }
    format!("{source}:{}:{}", mount.target, options.join(","))
}

fn bind_options(
    name: &str,
    attribute: &dyn Fn(&str) -> String,
    bind: &BindOptions,
    version: ApiVersion,
) -> Result<MountBindOptions, EngineError> {
    let BindOptions { selinux, propagation, create_host_path, recursive } = bind;
    if !selinux.is_empty() {
        let reason = "cannot be combined with propagation or recursive: the engine has no request for both";
        return Err(refuse(name, attribute(".bind.selinux"), reason));
    }
    let propagation = match propagation.as_str() {
        "" => None,
        text => Some(text.parse::<MountBindOptionsPropagationEnum>().map_err(|_| {
            refuse(
                name,
                attribute(".bind.propagation"),
                format!("{text:?} is not one of [r]private, [r]shared, [r]slave"),
            )
        })?),
    };
    let mut options = MountBindOptions {
        propagation,
        // Older daemons do not know the field and fail on a missing path, with a clear message of their own.
        create_mountpoint: create_host_path.then_some(true),
        ..Default::default()
    };
    match recursive.as_str() {
        "" | "enabled" => {}
        "disabled" => options.non_recursive = Some(true),
        "writable" | "readonly" => {
            gate(version, ApiVersion::v1(44), "25.0", name, attribute(".bind.recursive"))?;
            options.read_only_non_recursive = (recursive == "writable").then_some(true);
            options.read_only_force_recursive = (recursive == "readonly").then_some(true);
        }
        other => {
            let reason = format!("{other:?} is not one of enabled, disabled, writable, readonly");
            return Err(refuse(name, attribute(".bind.recursive"), reason));
        }
    }
    Ok(options)
}

fn volume_options(
    name: &str,
    attribute: &dyn Fn(&str) -> String,
    volume: &VolumeOptions,
    version: ApiVersion,
) -> Result<MountVolumeOptions, EngineError> {
    let VolumeOptions { labels, nocopy, subpath } = volume;
    if !subpath.is_empty() {
        gate(version, ApiVersion::v1(45), "26.0", name, attribute(".volume.subpath"))?;
    }
    Ok(MountVolumeOptions {
        no_copy: nocopy.then_some(true),
        labels: some_map(labels),
        driver_config: None,
        subpath: some(subpath),
    })
}

/// `tmpfs` entries `path[:options]`.
pub fn tmpfs(entries: &[String]) -> Option<HashMap<String, String>> {
    let entries: HashMap<_, _> = entries
        .iter()
        .map(|entry| {
            let (path, options) = entry.split_once(':').unwrap_or((entry, ""));
            (path.to_owned(), options.to_owned())
        })
        .collect();
    (!entries.is_empty()).then_some(entries)
}
