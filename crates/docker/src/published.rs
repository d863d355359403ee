//! What a project publishes, and who is behind it: what the first switch of a stack that runs in place takes over.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use bollard::models::{ContainerInspectResponse, MountPoint};
use turnout_compose::model::Brought;

use super::{ContainerRef, Engine, EngineError};

/// A TCP port that a container publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The container that the port leads to.
    pub container: ContainerRef,
    /// When it was started, as the engine says it: its addresses are its own as long as this is so.
    pub started: String,
    /// Where the engine listens.
    pub on: SocketAddr,
    /// The port in the container.
    pub port: u16,
    /// The container's own addresses of IPv4, by the names of its networks.
    pub addresses: Vec<IpAddr>,
}

impl Engine {
    /// Published TCP ports of a project's containers that run. One-offs are left alone.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn published(&self, project: &str) -> Result<Vec<Published>, EngineError> {
        let mut all = Vec::new();
        for one in self.containers(project, false).await?.into_iter().filter(|one| !one.oneoff) {
            let Some(found) = self.find_container(&one.id).await? else { continue };
            let container = ContainerRef { id: one.id, name: one.name, service: one.service };
            all.extend(published(&container, found));
        }
        Ok(all)
    }

    /// Volumes without a name that a project's containers have, by service and number. No container of another project finds
    /// them again unless it is told of them ([`Project::brought`](turnout_compose::model::Project::brought)).
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn nameless_volumes(&self, project: &str) -> Result<Vec<(String, Brought)>, EngineError> {
        let mut all = Vec::new();
        for one in self.containers(project, true).await?.into_iter().filter(|one| !one.oneoff) {
            let (Some(number), Some(found)) = (one.number, self.find_container(&one.id).await?) else { continue };
            let nameless = found.mounts.unwrap_or_default().into_iter().filter(is_nameless);
            all.extend(nameless.filter_map(|mount| {
                let (volume, target) = (mount.name?, mount.destination?);
                Some((one.service.clone(), Brought { number, volume, target, writable: mount.rw.unwrap_or(true) }))
            }));
        }
        Ok(all)
    }

    /// Services of a project of which a container writes nothing that outlives it: what it has ends with it.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn without_storage(&self, project: &str) -> Result<BTreeSet<String>, EngineError> {
        let mut all = BTreeSet::new();
        for one in self.containers(project, true).await?.into_iter().filter(|one| !one.oneoff) {
            let Some(found) = self.find_container(&one.id).await? else { continue };
            if !found.mounts.unwrap_or_default().iter().any(outlives) {
                all.insert(one.service);
            }
        }
        Ok(all)
    }
}

/// Whether what is written there is there after the container.
fn outlives(mount: &MountPoint) -> bool {
    mount.rw.unwrap_or(true) && matches!(mount.typ.as_deref(), Some("volume" | "bind"))
}

/// The engine gives a volume that nobody named 64 hexadecimal digits.
fn is_nameless(mount: &MountPoint) -> bool {
    let name = mount.name.as_deref().unwrap_or_default();
    mount.typ.as_deref() == Some("volume") && name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit())
}

fn published(container: &ContainerRef, found: ContainerInspectResponse) -> Vec<Published> {
    let started = found.state.and_then(|state| state.started_at).unwrap_or_default();
    let Some(settings) = found.network_settings else { return Vec::new() };
    let mut networks: Vec<_> = settings.networks.unwrap_or_default().into_iter().collect();
    networks.sort_by(|(one, _), (other, _)| one.cmp(other));
    let addresses: Vec<IpAddr> = networks.iter().filter_map(|(_, of)| of.ip_address.as_deref()?.parse().ok()).collect();
    let mut all = Vec::new();
    for (port, bindings) in settings.ports.unwrap_or_default() {
        let Some(port) = port.strip_suffix("/tcp").and_then(|port| port.parse().ok()) else { continue };
        for binding in bindings.unwrap_or_default() {
            let ip: Option<IpAddr> = binding.host_ip.as_deref().and_then(|ip| ip.parse().ok());
            let on: Option<u16> = binding.host_port.as_deref().and_then(|port| port.parse().ok());
            let (Some(ip), Some(on)) = (ip, on) else { continue };
            all.push(Published {
                container: container.clone(),
                started: started.clone(),
                on: SocketAddr::new(ip, on),
                port,
                addresses: addresses.clone(),
            });
        }
    }
    all.sort_by_key(|one| one.on);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_without_a_name_are_told_from_others() {
        let mounts: Vec<MountPoint> = serde_json::from_value(serde_json::json!([
            {"Type": "volume", "Name": "0".repeat(64), "Destination": "/a"},
            {"Type": "volume", "Name": "redshop_data", "Destination": "/b"},
            {"Type": "bind", "Source": "/srv", "Destination": "/c"}
        ]))
        .unwrap();
        assert_eq!(mounts.iter().map(is_nameless).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn what_outlives_a_container_is_told_from_what_it_only_reads() {
        let mounts: Vec<MountPoint> = serde_json::from_value(serde_json::json!([
            {"Type": "volume", "Name": "data", "Destination": "/a", "RW": true},
            {"Type": "bind", "Source": "/srv", "Destination": "/b", "RW": false},
            {"Type": "tmpfs", "Destination": "/c", "RW": true}
        ]))
        .unwrap();
        assert_eq!(mounts.iter().map(outlives).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn each_binding_of_a_tcp_port_is_one() {
        let found = serde_json::from_value(serde_json::json!({
            "State": {"StartedAt": "2026-01-01T00:00:00Z"},
            "NetworkSettings": {
                "Ports": {
                    "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
                    "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "53"}],
                    "81/tcp": null
                },
                "Networks": {"b": {"IPAddress": "172.19.0.2"}, "a": {"IPAddress": "172.18.0.2"}, "none": {"IPAddress": ""}}
            }
        }))
        .unwrap();
        let web = ContainerRef { id: "1".to_owned(), name: "redshop-web-1".to_owned(), service: "web".to_owned() };
        let all = published(&web, found);
        let on: Vec<String> = all.iter().map(|one| one.on.to_string()).collect();
        assert_eq!(on, ["0.0.0.0:8080", "[::]:8080"]);
        let addresses: Vec<String> = all[0].addresses.iter().map(ToString::to_string).collect();
        assert_eq!((all[0].port, addresses), (80, vec!["172.18.0.2".to_owned(), "172.19.0.2".to_owned()]));
    }
}
