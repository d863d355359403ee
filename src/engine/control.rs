//! Single strokes on a project's containers, for commands that need no plan.
//!
//! Stopping, starting, restarting and removing in the order of dependencies are plans (`plan::stop` and its kin).

use bollard::query_parameters::{KillContainerOptions, RestartContainerOptions};

use super::{ContainerRef, Engine, EngineError, error::status_of};

impl Engine {
    /// Sends a signal to the running containers of these services (all when empty); returns those it reached.
    pub async fn kill(
        &self,
        project: &str,
        services: &[String],
        signal: &str,
    ) -> Result<Vec<ContainerRef>, EngineError> {
        let mut reached = Vec::new();
        for container in self.running(project, services).await? {
            let options = KillContainerOptions { signal: signal.to_owned() };
            match self.docker().kill_container(&container.id, Some(options)).await {
                Ok(()) => reached.push(container),
                // It ended by itself meanwhile.
                Err(error) if matches!(status_of(&error), Some(404 | 409)) => {}
                Err(error) => return Err(EngineError::api(format!("kill {}", container.name), error)),
            }
        }
        Ok(reached)
    }

    /// Restarts one container in place, `grace` seconds over its own.
    pub async fn restart_container(&self, container: &ContainerRef, grace: Option<u32>) -> Result<(), EngineError> {
        /// What the daemon may need beyond a long grace.
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);
        let patience = PATIENCE + std::time::Duration::from_secs(u64::from(grace.unwrap_or_default()));
        let options = RestartContainerOptions { signal: None, t: grace.map(|g| i32::try_from(g).unwrap_or(i32::MAX)) };
        let restarted = self.docker_with_timeout(patience).restart_container(&container.id, Some(options)).await;
        restarted.map_err(|e| EngineError::api(format!("restart {}", container.name), e))
    }

    /// Running containers of these services, one-offs left out.
    async fn running(&self, project: &str, services: &[String]) -> Result<Vec<ContainerRef>, EngineError> {
        let all = self.containers(project, false).await?;
        let wanted = all.into_iter().filter(|c| !c.oneoff && (services.is_empty() || services.contains(&c.service)));
        Ok(wanted.map(|c| ContainerRef { id: c.id, name: c.name, service: c.service }).collect())
    }
}
