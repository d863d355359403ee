//! Second phase: networks and volumes. Looks at external ones before anything else happens.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{
    Action, Cause, Condition, Existing, NetworkCause, NetworkRemoval, ObservedContainer, PlanError, Removal, RunState,
    StepId, VolumeCause,
};
use super::draft::NetworkFate;
use super::{Draft, stops, swaps, trial};
use turnout_compose::{
    hash, labels,
    model::{Network, Volume},
};

/// Missing networks and volumes that an error names; of the others it gives the number.
const NAMED: usize = 20;

/// Fails, naming them, when external networks or volumes do not exist.
pub(super) fn require_externals(draft: &Draft<'_>) -> Result<(), PlanError> {
    let mut missing = Vec::new();
    for (key, network) in networks_used(draft) {
        if network.external && !draft.observed.networks.contains_key(&key) {
            missing.push(format!("network {} declared as external, but could not be found", network.name));
        }
    }
    for (key, volume) in volumes_used(draft) {
        if volume.external && !draft.observed.volumes.contains_key(&key) {
            missing.push(format!("external volume {:?} not found", volume.name));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let more = missing.len().saturating_sub(NAMED);
    missing.truncate(NAMED);
    let named = missing.join(", ");
    Err(PlanError::ExternalMissing(if more == 0 { named } else { format!("{named} and {more} more") }))
}

/// Networks and volumes: what is missing is created first, so that nothing is stopped for a replacement before that has
/// worked.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), PlanError> {
    twins(draft);
    let networks = networks(draft)?;
    let volumes = volumes(draft);
    for Changed { key, name, id: _, cause } in &networks {
        let tried = trial::plan(draft, key, name, cause);
        draft.made.extend(tried);
    }
    for Changed { key, name, id, cause } in networks {
        replace_network(draft, &key, &name, &id, &cause);
    }
    for Changed { key, name, id: _, cause } in volumes {
        match obstacle(draft, &name) {
            Some(user) => {
                draft.warn(format!("{cause}; it is kept, because {user} uses it and has no part in this plan"))
            }
            None => replace_volume(draft, &key, &name, &cause.with_loss().into()),
        }
    }
    Ok(())
}

/// Removes networks of the project that no service knows any more, after everything else: what used them is gone then, or
/// has been replaced. Those that something left in place uses stay, and so do volumes, always.
pub(super) fn idle_networks(draft: &mut Draft<'_>) {
    if !draft.intent.remove_idle_networks {
        return;
    }
    let project = draft.project;
    let idle = |key: &String| project.disabled_services.values().any(|service| service.networks.contains_key(key));
    let unnamed = draft.observed.networks.iter().filter(|(key, _)| !project.networks.contains_key(*key));
    let unnamed = unnamed.map(|(key, network)| (key, network, NetworkCause::Gone(key.clone())));
    let former = draft.observed.former_networks.iter().map(|(key, network)| {
        let now = project.networks.get(key).and_then(Option::as_ref);
        (key, network, NetworkCause::Renamed { key: key.clone(), to: now.map(|now| now.name.clone()) })
    });
    for (key, network, cause) in unnamed.chain(former) {
        if removes(draft, &network.id) {
            continue;
        }
        let own = network.labels.get(labels::PROJECT).is_some_and(|name| *name == project.name);
        if !own || idle(key) {
            continue;
        }
        let uses = |c: &&ObservedContainer| c.networks.values().any(|id| *id == network.id);
        let goes = |c: &ObservedContainer| {
            draft.plan.steps.iter().any(|step| {
                matches!(&step.action, Action::RemoveContainer { id, .. } if *id == c.id)
                    && step.only_if == Condition::Always
            })
        };
        if let Some(user) = draft.observed.containers.iter().filter(uses).find(|c| !goes(c)) {
            draft.plan.unchanged.push(format!("network {}: still in use by {}", network.name, user.name));
            continue;
        }
        let action = Action::RemoveNetwork {
            key: key.clone(),
            name: network.name.clone(),
            id: Some(network.id.clone()),
            reason: NetworkRemoval::Unused,
        };
        let after = draft.ends();
        draft.push(action, cause, after, Condition::Always);
    }
}

/// Removes networks beside others of the same name, which the engine could not tell apart.
fn twins(draft: &mut Draft<'_>) {
    let observed = draft.observed;
    let after = draft.foundation();
    for (key, twin) in &observed.network_twins {
        let action = Action::RemoveNetwork {
            key: key.clone(),
            name: twin.name.clone(),
            id: Some(twin.id.clone()),
            reason: NetworkRemoval::Twin,
        };
        let cause = NetworkCause::Twin { stays: name_twin(draft, twin) };
        let step = draft.push(action, cause, after.clone(), Condition::Always);
        draft.made.push(step);
    }
}

/// The ID of the network that has the same name.
fn name_twin<'a>(draft: &Draft<'a>, twin: &super::super::ObservedNetwork) -> String {
    let other = draft.observed.networks.values().find(|network| network.name == twin.name);
    other.map(|network| network.id.clone()).unwrap_or_default()
}

/// Whether the plan removes a network already, as one that was tried.
fn removes(draft: &Draft<'_>, network: &str) -> bool {
    draft
        .plan
        .steps
        .iter()
        .any(|step| matches!(&step.action, Action::RemoveNetwork { id, .. } if id.as_deref() == Some(network)))
}

/// A network or volume that is to be replaced. Volumes have no ID.
struct Changed<C> {
    key: String,
    name: String,
    id: String,
    cause: C,
}

/// Creates or adopts networks; returns those that changed.
fn networks(draft: &mut Draft<'_>) -> Result<Vec<Changed<Cause>>, PlanError> {
    let mut changed = Vec::new();
    for (key, network) in networks_used(draft) {
        let name = network.name.clone();
        let found = draft.observed.networks.get(&key).filter(|n| network.external || n.name == name);
        let Some(found) = found else {
            let cause = NetworkCause::Absent(name.clone());
            let action = Action::CreateNetwork { key: key.clone(), name };
            let step = draft.push(action, cause, Vec::new(), Condition::Always);
            draft.made.push(step);
            draft.networks.insert(key, NetworkFate::New(step));
            continue;
        };
        draft.networks.insert(key.clone(), NetworkFate::Stays(found.id.clone()));
        if network.external {
            continue;
        }
        let label = found.labels.get(labels::NETWORK).map_or("", String::as_str);
        if label != key {
            return Err(PlanError::NetworkLabel { name, key, found: label.to_owned() });
        }
        if let Some(stranger) = stranger(draft, &found.labels) {
            draft.warn(format!(
                "network {name} exists but {stranger}; it is used as it is (set `external: true` to say so)"
            ));
            continue;
        }
        let hash = found.labels.get(labels::CONFIG_HASH).map_or("", String::as_str);
        let expected = hash::network_hash(&network);
        if hash.is_empty() || hash == expected {
            continue;
        }
        let cause = NetworkCause::Changed { name: name.clone(), from: hash.to_owned(), to: expected }.into();
        changed.push(Changed { key, name, id: found.id.clone(), cause });
    }
    Ok(changed)
}

/// Creates or adopts volumes; returns those that changed and may be replaced. Their data is lost only with consent.
fn volumes(draft: &mut Draft<'_>) -> Vec<Changed<VolumeCause>> {
    let mut changed = Vec::new();
    for (key, volume) in volumes_used(draft) {
        let name = volume.name.clone();
        let found = draft.observed.volumes.get(&key).filter(|v| volume.external || v.name == name);
        let Some(found) = found else {
            let cause = VolumeCause::Absent(name.clone());
            let action = Action::CreateVolume { key: key.clone(), name };
            let step = draft.push(action, cause, Vec::new(), Condition::Always);
            draft.made.push(step);
            draft.volume_steps.insert(key, step);
            continue;
        };
        if volume.external {
            continue;
        }
        let stranger = stranger(draft, &found.labels);
        if let Some(stranger) = &stranger {
            draft.warn(format!(
                "volume {name} exists but {stranger}; it is used as it is (set `external: true` to say so)"
            ));
        }
        let expected = hash::volume_hash(&volume);
        let Some(hash) = found.labels.get(labels::CONFIG_HASH).filter(|hash| **hash != expected) else { continue };
        let cause = VolumeCause::Changed { name: name.clone(), from: hash.clone(), to: expected, lost: false };
        if stranger.is_some() {
            continue;
        }
        if draft.intent.yes_recreate_volumes {
            changed.push(Changed { key, name, id: String::new(), cause });
        } else {
            let how = match draft.intent.without_flags {
                true => format!(
                    "to have it empty, run `turnout compose -p {} down` and `docker volume rm {name}`, then deploy",
                    draft.project.name
                ),
                false => "to recreate it empty, agree with --yes".to_owned(),
            };
            draft.warn(format!("{cause}; it is kept with its data ({how})"));
        }
    }
    changed
}

/// Definitions of the networks that the services taking part use, each with its name filled in.
fn networks_used(draft: &Draft<'_>) -> BTreeMap<String, Network> {
    let mut keys: BTreeSet<&String> =
        draft.selected().iter().flat_map(|(_, s)| s.with_steps()).flat_map(|s| s.networks.keys()).collect();
    if draft.intent.all_resources {
        keys.extend(draft.project.networks.keys());
    }
    keys.into_iter().map(|key| (key.clone(), network_named(draft, key))).collect()
}

fn network_named(draft: &Draft<'_>, key: &str) -> Network {
    let mut network = draft.project.networks.get(key).cloned().flatten().unwrap_or_default();
    if network.name.is_empty() {
        network.name = labels::resource_name(&draft.project.name, key);
    }
    network
}

/// As [`networks_used`], for named volumes.
fn volumes_used(draft: &Draft<'_>) -> BTreeMap<String, Volume> {
    let mounts = draft.selected().into_iter().flat_map(|(_, s)| s.with_steps()).flat_map(|s| s.volumes.iter());
    let mut keys: BTreeSet<&String> =
        mounts.filter(|m| m.r#type == "volume" && !m.source.is_empty()).map(|m| &m.source).collect();
    if draft.intent.all_resources {
        keys.extend(draft.project.volumes.keys());
    }
    keys.into_iter().map(|key| (key.clone(), volume_named(draft, key))).collect()
}

fn volume_named(draft: &Draft<'_>, key: &str) -> Volume {
    let mut volume = draft.project.volumes.get(key).cloned().flatten().unwrap_or_default();
    if volume.name.is_empty() {
        volume.name = labels::resource_name(&draft.project.name, key);
    }
    volume
}

/// Engine name of a network; of an external one that is named by ID, the name that was found.
pub(super) fn network_name(draft: &Draft<'_>, key: &str) -> String {
    match draft.observed.networks.get(key) {
        Some(found) if draft.networks.get(key) == Some(&NetworkFate::Stays(found.id.clone())) => found.name.clone(),
        _ => network_named(draft, key).name,
    }
}

/// Engine name of a volume.
pub(super) fn volume_name(draft: &Draft<'_>, key: &str) -> String {
    volume_named(draft, key).name
}

/// Words for an object that is not the project's own: such are never changed or removed.
fn stranger(draft: &Draft<'_>, found: &BTreeMap<String, String>) -> Option<String> {
    match found.get(labels::PROJECT) {
        Some(project) if *project == draft.project.name => None,
        Some(project) => Some(format!("was created for project {project:?}")),
        None => Some("was not created by Compose".to_owned()),
    }
}

/// Stops who runs in it and takes part, takes everybody out, makes it anew and connects them again.
fn replace_network(draft: &mut Draft<'_>, key: &str, name: &str, id: &str, cause: &Cause) {
    let observed = draft.observed;
    let members: Vec<&ObservedContainer> =
        observed.containers.iter().filter(|c| c.networks.values().any(|n| n == id)).collect();
    let own = |c: &ObservedContainer| !c.oneoff && draft.is_selected(&c.service);
    let (own, others): (Vec<&ObservedContainer>, Vec<&ObservedContainer>) = members.into_iter().partition(|c| own(c));
    let mut after = draft.foundation();
    for member in &own {
        let stop_cause = NetworkCause::Replaced(name.to_owned()).into();
        let stopped = stops::stop(draft, member, &Condition::Always, &stop_cause);
        after.extend(stopped);
    }
    let existing =
        |c: &ObservedContainer| Existing { service: c.service.clone(), id: c.id.clone(), name: c.name.clone() };
    let strangers = observed.networks.get(key).map(|network| network.strangers.clone()).unwrap_or_default();
    let others = others.into_iter().map(existing).chain(strangers).map(|container| (container, true));
    let members: Vec<(Existing, bool)> = own.into_iter().map(|c| (existing(c), false)).chain(others).collect();
    let mut lead: Option<StepId> = None;
    let mut out = after.clone();
    for (container, _) in &members {
        let action = Action::DisconnectContainer {
            network: name.to_owned(),
            network_id: id.to_owned(),
            container: container.clone(),
        };
        let step = draft.push_part(lead, action, cause, after.clone(), Condition::Always);
        lead = lead.or(Some(step));
        out.push(step);
    }
    let action = Action::RemoveNetwork {
        key: key.to_owned(),
        name: name.to_owned(),
        id: Some(id.to_owned()),
        reason: NetworkRemoval::Replaced,
    };
    let removed = draft.push_part(lead, action, cause, out, Condition::Always);
    let lead = lead.or(Some(removed));
    let action = Action::CreateNetwork { key: key.to_owned(), name: name.to_owned() };
    let created = draft.push_part(lead, action, cause, vec![removed], Condition::Always);
    let mut steps = vec![created];
    for (container, as_it_was) in members {
        let id = container.id.clone();
        let action = Action::ConnectContainer { network: name.to_owned(), container, as_it_was };
        let step = draft.push_part(lead, action, cause, vec![created], Condition::Always);
        draft.connects.entry(id).or_default().push(step);
        steps.push(step);
    }
    draft.networks.insert(key.to_owned(), NetworkFate::Replaced { steps, old_id: id.to_owned() });
}

/// Somebody outside the plan whose container holds the volume.
fn obstacle(draft: &Draft<'_>, volume: &str) -> Option<String> {
    let users = draft.observed.containers.iter().filter(|c| mounts(c, volume));
    users.into_iter().find(|c| c.oneoff || !draft.is_selected(&c.service)).map(|c| format!("container {}", c.name))
}

fn mounts(container: &ObservedContainer, volume: &str) -> bool {
    container.mounts.iter().any(|mount| mount.kind == "volume" && mount.name == volume)
}

fn replace_volume(draft: &mut Draft<'_>, key: &str, name: &str, cause: &Cause) {
    let users: Vec<&ObservedContainer> =
        draft.observed.containers.iter().filter(|c| mounts(c, name) && c.state != RunState::Removing).collect();
    let mut after = draft.foundation();
    for user in users {
        let why = VolumeCause::Recreated(name.to_owned()).into();
        let mut before = draft.foundation();
        before.extend(stops::stop_dependents(draft, &user.service, &Condition::Always, &why));
        if let Some((step, _)) = draft.removed.get(&user.id) {
            after.push(*step);
            continue;
        }
        let step = swaps::remove_after(draft, user, Removal::Replaced, &why, before);
        draft.removed.insert(user.id.clone(), (step, why));
        after.push(step);
    }
    let action = Action::RemoveVolume { key: key.to_owned(), name: name.to_owned(), replaced: true };
    let removed = draft.push(action, cause.clone(), after, Condition::Always);
    let action = Action::CreateVolume { key: key.to_owned(), name: name.to_owned() };
    let created = draft.push_part(Some(removed), action, cause, vec![removed], Condition::Always);
    draft.volume_steps.insert(key.to_owned(), created);
}
