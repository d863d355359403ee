//! What exists while a plan is carried out: the containers of the project and the images known so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bollard::models::EndpointSettings;
use turnout_compose::labels::first_of_names;
use turnout_plan::{Attempt, ObservedContainer, ObservedMount, RunState};

/// A container that is there now.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Its ID, all 64 digits.
    pub id: String,
    /// Name at present; a replacement has a temporary one first.
    pub name: String,
    /// The service that it is of.
    pub service: String,
    /// Number; one-offs have none.
    pub number: Option<u32>,
    /// `run` made it, and no service needs it.
    pub oneoff: bool,
    /// Running, paused or restarting: something would have to be stopped.
    pub active: bool,
    /// What it has mounted; whoever replaces it takes over its anonymous volumes.
    pub mounts: Vec<ObservedMount>,
    /// Names of the networks it was attached to when the run began; `None` for those made by the run itself.
    pub networks: Option<BTreeSet<String>>,
    /// ID of the container that it was made to replace, in this run.
    pub replaces: Option<String>,
}

/// Shared by all steps of a run; every access is short and never held across a request.
#[derive(Debug)]
pub struct World {
    state: Mutex<Guarded>,
}

#[derive(Debug)]
struct Guarded {
    containers: BTreeMap<String, Known>,
    images: BTreeMap<String, String>,
    leaving: BTreeSet<String>,
    left: Left,
}

/// What nobody but a run itself knows when it has ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Left {
    /// By container and network: how it was connected before it was taken out.
    pub endpoints: BTreeMap<(String, String), EndpointSettings>,
    /// Creations that the engine was asked for, by the name they were asked under.
    pub attempts: BTreeMap<String, Attempt>,
    /// IDs of containers that the engine was told to stop or restart without having answered yet.
    pub stopping: BTreeSet<String>,
}

impl Guarded {
    fn staying(&self) -> impl Iterator<Item = &Known> {
        self.containers.values().filter(|c| !c.oneoff && !self.leaving.contains(&c.id))
    }
}

impl World {
    /// Starts from what the engine lists. Those with an ID in `leaving` are removed for certain in this run: nobody
    /// refers to them or waits for them any more, whether or not they are gone yet.
    pub fn new(containers: Vec<ObservedContainer>, leaving: BTreeSet<String>) -> World {
        let containers = containers.into_iter().map(|c| {
            let known = Known {
                id: c.id.clone(),
                name: c.name,
                service: c.service,
                number: c.number,
                oneoff: c.oneoff,
                active: matches!(c.state, RunState::Running | RunState::Paused | RunState::Restarting),
                mounts: c.mounts,
                networks: Some(c.networks.into_keys().collect()),
                replaces: None,
            };
            (c.id, known)
        });
        let (images, left) = (BTreeMap::new(), Left::default());
        World { state: Mutex::new(Guarded { containers: containers.collect(), images, leaving, left }) }
    }

    fn state(&self) -> MutexGuard<'_, Guarded> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container by ID.
    pub fn by_id(&self, id: &str) -> Option<Known> {
        self.state().containers.get(id).cloned()
    }

    /// IDs of those that run.
    pub fn active(&self) -> BTreeSet<String> {
        self.state().containers.values().filter(|c| c.active).map(|c| c.id.clone()).collect()
    }

    /// Containers of a service by number, without one-offs and those that are leaving.
    pub fn of_service(&self, service: &str) -> Vec<Known> {
        let mut found: Vec<Known> = self.state().staying().filter(|c| c.service == service).cloned().collect();
        found.sort_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
        found
    }

    /// The container to start for a number, or by name when there is none.
    pub fn find(&self, service: &str, number: Option<u32>, name: &str) -> Option<Known> {
        let all = self.of_service(service);
        let named = all.iter().find(|c| c.name == name);
        named.or_else(|| all.iter().find(|c| number.is_some() && c.number == number)).cloned()
    }

    /// First container of every service: what `service:` references mean.
    pub fn first_ids(&self) -> BTreeMap<String, String> {
        let state = self.state();
        let mut first: BTreeMap<String, &Known> = BTreeMap::new();
        for container in state.staying() {
            let best = first.entry(container.service.clone()).or_insert(container);
            if first_of_names(&container.name) < first_of_names(&best.name) {
                *best = container;
            }
        }
        first.into_iter().map(|(service, container)| (service, container.id.clone())).collect()
    }

    /// Adds a container. Nobody refers to the one that it replaces any more.
    pub fn insert(&self, container: Known) {
        let mut state = self.state();
        state.leaving.extend(container.replaces.clone());
        state.containers.insert(container.id.clone(), container);
    }

    /// Forgets a container.
    pub fn remove(&self, id: &str) {
        self.state().containers.remove(id);
    }

    /// Notes a new name.
    pub fn rename(&self, id: &str, name: &str) {
        if let Some(container) = self.state().containers.get_mut(id) {
            name.clone_into(&mut container.name);
        }
    }

    /// Notes that a container runs, or not any more.
    pub fn set_active(&self, id: &str, active: bool) {
        if let Some(container) = self.state().containers.get_mut(id) {
            container.active = active;
        }
    }

    /// Notes how a container is connected to a network before it is taken out.
    pub fn took_out(&self, id: &str, network: &str, settings: EndpointSettings) {
        self.state().left.endpoints.insert((id.to_owned(), network.to_owned()), settings);
    }

    /// How a container was connected to a network; none where it was not.
    pub fn endpoint(&self, id: &str, network: &str) -> Option<EndpointSettings> {
        self.state().left.endpoints.get(&(id.to_owned(), network.to_owned())).cloned()
    }

    /// Goes on with what an earlier run knew.
    pub fn go_on(&self, left: Left) {
        self.state().left = left;
    }

    /// What somebody has to know who puts back.
    pub fn left(&self) -> Left {
        self.state().left.clone()
    }

    /// Notes what the engine is asked to create under a name, or has said of that.
    pub fn attempted(&self, create_as: &str, attempt: Attempt) {
        self.state().left.attempts.insert(create_as.to_owned(), attempt);
    }

    /// Notes that the engine is told to stop a container, or that it has answered.
    pub fn stopping(&self, id: &str, open: bool) {
        let stopping = &mut self.state().left.stopping;
        match open {
            true => stopping.insert(id.to_owned()),
            false => stopping.remove(id),
        };
    }

    /// ID of an image, if it was asked for or made in this run.
    pub fn image(&self, reference: &str) -> Option<String> {
        self.state().images.get(reference).cloned()
    }

    /// Notes the ID of an image.
    pub fn set_image(&self, reference: &str, id: &str) {
        self.state().images.insert(reference.to_owned(), id.to_owned());
    }
}
