//! Names of engine objects as the loaded project resolves them.

use turnout_compose::{labels::resource_name, model::Project};

/// The engine's name of a network by Compose key.
pub fn network_name(project: &Project, key: &str) -> String {
    match project.networks.get(key) {
        Some(Some(network)) if !network.name.is_empty() => network.name.clone(),
        _ => resource_name(&project.name, key),
    }
}

/// The engine's name of a volume by Compose key.
pub fn volume_name(project: &Project, key: &str) -> String {
    match project.volumes.get(key) {
        Some(Some(volume)) if !volume.name.is_empty() => volume.name.clone(),
        _ => resource_name(&project.name, key),
    }
}
