//! Looks at the engine that need fewer requests than [`Engine::observe`], for commands that do not plan.

use std::{collections::HashMap, time::SystemTime};

use bollard::{
    models::ContainerSummary,
    query_parameters::{ListImagesOptionsBuilder, RemoveImageOptions},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use turnout_compose::{labels, model::Project, reference::familiar};
use turnout_plan::{Belonging, Observed, OwnImage};

use super::{Engine, EngineError, observe};

impl Engine {
    /// Only the containers of a project, in one request: enough to stop, start, restart or remove them.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn observe_containers(&self, project: &str) -> Result<Observed, EngineError> {
        let (listed, step_containers) = self.containers_and_steps(project).await?;
        let containers = listed.into_iter().filter_map(observe::container).collect();
        Ok(Observed { containers, step_containers, ..Observed::default() })
    }

    /// Local images that `down` of the project may remove. `observed` tells the services where the project's file is
    /// gone.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn own_images(&self, project: &Project, observed: &Observed) -> Result<Vec<OwnImage>, EngineError> {
        let mut found = Vec::new();
        let own = |filter: &str| vec![filter.to_owned()];
        let filters = HashMap::from([
            ("label".to_owned(), own(&format!("{}={}", labels::PROJECT, project.name))),
            ("dangling".to_owned(), own("false")),
        ]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let labelled = self.ask(self.docker().list_images(Some(options))).await;
        for image in labelled.map_err(|e| EngineError::api("list images", e))? {
            // Of several names only the first goes, as in Compose.
            let Some(reference) = image.repo_tags.first().map(|tag| familiar(tag)) else { continue };
            let service = image.labels.get(labels::SERVICE).cloned().unwrap_or_default();
            found.push(OwnImage { reference, service, by: Belonging::Label });
        }
        let mut named: Vec<OwnImage> = Vec::new();
        for (name, service) in &project.services {
            let by = if service.image.is_empty() { Belonging::BuildName } else { Belonging::Used };
            let reference = familiar(&service.image_name(&project.name, name));
            named.push(OwnImage { reference, service: name.clone(), by });
        }
        if project.services.is_empty() && observed.containers.iter().any(|c| !c.oneoff) {
            for container in self.project_containers(&project.name).await? {
                let labels = container.labels.unwrap_or_default();
                let (Some(service), Some(image)) = (labels.get(labels::SERVICE), container.image) else { continue };
                named.push(OwnImage { reference: familiar(&image), service: service.clone(), by: Belonging::Used });
            }
        }
        for image in named {
            if self.find_image(&image.reference).await?.is_some() {
                found.push(image);
            }
        }
        Ok(found)
    }

    /// When the image that a container was made of was itself made; `None` where the engine does not tell, or the image
    /// is gone.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn image_created(&self, container: &str) -> Result<Option<SystemTime>, EngineError> {
        let image = self.find_container(container).await?.and_then(|found| found.image);
        let Some(image) = image else { return Ok(None) };
        let made = self.find_image(&image).await?.and_then(|found| found.created).map(|made| made.to_string());
        let made = made.and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok());
        Ok(made.filter(|made| made.year() > 1).map(SystemTime::from))
    }

    /// Removes images of a project that have no name any more and that nobody uses: those that a rebuild has replaced.
    /// What cannot be removed stays.
    ///
    /// # Errors
    /// When the engine does not tell which there are.
    pub async fn remove_dangling_images(&self, project: &str) -> Result<(), EngineError> {
        let filters = HashMap::from([
            ("label".to_owned(), vec![format!("{}={project}", labels::PROJECT)]),
            ("dangling".to_owned(), vec!["true".to_owned()]),
        ]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let found = self.ask(self.docker().list_images(Some(options))).await;
        for image in found.map_err(|e| EngineError::api("list images", e))? {
            // One that a container is made of is refused, which is right.
            let _ = self.ask(self.docker().remove_image(&image.id, None::<RemoveImageOptions>, None)).await;
        }
        Ok(())
    }

    /// What taking a project away needs: containers, networks and volumes.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn observe_remains(&self, project: &Project) -> Result<Observed, EngineError> {
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
