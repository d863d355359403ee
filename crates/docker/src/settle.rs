//! Does it stay up? A start that the engine reports as done is not yet a success.
//!
//! What counts, for each container that was started:
//! - its health check has said healthy, to the engine or, where that is wanted, to turnout ([`super::probe`]): judged at once,
//!   for it can speak for itself;
//! - running to the end of the settle time without a health check: settled, since nobody speaks for it;
//! - restarted, restarting, exited with a code other than 0, unhealthy, removed, not running: failed;
//! - exited with 0, and somebody depends on it with `service_completed_successfully`: a job that is done;
//! - exited with 0, nobody waits for it, and its restart policy does not bring it back: done as well, but said aloud,
//!   because a server that ends at once with 0 looks the same.
//!
//! As long as one is not judged, the others are looked at, too: a healthy one that falls over meanwhile has failed.

use std::time::{Duration, SystemTime};

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status, HealthConfig,
    HealthStatusEnum as HealthStatus, RestartPolicyNameEnum as Restart,
};
use futures_util::{StreamExt, future::join_all};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use turnout_compose::model::Project;
use turnout_report::Reporter;

use super::{
    ContainerRef, Engine, EngineError, clock,
    health::{CHECK_TIME, check_output, positive},
    probe::{Probes, Probing},
};

/// Inspection is the truth; events only shorten the wait for it.
const POLL: Duration = Duration::from_millis(500);
/// Lines of a failed container's log that are kept.
const LOG_LINES: usize = 20;
/// Longest wait for the first verdict of a health check beyond the settle time, however patient the check is.
const LONGEST_CHECK: Duration = Duration::from_secs(15 * 60);
/// What the engine itself may add to the times of a check.
const CHECK_SLACK: Duration = Duration::from_secs(5);
/// Failed checks in a row, where a check does not say: the engine's own.
const CHECK_RETRIES: u32 = 3;

/// Whom to watch, and for how long.
#[derive(Clone, Copy)]
pub struct Settle<'a> {
    /// The project they belong to.
    pub project: &'a Project,
    /// The containers that the run has started, which are watched.
    pub started: &'a [ContainerRef],
    /// How long those without a health check must stay up.
    pub settle: Duration,
    /// How long a health check may take to its first verdict at most, beyond the settle time; less when the check's
    /// own times and retries must give one earlier.
    pub health_timeout: Duration,
    /// Whose health checks turnout runs itself meanwhile; `None`: the engine alone asks.
    pub probing: Option<Probing<'a>>,
    /// Takes what is said meanwhile.
    pub reporter: &'a dyn Reporter,
    /// Ends the watch before its time.
    pub cancel: &'a CancellationToken,
}

/// A container that did not stay up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The one that did not stay up.
    pub container: ContainerRef,
    /// What happened, for instance `exited (1) and was restarted 2 times`.
    pub reason: String,
    /// What it said last, for whoever looks for the reason.
    pub log: Vec<String>,
}

/// Why a deployment did not settle.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Containers did not stay up.
    #[error("{}", describe(.0))]
    Failed(Vec<Unsettled>),
    /// The watch was cancelled.
    #[error("cancelled while watching whether the containers stay up")]
    Cancelled,
    /// The engine did not answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Watches started containers: those with a health check until it has a verdict, as long as the check itself may take
    /// for one, the others for the time of `settle`. Fails as soon as one has failed. Answers when the last look began, by
    /// this machine's clock: what happens from then on is not in the verdict.
    pub async fn settle(&self, watch: &Settle<'_>) -> Result<SystemTime, SettleError> {
        let Settle { project, started, settle, health_timeout, probing, reporter, cancel } = *watch;
        let mut pending: Vec<&ContainerRef> = started.iter().collect();
        if pending.is_empty() {
            return Ok(clock::now());
        }
        let ids: Vec<&str> = pending.iter().map(|c| c.id.as_str()).collect();
        let mut events = self.container_events(&ids, &["die", "health_status", "oom", "destroy"]);
        let mut probes = Probes::of(self, probing, started);
        let began = Instant::now();
        let mut told = settle.is_zero();
        loop {
            let looked = clock::now();
            let inspected = join_all(pending.iter().map(|c| self.find_container(&c.id))).await;
            // Taken after the answers, so that the last look is never older than the settle time.
            let elapsed = began.elapsed();
            let (mut failed, mut checking, mut silent) = (Vec::new(), false, Vec::new());
            let mut watched = Vec::with_capacity(pending.len());
            for (container, inspected) in pending.iter().zip(inspected) {
                match judge(project, container, inspected?) {
                    Look::Healthy => watched.push(*container),
                    Look::Checking { .. } if probes.verdicts.passed(&container.id) => watched.push(*container),
                    Look::Up => {
                        silent.push(container.name.as_str());
                        watched.push(*container);
                    }
                    Look::Checking { patience, said } => {
                        let limit = probing.and_then(|probing| probing.limits.get(&container.service).copied());
                        if elapsed >= limit.unwrap_or(patience.min(health_timeout)).max(settle) {
                            let own = probes.verdicts.said(&container.id);
                            let said = if own.is_empty() { said } else { own };
                            failed.push((*container, format!("is not healthy after {} s{said}", elapsed.as_secs())));
                        }
                        checking = true;
                        watched.push(*container);
                    }
                    Look::Completed { expected: true } => {}
                    Look::Completed { expected: false } => reporter.warn(format!(
                        "{} ended with exit code 0 and nobody waits for it: taken as a completed job",
                        container.name
                    )),
                    Look::Failed(reason) => failed.push((*container, reason)),
                }
            }
            if !failed.is_empty() {
                return Err(SettleError::Failed(self.explain(failed, reporter).await));
            }
            if !checking && (silent.is_empty() || elapsed >= settle) {
                return Ok(looked);
            }
            if !told && !silent.is_empty() {
                told = true;
                reporter.info(unchecked(&silent, settle));
            }
            pending = watched;
            let next = if elapsed < settle { POLL.min(settle - elapsed) } else { POLL };
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                () = cancel.cancelled() => return Err(SettleError::Cancelled),
                () = probes.next() => {}
                _ = events.next() => {}
            }
        }
    }

    /// How long ago this was by the engine's clock: the start of a container, as the engine tells it.
    pub(super) async fn running_for(&self, started: &str) -> Duration {
        since(started, self.ahead().await)
    }

    async fn explain(&self, failed: Vec<(&ContainerRef, String)>, reporter: &dyn Reporter) -> Vec<Unsettled> {
        let explained = failed.into_iter().map(|(container, reason)| async move {
            let log = self.last_lines(&container.id, LOG_LINES, reporter).await;
            Unsettled { container: container.clone(), reason, log }
        });
        join_all(explained).await
    }
}

/// How long ago a time of the engine's is, whose clock is so many nanoseconds ahead. An unreadable one counts as now.
pub(super) fn since(at: &str, ahead: i64) -> Duration {
    let since = OffsetDateTime::parse(at, &Rfc3339)
        .map(|at| OffsetDateTime::now_utc() + time::Duration::nanoseconds(ahead) - at)
        .unwrap_or_default();
    since.try_into().unwrap_or_default()
}

/// How a container is doing at one look.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Its health check is content.
    Healthy,
    /// It runs, and has no health check.
    Up,
    /// Its health check has no verdict yet.
    Checking {
        /// When it must have one, counted from the start.
        patience: Duration,
        /// What the last check said, if anything.
        said: String,
    },
    Completed {
        expected: bool,
    },
    Failed(String),
}

fn judge(project: &Project, container: &ContainerRef, inspected: Option<ContainerInspectResponse>) -> Look {
    let Some(inspected) = inspected else { return Look::Failed("was removed".to_owned()) };
    let state = inspected.state.unwrap_or_default();
    let policy = inspected.host_config.and_then(|h| h.restart_policy).and_then(|p| p.name);
    let comes_back = matches!(policy, Some(Restart::ALWAYS | Restart::UNLESS_STOPPED));
    let restarts = inspected.restart_count.unwrap_or_default();
    let is_job = project
        .services
        .values()
        .any(|s| s.depends_on.get(&container.service).is_some_and(|d| d.condition == "service_completed_successfully"));
    let code = state.exit_code.unwrap_or_default();
    match state.status {
        // A job may need more than one attempt; a server may not.
        Some(Status::EXITED) if code == 0 && !comes_back => Look::Completed { expected: is_job },
        Some(Status::EXITED) if code == 0 => Look::Failed("was stopped".to_owned()),
        Some(Status::EXITED | Status::DEAD) => Look::Failed(ended(&state, restarts)),
        Some(Status::RESTARTING) => Look::Failed(format!("{} and is being restarted", ended(&state, 0))),
        Some(Status::CREATED | Status::REMOVING | Status::EMPTY) | None => {
            let error = state.error.filter(|e| !e.is_empty()).map(|e| format!(": {e}"));
            Look::Failed(format!("does not run{}", error.unwrap_or_default()))
        }
        Some(_) if restarts > 0 && !is_job => Look::Failed(ended(&state, restarts)),
        Some(_) => health(state, patience(inspected.config.and_then(|c| c.healthcheck))),
    }
}

/// How long a check may take for its first verdict.
fn patience(check: Option<HealthConfig>) -> Duration {
    let check = check.unwrap_or_default();
    let retries = check.retries.and_then(|r| u32::try_from(r).ok()).filter(|r| *r > 0).unwrap_or(CHECK_RETRIES);
    let each = positive(check.interval, CHECK_TIME).saturating_add(positive(check.timeout, CHECK_TIME));
    let all = positive(check.start_period, Duration::ZERO).saturating_add(each.saturating_mul(retries));
    all.saturating_add(CHECK_SLACK).min(LONGEST_CHECK)
}

fn health(state: ContainerState, patience: Duration) -> Look {
    let Some(status) = state.health.as_ref().map(|health| health.status) else { return Look::Up };
    let said = check_output(state.health);
    let said = if said.is_empty() { said } else { format!(": the last check said {said:?}") };
    match status {
        Some(HealthStatus::UNHEALTHY) => Look::Failed(format!("is unhealthy{said}")),
        Some(HealthStatus::STARTING) => Look::Checking { patience, said },
        Some(HealthStatus::HEALTHY) => Look::Healthy,
        Some(HealthStatus::NONE | HealthStatus::EMPTY) | None => Look::Up,
    }
}

/// Why a deployment waits although all runs.
fn unchecked(names: &[&str], settle: Duration) -> String {
    let have = if names.len() == 1 { "has" } else { "have" };
    format!("{} {have} no health check: watched for {} s", names.join(", "), settle.as_secs_f64())
}

fn ended(state: &ContainerState, restarts: i64) -> String {
    let code = state.exit_code.unwrap_or_default();
    let memory = if state.oom_killed == Some(true) { ", out of memory," } else { "" };
    let times = if restarts == 1 { "once".to_owned() } else { format!("{restarts} times") };
    if restarts > 0 && state.running == Some(true) {
        // The exit code of the run before is gone once it runs again.
        return format!("ended and was restarted {times}");
    }
    let error = state.error.as_deref().filter(|e| !e.is_empty()).map(|e| format!(": {e}")).unwrap_or_default();
    let again = if restarts > 0 { format!(" after being restarted {times}") } else { String::new() };
    format!("exited ({code}){memory}{again}{error}")
}

fn describe(failed: &[Unsettled]) -> String {
    let each = failed.iter().map(|Unsettled { container, reason, log }| {
        let log: String = log.iter().map(|line| format!("\n    {line}")).collect();
        format!("{} {reason}{log}", container.name)
    });
    each.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use bollard::models::{Health, HostConfig, RestartPolicy};

    use super::*;
    use turnout_compose::model::{Dependency, Service};

    fn look(status: Status, code: i64, restarts: i64, policy: Restart) -> ContainerInspectResponse {
        ContainerInspectResponse {
            restart_count: Some(restarts),
            host_config: Some(HostConfig {
                restart_policy: Some(RestartPolicy { name: Some(policy), maximum_retry_count: None }),
                ..Default::default()
            }),
            state: Some(ContainerState { status: Some(status), exit_code: Some(code), ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn patience_is_the_checks_own() {
        let second = 1_000_000_000;
        assert_eq!(patience(None), Duration::from_secs(185));
        let check = HealthConfig {
            interval: Some(second),
            timeout: Some(2 * second),
            retries: Some(4),
            start_period: Some(10 * second),
            ..Default::default()
        };
        assert_eq!(patience(Some(check.clone())), Duration::from_secs(27));
        assert_eq!(patience(Some(HealthConfig { start_period: Some(i64::MAX), ..check })), LONGEST_CHECK);
    }

    #[test]
    fn looks_are_judged() {
        let waits = Dependency { condition: "service_completed_successfully".into(), ..Dependency::default() };
        let service = Service { depends_on: [("job".to_owned(), waits)].into(), ..Service::default() };
        let project = Project { services: [("web".to_owned(), service)].into(), ..Project::default() };
        let container = |service: &str| ContainerRef { id: "1".into(), name: "c".into(), service: service.into() };
        let failed = |text: &str| Look::Failed(text.into());
        for (service, given, wanted) in [
            ("web", look(Status::RUNNING, 0, 0, Restart::ALWAYS), Look::Up),
            ("web", look(Status::RUNNING, 0, 2, Restart::ALWAYS), failed("exited (0) after being restarted 2 times")),
            ("web", look(Status::RESTARTING, 7, 1, Restart::ALWAYS), failed("exited (7) and is being restarted")),
            ("web", look(Status::EXITED, 1, 0, Restart::NO), failed("exited (1)")),
            ("web", look(Status::EXITED, 0, 0, Restart::NO), Look::Completed { expected: false }),
            ("web", look(Status::EXITED, 0, 0, Restart::ALWAYS), failed("was stopped")),
            ("job", look(Status::EXITED, 0, 1, Restart::ON_FAILURE), Look::Completed { expected: true }),
            ("job", look(Status::EXITED, 3, 0, Restart::EMPTY), failed("exited (3)")),
            ("web", look(Status::CREATED, 0, 0, Restart::EMPTY), failed("does not run")),
        ] {
            assert_eq!(judge(&project, &container(service), Some(given.clone())), wanted, "{given:?}");
        }
        assert_eq!(judge(&project, &container("web"), None), failed("was removed"));
        let checked = |said, restarts| {
            let mut look = look(Status::RUNNING, 0, restarts, Restart::NO);
            look.state.as_mut().unwrap().health = Some(Health { status: Some(said), ..Default::default() });
            judge(&project, &container("web"), Some(look))
        };
        assert_eq!(checked(HealthStatus::UNHEALTHY, 0), failed("is unhealthy"));
        assert_eq!(checked(HealthStatus::HEALTHY, 0), Look::Healthy);
        assert_eq!(checked(HealthStatus::HEALTHY, 1), failed("exited (0) after being restarted once"));
        assert_eq!(checked(HealthStatus::NONE, 0), Look::Up, "nobody speaks for it");
        assert!(matches!(checked(HealthStatus::STARTING, 0), Look::Checking { .. }));
    }

    #[test]
    fn who_is_watched_for_the_settle_time_is_named() {
        assert_eq!(unchecked(&["a"], Duration::from_secs(10)), "a has no health check: watched for 10 s");
        assert_eq!(unchecked(&["a", "b"], Duration::from_millis(300)), "a, b have no health check: watched for 0.3 s");
    }
}
