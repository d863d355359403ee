//! Stand-in until `compose::hash` arrives: same signatures.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::compose::model::{Network, Service, Volume};

fn digest<T: serde::Serialize>(value: &T) -> String {
    hex::encode(Sha256::digest(serde_json::to_vec(value).unwrap_or_default()))
}

pub(super) fn service_hash(service: &Service) -> String {
    let mut s = service.clone();
    s.build = None;
    s.pull_policy = String::new();
    s.scale = None;
    s.depends_on = BTreeMap::new();
    s.profiles = Vec::new();
    if let Some(deploy) = &mut s.deploy {
        deploy.replicas = None;
    }
    digest(&s)
}

pub(super) fn network_hash(network: &Network) -> String {
    digest(network)
}

pub(super) fn volume_hash(volume: &Volume) -> String {
    digest(volume)
}

pub(super) fn with_container_refs(service: &Service, ids: &BTreeMap<String, String>) -> Service {
    let mut s = service.clone();
    for mode in [&mut s.network_mode, &mut s.ipc, &mut s.pid] {
        if let Some(id) = mode.strip_prefix("service:").and_then(|name| ids.get(name)) {
            *mode = format!("container:{id}");
        }
    }
    for entry in &mut s.volumes_from {
        let mut parts = entry.split(':');
        let first = parts.next().unwrap_or_default().to_owned();
        if first == "container" {
            *entry = parts.next().unwrap_or_default().to_owned();
        } else if let Some(id) = ids.get(&first) {
            *entry = id.clone();
        }
    }
    s
}
