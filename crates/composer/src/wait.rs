//! `up --wait`: until everything runs, or is healthy, or is done.

use std::{collections::BTreeSet, time::Duration};

use anyhow::bail;

use super::{progress::Progress, session::Session};
use turnout_compose::model::Project;
use turnout_docker::{ContainerStatus, Engine};

/// Before each look, one request each. The first look comes late enough for a process that ends at once to have ended.
const POLL: Duration = Duration::from_millis(500);

/// Waits for all containers of the project's services.
///
/// # Errors
/// When one ends, unless others wait for its completion, or turns unhealthy, or when `limit` has passed.
pub(super) async fn until_ready(
    session: &Session,
    engine: &Engine,
    project: &Project,
    limit: Option<Duration>,
    progress: &Progress,
) -> anyhow::Result<()> {
    session.interruptible();
    let all = every_one(engine, project, progress);
    let limited = async {
        match limit {
            None => all.await,
            Some(limit) => match tokio::time::timeout(limit, all).await {
                Ok(done) => done,
                Err(_) => bail!("application not healthy after {} s (look at `ps` and `logs`)", limit.as_secs()),
            },
        }
    };
    tokio::select! {
        done = limited => done,
        () = session.cancel.cancelled() => bail!("cancelled while waiting; what was started goes on running"),
    }
}

async fn every_one(engine: &Engine, project: &Project, progress: &Progress) -> anyhow::Result<()> {
    let mut told: BTreeSet<String> = BTreeSet::new();
    for container in engine.containers(&project.name, true).await? {
        if !container.oneoff && project.services.contains_key(&container.service) {
            progress.is(&format!("Container {}", container.name), "Waiting");
        }
    }
    loop {
        tokio::time::sleep(POLL).await;
        let mut waiting = false;
        for container in engine.containers(&project.name, true).await? {
            if container.oneoff || !project.services.contains_key(&container.service) {
                continue;
            }
            match judge(project, &container)? {
                None => waiting = true,
                Some(how) if told.insert(container.id.clone()) => {
                    progress.is(&format!("Container {}", container.name), how);
                }
                Some(_) => {}
            }
        }
        if !waiting {
            return Ok(());
        }
    }
}

/// How a container is ready; `None` while it is not yet.
fn judge(project: &Project, container: &ContainerStatus) -> anyhow::Result<Option<&'static str>> {
    let ContainerStatus { name, service, .. } = container;
    match (container.state.as_str(), container.health.as_deref()) {
        // Without a check the real one calls it healthy too.
        ("running", None | Some("healthy")) => Ok(Some("Healthy")),
        (_, Some("unhealthy")) => bail!("container {name} is unhealthy (look at `logs {service}`)"),
        ("exited", _) => {
            let code = container.exit_code.unwrap_or_default();
            let is_job = project.dependents(service).any(|(_, e)| e.condition == "service_completed_successfully");
            if is_job && code == 0 {
                return Ok(Some("Exited"));
            }
            bail!("container {name} exited ({code}) (look at `logs {service}`)")
        }
        ("dead" | "removing", _) => bail!("container {name} is {}", container.state),
        _ => Ok(None),
    }
}
