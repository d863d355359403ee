//! Must a container be replaced? In Compose's order of questions, with the answer in words.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{
    Cause, Condition, ContainerCause, ImageCause, NetworkCause, ObservedContainer, PlanError, RunState, StepId,
    VolumeCause, attributes, cause::Shared,
};
use super::draft::{Fate, NetworkFate};
use super::members::is_live;
use super::{Draft, idle, resources, select, sharing};
use turnout_compose::{hash, labels, model::Service};

/// Why a container is replaced. Both empty: it stays.
#[derive(Debug, Default)]
pub(super) struct Grounds {
    /// Reasons known now.
    pub certain: Vec<Cause>,
    /// Reasons that execution decides on.
    pub possible: Vec<(Condition, Cause)>,
}

/// What a service's `service:` references stand for.
#[derive(Debug, Default)]
pub(super) struct References {
    /// Service -> ID of the container that is there now.
    pub ids: BTreeMap<String, String>,
    /// Targets that are replaced for certain.
    pub certain: Vec<Cause>,
    /// Targets that are replaced perhaps.
    pub possible: Vec<(Condition, Cause)>,
    /// Steps that make the targets.
    pub after: Vec<StepId>,
}

/// What decides beside the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Policy {
    Never,
    Force(ContainerCause),
    Diverged,
}

/// What is shared, as the real one has it in its errors.
fn in_an_error(what: &str) -> &str {
    if what == "volumes" { "volume" } else { what.trim_start_matches("the ") }
}

/// Resolves `service:` references to the first container, by name, of each target.
pub(super) fn references(draft: &Draft<'_>, name: &str, service: &Service) -> Result<References, PlanError> {
    let mut found = References::default();
    for (what, target) in sharing::shares(service) {
        let missing = || PlanError::ShareMissing {
            service: name.to_owned(),
            what: in_an_error(what).to_owned(),
            target: target.to_owned(),
        };
        let Some(slots) = draft.slots.get(target) else {
            // Not part of this plan: it stays as it is.
            let others = draft.observed.containers.iter().filter(|c| c.service == target && !c.oneoff);
            let first = others.min_by_key(|c| labels::first_of_names(&c.name)).ok_or_else(missing)?;
            found.ids.insert(target.to_owned(), first.id.clone());
            continue;
        };
        let first = slots.iter().min_by_key(|slot| &slot.name).ok_or_else(missing)?;
        if let Some(container) = first.existing {
            found.ids.insert(target.to_owned(), container.id.clone());
        }
        let shares = |fate| ContainerCause::Shares { what, of: target.to_owned(), fate }.into();
        match first.fate {
            Fate::Stays => {}
            Fate::New(step) => {
                let fate = if first.existing.is_some() { Shared::Replaced } else { Shared::Created };
                found.certain.push(shares(fate));
                found.after.push(step);
            }
            Fate::Perhaps(step) => {
                found.possible.push((Condition::AnyDid(vec![step]), shares(Shared::ReplacedPerhaps)));
                found.after.push(step);
            }
        }
    }
    for target in select::links(service) {
        let made = draft.slots.get(target).into_iter().flatten().filter_map(|slot| match slot.fate {
            Fate::New(step) | Fate::Perhaps(step) => Some(step),
            Fate::Stays => None,
        });
        found.after.extend(made);
    }
    Ok(found)
}

/// Judges one container.
pub(super) fn judge(
    draft: &Draft<'_>,
    name: &str,
    service: &Service,
    references: &References,
    container: &ObservedContainer,
) -> Grounds {
    let mut grounds = Grounds::default();
    if let Some((_, why)) = draft.removed.get(&container.id) {
        grounds.certain.push(why.clone());
        return grounds;
    }
    if container.state == RunState::Dead {
        grounds.certain.push(ContainerCause::Dead.into());
    }
    match policy(draft, name, container) {
        Policy::Never => return grounds,
        Policy::Force(why) => {
            grounds.certain.push(why.into());
            return grounds;
        }
        Policy::Diverged => {}
    }
    if !container.labels.contains_key(labels::ONEOFF) {
        grounds.certain.push(ContainerCause::LabelMissing(labels::ONEOFF).into());
    }
    grounds.certain.extend(references.certain.iter().cloned());
    grounds.possible.extend(references.possible.iter().cloned());
    if references.certain.is_empty() {
        let changed = configuration(draft, name, service, references, container);
        // What was set on a container of another configuration, or on a job that has done its work, tells nothing.
        if changed.is_none() && (is_live(container) || idle::idle(draft, name, service, container).is_some()) {
            let altered = draft.intent.altered.get(&container.id).into_iter().flatten().cloned();
            grounds.certain.extend(altered.map(|words| ContainerCause::Altered(words).into()));
        }
        grounds.certain.extend(changed.map(Cause::from));
    }
    image(draft, name, service, container, &mut grounds);
    mounted_images(draft, name, service, container, &mut grounds);
    grounds.certain.extend(network(draft, service, container).map(Cause::from));
    grounds.certain.extend(volume(draft, service, container).map(Cause::from));
    let mounted = draft.intent.mounted.get(&container.id).and_then(|mounted| mounted.recreate.clone());
    grounds.certain.extend(mounted.map(|words| ContainerCause::Mounted(words).into()));
    grounds
}

fn policy(draft: &Draft<'_>, name: &str, container: &ObservedContainer) -> Policy {
    let intent = draft.intent;
    let named = intent.services.is_empty() || intent.services.iter().any(|s| s == name);
    match named {
        _ if intent.no_recreate => Policy::Never,
        _ if intent.earlier.created(container) => Policy::Diverged,
        true if intent.force_recreate => Policy::Force(ContainerCause::ReplacementAsked),
        true if let Some(why) = intent.anew => Policy::Force(ContainerCause::Anew(why)),
        true if intent.renew_anon_volumes => Policy::Force(ContainerCause::FreshVolumesAsked),
        false if intent.always_recreate_deps => Policy::Force(ContainerCause::DependenciesAsked),
        _ => Policy::Diverged,
    }
}

fn configuration(
    draft: &Draft<'_>,
    name: &str,
    service: &Service,
    references: &References,
    container: &ObservedContainer,
) -> Option<ContainerCause> {
    let resolved = hash::with_container_refs(service, &references.ids);
    let expected = hash::service_hash(&resolved);
    if container.config_hash == expected {
        return None;
    }
    // What Compose 5 made is compared as Compose 5 would: a stack that is taken over is not replaced for nothing.
    let by_compose_5 = container.labels.get(labels::VERSION).is_some_and(|version| version.starts_with("5."));
    if by_compose_5 && container.config_hash == hash::service_hash_of_compose_5(&resolved) {
        return None;
    }
    let now = attributes::fingerprint(&draft.project.name, name, service);
    let old = container.labels.get(attributes::LABEL).map_or("", String::as_str);
    let differences = attributes::difference(old, &now);
    if !differences.is_empty() {
        return Some(ContainerCause::Attributes(differences));
    }
    let targets: BTreeSet<&str> = sharing::shares(service).into_iter().map(|(_, target)| target).collect();
    if old == now && !targets.is_empty() {
        let targets = targets.into_iter().map(str::to_owned).collect();
        return Some(ContainerCause::SharesWith(targets));
    }
    Some(ContainerCause::Configuration { from: container.config_hash.clone(), to: expected })
}

fn image(draft: &Draft<'_>, name: &str, service: &Service, container: &ObservedContainer, grounds: &mut Grounds) {
    let image = service.image_name(&draft.project.name, name);
    let label = &container.image_label;
    if label.is_empty() {
        grounds.certain.push(ContainerCause::ImageUnknown.into());
        return;
    }
    if let Some(cause) = draft.changing.get(&image) {
        let condition = Condition::ImageChanged { service: name.to_owned(), image, running: label.clone() };
        grounds.possible.push((condition, cause.clone()));
        return;
    }
    let current = draft.observed.images.get(&image).and_then(|state| state.id.as_ref());
    if let Some(current) = current.filter(|id| *id != label) {
        let (from, to) = (label.clone(), current.clone());
        grounds.certain.push(ImageCause::Another { image, mounted_at: None, from, to }.into());
    }
}

/// An image that is mounted stays as it was when the container was made. Of containers of Compose 2.40 it is not known
/// which that was.
fn mounted_images(
    draft: &Draft<'_>,
    name: &str,
    service: &Service,
    container: &ObservedContainer,
    grounds: &mut Grounds,
) {
    let recorded = container.labels.get(labels::IMAGE_VOLUMES).map(String::as_str).unwrap_or_default();
    let recorded = labels::parse_image_volumes(recorded);
    for mount in service.volumes.iter().filter(|mount| mount.r#type == "image") {
        let Some(running) = recorded.get(mount.target.as_str()) else { continue };
        let (image, target) = (&mount.source, &mount.target);
        if let Some(cause) = draft.changing.get(image) {
            let condition = Condition::ImageChanged {
                service: name.to_owned(),
                image: image.clone(),
                running: (*running).to_owned(),
            };
            let cause = ImageCause::MountedAt { target: target.clone(), why: Box::new(cause.clone()) };
            grounds.possible.push((condition, cause.into()));
            continue;
        }
        let current = draft.observed.images.get(image).and_then(|state| state.id.as_deref());
        if let Some(current) = current.filter(|id| id != running) {
            let (from, to) = ((*running).to_owned(), current.to_owned());
            let another = ImageCause::Another { image: image.clone(), mounted_at: Some(target.clone()), from, to };
            grounds.certain.push(another.into());
        }
    }
}

fn network(draft: &Draft<'_>, service: &Service, container: &ObservedContainer) -> Option<NetworkCause> {
    let live = is_live(container);
    for key in service.networks.keys() {
        let expected = match draft.networks.get(key)? {
            NetworkFate::Stays(id) | NetworkFate::Replaced { old_id: id, .. } => Some(id),
            NetworkFate::New(_) => None,
        };
        // The engine knows no ID for an attachment that was made while the container did not run; it looks the network
        // up by name at the start. Once it knows an ID it insists on it, and refuses to start when that is gone.
        // A further attachment that is missing altogether (an interruption before it was made) is made before the start.
        let attached = container.networks.get(&resources::network_name(draft, key));
        let promised = attached.map_or(service.networks.len() > 1, String::is_empty);
        if !live && promised || expected.is_some_and(|id| container.networks.values().any(|n| n == id)) {
            continue;
        }
        return Some(match expected {
            Some(_) => NetworkCause::NotAttached(key.clone()),
            None => NetworkCause::CreatedAnew(key.clone()),
        });
    }
    None
}

fn volume(draft: &Draft<'_>, service: &Service, container: &ObservedContainer) -> Option<VolumeCause> {
    let named = service.volumes.iter().filter(|m| m.r#type == "volume" && !m.source.is_empty());
    named.into_iter().find_map(|mount| {
        let name = resources::volume_name(draft, &mount.source);
        let mounted = container.mounts.iter().any(|m| m.kind == "volume" && m.name == name);
        (!mounted).then(|| VolumeCause::NotMounted(mount.source.clone()))
    })
}
