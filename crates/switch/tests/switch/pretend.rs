//! A pretended engine that carries plans out, so far as they bring up what switched stacks become.

use std::collections::BTreeMap;

use turnout_compose::{
    hash, labels,
    model::{Project, Service},
};
use turnout_plan::{
    Action, ImageState, Intent, Observed, ObservedContainer, ObservedMount, ObservedNetwork, ObservedVolume, RunState,
    check, converge,
};

/// What the engine holds of one project.
#[derive(Debug, Clone, Default)]
pub struct Pretend {
    pub observed: Observed,
    made: usize,
}

impl Pretend {
    /// An engine with all images and external networks and volumes that a project wants.
    pub fn of(project: &Project) -> Pretend {
        let mut new = Pretend::default();
        for (name, service) in &project.services {
            let state = ImageState { id: Some("sha256:1".into()), healthcheck: true, ..ImageState::default() };
            new.observed.images.insert(service.image_name(&project.name, name), state);
        }
        for (key, network) in &project.networks {
            if let Some(network) = network.as_ref().filter(|network| network.external) {
                new.network(key, &network.name, BTreeMap::new());
            }
        }
        for (key, volume) in &project.volumes {
            if let Some(volume) = volume.as_ref().filter(|volume| volume.external) {
                let made = ObservedVolume { name: volume.name.clone(), labels: BTreeMap::new() };
                new.observed.volumes.insert(key.clone(), made);
            }
        }
        new
    }

    /// Plans a project and carries it out; what was done, in words.
    pub fn up(&mut self, project: &Project, intent: &Intent) -> Vec<String> {
        let plan = converge(project, &self.observed, intent).unwrap_or_else(|error| panic!("{error}"));
        check(&plan).unwrap_or_else(|error| panic!("{error}"));
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
        plan.steps.iter().filter_map(|step| self.act(project, &step.action)).collect()
    }

    fn act(&mut self, project: &Project, action: &Action) -> Option<String> {
        Some(match action {
            Action::CreateNetwork { key, name } => {
                let hash = hash::network_hash(project.networks[key].as_ref().unwrap());
                let pairs = [(labels::PROJECT, &project.name), (labels::NETWORK, key), (labels::CONFIG_HASH, &hash)];
                self.network(key, name, pairs.map(|(key, value)| (key.to_owned(), value.clone())).into());
                format!("network {name}")
            }
            Action::CreateVolume { key, name } => {
                let hash = hash::volume_hash(project.volumes[key].as_ref().unwrap());
                let pairs = [(labels::PROJECT, &project.name), (labels::CONFIG_HASH, &hash)];
                let labels = pairs.map(|(key, value)| (key.to_owned(), value.clone())).into();
                self.observed.volumes.insert(key.clone(), ObservedVolume { name: name.clone(), labels });
                format!("volume {name}")
            }
            Action::CreateContainer { service, number, create_as, replaces: None, .. } => {
                self.container(project, service, *number, create_as);
                format!("create {service}")
            }
            Action::StartContainer { service, name, .. } => {
                let found = self.observed.containers.iter_mut().find(|container| container.name == *name).unwrap();
                found.state = if is_job(project, service) { RunState::Exited(0) } else { RunState::Running };
                found.started = Some(i128::try_from(self.made).unwrap());
                self.made += 1;
                format!("start {service}")
            }
            Action::WaitFor { .. } => return None,
            other => panic!("{other:?}"),
        })
    }

    fn id(&mut self) -> String {
        self.made += 1;
        format!("{:064x}", self.made)
    }

    fn network(&mut self, key: &str, name: &str, labels: BTreeMap<String, String>) {
        let network = ObservedNetwork { id: self.id(), name: name.to_owned(), labels, ..ObservedNetwork::default() };
        self.observed.networks.insert(key.to_owned(), network);
    }

    fn container(&mut self, project: &Project, name: &str, number: u32, container: &str) {
        let service = &project.services[name];
        let networks = service.networks.keys().map(|key| {
            let network = &self.observed.networks[key];
            (network.name.clone(), network.id.clone())
        });
        let mounts = service.volumes.iter().filter(|mount| mount.r#type == "volume" && !mount.source.is_empty());
        let mounts = mounts.map(|mount| {
            let name = self.observed.volumes[&mount.source].name.clone();
            ObservedMount { kind: "volume".into(), name, target: mount.target.clone(), ..ObservedMount::default() }
        });
        let mut created = ObservedContainer {
            id: String::new(),
            name: container.to_owned(),
            service: name.to_owned(),
            number: Some(number),
            oneoff: false,
            config_hash: self.hash(service),
            image_label: "sha256:1".into(),
            image_id: "sha256:1".into(),
            state: RunState::Created,
            started: None,
            labels: [(labels::ONEOFF.to_owned(), "False".to_owned())].into(),
            networks: networks.collect(),
            mounts: mounts.collect(),
        };
        created.id = self.id();
        self.observed.containers.push(created);
    }

    fn hash(&self, service: &Service) -> String {
        let first = |container: &ObservedContainer| (container.service.clone(), container.id.clone());
        let ids = self.observed.containers.iter().rev().map(first).collect();
        hash::service_hash(&hash::with_container_refs(service, &ids))
    }
}

fn is_job(project: &Project, name: &str) -> bool {
    let all = project.services.values().chain(project.set_aside.values());
    all.filter_map(|other| other.depends_on.get(name)).any(|edge| edge.condition == "service_completed_successfully")
}
