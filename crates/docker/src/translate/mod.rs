//! From Compose objects to the bodies of requests to the engine. Pure: no request is made here.
//!
//! Every attribute of the model is taken apart without `..`: an attribute added to the model does not compile until
//! it is either translated or refused here. Nothing is dropped in silence.

mod container;
mod devices;
mod environment;
mod files;
mod health;
mod labels;
mod mounts;
mod names;
mod network;
mod ports;
mod resources;
mod security;
mod volume;

pub use container::{ContainerSpec, Target, container};
pub use files::{CopiedFile, MountedFile, copied_files, mounted_files};
pub use labels::{container_labels, network_labels, volume_labels};
pub use mounts::InheritedMount;
pub use names::{network_name, volume_name};
pub use network::{Endpoint, endpoints, network, refuse_network};
pub use security::profile_files;
pub use volume::volume;

use super::{ApiVersion, EngineError};

/// Refuses an attribute, by name and with the reason.
fn refuse(service: &str, attribute: impl Into<String>, reason: impl Into<String>) -> EngineError {
    EngineError::Unsupported { service: service.to_owned(), attribute: attribute.into(), reason: reason.into() }
}

/// Refuses an attribute unless the daemon is new enough. `engine` is the release that brought it, for the reader.
fn gate(
    have: ApiVersion,
    need: ApiVersion,
    engine: &str,
    service: &str,
    attribute: impl Into<String>,
) -> Result<(), EngineError> {
    if have >= need {
        return Ok(());
    }
    Err(refuse(service, attribute, too_old(have, need, engine)))
}

fn too_old(have: ApiVersion, need: ApiVersion, engine: &str) -> String {
    format!("needs Docker Engine {engine} (API {need}) or later, this daemon speaks API {have}")
}

/// `None` for an empty text; the API tells absent from empty.
fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// `None` for an empty list.
fn some_list(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

/// `None` for zero.
fn some_number(number: i64) -> Option<i64> {
    (number != 0).then_some(number)
}

/// `None` for an empty map.
fn some_map(map: &std::collections::BTreeMap<String, String>) -> Option<std::collections::HashMap<String, String>> {
    (!map.is_empty()).then(|| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
}
