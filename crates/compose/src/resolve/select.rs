//! Which services are active (profiles, `--profile`, services named on the command line), and which resources they
//! leave used.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::LoadError,
    model::{Project, Service},
};
use turnout_report::nearest;

/// Splits services into active and disabled by their profiles.
pub(super) fn by_profiles(project: &mut Project, profiles: &[String]) {
    let mut all = std::mem::take(&mut project.services);
    all.append(&mut project.disabled_services);
    for (name, service) in all {
        let active = service.has_profile(profiles);
        let side = if active { &mut project.services } else { &mut project.disabled_services };
        side.insert(name, service);
    }
    project.profiles = profiles.to_vec();
}

/// Naming a disabled service activates its profiles, for the other services, too.
pub(super) fn enable(project: &mut Project, names: &[String]) {
    let mut profiles = project.profiles.clone();
    for name in names {
        if let Some(service) = project.disabled_services.get(name) {
            profiles.extend(service.profiles.iter().cloned());
        }
    }
    if profiles.len() > project.profiles.len() {
        by_profiles(project, &profiles);
    }
}

/// Keeps the named services and what they depend on; all when none is named.
pub(super) fn with_dependencies(project: &mut Project, names: &[String]) -> Result<(), LoadError> {
    if names.is_empty() {
        return Ok(());
    }
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let mut pending: Vec<(String, bool)> = names.iter().map(|name| (name.clone(), true)).collect();
    while let Some((name, required)) = pending.pop() {
        if wanted.contains(&name) {
            continue;
        }
        match project.services.get(&name) {
            Some(service) => {
                pending.extend(service.depends_on.iter().map(|(name, edge)| (name.clone(), edge.required)));
                wanted.insert(name);
            }
            None if !required => {}
            None if project.disabled_services.contains_key(&name) => {
                return Err(LoadError::new(format!("no such service: {name}: its profiles are not active")).hint(
                    "activate one with COMPOSE_PROFILES (in the environment or .env), or name this service, too",
                ));
            }
            None => {
                let known = project.services.keys().map(String::as_str);
                let hint = match nearest(&name, known.clone()) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
                };
                return Err(LoadError::new(format!("no such service: {name}")).hint(hint));
            }
        }
    }
    let (kept, mut dropped): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(&mut project.services).into_iter().partition(|(name, _)| wanted.contains(name));
    project.services = kept;
    project.disabled_services.append(&mut dropped);
    for service in project.services.values_mut() {
        service.depends_on.retain(|name, _| wanted.contains(name));
    }
    Ok(())
}

/// Drops networks, volumes, secrets, configs and models that no active service uses.
pub(super) fn prune(project: &mut Project) {
    let Project { services, networks, volumes, secrets, configs, models, .. } = project;
    let mut used = Used::default();
    for service in services.values().flat_map(Service::with_steps) {
        used.networks.extend(service.networks.keys().map(String::as_str));
        used.volumes
            .extend(service.volumes.iter().filter(|mount| mount.r#type == "volume").map(|mount| mount.source.as_str()));
        used.secrets.extend(service.secrets.iter().map(|secret| secret.source.as_str()));
        used.secrets.extend(service.build.iter().flat_map(|build| &build.secrets).map(|secret| secret.source.as_str()));
        used.configs.extend(service.configs.iter().map(|config| config.source.as_str()));
        used.models.extend(service.models.keys().map(String::as_str));
    }
    networks.retain(|key, _| used.networks.contains(key.as_str()));
    volumes.retain(|key, _| used.volumes.contains(key.as_str()));
    secrets.retain(|key, _| used.secrets.contains(key.as_str()));
    configs.retain(|key, _| used.configs.contains(key.as_str()));
    models.retain(|key, _| used.models.contains(key.as_str()));
}

#[derive(Default)]
struct Used<'a> {
    networks: BTreeSet<&'a str>,
    volumes: BTreeSet<&'a str>,
    secrets: BTreeSet<&'a str>,
    configs: BTreeSet<&'a str>,
    models: BTreeSet<&'a str>,
}
