//! Smaller looks than [`Engine::observe`], for commands that need less than planning does.

use bollard::models::ContainerSummary;

use super::{Engine, EngineError, observe};
use crate::{compose::model::Project, plan::Observed};

impl Engine {
    /// Only the containers of a project, in one request: enough to stop, start, restart or remove them.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn observe_containers(&self, project: &str) -> Result<Observed, EngineError> {
        let listed = self.project_containers(project).await?;
        let containers = listed.into_iter().filter_map(observe::container).collect();
        Ok(Observed { containers, ..Observed::default() })
    }

    /// What taking a project away needs: containers, networks and volumes, and its images only if `images`.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn observe_remains(&self, project: &Project, images: bool) -> Result<Observed, EngineError> {
        if images {
            return self.observe(project).await;
        }
        let Project { name, networks, volumes, .. } = project;
        let frame =
            Project { name: name.clone(), networks: networks.clone(), volumes: volumes.clone(), ..Project::default() };
        self.observe(&frame).await
    }

    /// The engine's list of a project's containers in every state, for tables that show what it says.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn list_project(&self, project: &str) -> Result<Vec<ContainerSummary>, EngineError> {
        self.project_containers(project).await
    }
}
