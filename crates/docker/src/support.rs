//! Refuses what this engine, or turnout, cannot carry out of a project, and names that containers of others have. Asked
//! before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use bollard::query_parameters::InspectContainerOptions;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use turnout_compose::{
    labels::PROJECT,
    model::{Project, Service},
};
use turnout_plan::{Action, Plan};

use super::{Engine, EngineError, error::status_of, translate};

/// Names asked for at one time.
const LOOKS: usize = 16;

impl Engine {
    /// Translates every service as a deployment would, and sends nothing.
    ///
    /// A refusal in the middle of a deployment would come after other services were replaced; and a service that is
    /// brought up by a provider plugin has no container, so that no step of a plan would stumble over it.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] or [`EngineError::UnsupportedNetwork`] names the first attribute that this engine, or
    /// turnout, cannot carry out.
    pub fn refuse_unsupported(&self, project: &Project) -> Result<(), EngineError> {
        for (key, network) in &project.networks {
            // An external network is made by somebody else.
            if let Some(network) = network.as_ref().filter(|network| !network.external) {
                translate::refuse_network(key, network, self.version())?;
            }
        }
        self.refuse_unsupported_of(project, |_| true)
    }

    /// The same for the services whose containers the plan makes: what is left alone may have been made by a newer
    /// engine, or by somebody else.
    pub(super) fn refuse_unsupported_in(&self, project: &Project, plan: &Plan) -> Result<(), EngineError> {
        for step in &plan.steps {
            if let Action::CreateNetwork { key, .. } = &step.action
                && let Some(Some(network)) = project.networks.get(key)
            {
                translate::refuse_network(key, network, self.version())?;
            }
        }
        let made: BTreeSet<&str> = plan
            .steps
            .iter()
            .filter_map(|step| match &step.action {
                Action::CreateContainer { service, .. } | Action::RunPreStart { service, .. } => Some(service.as_str()),
                _ => None,
            })
            .collect();
        self.refuse_unsupported_of(project, |name| made.contains(name))
    }

    fn refuse_unsupported_of(&self, project: &Project, wanted: impl Fn(&str) -> bool) -> Result<(), EngineError> {
        for (name, service) in project.services.iter().filter(|(name, _)| wanted(name.as_str())) {
            self.refuse_unsupported_container(project, name, service)?;
            let image = service.image_name(&project.name, name);
            for (index, step) in service.pre_start.iter().enumerate() {
                if step.per_replica {
                    return Err(EngineError::Unsupported {
                        service: name.clone(),
                        attribute: format!("pre_start[{index}].per_replica"),
                        reason: "is not supported, as in Compose 5.6: leave it out, the step runs once for the service"
                            .to_owned(),
                    });
                }
                let of_step = |error| in_step(error, index);
                self.refuse_unsupported_container(project, name, &step.as_service(&image)).map_err(of_step)?;
            }
        }
        Ok(())
    }

    /// What would be asked of the engine for one container, without what only a run knows: identities, links, volumes taken
    /// over.
    ///
    /// # Errors
    /// As [`translate::container`].
    pub(super) fn as_asked(
        &self,
        project: &Project,
        name: &str,
        service: &Service,
        number: u32,
        container_name: &str,
    ) -> Result<translate::ContainerSpec, EngineError> {
        let profiles: BTreeMap<String, String> =
            translate::profile_files(service).into_iter().map(|file| (file, "{}".to_owned())).collect();
        translate::container(&translate::Target {
            project,
            name,
            service,
            number,
            container_name,
            replaces: None,
            image_id: "",
            config_hash: "",
            own_labels: &[],
            links: &[],
            volumes_from: &[],
            inherited: &[],
            profiles: &profiles,
            proxy_variables: self.proxy_variables(),
            version: self.version(),
        })
    }

    fn refuse_unsupported_container(
        &self,
        project: &Project,
        name: &str,
        service: &Service,
    ) -> Result<(), EngineError> {
        let translated = self.as_asked(project, name, service, 1, name);
        // Whatever else is wrong needs the containers it refers to before it can be judged.
        if let Err(error @ EngineError::Unsupported { .. }) = translated {
            return Err(error);
        }
        Ok(())
    }

    /// Looks whether a name that the plan gives to a container belongs to a container of somebody else.
    ///
    /// The engine itself says so only when the name is taken, which at a replacement is after the old container has
    /// gone.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] names the owner.
    pub(super) async fn refuse_taken_names(&self, project: &str, plan: &Plan) -> Result<(), EngineError> {
        let mut names = Vec::new();
        for step in &plan.steps {
            if let Action::CreateContainer { name, .. } | Action::RunPreStart { name, .. } = &step.action {
                names.push(name.clone());
            }
        }
        // Side by side, as a project may have a hundred names; the first taken one in the plan's order is told.
        let looks = stream::iter(names).map(|name| async move { self.refuse_taken(project, &name).await });
        let mut answers = looks.buffered(LOOKS);
        while answers.try_next().await?.is_some() {}
        Ok(())
    }

    async fn refuse_taken(&self, project: &str, name: &str) -> Result<(), EngineError> {
        let found = match self.ask(self.docker().inspect_container(name, None::<InspectContainerOptions>)).await {
            Ok(found) => found,
            Err(error) if status_of(&error) == Some(404) => return Ok(()),
            Err(error) => return Err(EngineError::api(format!("look for a container {name}"), error)),
        };
        // The engine finds containers by the beginning of their ID as well.
        if found.name.as_deref().map(|found| found.trim_start_matches('/')) != Some(name) {
            return Ok(());
        }
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let id: String = found.id.unwrap_or_default().chars().take(12).collect();
        let owner = match labels.get(PROJECT) {
            Some(owner) if owner == project => return Ok(()),
            Some(owner) => format!("a container of the project {owner} ({id})"),
            None => format!("a container that Compose did not make ({id})"),
        };
        Err(EngineError::Conflict {
            what: format!("the container name {name} is in use by {owner}"),
            hint: "remove or rename that container, or give the service another container_name".to_owned(),
        })
    }
}

/// An attribute of a `pre_start` step, with its place.
fn in_step(error: EngineError, index: usize) -> EngineError {
    match error {
        EngineError::Unsupported { service, attribute, reason } => {
            EngineError::Unsupported { service, attribute: format!("pre_start[{index}].{attribute}"), reason }
        }
        other => other,
    }
}
