//! Networks of the project.

use std::collections::HashMap;

use bollard::{
    models::{EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest},
    query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder},
};
use turnout_compose::labels;
use turnout_plan::Existing;

use super::{Executor, containers::short, schedule::Did};
use crate::{ApiVersion, EngineError, error::status_of, translate};

impl Executor<'_> {
    /// [`turnout_plan::Action::CreateNetwork`].
    pub(super) async fn create_network(&self, key: &str, name: &str) -> Result<Did, EngineError> {
        let project = self.run.project;
        let absent = || EngineError::Stale(format!("the project has no network {key}"));
        let definition = project.networks.get(key).ok_or_else(absent)?.clone().unwrap_or_default();
        let request = translate::network(project, key, &definition);
        let created = match self.engine.version() < ApiVersion::v1(44) {
            true => self.engine.create_unique_network(request).await,
            false => self.engine.ask(self.engine.docker().create_network(request)).await,
        };
        match created {
            Ok(created) => {
                if self.engine.version() < ApiVersion::v1(44) && self.without_twins(name).await? != created.id {
                    return Ok(Did::Skipped(format!("network {name} exists meanwhile")));
                }
                if let Some(warning) = Some(created.warning).filter(|w| !w.is_empty()) {
                    self.run.reporter.warn(format!("network {name}: {warning}"));
                }
                Ok(Did::Done(format!("created network {name}")))
            }
            // Another run was faster. The daemon allows equal names in a race, so look before trusting the name.
            Err(error) if status_of(&error) == Some(409) => {
                let found = self.engine.all_networks().await?.into_iter().find(|n| n.name.as_deref() == Some(name));
                let ours = found
                    .and_then(|n| n.labels)
                    .is_some_and(|l| l.get(labels::PROJECT).is_some_and(|p| *p == project.name));
                match ours {
                    true => Ok(Did::Skipped(format!("network {name} exists meanwhile"))),
                    false => Err(EngineError::api(format!("create network {name}"), error)),
                }
            }
            Err(error) => Err(EngineError::api(format!("create network {name}"), error)),
        }
    }

    /// Leaves one network of the name, and gives its ID: the oldest, or the one that is in use. Daemons before API 1.44
    /// refuse a second one only if they have finished the first; two runs at once, each of which sees the other's only
    /// late, would leave both, and no container could be started by that name.
    pub(super) async fn without_twins(&self, name: &str) -> Result<String, EngineError> {
        let mut named = self.engine.all_networks().await?;
        named.retain(|network| {
            let own = network.labels.as_ref().and_then(|labels| labels.get(labels::PROJECT));
            network.name.as_deref() == Some(name) && own == Some(&self.run.project.name)
        });
        named.sort_by_key(|network| (network.created.as_ref().map(ToString::to_string), network.id.clone()));
        let mut ids = named.into_iter().filter_map(|network| network.id);
        let mut kept = ids.next().unwrap_or_default();
        for younger in ids {
            // What is in use cannot be removed.
            if !self.remove_twin(name, &younger).await? {
                self.remove_twin(name, &kept).await?;
                kept = younger;
            }
        }
        Ok(kept)
    }

    async fn remove_twin(&self, name: &str, id: &str) -> Result<bool, EngineError> {
        match self.engine.ask(self.engine.docker().remove_network(id)).await {
            Ok(()) => Ok(true),
            Err(error) if status_of(&error) == Some(404) => Ok(true),
            Err(error) if status_of(&error) == Some(403) => Ok(false),
            Err(error) => Err(EngineError::api(format!("remove the second network {name}"), error)),
        }
    }

    /// [`turnout_plan::Action::RecreateNetwork`].
    pub(super) async fn recreate_network(
        &self,
        key: &str,
        name: &str,
        id: &str,
        reconnect: &[Existing],
    ) -> Result<Did, EngineError> {
        let members = self.members(id).await?;
        let mut endpoints = Vec::new();
        for member in &members {
            if let Some(settings) = self.endpoint_for(name, member, reconnect).await? {
                endpoints.push((member.clone(), settings));
            }
        }
        for member in &members {
            let request = NetworkDisconnectRequest { container: member.id.clone(), force: Some(true) };
            match self.engine.ask(self.engine.docker().disconnect_network(id, request)).await {
                Ok(()) => {}
                // Gone meanwhile, or no endpoint any more.
                Err(error) if matches!(status_of(&error), Some(403 | 404)) => {}
                Err(error) => return Err(EngineError::api(format!("disconnect {} from {name}", member.name), error)),
            }
        }
        match self.engine.ask(self.engine.docker().remove_network(id)).await {
            Ok(()) => {}
            Err(error) if status_of(&error) == Some(404) => {}
            Err(error) => return Err(EngineError::api(format!("remove network {name}"), error)),
        }
        self.create_network(key, name).await?;
        for (member, settings) in endpoints {
            let request = NetworkConnectRequest { container: member.id, endpoint_config: Some(settings) };
            let connected = self.engine.ask(self.engine.docker().connect_network(name, request)).await;
            connected.map_err(|e| EngineError::api(format!("connect {} to network {name}", member.name), e))?;
        }
        Ok(Did::Done(format!("recreated network {name}")))
    }

    /// [`turnout_plan::Action::RemoveNetwork`].
    pub(super) async fn remove_network(&self, name: &str, id: &str) -> Result<Did, EngineError> {
        // The engine itself looks at containers that run only. A deployment takes nobody the network of a stopped one;
        // a command that takes a project down does what it is told.
        if self.run.reads.is_some() {
            let ours = |member: &Member| self.world.by_id(&member.id).is_some();
            let members = self.members(if id.is_empty() { name } else { id }).await?;
            if let Some(other) = members.iter().find(|member| !ours(member)) {
                return Ok(Did::Skipped(format!(
                    "network {name} is still in use and was kept: {} is attached to it",
                    other.name
                )));
            }
        }
        // By ID: names of networks need not be unique.
        let removed = self.engine.ask(self.engine.docker().remove_network(if id.is_empty() { name } else { id })).await;
        self.removed(format!("network {name}"), removed)
    }

    /// Containers in any state with an endpoint in the network.
    async fn members(&self, id: &str) -> Result<Vec<Member>, EngineError> {
        let filters = HashMap::from([("network".to_owned(), vec![id.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.engine.ask(self.engine.docker().list_containers(Some(options))).await;
        let listed = listed.map_err(|e| EngineError::api(format!("list containers of network {}", short(id)), e))?;
        let name = |names: Option<Vec<String>>| {
            names.and_then(|n| n.into_iter().next()).map(|n| n.trim_start_matches('/').to_owned()).unwrap_or_default()
        };
        Ok(listed.into_iter().filter_map(|c| Some(Member { id: c.id?, name: name(c.names) })).collect())
    }

    /// How a container is connected again: with its service's settings if the plan names it, else as it was. `None`
    /// for containers of ours that the plan replaces anyway.
    async fn endpoint_for(
        &self,
        name: &str,
        member: &Member,
        reconnect: &[Existing],
    ) -> Result<Option<EndpointSettings>, EngineError> {
        if let Some(existing) = reconnect.iter().find(|e| e.id == member.id) {
            if let Some(service) = self.run.project.services.get(&existing.service) {
                let number = self.world.by_id(&member.id).and_then(|k| k.number).unwrap_or(1);
                let links = self.resolve(&existing.service, service, number).await?.links;
                let version = self.engine.version();
                let all = translate::endpoints(
                    self.run.project,
                    &existing.service,
                    service,
                    &existing.name,
                    &links,
                    version,
                )?;
                return Ok(all.into_iter().find(|e| e.network == name).map(|e| e.settings));
            }
        } else if self.world.by_id(&member.id).is_some_and(|k| self.replaced(&k.id)) {
            return Ok(None);
        }
        let inspected =
            self.engine.ask(self.engine.docker().inspect_container(&member.id, None::<InspectContainerOptions>)).await;
        let inspected = inspected.map_err(|e| EngineError::api(format!("inspect {}", member.name), e))?;
        let had = inspected.network_settings.and_then(|s| s.networks).and_then(|mut n| n.remove(name));
        Ok(had.map(|had| EndpointSettings {
            ipam_config: had.ipam_config,
            links: had.links,
            // The daemon adds the short ID by itself.
            aliases: had.aliases.map(|a| a.into_iter().filter(|a| a != short(&member.id)).collect()),
            driver_opts: had.driver_opts,
            ..Default::default()
        }))
    }

    /// Whether the plan removes or replaces this container.
    fn replaced(&self, id: &str) -> bool {
        use turnout_plan::Action::{RecreateContainer, RemoveContainer};
        self.run.plan.steps.iter().any(|step| match &step.action {
            RecreateContainer { old_id, .. } => old_id == id,
            RemoveContainer { id: removed, .. } => removed == id,
            _ => false,
        })
    }
}

/// A container in a network.
#[derive(Debug, Clone)]
struct Member {
    id: String,
    name: String,
}
