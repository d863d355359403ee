//! Containers and projects as `turnout status`, `ps` and `ls` show them.

use std::collections::{BTreeMap, HashMap};

use bollard::{
    models::{ContainerSummary, PortSummary},
    query_parameters::ListContainersOptionsBuilder,
};
use serde::Serialize;
use turnout_compose::labels;
use turnout_plan::RunState;

use super::{Engine, EngineError, observe};

/// One container of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerStatus {
    /// Its ID, all 64 digits.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// The service that it is of.
    pub service: String,
    /// Number; one-offs have none.
    pub number: Option<u32>,
    /// `run` made it, and no service needs it.
    pub oneoff: bool,
    /// Image as the container names it.
    pub image: String,
    /// `created`, `running`, `paused`, `restarting`, `exited`, `removing` or `dead`.
    pub state: String,
    /// `starting`, `healthy` or `unhealthy`; `None` without health check or when it does not run.
    pub health: Option<String>,
    /// Exit code of one that exited.
    pub exit_code: Option<i64>,
    /// The engine's words: `Up 3 minutes (healthy)`.
    pub status: String,
    /// Published and exposed ports: `0.0.0.0:8080->80/tcp`, `80/tcp`.
    pub ports: Vec<String>,
    /// Seconds since the Unix epoch.
    pub created: i64,
    /// Services that its own depends on, by the label that it was made with.
    #[serde(skip)]
    pub needs: Vec<String>,
}

/// One project that has containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectStatus {
    /// The Compose project's name.
    pub name: String,
    /// Number of containers by state.
    pub states: BTreeMap<String, usize>,
    /// Compose files, from the label; empty when none says.
    pub config_files: Vec<String>,
}

impl Engine {
    /// Containers of a project, by service and number. Without `all`, only those that run.
    pub async fn containers(&self, project: &str, all: bool) -> Result<Vec<ContainerStatus>, EngineError> {
        let listed = self.project_containers(project).await?;
        let mut found: Vec<ContainerStatus> = listed.into_iter().filter_map(status).collect();
        if !all {
            found.retain(|c| matches!(c.state.as_str(), "running" | "paused" | "restarting"));
        }
        found.sort_by(|a, b| (&a.service, a.number, &a.name).cmp(&(&b.service, b.number, &b.name)));
        Ok(found)
    }

    /// All Compose projects that have containers, by name.
    pub async fn projects(&self) -> Result<Vec<ProjectStatus>, EngineError> {
        let filters =
            HashMap::from([("label".to_owned(), vec![labels::PROJECT.to_owned(), labels::CONFIG_HASH.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.ask(self.docker().list_containers(Some(options))).await;
        let listed = listed.map_err(|e| EngineError::api("list projects", e))?;
        let mut projects: BTreeMap<String, ProjectStatus> = BTreeMap::new();
        for summary in listed {
            let own = summary.labels.clone().unwrap_or_default();
            let Some(name) = own.get(labels::PROJECT) else { continue };
            let project = projects.entry(name.clone()).or_insert_with(|| ProjectStatus {
                name: name.clone(),
                states: BTreeMap::new(),
                config_files: Vec::new(),
            });
            if let (true, Some(files)) = (project.config_files.is_empty(), own.get(labels::CONFIG_FILES)) {
                project.config_files = files.split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect();
            }
            if let Some(container) = status(summary) {
                *project.states.entry(container.state).or_default() += 1;
            }
        }
        Ok(projects.into_values().collect())
    }
}

/// One container of the engine's list.
pub(super) fn status(summary: ContainerSummary) -> Option<ContainerStatus> {
    let image = summary.image.clone().unwrap_or_default();
    let text = summary.status.clone().unwrap_or_default();
    let created = summary.created.unwrap_or_default();
    let mut ports: Vec<String> = summary.ports.iter().flatten().map(port).collect();
    ports.sort();
    ports.dedup();
    let seen = observe::container(summary)?;
    let needs = labels::parse_depends_on(seen.labels.get(labels::DEPENDS_ON).map_or("", String::as_str));
    let (state, exit_code) = match seen.state {
        RunState::Created => ("created", None),
        RunState::Running => ("running", None),
        RunState::Paused => ("paused", None),
        RunState::Restarting => ("restarting", None),
        RunState::Exited(code) => ("exited", Some(code)),
        RunState::Removing => ("removing", None),
        RunState::Dead => ("dead", None),
    };
    Some(ContainerStatus {
        id: seen.id,
        name: seen.name,
        service: seen.service,
        number: seen.number,
        oneoff: seen.oneoff,
        image,
        state: state.to_owned(),
        health: health(&text),
        exit_code,
        status: text,
        ports,
        created,
        needs: needs.into_iter().map(|one| one.service).collect(),
    })
}

/// The list says how a container feels only in words: `Up 2 minutes (health: starting)`.
fn health(status: &str) -> Option<String> {
    let (_, said) = status.strip_prefix("Up ")?.split_once('(')?;
    let said = said.trim_end_matches(')');
    let said = said.strip_prefix("health: ").unwrap_or(said);
    matches!(said, "starting" | "healthy" | "unhealthy").then(|| said.to_owned())
}

fn port(port: &PortSummary) -> String {
    let protocol = port.typ.map(|t| t.to_string()).unwrap_or_default();
    match (port.public_port, port.ip.as_deref()) {
        (Some(public), Some(ip)) if ip.contains(':') => format!("[{ip}]:{public}->{}/{protocol}", port.private_port),
        (Some(public), Some(ip)) => format!("{ip}:{public}->{}/{protocol}", port.private_port),
        (Some(public), None) => format!("{public}->{}/{protocol}", port.private_port),
        (None, _) => format!("{}/{protocol}", port.private_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_read_from_the_words() {
        for (status, wanted) in [
            ("Up 3 minutes (healthy)", Some("healthy")),
            ("Up 2 seconds (health: starting)", Some("starting")),
            ("Up 1 hour (unhealthy)", Some("unhealthy")),
            ("Up 1 hour (Paused)", None),
            ("Up 1 hour", None),
            ("Exited (0) 3 minutes ago", None),
        ] {
            assert_eq!(health(status).as_deref(), wanted, "{status}");
        }
    }
}
