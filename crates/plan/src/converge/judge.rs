//! Must a container be replaced? In Compose's order of questions, with the answer in words.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Condition, ObservedContainer, PlanError, RunState, StepId, attributes, words::short};
use super::draft::{Fate, NetworkFate};
use super::members::is_live;
use super::{Draft, idle, resources, select, sharing};
use turnout_compose::{hash, labels, model::Service};

/// Why a container is replaced. Both empty: it stays.
#[derive(Debug, Default)]
pub(super) struct Grounds {
    /// Reasons known now.
    pub certain: Vec<String>,
    /// Reasons that execution decides on.
    pub possible: Vec<(Condition, String)>,
}

/// What a service's `service:` references stand for.
#[derive(Debug, Default)]
pub(super) struct References {
    /// Service -> ID of the container that is there now.
    pub ids: BTreeMap<String, String>,
    /// Targets that are replaced for certain.
    pub certain: Vec<String>,
    /// Targets that are replaced perhaps.
    pub possible: Vec<(Condition, String)>,
    /// Steps that make the targets.
    pub after: Vec<StepId>,
}

/// What decides beside the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Never,
    Force(&'static str),
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
        match first.fate {
            Fate::Stays => {}
            Fate::New(step) => {
                let becomes = if first.existing.is_some() { "replaced" } else { "created" };
                found.certain.push(format!("shares {what} of {target}, which is {becomes}"));
                found.after.push(step);
            }
            Fate::Perhaps(step) => {
                let cause = format!("shares {what} of {target}, if that is replaced");
                found.possible.push((Condition::AnyDid(vec![step]), cause));
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
        grounds.certain.push("the engine marks the container dead".to_owned());
    }
    match policy(draft, name, container) {
        Policy::Never => return grounds,
        Policy::Force(why) => {
            grounds.certain.push(why.to_owned());
            return grounds;
        }
        Policy::Diverged => {}
    }
    if !container.labels.contains_key(labels::ONEOFF) {
        grounds.certain.push(format!("label {} is missing, other tools would not start it", labels::ONEOFF));
    }
    grounds.certain.extend(references.certain.iter().cloned());
    grounds.possible.extend(references.possible.iter().cloned());
    if references.certain.is_empty() {
        let changed = configuration(draft, name, service, references, container);
        // What was set on a container of another configuration, or on a job that has done its work, tells nothing.
        if changed.is_none() && (is_live(container) || idle::idle(draft, name, service, container).is_some()) {
            grounds.certain.extend(draft.intent.altered.get(&container.id).into_iter().flatten().cloned());
        }
        grounds.certain.extend(changed);
    }
    image(draft, name, service, container, &mut grounds);
    mounted_images(draft, name, service, container, &mut grounds);
    grounds.certain.extend(network(draft, service, container));
    grounds.certain.extend(volume(draft, service, container));
    grounds.certain.extend(draft.intent.mounted.get(&container.id).and_then(|mounted| mounted.recreate.clone()));
    grounds
}

fn policy(draft: &Draft<'_>, name: &str, container: &ObservedContainer) -> Policy {
    let intent = draft.intent;
    let named = intent.services.is_empty() || intent.services.iter().any(|s| s == name);
    match named {
        _ if intent.no_recreate => Policy::Never,
        _ if intent.earlier.created(container) => Policy::Diverged,
        true if intent.force_recreate => Policy::Force("replacement was asked for"),
        true if intent.renew_anon_volumes => Policy::Force("fresh anonymous volumes were asked for"),
        false if intent.always_recreate_deps => Policy::Force("replacement of dependencies was asked for"),
        _ => Policy::Diverged,
    }
}

fn configuration(
    draft: &Draft<'_>,
    name: &str,
    service: &Service,
    references: &References,
    container: &ObservedContainer,
) -> Option<String> {
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
        return Some(in_words(&differences));
    }
    let targets: BTreeSet<&str> = sharing::shares(service).into_iter().map(|(_, target)| target).collect();
    if old == now && !targets.is_empty() {
        let targets: Vec<&str> = targets.into_iter().collect();
        return Some(format!("shares with {}, which has another container now", targets.join(", ")));
    }
    Some(format!("configuration changed (config-hash {} -> {})", short(&container.config_hash), short(&expected)))
}

/// `environment A changed`, `environment B changed`, `image changed` -> `environment A, B and image changed` would
/// need grammar; a plain list reads well enough.
fn in_words(differences: &[String]) -> String {
    differences.join(", ")
}

fn image(draft: &Draft<'_>, name: &str, service: &Service, container: &ObservedContainer, grounds: &mut Grounds) {
    let image = service.image_name(&draft.project.name, name);
    let label = &container.image_label;
    if label.is_empty() {
        grounds.certain.push("label com.docker.compose.image is missing, its image is not known".to_owned());
        return;
    }
    if let Some(cause) = draft.changing.get(&image) {
        let condition = Condition::ImageChanged { service: name.to_owned(), image, running: label.clone() };
        grounds.possible.push((condition, cause.clone()));
        return;
    }
    let current = draft.observed.images.get(&image).and_then(|state| state.id.as_ref());
    if let Some(current) = current.filter(|id| *id != label) {
        grounds.certain.push(format!("image {image} is another one now ({} -> {})", short(label), short(current)));
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
            grounds.possible.push((condition, format!("mounted at {target}: {cause}")));
            continue;
        }
        let current = draft.observed.images.get(image).and_then(|state| state.id.as_deref());
        if let Some(current) = current.filter(|id| id != running) {
            grounds.certain.push(format!(
                "image {image}, mounted at {target}, is another one now ({} -> {})",
                short(running),
                short(current)
            ));
        }
    }
}

fn network(draft: &Draft<'_>, service: &Service, container: &ObservedContainer) -> Option<String> {
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
            Some(_) => format!("not attached to network {key}"),
            None => format!("network {key} is created anew"),
        });
    }
    None
}

fn volume(draft: &Draft<'_>, service: &Service, container: &ObservedContainer) -> Option<String> {
    let named = service.volumes.iter().filter(|m| m.r#type == "volume" && !m.source.is_empty());
    named.into_iter().find_map(|mount| {
        let name = resources::volume_name(draft, &mount.source);
        let mounted = container.mounts.iter().any(|m| m.kind == "volume" && m.name == name);
        (!mounted).then(|| format!("volume {} is not mounted", mount.source))
    })
}
