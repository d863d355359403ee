//! Sends signals to the containers of a project, for `turnout compose kill` and the like: calls that need no plan.
//!
//! Stopping, starting, restarting and removing in the order of dependencies are plans (`plan::stop` and its kin).

use bollard::query_parameters::KillContainerOptions;

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
            if self.kill_container(&container.id, &container.name, signal).await? {
                reached.push(container);
            }
        }
        Ok(reached)
    }

    /// Sends a signal to one container; whether it reached it, for it may just have ended by itself.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn kill_container(&self, id: &str, name: &str, signal: &str) -> Result<bool, EngineError> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        match self.ask(self.docker().kill_container(id, Some(options))).await {
            Ok(()) => Ok(true),
            Err(error) if matches!(status_of(&error), Some(404 | 409)) => Ok(false),
            Err(error) => Err(EngineError::api(format!("kill {name}"), error)),
        }
    }

    /// Running containers of these services, one-offs left out.
    async fn running(&self, project: &str, services: &[String]) -> Result<Vec<ContainerRef>, EngineError> {
        let all = self.containers(project, false).await?;
        let wanted = all.into_iter().filter(|c| !c.oneoff && (services.is_empty() || services.contains(&c.service)));
        Ok(wanted.map(|c| ContainerRef { id: c.id, name: c.name, service: c.service }).collect())
    }
}
