//! Removes what is left of a project that stands still for good: its containers and its networks, and no volume.

use turnout_compose::labels;

use bollard::query_parameters::RemoveContainerOptions;

use super::{
    Engine, EngineError,
    error::{Refusal, status_of},
};

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemovedProject {
    /// Names of containers that are gone.
    pub containers: Vec<String>,
    /// Names of networks that are gone.
    pub networks: Vec<String>,
    /// What was left, and why, in words.
    pub stays: Vec<String>,
}

impl Engine {
    /// Removes the containers of a project that a repository's deployments made and that do not run, and then the project's
    /// networks that nobody else is in. May be done again. Volumes stay, those without a name too.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn remove_stopped(&self, project: &str, repository: &str) -> Result<RemovedProject, EngineError> {
        let mut done = RemovedProject::default();
        for found in self.list_project(project).await? {
            let name = found.names.unwrap_or_default().into_iter().next().unwrap_or_default();
            let name = name.trim_start_matches('/').to_owned();
            let own = found.labels.unwrap_or_default();
            if own.get(labels::TURNOUT_REPOSITORY).is_none_or(|of| of != repository) {
                done.stays.push(format!("container {name} stays: no deployment of {repository} made it"));
                continue;
            }
            let id = found.id.unwrap_or_default();
            // Without force: one that runs stays.
            let options = RemoveContainerOptions { v: false, force: false, link: false };
            let removed = self.ask(self.docker().remove_container(&id, Some(options))).await;
            match removed.map_err(|error| EngineError::api(format!("remove {name}"), error)) {
                Ok(()) => done.containers.push(name),
                Err(error) if error.status() == Some(404) => {}
                Err(error) if error.refusal() == Some(&Refusal::RemovalInProgress) => {}
                Err(error) if error.status() == Some(409) => done.stays.push(format!("{name} stays: {error}")),
                Err(error) => return Err(error),
            }
        }
        for network in self.all_networks().await? {
            let is_own =
                network.labels.as_ref().and_then(|own| own.get(labels::PROJECT)).is_some_and(|of| of == project);
            let (Some(id), Some(name), true) = (network.id, network.name, is_own) else { continue };
            // The engine itself looks at containers that run only.
            let members = self.members(&id).await?;
            if let Some(other) = members.first() {
                done.stays.push(format!("network {name} stays: {} is attached to it", other.name));
                continue;
            }
            match self.ask(self.docker().remove_network(&id)).await {
                Ok(()) => done.networks.push(name),
                Err(error) if status_of(&error) == Some(404) => {}
                Err(error) if status_of(&error) == Some(403) => {
                    done.stays.push(format!("network {name} stays: {error}"))
                }
                Err(error) => return Err(EngineError::api(format!("remove network {name}"), error)),
            }
        }
        Ok(done)
    }
}
