//! Waiting for a dependency to be healthy or to complete.

use std::time::Duration;

use bollard::models::{ContainerStateStatusEnum as Status, HealthStatusEnum as HealthStatus};
use futures_util::StreamExt;
use turnout_report::Event;

use super::{executor::Executor, report::ContainerRef, schedule::Did, world::Known};
use crate::{
    Engine, EngineError,
    probe::{Probes, Verdicts},
};

/// Inspection is the truth; events only shorten the wait for it.
const POLL: Duration = Duration::from_millis(500);
/// Lines of a failed dependency's log that are shown.
const LOG_LINES: usize = 10;

impl Executor<'_> {
    /// [`turnout_plan::Action::WaitFor`].
    pub(super) async fn wait_for(
        &self,
        service: &str,
        condition: &str,
        required: bool,
        dependents: &[String],
        failed_before: bool,
    ) -> Result<Did, EngineError> {
        if failed_before {
            return Ok(self.optional(format!("optional dependency {service:?} failed to start")));
        }
        let containers = self.world.of_service(service);
        if containers.is_empty() {
            let text = format!("{} is missing dependency {service}", dependents.join(", "));
            return if required { Err(EngineError::Dependency(text)) } else { Ok(self.optional(text)) };
        }
        let wanted = match condition {
            "service_healthy" => Wanted::Healthy,
            "service_completed_successfully" => Wanted::Completed,
            // Fulfilled by the order of steps.
            _ => return Ok(Did::Done(format!("{service} is started"))),
        };
        let patience = self.patience(service, wanted);
        match self.until(&containers, wanted, patience).await? {
            Readiness::Fulfilled(text) => Ok(Did::Done(format!("{service} is {text}"))),
            Readiness::Waiting(state) => {
                let text = format!("timeout waiting for dependencies: after {} s {state}", patience.as_secs());
                self.refuse(required, service, None, text).await
            }
            Readiness::Failed { container, text } => {
                let text = match condition {
                    "service_healthy" if required => format!("dependency failed to start: {text}"),
                    "service_healthy" => format!("optional dependency {service:?} failed to start: {text}"),
                    _ if required => format!("service {service:?} didn't complete successfully: {text}"),
                    _ => format!("optional dependency {service:?} didn't complete successfully: {text}"),
                };
                self.refuse(required, service, Some(container), text).await
            }
        }
    }

    /// How long a service is waited for.
    fn patience(&self, service: &str, wanted: Wanted) -> Duration {
        let limit = match wanted {
            Wanted::Healthy => self.run.probing.and_then(|probing| probing.limits.get(service).copied()),
            Wanted::Completed => None,
        };
        limit.unwrap_or(self.run.wait_timeout)
    }

    /// Polls until there is a verdict, the time is up, or the run is halted.
    async fn until(&self, containers: &[Known], wanted: Wanted, patience: Duration) -> Result<Readiness, EngineError> {
        let ids: Vec<&str> = containers.iter().map(|c| c.id.as_str()).collect();
        let mut events = self.engine.container_events(&ids, &["health_status", "die"]);
        let asked =
            |one: &Known| ContainerRef { id: one.id.clone(), name: one.name.clone(), service: one.service.clone() };
        let probing = self.run.probing.filter(|_| matches!(wanted, Wanted::Healthy));
        let mut probes = Probes::of(self.engine, probing, &containers.iter().map(asked).collect::<Vec<_>>());
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let verdict = match wanted {
                Wanted::Healthy => healthy(self.engine, containers, &probes.verdicts).await?,
                Wanted::Completed => completed(self.engine, containers).await?,
            };
            if !matches!(verdict, Readiness::Waiting(_)) || tokio::time::Instant::now() >= deadline {
                return Ok(verdict);
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = self.halt.cancelled() => return Err(EngineError::Cancelled),
                () = probes.next() => {}
                _ = events.next() => {}
            }
        }
    }

    async fn refuse(
        &self,
        required: bool,
        service: &str,
        container: Option<Box<Known>>,
        text: String,
    ) -> Result<Did, EngineError> {
        let shown = container.map_or_else(|| self.world.of_service(service), |c| vec![*c]);
        for known in shown {
            for line in self.engine.last_lines(&known.id, LOG_LINES, self.run.reporter).await {
                self.run.reporter.report(Event::Output { source: known.name.clone(), line });
            }
        }
        if required { Err(EngineError::Dependency(text)) } else { Ok(self.optional(text)) }
    }

    fn optional(&self, text: String) -> Did {
        self.run.reporter.warn(text.clone());
        Did::Skipped(text)
    }
}

/// How long a container without a health check is given to end, before the lack of a check is what is wrong with it.
const A_MOMENT: Duration = Duration::from_millis(500);

/// What a dependency is waited for to be.
#[derive(Clone, Copy)]
enum Wanted {
    Healthy,
    Completed,
}

enum Readiness {
    Fulfilled(String),
    /// Not yet; in words.
    Waiting(String),
    Failed {
        container: Box<Known>,
        text: String,
    },
}

/// All containers must be healthy.
async fn healthy(engine: &Engine, containers: &[Known], verdicts: &Verdicts) -> Result<Readiness, EngineError> {
    for known in containers {
        let name = &known.name;
        let failed = |text: String| Ok(Readiness::Failed { container: Box::new(known.clone()), text });
        let Some(inspected) = engine.find_container(&known.id).await? else {
            return failed(format!("container {name} was removed"));
        };
        let state = inspected.state.unwrap_or_default();
        if state.status == Some(Status::EXITED) {
            return failed(format!("container {name} exited ({})", state.exit_code.unwrap_or_default()));
        }
        let health = state.health.and_then(|health| health.status);
        if matches!(health, None | Some(HealthStatus::EMPTY | HealthStatus::NONE)) {
            // One that ends at once is told by its end.
            tokio::time::sleep(A_MOMENT).await;
            let state = engine.find_container(&known.id).await?.and_then(|found| found.state).unwrap_or_default();
            if state.status == Some(Status::EXITED) {
                return failed(format!("container {name} exited ({})", state.exit_code.unwrap_or_default()));
            }
        }
        match health {
            None | Some(HealthStatus::EMPTY | HealthStatus::NONE) => {
                // A container that is about to run its first check already has a status.
                return failed(format!("container {name} has no healthcheck configured"));
            }
            Some(HealthStatus::UNHEALTHY) => return failed(format!("container {name} is unhealthy")),
            Some(HealthStatus::STARTING) if verdicts.passed(&known.id) => {}
            Some(HealthStatus::STARTING) => {
                let said = verdicts.said(&known.id);
                return Ok(Readiness::Waiting(format!("container {name} is not yet healthy{said}")));
            }
            Some(HealthStatus::HEALTHY) => {}
        }
    }
    Ok(Readiness::Fulfilled("healthy".to_owned()))
}

/// The first container that exits decides.
async fn completed(engine: &Engine, containers: &[Known]) -> Result<Readiness, EngineError> {
    for known in containers {
        let failed = |text: String| Ok(Readiness::Failed { container: Box::new(known.clone()), text });
        let Some(inspected) = engine.find_container(&known.id).await? else {
            return failed(format!("container {} was removed", known.name));
        };
        let state = inspected.state.unwrap_or_default();
        if state.status == Some(Status::EXITED) {
            return match state.exit_code.unwrap_or_default() {
                0 => Ok(Readiness::Fulfilled("completed".to_owned())),
                code => failed(format!("exit {code}")),
            };
        }
    }
    let names: Vec<&str> = containers.iter().map(|c| c.name.as_str()).collect();
    Ok(Readiness::Waiting(format!("{} has not completed", names.join(", "))))
}
