//! Finds containers that no longer are as configured although their labels, and with them `config-hash`, are unchanged:
//! settings that `docker update` and `docker network connect` change, and containers of other projects whose namespaces
//! or volumes they use and that were made anew.

mod difference;
mod limits;
mod others;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{ContainerInspectResponse, EndpointSettings, HostConfig};
use difference::{Difference, Shared};
use futures_util::{StreamExt, TryStreamExt, stream};
use limits::limits;
use others::{attachment, lost, named};
use turnout_compose::model::{Project, Service};
use turnout_plan::{Observed, ObservedContainer, RunState};

use super::{
    ContainerRef, Engine, EngineError, clock,
    doubtful::{Stand, Stands, stand},
    translate::network_name,
};

/// Inspections side by side; the daemon answers them from memory.
const INSPECTIONS: usize = 16;

/// What the inspection of a project's containers has told.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// By container ID, in words: what is set on it otherwise than its service asks for, and which others it relies upon that
    /// are no more. Of a container that was made for another configuration that means nothing.
    pub altered: BTreeMap<String, Vec<String>>,
    /// How they stand.
    pub stands: Stands,
}

impl Engine {
    /// Inspects the containers of a project's services: what was altered on each of all that the engine lets one change, and how
    /// it stands.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn inspect_all(&self, project: &Project, observed: &Observed) -> Result<Inspected, EngineError> {
        let (looked, ahead) = (clock::now(), self.ahead().await);
        let there = |container: &&ObservedContainer| {
            !container.oneoff && !matches!(container.state, RunState::Removing | RunState::Dead)
        };
        let owners = self.owners(project).await?;
        let wanted: Vec<(ContainerRef, Option<Wanted>)> = observed
            .containers
            .iter()
            .filter(there)
            .filter_map(|container| {
                let service = project.services.get(&container.service)?;
                let ObservedContainer { id, name, service: of, .. } = container;
                let own = ContainerRef { id: id.clone(), name: name.clone(), service: of.clone() };
                Some((own, self.wanted(project, service, container)))
            })
            .collect();
        let owners = &owners;
        let found: Vec<Option<(String, Vec<Difference>, Stand)>> = stream::iter(wanted)
            .map(|(container, wanted)| async move {
                // One that is gone by now is altered in nothing.
                let Some(found) = self.find_container(&container.id).await? else { return Ok(None) };
                let differences = wanted.map(|wanted| differences(&wanted, &found, owners)).unwrap_or_default();
                Ok::<_, EngineError>(Some((container.id.clone(), differences, stand(container, &found, ahead))))
            })
            .buffered(INSPECTIONS)
            .try_collect()
            .await?;
        let (differences, all): (Vec<(String, Vec<Difference>)>, Vec<Stand>) =
            found.into_iter().flatten().map(|(id, differences, stand)| ((id, differences), stand)).unzip();
        let mut able = None;
        if differences.iter().flat_map(|(_, all)| all).any(|difference| difference.needs.is_some()) {
            let asked = self.ask(self.docker().info()).await;
            able = Some(asked.map_err(|error| EngineError::api("ask the engine about itself", error))?);
        }
        let told = |difference: Difference| match (difference.needs, &able) {
            // The engine has no such limit on this host: it said so at the creation, and left it out.
            (Some(ability), Some(info)) if !ability(info) => None,
            _ => Some(difference.words),
        };
        let altered = differences
            .into_iter()
            .map(|(id, all)| (id, all.into_iter().filter_map(told).collect::<Vec<_>>()))
            .filter(|(_, words)| !words.is_empty())
            .collect();
        Ok(Inspected { altered, stands: Stands { looked, all } })
    }

    /// The containers of other projects that services rely upon, by the names that the services know them by. Those that
    /// are not there are missed when a container is made or started, by name.
    async fn owners(&self, project: &Project) -> Result<BTreeMap<String, ContainerInspectResponse>, EngineError> {
        let names: BTreeSet<&str> = project.services.values().flat_map(relied_upon).map(|(_, name)| name).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let found: Vec<(String, Option<ContainerInspectResponse>)> = stream::iter(names)
            .map(|name| async move {
                let found = self.find_container(&name).await?;
                Ok::<_, EngineError>((name, found))
            })
            .buffered(INSPECTIONS)
            .try_collect()
            .await?;
        Ok(found.into_iter().filter_map(|(name, found)| Some((name, found?))).collect())
    }

    /// What a container was created with; `None` where it could not be created like this at all.
    fn wanted(&self, project: &Project, service: &Service, container: &ObservedContainer) -> Option<Wanted> {
        let number = container.number.unwrap_or(1);
        let spec = self.as_asked(project, &container.service, service, number, &container.name).ok()?;
        let at_creation = spec.body.networking_config.and_then(|config| config.endpoints_config).unwrap_or_default();
        let later = spec.connect.into_iter().map(|endpoint| (endpoint.network, endpoint.settings));
        let mut networks: BTreeMap<String, EndpointSettings> = at_creation.into_iter().chain(later).collect();
        for settings in networks.values_mut() {
            // A container that was renamed by hand keeps the alias of the name it was made under.
            settings.aliases.iter_mut().for_each(|aliases| aliases.retain(|alias| *alias != container.name));
        }
        let nameless = project.nameless.get(&container.service).into_iter().flatten();
        let nameless = nameless.map(|key| network_name(project, key)).collect();
        let relied_upon = relied_upon(service).map(|(what, name)| (what, name.to_owned())).collect();
        let own = service.volumes.iter().map(|mount| mount.target.clone()).collect();
        Some(Wanted { host: spec.body.host_config.unwrap_or_default(), networks, nameless, relied_upon, own })
    }
}

/// What a service asks for, as the engine was told.
#[derive(Debug, Clone, Default)]
struct Wanted {
    host: HostConfig,
    networks: BTreeMap<String, EndpointSettings>,
    /// Networks in which it is to have no names.
    nameless: BTreeSet<String>,
    /// Containers of other projects, by what of them is used.
    relied_upon: Vec<(Shared, String)>,
    /// Where the service mounts something itself.
    own: BTreeSet<String>,
}

/// The containers of other projects that a service relies upon, written `container:NAME`.
fn relied_upon(service: &Service) -> impl Iterator<Item = (Shared, &str)> {
    let modes = [(Shared::Network, &service.network_mode), (Shared::Pid, &service.pid), (Shared::Ipc, &service.ipc)];
    let volumes = service.volumes_from.iter().map(|entry| (Shared::Volumes, entry));
    modes.into_iter().chain(volumes).filter_map(|(what, text)| {
        let name = text.strip_prefix("container:")?;
        let name = if what == Shared::Volumes { name.split(':').next().unwrap_or(name) } else { name };
        Some((what, name))
    })
}

/// All that differs, in the order of `docker update`'s flags, then of the networks, then what is used of others.
fn differences(
    wanted: &Wanted,
    found: &ContainerInspectResponse,
    owners: &BTreeMap<String, ContainerInspectResponse>,
) -> Vec<Difference> {
    let absent = HostConfig::default();
    let mut differences = limits(&wanted.host, found.host_config.as_ref().unwrap_or(&absent));
    let none = HashMap::new();
    let networks = found.network_settings.as_ref().and_then(|settings| settings.networks.as_ref()).unwrap_or(&none);
    let id = found.id.as_deref().unwrap_or_default();
    for (name, settings) in &wanted.networks {
        // One that is not attached at all, the engine's list tells of.
        if let Some(found) = networks.get(name) {
            differences.extend(attachment(name, settings, found));
            differences.extend(wanted.nameless.get(name).and_then(|name| named(name, found, id)));
        }
    }
    for (what, name) in &wanted.relied_upon {
        let words = owners.get(name).and_then(|owner| lost(*what, name, owner, found, &wanted.own));
        differences.extend(words.map(|words| Difference { words, needs: None }));
    }
    differences
}
