//! Every Compose stack that the engine holds: containers and volumes, by project.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::{
    models::ContainerSummary,
    query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder},
};
use turnout_compose::labels;

use super::{ContainerStatus, Engine, EngineError, status::status};

/// What the engine holds of one project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stack {
    /// The Compose project's name, colour included.
    pub project: String,
    /// The repository for which turnout deployed it, where a container says so.
    pub repository: Option<String>,
    /// Folders that its containers were made from.
    pub folders: BTreeSet<String>,
    /// Its containers, by service and number.
    pub containers: Vec<ContainerStatus>,
    /// Names of its volumes.
    pub volumes: BTreeSet<String>,
}

impl Engine {
    /// All stacks that have containers or volumes, by project.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn stacks(&self) -> Result<BTreeMap<String, Stack>, EngineError> {
        let labelled = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            HashMap::from([("label".to_owned(), names)])
        };
        let filters = labelled(&[labels::PROJECT, labels::CONFIG_HASH]);
        let containers = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let volumes = ListVolumesOptionsBuilder::default().filters(&labelled(&[labels::PROJECT])).build();
        let (containers, volumes) = futures_util::try_join!(
            async {
                let listed = self.ask(self.docker().list_containers(Some(containers))).await;
                listed.map_err(|e| EngineError::api("list containers", e))
            },
            async {
                let listed = self.ask(self.docker().list_volumes(Some(volumes))).await;
                listed.map_err(|e| EngineError::api("list volumes", e))
            },
        )?;
        let mut stacks = of_containers(containers);
        for volume in volumes.volumes.unwrap_or_default() {
            if let Some(stack) = stack_of(&mut stacks, volume.labels.get(labels::PROJECT)) {
                stack.volumes.insert(volume.name);
            }
        }
        Ok(stacks)
    }

    /// The stack of one project, without its volumes.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(super) async fn stack_of(&self, project: &str) -> Result<BTreeMap<String, Stack>, EngineError> {
        Ok(of_containers(self.project_containers(project).await?))
    }
}

fn of_containers(containers: Vec<ContainerSummary>) -> BTreeMap<String, Stack> {
    let mut stacks: BTreeMap<String, Stack> = BTreeMap::new();
    for summary in containers {
        let own = summary.labels.clone().unwrap_or_default();
        let Some(stack) = stack_of(&mut stacks, own.get(labels::PROJECT)) else { continue };
        if let Some(repository) = own.get(labels::TURNOUT_REPOSITORY) {
            stack.repository = Some(repository.clone());
        }
        stack.folders.extend(own.get(labels::WORKING_DIR).cloned());
        stack.containers.extend(status(summary));
    }
    for stack in stacks.values_mut() {
        stack.containers.sort_by(|a, b| (&a.service, a.number, &a.name).cmp(&(&b.service, b.number, &b.name)));
    }
    stacks
}

fn stack_of<'s>(stacks: &'s mut BTreeMap<String, Stack>, project: Option<&String>) -> Option<&'s mut Stack> {
    let project = project?;
    let fresh = || Stack { project: project.clone(), ..Stack::default() };
    Some(stacks.entry(project.clone()).or_insert_with(fresh))
}
