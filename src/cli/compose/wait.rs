//! `up --wait`: until everything runs, or is healthy, or is done.

use std::time::Duration;

use anyhow::bail;

use super::{progress::Progress, session::Session};
use crate::{
    compose::model::Project,
    engine::{ContainerRef, Engine, Settle},
};

/// Longest wait without `--wait-timeout`.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

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
    let of_project = |service: &str| project.services.contains_key(service);
    let is_job = |service: &str| {
        project.dependents(service).any(|(_, edge)| edge.condition == "service_completed_successfully")
    };
    let listed = engine.containers(&project.name, true).await?;
    let watched: Vec<ContainerRef> = listed
        .into_iter()
        .filter(|c| !c.oneoff && of_project(&c.service))
        .map(|c| ContainerRef { id: c.id, name: c.name, service: c.service })
        .collect();
    let watch = Settle {
        project,
        started: &watched,
        settle: Duration::ZERO,
        health_timeout: limit.unwrap_or(PATIENCE),
        reporter: progress,
        cancel: &session.cancel,
    };
    let settled = engine.settle(&watch);
    match limit {
        None => settled.await?,
        Some(limit) => match tokio::time::timeout(limit, settled).await {
            Ok(settled) => settled?,
            Err(_) => bail!("application not healthy after {} s", limit.as_secs()),
        },
    }
    for container in engine.containers(&project.name, true).await? {
        let ended = container.state == "exited" && of_project(&container.service) && !container.oneoff;
        if ended && !is_job(&container.service) {
            bail!("container {} exited ({})", container.name, container.exit_code.unwrap_or_default());
        }
        if !ended {
            let how = if container.health.is_some() { "Healthy" } else { "Running" };
            progress.is(&format!("Container {}", container.name), how);
        }
    }
    Ok(())
}
