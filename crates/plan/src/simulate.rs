//! A pretended engine for tests: carries out plans on a value.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use turnout_compose::{
    hash, labels,
    model::{Project, Service},
};

/// What the pretended engine holds, and how it answers.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub observed: Observed,
    /// Image IDs that builds and pulls yield; without an entry a present image stays, an absent one appears.
    pub yields: BTreeMap<String, String>,
    /// Images that no registry has.
    pub unknown: BTreeSet<String>,
    /// Containers that go for certain, or whose replacement is there: nobody refers to them any more.
    superseded: BTreeSet<String>,
    /// What the last plan has created, by the name that it was created under.
    pub attempts: BTreeMap<String, Attempt>,
    /// By container: those in whose namespaces it lives.
    owners: BTreeMap<String, Vec<String>>,
    /// Containers that are not the project's and were taken out of a network, and the name of that.
    out: Vec<(Existing, String)>,
    next: u64,
}

impl World {
    pub fn fresh_id(&mut self) -> String {
        self.next += 1;
        format!("{:012x}{:052x}", self.next + 0xab00, self.next)
    }

    /// Carries out a plan; says which steps were executed.
    pub fn apply(&mut self, project: &Project, plan: &Plan) -> Vec<bool> {
        self.apply_first(project, plan, plan.steps.len())
    }

    /// Carries out that many steps of a plan.
    pub fn apply_first(&mut self, project: &Project, plan: &Plan, count: usize) -> Vec<bool> {
        let mut did: Vec<bool> = Vec::new();
        let certain = plan.steps.iter().filter(|step| step.only_if == Condition::Always);
        let removed = certain.filter_map(|step| match &step.action {
            Action::RemoveContainer { id, .. } => Some(id.clone()),
            _ => None,
        });
        self.superseded = removed.collect();
        self.attempts.clear();
        for step in plan.steps.iter().take(count) {
            let runs = self.holds(&step.only_if, &did) && self.act(project, &step.action);
            did.push(runs);
        }
        did
    }

    fn holds(&self, condition: &Condition, did: &[bool]) -> bool {
        match condition {
            Condition::Always => true,
            Condition::ImageChanged { image, running, .. } => {
                self.observed.images.get(image).and_then(|i| i.id.as_ref()) != Some(running)
            }
            Condition::AnyDid(steps) => steps.iter().any(|id| did[*id]),
            Condition::DidNot(step) => !did[*step],
            Condition::AnyOf(parts) => parts.iter().any(|part| self.holds(part, did)),
        }
    }

    /// Returns whether the step did something; only a tolerated pull may not, and what runs before a start that is none.
    fn act(&mut self, project: &Project, action: &Action) -> bool {
        match action {
            Action::Pull { image, tolerate_failure, .. } => {
                if self.unknown.contains(image) {
                    assert!(tolerate_failure, "pull of {image} failed");
                    return false;
                }
                self.image(image);
            }
            Action::Build { image, .. } => self.image(image),
            Action::CreateNetwork { key, name } => {
                assert!(self.observed.networks.get(key).is_none_or(|n| n.name != *name), "network {name} exists");
                self.network(project, key, name);
            }
            Action::TryNetwork { key, trial, .. } => {
                let mut tried = self.observed.networks.get(key).expect("nothing to replace").clone();
                assert!(self.observed.former_networks.iter().all(|(_, other)| other.name != *trial), "{trial} exists");
                (tried.id, tried.name) = (self.fresh_id(), trial.clone());
                self.observed.former_networks.push((key.clone(), tried));
            }
            Action::RemoveNetwork { name, id: None, .. } => {
                let before = self.observed.former_networks.len();
                self.observed.former_networks.retain(|(_, network)| network.name != *name);
                assert_eq!(self.observed.former_networks.len() + 1, before, "{name} was not tried");
            }
            Action::DisconnectContainer { network, network_id, container } => {
                if let Some(ours) = self.observed.containers.iter_mut().find(|c| c.id == container.id) {
                    let left = ours.networks.remove(network);
                    assert_eq!(left.as_ref(), Some(network_id), "{} in {network}", container.name);
                } else {
                    let within = self.networks_mut().find(|n| n.id == *network_id).unwrap();
                    let before = within.strangers.len();
                    within.strangers.retain(|stranger| stranger.id != container.id);
                    assert_eq!(within.strangers.len() + 1, before, "{} is not in {network}", container.name);
                    self.out.push((container.clone(), network.clone()));
                }
            }
            Action::ConnectContainer { network, container, as_it_was } => {
                let found = self.networks().find(|n| n.name == *network).map(|n| n.id.clone());
                let id = found.unwrap_or_else(|| panic!("no network {network}"));
                if let Some(connected) = self.observed.containers.iter_mut().find(|c| c.id == container.id) {
                    assert!(*as_it_was || connected.state != RunState::Running, "{} runs", container.name);
                    connected.networks.insert(network.clone(), id);
                } else {
                    let had = self.out.iter().position(|(out, from)| out == container && from == network);
                    assert!(*as_it_was && had.is_some(), "{} was never in {network}", container.name);
                    had.map(|at| self.out.remove(at));
                    self.networks_mut().filter(|n| n.id == id).for_each(|n| n.strangers.push(container.clone()));
                }
            }
            Action::CreateVolume { key, name } => self.volume(project, key, name),
            Action::RenameContainer { id, from, to, .. } => {
                assert!(self.named(to).is_none(), "{to} is taken");
                let container = match id {
                    Some(id) => self.find_mut(id),
                    None => self.named(from).unwrap_or_else(|| panic!("no container {from}")),
                };
                assert_eq!(container.name, *from);
                container.name = to.clone();
            }
            Action::CreateContainer { service, number, create_as, replaces, .. } => {
                if let Some(old) = replaces {
                    assert_eq!(self.find(&old.id).unwrap().name, old.name);
                    self.superseded.insert(old.id.clone());
                }
                self.container(project, service, *number, create_as);
            }
            Action::StopContainer { id, .. } => {
                let container = self.find_mut(id);
                if is_live(container.state) {
                    container.state = RunState::Exited(143);
                }
            }
            Action::RemoveContainer { id, reason: Removal::StepLeft, .. } => {
                self.observed.step_containers.retain(|c| c.id != *id);
            }
            Action::RemoveContainer { id, .. } => {
                assert!(!is_live(self.find(id).unwrap().state), "it runs");
                self.observed.containers.retain(|c| c.id != *id);
            }
            Action::RestartContainer { id, .. } => self.restart(id),
            Action::SignalContainer { id, .. } => assert!(self.find(id).is_some()),
            Action::UnpauseContainer { id, .. } => {
                let container = self.find_mut(id);
                assert_eq!(container.state, RunState::Paused);
                container.state = RunState::Running;
            }
            Action::WaitFor { service, condition, .. } => {
                if condition == "service_completed_successfully" {
                    let first = self.observed.containers.iter_mut().find(|c| c.service == *service);
                    first
                        .into_iter()
                        .filter(|c| c.state == RunState::Running)
                        .for_each(|c| c.state = RunState::Exited(0));
                }
                let states: Vec<RunState> =
                    self.observed.containers.iter().filter(|c| c.service == *service).map(|c| c.state).collect();
                match condition.as_str() {
                    "service_completed_successfully" => assert_eq!(states[0], RunState::Exited(0)),
                    "service_started" => assert!(!states.contains(&RunState::Created), "{service}: {states:?}"),
                    _ => assert!(states.contains(&RunState::Running), "{service}: {states:?}"),
                }
            }
            Action::RunPreStart { service, name, beside, .. } => {
                let of_service = self.observed.containers.iter().filter(|c| c.service == *service);
                assert!(of_service.clone().any(|c| c.name == *beside), "no container {beside}");
                if of_service.clone().any(|c| c.state == RunState::Running) {
                    return false;
                }
                assert!(self.observed.step_containers.iter().all(|c| c.name != *name), "{name} is taken");
            }
            Action::StartContainer { service, name, .. } => {
                let ends = is_job(project, service);
                self.next += 1;
                let now = i128::from(self.next);
                let container = self.observed.containers.iter_mut().find(|c| c.name == *name);
                let container = container.unwrap_or_else(|| panic!("no container {name}"));
                assert!(!matches!(container.state, RunState::Dead | RunState::Removing), "{name} is going");
                for (network, id) in &mut container.networks {
                    let found = self.observed.networks.values().find(|n| n.name == *network);
                    let found = found.unwrap_or_else(|| panic!("{name}: no network {network}"));
                    assert!(id.is_empty() || *id == found.id, "{name}: network {network} with ID {id} not found");
                    *id = found.id.clone();
                }
                // Attachments that an interruption left out are made before the start, of those that have several.
                let attached = project.services.get(service).filter(|service| service.networks.len() > 1);
                for key in attached.into_iter().flat_map(|service| service.networks.keys()) {
                    if let Some(network) = self.observed.networks.get(key) {
                        container.networks.entry(network.name.clone()).or_insert_with(|| network.id.clone());
                    }
                }
                let id = container.id.clone();
                for owner in self.owners.get(&id).into_iter().flatten() {
                    let state = self.find(owner).map(|owner| owner.state);
                    // A job may still be at it.
                    let runs = matches!(state, Some(RunState::Running | RunState::Paused | RunState::Exited(0)));
                    assert!(runs, "{name} lives in namespaces of {owner}, which is {state:?}");
                }
                let container = self.find_mut(&id);
                container.started = Some(now);
                container.state = if ends { RunState::Exited(0) } else { RunState::Running };
            }
            Action::AwaitReady { name, .. } => {
                let state = self.named(name).map(|container| container.state);
                assert_eq!(state, Some(RunState::Running), "{name}");
            }
            Action::RemoveNetwork { key, name, id, reason } => {
                let within = self.observed.containers.iter().find(|c| c.networks.get(name) == id.as_ref());
                let strangers = self.networks().find(|n| Some(&n.id) == id.as_ref()).map_or(0, |n| n.strangers.len());
                let used = within.is_some() || strangers > 0;
                assert!(
                    *reason != NetworkRemoval::Replaced || !used,
                    "network in use by {within:?}, {strangers} others"
                );
                if self.observed.networks.get(key).is_some_and(|network| Some(&network.id) == id.as_ref()) {
                    self.observed.networks.remove(key);
                }
                self.observed.former_networks.retain(|(_, network)| Some(&network.id) != id.as_ref());
                self.observed.network_twins.retain(|(_, network)| Some(&network.id) != id.as_ref());
            }
            Action::RemoveVolume { key, name, replaced } => {
                let user = self.observed.containers.iter().find(|c| c.mounts.iter().any(|m| m.name == *name));
                assert!(!replaced || user.is_none(), "volume in use by {user:?}");
                self.observed.volumes.remove(key);
            }
            Action::RemoveImage { image } => drop(self.observed.images.remove(image)),
        }
        true
    }

    /// By a step, or by somebody's hand.
    pub fn restart(&mut self, id: &str) {
        self.next += 1;
        let now = i128::from(self.next);
        let container = self.find_mut(id);
        (container.state, container.started) = (RunState::Running, Some(now));
    }

    /// All networks, as the engine holds them.
    pub fn networks(&self) -> impl Iterator<Item = &ObservedNetwork> {
        let Observed { networks, former_networks, network_twins, .. } = &self.observed;
        networks.values().chain(former_networks.iter().chain(network_twins).map(|(_, network)| network))
    }

    fn networks_mut(&mut self) -> impl Iterator<Item = &mut ObservedNetwork> {
        let Observed { networks, former_networks, network_twins, .. } = &mut self.observed;
        networks.values_mut().chain(former_networks.iter_mut().chain(network_twins).map(|(_, network)| network))
    }

    fn find(&self, id: &str) -> Option<&ObservedContainer> {
        self.observed.containers.iter().find(|c| c.id == id)
    }

    fn find_mut(&mut self, id: &str) -> &mut ObservedContainer {
        self.observed.containers.iter_mut().find(|c| c.id == id).unwrap_or_else(|| panic!("no container {id}"))
    }

    pub fn named(&mut self, name: &str) -> Option<&mut ObservedContainer> {
        self.observed.containers.iter_mut().find(|c| c.name == name)
    }

    fn image(&mut self, image: &str) {
        let state = self.observed.images.entry(image.to_owned()).or_default();
        let next = self.yields.get(image).cloned().or_else(|| state.id.clone());
        state.id = Some(next.unwrap_or_else(|| format!("sha256:{image}-1")));
        state.lacking.clear();
    }

    fn network(&mut self, project: &Project, key: &str, name: &str) {
        let id = self.fresh_id();
        let definition = project.networks[key].clone().unwrap();
        let labels = labels_of(&[
            (labels::PROJECT, &project.name),
            (labels::NETWORK, key),
            (labels::CONFIG_HASH, &hash::network_hash(&definition)),
        ]);
        let network = ObservedNetwork { id, name: name.to_owned(), labels, ..ObservedNetwork::default() };
        self.observed.networks.insert(key.to_owned(), network);
    }

    fn volume(&mut self, project: &Project, key: &str, name: &str) {
        let definition = project.volumes[key].clone().unwrap();
        let labels =
            labels_of(&[(labels::PROJECT, &project.name), (labels::CONFIG_HASH, &hash::volume_hash(&definition))]);
        self.observed.volumes.insert(key.to_owned(), ObservedVolume { name: name.to_owned(), labels });
    }

    fn container(&mut self, project: &Project, name: &str, number: u32, container: &str) {
        assert!(self.named(container).is_none(), "{container} is taken");
        let service = &project.services[name];
        let image = service.image_name(&project.name, name);
        let image_id = self.observed.images.get(&image).and_then(|i| i.id.clone());
        let image_id = image_id.unwrap_or_else(|| panic!("no image {image}"));
        let mut labels = labels_of(&[
            (labels::PROJECT, &project.name),
            (labels::ONEOFF, "False"),
            (labels::CONTAINER_NUMBER, &number.to_string()),
            (attributes::LABEL, &attributes::fingerprint(&project.name, name, service)),
        ]);
        let images = service.volumes.iter().filter(|mount| mount.r#type == "image").map(|mount| {
            let id = self.observed.images.get(&mount.source).and_then(|image| image.id.clone());
            (mount.target.clone(), id.unwrap_or_else(|| panic!("no image {}", mount.source)))
        });
        labels.insert(labels::IMAGE_VOLUMES.to_owned(), labels::image_volumes_value(&images.collect()));
        labels.insert(labels::DEPENDS_ON.to_owned(), labels::depends_on_value(project, service));
        let networks = service.networks.keys().map(|key| {
            let network = self.observed.networks.get(key).unwrap_or_else(|| panic!("no network {key}"));
            (network.name.clone(), network.id.clone())
        });
        let mounts = service.volumes.iter().filter(|m| m.r#type == "volume" && !m.source.is_empty()).map(|m| {
            let name = self.observed.volumes[&m.source].name.clone();
            ObservedMount { kind: "volume".to_owned(), name, target: m.target.clone(), ..ObservedMount::default() }
        });
        let created = ObservedContainer {
            id: String::new(),
            name: container.to_owned(),
            service: name.to_owned(),
            number: Some(number),
            oneoff: false,
            config_hash: self.hash(service),
            image_label: image_id.clone(),
            image_id,
            state: RunState::Created,
            started: None,
            labels,
            networks: networks.collect(),
            mounts: mounts.collect(),
        };
        let id = self.fresh_id();
        let attempt =
            Attempt { config_hash: created.config_hash.clone(), id: Some(id.clone()), answered: true, adopted: false };
        self.attempts.insert(container.to_owned(), attempt);
        let firsts = self.firsts();
        let owners = namespace_owners(service).filter_map(|owner| firsts.get(owner).cloned()).collect();
        self.owners.insert(id.clone(), owners);
        self.observed.containers.push(ObservedContainer { id, ..created });
    }

    fn hash(&self, service: &Service) -> String {
        hash::service_hash(&hash::with_container_refs(service, &self.firsts()))
    }

    /// By service: the container that others refer to.
    fn firsts(&self) -> BTreeMap<String, String> {
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        let staying = |c: &&ObservedContainer| !c.oneoff && !self.superseded.contains(&c.id);
        let mut containers: Vec<_> = self.observed.containers.iter().filter(staying).collect();
        containers.sort_by_key(|c| std::cmp::Reverse(labels::first_of_names(&c.name)));
        for container in containers {
            ids.insert(container.service.clone(), container.id.clone());
        }
        ids
    }
}

fn is_live(state: RunState) -> bool {
    matches!(state, RunState::Running | RunState::Paused | RunState::Restarting)
}

/// In these tests a job is what somebody waits for to complete, or what says so.
fn is_job(project: &Project, name: &str) -> bool {
    project.services[name].labels.get(labels::TURNOUT_JOB).is_some_and(|v| v == "true")
        || project
            .services
            .values()
            .any(|s| s.depends_on.get(name).is_some_and(|edge| edge.condition == "service_completed_successfully"))
}

pub(super) fn labels_of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
