//! Networks as they were asked for. The engine removes a network of which every container is stopped whenever somebody clears up
//! (`docker network prune`, `docker system prune`), and forgets what it was; a container that hung on it cannot be started then.
//! What is kept here makes the same network again, and connects the container as it was.

use std::collections::BTreeSet;

use bollard::models::{
    Ipam, Network as ApiNetwork, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use turnout_compose::{labels, model::Project};

use super::{ApiVersion, Engine, EngineError, error::Refusal, remember::asked, translate};

/// A network, as the engine is asked to make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeptNetwork(Value);

impl KeptNetwork {
    fn of(request: &NetworkCreateRequest) -> Option<KeptNetwork> {
        serde_json::to_value(request).ok().map(KeptNetwork)
    }

    fn name(&self) -> Option<&str> {
        self.0.get("Name")?.as_str()
    }

    /// The networks that a project makes; those of others are not its to make.
    pub fn all_of(project: &Project) -> Vec<KeptNetwork> {
        let own = project.networks.iter().filter_map(|(key, network)| {
            let network = network.clone().unwrap_or_default();
            (!network.external).then(|| translate::network(project, key, &network))
        });
        own.filter_map(|request| KeptNetwork::of(&request)).collect()
    }
}

/// What asks for a network as this one is.
fn request(network: ApiNetwork) -> Option<NetworkCreateRequest> {
    Some(NetworkCreateRequest {
        name: network.name?,
        driver: network.driver,
        internal: network.internal,
        attachable: network.attachable,
        ipam: network.ipam,
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6,
        options: network.options,
        labels: network.labels,
        ..NetworkCreateRequest::default()
    })
}

impl Engine {
    /// The networks that were made for a project, as they are.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn kept_networks(&self, project: &str) -> Result<Vec<KeptNetwork>, EngineError> {
        let is_own = |network: &ApiNetwork| {
            network.labels.as_ref().and_then(|all| all.get(labels::PROJECT)).is_some_and(|of| of == project)
        };
        let own = self.all_networks().await?.into_iter().filter(is_own);
        Ok(own.filter_map(request).filter_map(|request| KeptNetwork::of(&request)).collect())
    }

    /// Connects a container that stands still anew, as it was, to the networks that are not there any more by their IDs: those are made
    /// again from what is kept. Answers the names of the networks that were made. What nobody has kept stays away.
    ///
    /// # Errors
    /// The engine refuses.
    pub(super) async fn connect_anew(
        &self,
        (id, name): (&str, &str),
        kept: &[KeptNetwork],
    ) -> Result<Vec<String>, EngineError> {
        let mut made = Vec::new();
        let Some(found) = self.find_container(id).await? else { return Ok(made) };
        let there = self.all_networks().await?;
        let ids: BTreeSet<&str> = there.iter().filter_map(|one| one.id.as_deref()).collect();
        for (network, had) in found.network_settings.and_then(|settings| settings.networks).unwrap_or_default() {
            if had.network_id.as_deref().is_none_or(|of| of.is_empty() || ids.contains(of)) {
                continue;
            }
            if there.iter().all(|one| one.name.as_deref() != Some(&network)) {
                let Some(kept) = kept.iter().find(|one| one.name() == Some(&network)) else { continue };
                self.make_network(&network, kept).await?;
                made.push(network.clone());
            }
            let request = NetworkDisconnectRequest { container: id.to_owned(), force: Some(true) };
            let left = self.ask(self.docker().disconnect_network(&network, request)).await;
            left.map_err(|error| {
                EngineError::api(format!("disconnect {name} from the lost network {network}"), error)
            })?;
            let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(asked(had, id)) };
            let connected = self.ask(self.docker().connect_network(&network, request)).await;
            connected.map_err(|error| EngineError::api(format!("connect {name} to network {network}"), error))?;
        }
        Ok(made)
    }

    async fn make_network(&self, name: &str, kept: &KeptNetwork) -> Result<(), EngineError> {
        let fault = |why: String| EngineError::Stale(format!("network {name} cannot be made again: {why}"));
        let request: NetworkCreateRequest =
            serde_json::from_value(kept.0.clone()).map_err(|error| fault(error.to_string()))?;
        let Err(error) = self.ask_for_network(request.clone()).await else { return Ok(()) };
        if error.refusal() != Some(&Refusal::AddressesTaken) {
            return Err(error);
        }
        // Somebody has its addresses by now. Most had been the engine's own choice; who asked for one of them is told so.
        let ipam = request.ipam.map(|ipam| Ipam { config: None, ..ipam });
        self.ask_for_network(NetworkCreateRequest { ipam, ..request }).await
    }

    async fn ask_for_network(&self, request: NetworkCreateRequest) -> Result<(), EngineError> {
        let name = request.name.clone();
        let created = match self.version() < ApiVersion::v1(44) {
            true => self.create_unique_network(request).await,
            false => self.ask(self.docker().create_network(request)).await,
        };
        created.map(drop).map_err(|error| EngineError::api(format!("create network {name} again"), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_network_asks_for_the_same() {
        let one = ApiNetwork {
            name: Some("shop_default".to_owned()),
            id: Some("e6d0".to_owned()),
            driver: Some("bridge".to_owned()),
            internal: Some(true),
            labels: Some([("com.docker.compose.network".to_owned(), "default".to_owned())].into()),
            ..ApiNetwork::default()
        };
        let kept = KeptNetwork::of(&request(one).unwrap()).unwrap();
        let again: KeptNetwork = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
        assert_eq!((again.name(), &again), (Some("shop_default"), &kept));
        assert_eq!(again.0["Labels"]["com.docker.compose.network"], "default");
        assert_eq!((again.0["Internal"].as_bool(), again.0.get("Id")), (Some(true), None));
    }
}
