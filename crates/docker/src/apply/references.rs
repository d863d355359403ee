//! Replaces what a service refers to by name with what the engine wants: IDs for namespaces, volumes of others and
//! links; the content of seccomp profiles.

use std::collections::BTreeMap;

use turnout_compose::{
    hash::{service_hash, with_container_refs},
    labels,
    model::Service,
};
use turnout_files::{self as files, Kind};

use super::{executor::Executor, world::World};
use crate::{EngineError, translate};

/// A service with its references resolved.
pub struct Resolved {
    /// The service with container IDs in place of names, whose hash is the label.
    pub service: Service,
    /// Value of the label `com.docker.compose.config-hash`.
    pub config_hash: String,
    /// Entries of `VolumesFrom`, access mode kept.
    pub volumes_from: Vec<String>,
    /// `container:alias` entries for the engine's `Links`.
    pub links: Vec<String>,
    /// Seccomp profiles by name as written.
    pub profiles: BTreeMap<String, String>,
}

impl Executor<'_> {
    /// Resolves all references of a service for its container `number`.
    ///
    /// # Errors
    /// A service referred to has no container, a profile file cannot be read.
    pub(super) async fn resolve(&self, name: &str, service: &Service, number: u32) -> Result<Resolved, EngineError> {
        let ids = self.world.first_ids();
        for mode in [&service.network_mode, &service.ipc, &service.pid] {
            if let Some(other) = Service::shared_service(mode) {
                require(name, other, &ids)?;
            }
        }
        let volumes_from = volumes_from(name, service, &ids)?;
        let resolved = with_container_refs(service, &ids);
        Ok(Resolved {
            config_hash: service_hash(&resolved),
            volumes_from,
            links: links(&self.run.project.name, service, number, &self.world),
            profiles: self.read_profiles(name, service).await?,
            service: resolved,
        })
    }

    async fn read_profiles(&self, name: &str, service: &Service) -> Result<BTreeMap<String, String>, EngineError> {
        let mut profiles = BTreeMap::new();
        for file in translate::profile_files(service) {
            let path = self.run.project.working_dir.join(&file);
            let (reach, from) = (self.run.project.reach.clone(), path.clone());
            let read = files::blocking(move || reach.read(&from, Kind::PROFILE)).await;
            let read = read.unwrap_or_else(|lost| Err(lost.into()));
            let text = read.and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
            let text = text.map_err(|error| {
                let hint = files::hint(&error).map(|hint| format!(": {hint}")).unwrap_or_default();
                EngineError::Unsupported {
                    service: name.to_owned(),
                    attribute: "security_opt".to_owned(),
                    reason: format!("seccomp profile {} cannot be read: {error}{hint}", path.display()),
                }
            })?;
            profiles.insert(file, text);
        }
        Ok(profiles)
    }
}

fn require<'a>(name: &str, other: &str, ids: &'a BTreeMap<String, String>) -> Result<&'a str, EngineError> {
    ids.get(other).map(String::as_str).ok_or_else(|| {
        EngineError::Stale(format!("{name} shares something of service {other}, which has no container"))
    })
}

/// `SERVICE[:mode]` or `container:NAME[:mode]`. The mode is honoured, although Compose leaves it out of the hash.
fn volumes_from(name: &str, service: &Service, ids: &BTreeMap<String, String>) -> Result<Vec<String>, EngineError> {
    let mut entries = Vec::with_capacity(service.volumes_from.len());
    for entry in &service.volumes_from {
        let (source, mode) = match entry.strip_prefix("container:") {
            Some(rest) => rest.split_once(':').map_or((rest, None), |(c, mode)| (c, Some(mode))),
            None => {
                let (other, mode) = entry.split_once(':').map_or((entry.as_str(), None), |(s, m)| (s, Some(m)));
                (require(name, other, ids)?, mode)
            }
        };
        entries.push(mode.map_or_else(|| source.to_owned(), |mode| format!("{source}:{mode}")));
    }
    Ok(entries)
}

/// The aliases under which linked containers are known, as Compose makes them.
fn links(project: &str, service: &Service, number: u32, world: &World) -> Vec<String> {
    let mut links = Vec::new();
    for link in &service.links {
        let (other, alias) = link.split_once(':').unwrap_or((link, link));
        for container in world.of_service(other) {
            // The name that it has when somebody looks for it.
            let name = labels::final_name(&container.name);
            links.extend([
                format!("{name}:{alias}"),
                format!("{name}:{other}-{number}"),
                format!("{name}:{project}-{other}-{number}"),
            ]);
        }
    }
    for link in &service.external_links {
        let (container, alias) = link.split_once(':').unwrap_or((link, link));
        links.push(format!("{container}:{alias}"));
    }
    links
}
