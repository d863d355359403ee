//! Steps that make, try out and remove networks, and that connect containers to them.

use bollard::models::{EndpointSettings, Ipam, NetworkConnectRequest, NetworkDisconnectRequest};
use turnout_compose::labels;
use turnout_plan::{Existing, NetworkRemoval};

use super::{containers::short, executor::Executor, schedule::Did};
use crate::{
    ApiVersion, EngineError,
    error::{Refusal, status_of},
    translate,
};

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
                self.refuse_twins(name).await?;
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

    /// Daemons before API 1.44 refuse a second network of a name only if they have finished the first: two runs at once,
    /// each of which sees the other's only late, make both, and no container can be started by that name. Which one stays
    /// is decided by whoever plans anew.
    async fn refuse_twins(&self, name: &str) -> Result<(), EngineError> {
        if self.engine.version() >= ApiVersion::v1(44) {
            return Ok(());
        }
        let all = self.engine.all_networks().await?;
        match all.iter().filter(|network| network.name.as_deref() == Some(name)).count() {
            0 | 1 => Ok(()),
            _ => Err(EngineError::Stale(format!("another run has made network {name}, too"))),
        }
    }

    /// [`turnout_plan::Action::TryNetwork`].
    pub(super) async fn try_network(
        &self,
        key: &str,
        name: &str,
        trial: &str,
        subnets: bool,
    ) -> Result<Did, EngineError> {
        let project = self.run.project;
        let absent = || EngineError::Stale(format!("the project has no network {key}"));
        let definition = project.networks.get(key).ok_or_else(absent)?.clone().unwrap_or_default();
        let mut request = translate::network(project, key, &definition);
        request.name = trial.to_owned();
        if !subnets {
            request.ipam = request.ipam.map(|ipam| Ipam { config: None, ..ipam });
        }
        match self.engine.ask(self.engine.docker().create_network(request)).await {
            Ok(_) => Ok(Did::Done(format!("network {name} can be made as it is to be"))),
            Err(error) => {
                match EngineError::api(format!("replace network {name} (tried before anything is stopped)"), error) {
                    // There will be room when the old one is gone.
                    error if error.refusal() == Some(&Refusal::NoAddressPool) => Ok(Did::Skipped(format!(
                        "network {name} cannot be tried: its addresses are those of the old one"
                    ))),
                    error => Err(error),
                }
            }
        }
    }

    /// [`turnout_plan::Action::DisconnectContainer`]: what it had is kept for [`Executor::connect_again`].
    pub(super) async fn disconnect(
        &self,
        network: &str,
        network_id: &str,
        container: &Existing,
    ) -> Result<Did, EngineError> {
        let Existing { id, name, .. } = container;
        let had =
            self.engine.find_container(id).await?.and_then(|found| found.network_settings?.networks?.remove(network));
        if let Some(had) = had {
            let settings = EndpointSettings {
                ipam_config: had.ipam_config,
                links: had.links,
                // The daemon adds the short ID by itself.
                aliases: had.aliases.map(|all| all.into_iter().filter(|alias| alias != short(id)).collect()),
                driver_opts: had.driver_opts,
                ..Default::default()
            };
            self.world.took_out(id, network, settings);
        }
        let request = NetworkDisconnectRequest { container: id.clone(), force: Some(true) };
        match self.engine.ask(self.engine.docker().disconnect_network(network_id, request)).await {
            Ok(()) => Ok(Did::Done(format!("disconnected {name} from network {network}"))),
            // Gone meanwhile, or no endpoint any more.
            Err(error) if matches!(status_of(&error), Some(403 | 404)) => {
                Ok(Did::Skipped(format!("{name} is not connected to network {network}")))
            }
            Err(error) => Err(EngineError::api(format!("disconnect {name} from {network}"), error)),
        }
    }

    /// [`turnout_plan::Action::ConnectContainer`].
    pub(super) async fn connect_again(
        &self,
        network: &str,
        container: &Existing,
        as_it_was: bool,
    ) -> Result<Did, EngineError> {
        let Existing { service, id, name } = container;
        let had = self.world.endpoint(id, network);
        let settings = match self.run.project.services.get(service).filter(|_| !as_it_was) {
            Some(definition) => {
                let number = self.world.by_id(id).and_then(|known| known.number).unwrap_or(1);
                let links = self.resolve(service, definition, number).await?.links;
                let (project, version) = (self.run.project, self.engine.version());
                let all = translate::endpoints(project, service, definition, name, &links, version)?;
                all.into_iter().find(|endpoint| endpoint.network == network).map(|endpoint| endpoint.settings)
            }
            None => had,
        };
        let Some(settings) = settings else {
            return Ok(Did::Skipped(format!("{name} is not to be in network {network}")));
        };
        let request = NetworkConnectRequest { container: id.clone(), endpoint_config: Some(settings) };
        let connected = self.engine.ask(self.engine.docker().connect_network(network, request)).await;
        match connected.map_err(|error| EngineError::api(format!("connect {name} to network {network}"), error)) {
            Ok(()) => Ok(Did::Done(format!("connected {name} to network {network}"))),
            // Somebody else, or this run's own call that was given up, has connected it.
            Err(error) if error.refusal() == Some(&Refusal::EndpointExists) => {
                Ok(Did::Skipped(format!("{name} is connected to network {network}")))
            }
            // It has ended and gone meanwhile, or its address is outside of the new subnets: nothing that the project
            // could do without. Whose engine does not answer at all fails all the same.
            Err(error) if as_it_was && error.status().is_some() => {
                let again = format!("connect it by hand: `docker network connect {network} {name}`");
                self.run.reporter.warn(format!(
                    "{name} was taken out of network {network}, which was made anew, and cannot be connected to it: \
                     {error}; if it is still there, {again}"
                ));
                Ok(Did::Skipped(format!("{name} could not be connected to network {network}")))
            }
            Err(error) => Err(error),
        }
    }

    /// [`turnout_plan::Action::RemoveNetwork`].
    pub(super) async fn remove_network(
        &self,
        name: &str,
        id: Option<&str>,
        reason: NetworkRemoval,
    ) -> Result<Did, EngineError> {
        // By ID: names of networks need not be unique.
        let which = id.unwrap_or(name);
        // The engine itself looks at containers that run only. A deployment takes nobody the network of a stopped one;
        // a command that takes a project down does what it is told.
        if self.run.reads.is_some() && reason == NetworkRemoval::Unused {
            let ours = |member: &Existing| self.world.by_id(&member.id).is_some();
            let members = self.engine.members(which).await?;
            if let Some(other) = members.iter().find(|member| !ours(member)) {
                return Ok(Did::Skipped(format!(
                    "network {name} is still in use and was kept: {} is attached to it",
                    other.name
                )));
            }
        }
        let removed = self.engine.ask(self.engine.docker().remove_network(which)).await;
        match (reason, removed) {
            (NetworkRemoval::Replaced, Err(error)) if status_of(&error) == Some(403) => {
                Err(EngineError::Stale(format!("network {name}, which is to be replaced, is in use: {error}")))
            }
            (NetworkRemoval::Replaced | NetworkRemoval::Trial, Err(error)) if status_of(&error) != Some(404) => {
                Err(EngineError::api(format!("remove network {name}"), error))
            }
            (_, removed) => self.removed(format!("network {name}"), removed),
        }
    }
}
