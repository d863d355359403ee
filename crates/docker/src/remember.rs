//! A container as it was made, so that the same can be made again where its successor comes to nothing.
//!
//! It is what the engine says of it, given back to the engine: image (by its ID, for its name may lead elsewhere by then),
//! settings, networks, mounts, and anonymous volumes by their names. What was copied into it is not among that.

use std::collections::HashMap;

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, EndpointSettings, HostConfig, Mount, MountPoint, MountType,
    NetworkConnectRequest,
};
use bollard::query_parameters::{RemoveContainerOptionsBuilder, StartContainerOptions};
use serde_json::{Value, json};

use super::{ContainerRef, Engine, EngineError, error::status_of, observe::absent_is_none};

/// Digits of an ID that the engine makes a name of.
const SHORT: usize = 12;

/// What a container was made of.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// The container's name.
    pub name: String,
    /// Its Compose service.
    pub service: String,
    id: String,
    ran: bool,
    body: Value,
    /// Networks that are connected after it was made: before API 1.44 one is all that a creation takes.
    others: Vec<(String, EndpointSettings)>,
}

impl Remembered {
    fn of(found: ContainerInspectResponse, name: String, service: String) -> Option<Remembered> {
        let ran = found.state.and_then(|state| state.running) == Some(true);
        let (id, mut config, mut host) = (found.id?, found.config?, found.host_config?);
        config.image = found.image;
        if config.hostname.as_deref() == id.get(..SHORT) {
            // The engine's own choice, not the file's.
            config.hostname = None;
        }
        let mounted = found.mounts.unwrap_or_default();
        let anonymous: Vec<Mount> = mounted.into_iter().filter_map(|mount| anonymous(mount, &host)).collect();
        if !anonymous.is_empty() {
            host.mounts.get_or_insert_default().extend(anonymous);
        }
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let mut networks: Vec<(String, EndpointSettings)> =
            networks.into_iter().map(|(name, settings)| (name, asked(settings, &id))).collect();
        networks.sort_by(|one, other| one.0.cmp(&other.0));
        let mode = host.network_mode.clone().unwrap_or_default();
        let (first, others) = networks.into_iter().partition(|(name, _)| *name == mode);
        Some(Remembered { name, service, id, ran, body: body(config, host, first)?, others })
    }
}

/// What a creation is asked with.
fn body(config: ContainerConfig, host: HostConfig, first: Vec<(String, EndpointSettings)>) -> Option<Value> {
    let mut body = serde_json::to_value(config).ok()?;
    let endpoints: HashMap<String, EndpointSettings> = first.into_iter().collect();
    let object = body.as_object_mut()?;
    object.insert("HostConfig".to_owned(), serde_json::to_value(host).ok()?);
    object.insert("NetworkingConfig".to_owned(), json!({ "EndpointsConfig": endpoints }));
    Some(body)
}

/// A volume that has a name only because the engine gave it one.
fn anonymous(mount: MountPoint, host: &HostConfig) -> Option<Mount> {
    let is_volume = mount.typ.as_deref() == Some("volume");
    let (source, target) = (mount.name?, mount.destination?);
    let is_bind = |bind: &String| bind.split(':').nth(1) == Some(target.as_str());
    let named = host.binds.iter().flatten().any(is_bind)
        || host
            .mounts
            .iter()
            .flatten()
            .any(|own| own.target.as_deref() == Some(target.as_str()) && own.source.is_some());
    (is_volume && !named).then(|| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(source),
        target: Some(target),
        read_only: mount.rw.map(|writes| !writes),
        ..Mount::default()
    })
}

/// What was asked for of a network, without what the engine made of it.
pub(super) fn asked(settings: EndpointSettings, id: &str) -> EndpointSettings {
    let EndpointSettings { ipam_config, links, aliases, driver_opts, gw_priority, .. } = settings;
    let own = |alias: &String| id.get(..SHORT) != Some(alias.as_str());
    let aliases = aliases.map(|aliases| aliases.into_iter().filter(own).collect());
    EndpointSettings { ipam_config, links, aliases, driver_opts, gw_priority, ..EndpointSettings::default() }
}

impl Engine {
    /// What the containers of a project were made of; one-offs are left out.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn remember(&self, project: &str) -> Result<Vec<Remembered>, EngineError> {
        let mut all = Vec::new();
        for one in self.containers(project, true).await?.into_iter().filter(|one| !one.oneoff) {
            let found = self.find_container(&one.id).await?;
            all.extend(found.and_then(|found| Remembered::of(found, one.name, one.service)));
        }
        Ok(all)
    }

    /// Makes a container again whose place another one has by now, which is stopped and removed; its volumes stay. One that is
    /// there still is only started, if it ran. Answers what was made or started; `None` where nothing was to be done.
    ///
    /// # Errors
    /// The engine refuses; an image or a network may be gone.
    pub async fn make_again(&self, project: &str, one: &Remembered) -> Result<Option<ContainerRef>, EngineError> {
        let there = self.find_container(&one.id).await?;
        let runs =
            |found: &ContainerInspectResponse| found.state.as_ref().and_then(|state| state.running) == Some(true);
        if there.as_ref().is_some_and(|there| runs(there) == one.ran || !one.ran) {
            return Ok(None);
        }
        let id = match there {
            Some(_) => one.id.clone(),
            None => {
                let own = self.containers(project, true).await?.into_iter();
                for successor in own.filter(|other| !other.oneoff && other.name == one.name) {
                    self.stop_container(&successor.id, &successor.name, None, None).await?;
                    let options = RemoveContainerOptionsBuilder::default().force(true).v(false).build();
                    absent_is_none(self.ask(self.docker().remove_container(&successor.id, Some(options))).await)
                        .map_err(|error| EngineError::api(format!("remove {}", successor.name), error))?;
                }
                self.create_again(one).await?
            }
        };
        if one.ran {
            let started = self.ask(self.docker().start_container(&id, None::<StartContainerOptions>)).await;
            match started {
                Err(error) if status_of(&error) != Some(304) => {
                    return Err(EngineError::api(format!("start {}", one.name), error));
                }
                _ => {}
            }
        }
        Ok(Some(ContainerRef { id, name: one.name.clone(), service: one.service.clone() }))
    }

    async fn create_again(&self, one: &Remembered) -> Result<String, EngineError> {
        let created = self.create_as_told(&one.name, &one.body).await;
        let id = created.map_err(|error| EngineError::api(format!("create {} again", one.name), error))?.id;
        for (network, settings) in &one.others {
            let request = NetworkConnectRequest { container: id.clone(), endpoint_config: Some(settings.clone()) };
            let connected = self.ask(self.docker().connect_network(network, request)).await;
            connected.map_err(|error| EngineError::api(format!("connect {} to network {network}", one.name), error))?;
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerState, NetworkSettings};

    use super::*;

    #[test]
    fn what_was_asked_for_is_asked_for_again() {
        let id = format!("0123456789ab{}", "c".repeat(52));
        let endpoint = |alias: &str| EndpointSettings {
            aliases: Some(vec![alias.to_owned(), "0123456789ab".to_owned()]),
            ip_address: Some("172.20.0.2".to_owned()),
            network_id: Some("n".to_owned()),
            ..EndpointSettings::default()
        };
        let mount = |name: &str, target: &str| MountPoint {
            typ: Some("volume".to_owned()),
            name: Some(name.to_owned()),
            destination: Some(target.to_owned()),
            rw: Some(true),
            ..MountPoint::default()
        };
        let found = ContainerInspectResponse {
            id: Some(id.clone()),
            image: Some("sha256:old".to_owned()),
            state: Some(ContainerState { running: Some(true), ..ContainerState::default() }),
            config: Some(ContainerConfig {
                hostname: Some("0123456789ab".to_owned()),
                image: Some("postgres".to_owned()),
                env: Some(vec!["A=1".to_owned()]),
                ..ContainerConfig::default()
            }),
            host_config: Some(HostConfig {
                network_mode: Some("shop_default".to_owned()),
                binds: Some(vec!["shop_data:/data:rw".to_owned()]),
                ..HostConfig::default()
            }),
            mounts: Some(vec![mount("shop_data", "/data"), mount("f00", "/tmp/own")]),
            network_settings: Some(NetworkSettings {
                networks: Some(
                    [("shop_default", "db"), ("shop_link", "db")]
                        .map(|(name, alias)| (name.to_owned(), endpoint(alias)))
                        .into(),
                ),
                ..NetworkSettings::default()
            }),
            ..ContainerInspectResponse::default()
        };
        let one = Remembered::of(found, "shop-db-1".to_owned(), "db".to_owned()).unwrap();
        assert!(one.ran);
        assert_eq!(one.body["Image"], "sha256:old");
        assert_eq!(one.body["Env"], json!(["A=1"]));
        assert_eq!(one.body.get("Hostname"), None);
        assert_eq!(one.body["HostConfig"]["Binds"], json!(["shop_data:/data:rw"]));
        let mounts = one.body["HostConfig"]["Mounts"].as_array().unwrap();
        assert_eq!((mounts.len(), &mounts[0]["Source"]), (1, &json!("f00")));
        let first = &one.body["NetworkingConfig"]["EndpointsConfig"];
        assert_eq!(first["shop_default"], json!({ "Aliases": ["db"] }));
        assert_eq!(first.get("shop_link"), None);
        let others: Vec<&str> = one.others.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(others, ["shop_link"]);
    }
}
