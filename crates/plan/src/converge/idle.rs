//! Which containers must be started, and which have done their work.

use super::super::{ContainerCause, ObservedContainer, RunState};
use super::Draft;
use turnout_compose::{
    labels,
    model::{Project, Service},
};

/// Condition of who waits for a job.
pub(super) const COMPLETED: &str = "service_completed_successfully";

/// Why an existing container must be started; `None` if it runs, or has done its work.
pub(super) fn idle(
    draft: &Draft<'_>,
    name: &str,
    service: &Service,
    container: &ObservedContainer,
) -> Option<ContainerCause> {
    match container.state {
        RunState::Running | RunState::Restarting | RunState::Paused => None,
        RunState::Exited(0) if !draft.intent.rerun_completed_jobs && job(draft.project, name, service) != Job::No => {
            None
        }
        RunState::Exited(code) => Some(ContainerCause::Exited(code)),
        RunState::Created => Some(ContainerCause::NeverStarted),
        RunState::Removing | RunState::Dead => Some(ContainerCause::Idle),
    }
}

/// Whether a running container was started before the one whose namespaces it lives in was started for the last time:
/// then those it joined are gone, by a restart by hand or by the engine. No start can join what does not run, so the
/// dates are in order otherwise. Unknown dates prove nothing.
pub(super) fn began_before(sharer: &ObservedContainer, owner: &ObservedContainer) -> bool {
    matches!((sharer.started, owner.started), (Some(sharer), Some(owner)) if sharer < owner)
}

/// Whether exit code 0 means that a service has done its work, not that somebody stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// Its label or its restart policy says so, or somebody waits for its end.
    Said,
    /// It offers nothing to others and has no restart policy: a job by all that can be seen, or a worker that was stopped.
    Guessed,
    /// It serves others or restarts: an end is not the end of its work.
    No,
}

/// Whether a service may have done its work when it has ended with 0: a deployment does not start it again then, so that one that
/// stands still is nobody's fault.
pub fn may_end(project: &Project, name: &str) -> bool {
    project.services.get(name).is_some_and(|service| job(project, name, service) != Job::No)
}

pub(super) fn job(project: &Project, name: &str, service: &Service) -> Job {
    match service.labels.get(labels::TURNOUT_JOB).map(String::as_str) {
        Some("true") => return Job::Said,
        Some("false") => return Job::No,
        _ => {}
    }
    let policy = service.deploy.as_ref().and_then(|d| d.restart_policy.as_ref()).map(|p| p.condition.as_str());
    let restart = policy.unwrap_or(&service.restart);
    if matches!(restart, "always" | "unless-stopped" | "any") {
        return Job::No;
    }
    let others = project.services.values().chain(project.set_aside.values());
    let mut waiting = others.filter_map(|other| other.depends_on.get(name)).peekable();
    let waited_for = waiting.peek().is_some();
    if waiting.any(|edge| edge.condition == COMPLETED) {
        return Job::Said;
    }
    // Nobody waits for its end: then only what offers nothing to others is taken for a job, because leaving a server
    // down is worse than running a job twice.
    let offers = !service.ports.is_empty() || !service.expose.is_empty() || service.healthcheck.is_some();
    match restart {
        _ if waited_for || offers => Job::No,
        "" => Job::Guessed,
        // Who writes `no` or `on-failure` says that an end with 0 is a good one.
        _ => Job::Said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Leaving a server down is worse than running a job twice, and running a migration twice is bad enough.
    #[test]
    fn what_counts_as_a_job() {
        let label = |value: &str| json!({"labels": {labels::TURNOUT_JOB: value}, "restart": "always"});
        let policy = |condition: &str| json!({"deploy": {"restart_policy": {"condition": condition}}});
        let (started, completed) = (Some("service_started"), Some(COMPLETED));
        for (service, waited_for, expected) in [
            (label("true"), None, Job::Said),
            (json!({"labels": {labels::TURNOUT_JOB: "false"}, "restart": "no"}), completed, Job::No),
            (json!({"labels": {labels::TURNOUT_JOB: "perhaps"}}), None, Job::Guessed),
            (json!({}), None, Job::Guessed),
            (json!({"restart": "no"}), None, Job::Said),
            (json!({"restart": "on-failure:3"}), None, Job::Said),
            (json!({"restart": "always"}), None, Job::No),
            (json!({"restart": "unless-stopped"}), completed, Job::No),
            (policy("any"), None, Job::No),
            (policy("none"), None, Job::Said),
            (json!({"ports": [{"target": 80}]}), None, Job::No),
            (json!({"expose": ["80"]}), None, Job::No),
            (json!({"healthcheck": {"test": ["CMD", "true"]}}), None, Job::No),
            (json!({"restart": "no", "expose": ["80"]}), None, Job::No),
            (json!({}), started, Job::No),
            (json!({"restart": "no"}), started, Job::No),
            (json!({"expose": ["80"]}), completed, Job::Said),
        ] {
            let case = format!("{service} {waited_for:?}");
            let service: Service = serde_json::from_value(service).unwrap();
            let edges = waited_for.map(|condition| json!({"web": {"condition": condition, "required": true}}));
            let other = json!({"depends_on": edges.unwrap_or(Value::Object(Default::default()))});
            let services = [("web", service.clone()), ("other", serde_json::from_value(other).unwrap())];
            let services = services.map(|(name, service)| (name.to_owned(), service)).into();
            let project = Project { services, ..Project::default() };
            assert_eq!(job(&project, "web", &service), expected, "{case}");
            assert_eq!(may_end(&project, "web"), expected != Job::No, "{case}");
        }
    }
}
