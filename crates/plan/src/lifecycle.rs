//! `stop`, `start`, `restart` and `rm`: what exists changes its state; nothing is created or replaced.

use std::collections::{BTreeMap, BTreeSet};

use super::converge::{pre_start_actions, step_left, step_removal};
use super::graph::{Edge, Graph, containers_of};
use super::{
    Action, Cause, Condition, Observed, ObservedContainer, Plan, Removal, RunState, ServiceCause, Step, StepId, order,
};
use turnout_compose::model::Project;

/// Plans to stop the named services, all if none is named; dependents first. `name` is the project's.
pub fn stop(name: &str, project: Option<&Project>, observed: &Observed, services: &[String]) -> Plan {
    let mut draft = Draft::new(name, project, observed, services);
    let graph = Graph::new(project, observed);
    let mut stopped: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    for service in graph.services().rev().filter(|s| is_wanted(services, s)) {
        let mut after: Vec<StepId> =
            graph.dependents(service).filter_map(|(other, _)| stopped.get(other)).flatten().copied().collect();
        // A service without a container passes on what it would have waited for. Those that do not run are told like
        // the others, and nothing happens to them.
        let own: Vec<StepId> = containers_of(observed, service)
            .into_iter()
            .filter(|c| c.state != RunState::Removing)
            .map(|c| draft.push(stop_of(c), ServiceCause::Asked, after.clone()))
            .collect();
        after.extend(own);
        stopped.insert(service, after);
    }
    draft.finish()
}

/// Plans to start the existing containers of the named services and of what they need, all if none is named;
/// dependencies first, after their conditions.
pub fn start(name: &str, project: Option<&Project>, observed: &Observed, services: &[String]) -> Plan {
    let mut draft = Draft::new(name, project, observed, services);
    let graph = Graph::new(project, observed);
    let mut started: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    let wanted = graph.with_needs(services);
    for service in graph.services().filter(|service| wanted.contains(*service)) {
        let idle: Vec<&ObservedContainer> = containers_of(observed, service)
            .into_iter()
            .filter(|c| !matches!(c.state, RunState::Running | RunState::Restarting))
            .collect();
        let mut after: Vec<StepId> = Vec::new();
        for edge in graph.needs(service) {
            let before = started.get(edge.on.as_str()).cloned().unwrap_or_default();
            match wait_of(edge, service, observed).filter(|_| !idle.is_empty()) {
                Some(wait) => after.push(draft.push(wait, ServiceCause::NeededBy(vec![service.to_owned()]), before)),
                None => after.extend(before),
            }
        }
        let stopped = |c: &&&ObservedContainer| c.state != RunState::Paused;
        let none_runs = idle.len() == containers_of(observed, service).len() && idle.iter().all(|c| stopped(&c));
        let definition = project.and_then(|project| project.services.get(service));
        if let (Some(first), Some(definition), true) = (idle.first(), definition, none_runs) {
            // As at an `up`: what was kept of a step that failed goes before it runs again.
            for left in observed.step_containers.iter().filter(|left| left.service == service) {
                let step = draft.push(step_removal(left), step_left(left), after.clone());
                after.push(step);
            }
            for action in pre_start_actions(name, service, definition, (first.number, &first.name)) {
                let step = draft.push(action, ServiceCause::BeforeStart(service.to_owned()), after.clone());
                after.push(step);
            }
        }
        for container in idle {
            let action = if container.state == RunState::Paused {
                Action::UnpauseContainer {
                    service: container.service.clone(),
                    id: container.id.clone(),
                    name: container.name.clone(),
                }
            } else {
                start_of(container)
            };
            let cause = if is_wanted(services, service) { ServiceCause::Asked } else { ServiceCause::NeededByStarted };
            let step = draft.push(action, cause, after.clone());
            after.push(step);
        }
        started.insert(service, after);
    }
    draft.finish()
}

/// Plans to restart the containers of the named services, of all if none is named, and of what depends on them with
/// `restart: true`; dependencies first, after the conditions of such edges. Other edges do not count.
pub fn restart(name: &str, project: Option<&Project>, observed: &Observed, services: &[String]) -> Plan {
    let mut draft = Draft::new(name, project, observed, services);
    let graph = Graph::new(project, observed);
    let wanted: BTreeSet<String> = graph.with_dependents(services, |edge| edge.restart);
    let mut done: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    for service in graph.services().filter(|s| wanted.contains(*s)) {
        let cause = if is_wanted(services, service) { ServiceCause::Asked } else { ServiceCause::NeedRestarted };
        let mut after: Vec<StepId> = Vec::new();
        for edge in graph.needs(service).iter().filter(|edge| edge.restart && wanted.contains(&edge.on)) {
            let before = done.get(edge.on.as_str()).cloned().unwrap_or_default();
            match wait_of(edge, service, observed) {
                Some(wait) => after.push(draft.push(wait, ServiceCause::NeededBy(vec![service.to_owned()]), before)),
                None => after.extend(before),
            }
        }
        let own: Vec<StepId> = containers_of(observed, service)
            .into_iter()
            .map(|container| {
                let action = Action::RestartContainer {
                    service: container.service.clone(),
                    id: container.id.clone(),
                    name: container.name.clone(),
                };
                draft.push(action, cause.clone(), after.clone())
            })
            .collect();
        after.extend(own);
        done.insert(service, after);
    }
    draft.finish()
}

/// Plans to remove stopped containers of the named services, all if none is named, side by side: what does not run
/// needs nothing.
pub fn remove(name: &str, project: Option<&Project>, observed: &Observed, services: &[String], volumes: bool) -> Plan {
    let mut draft = Draft::new(name, project, observed, services);
    let graph = Graph::new(project, observed);
    let mut found: Vec<&ObservedContainer> = graph
        .services()
        .filter(|service| is_wanted(services, service))
        .flat_map(|service| containers_of(observed, service))
        .filter(|container| container.state != RunState::Removing)
        .collect();
    found.sort_by_key(|container| container.name.as_str());
    for container in found {
        if is_live(container) {
            draft.plan.unchanged.push(format!("{}: running, not removed", container.name));
            continue;
        }
        let action = Action::RemoveContainer {
            service: container.service.clone(),
            id: container.id.clone(),
            name: container.name.clone(),
            volumes,
            reason: Removal::Idle,
        };
        draft.push(action, ServiceCause::Asked, Vec::new());
    }
    draft.finish()
}

struct Draft {
    plan: Plan,
}

impl Draft {
    fn new(name: &str, project: Option<&Project>, observed: &Observed, services: &[String]) -> Draft {
        let graph = Graph::new(project, observed);
        let mut plan = Plan { project: name.to_owned(), ..Plan::default() };
        for unknown in services.iter().filter(|service| !graph.contains(service)) {
            plan.warnings.push(format!("{unknown}: no such service"));
        }
        Draft { plan }
    }

    fn push(&mut self, action: Action, cause: impl Into<Cause>, after: Vec<StepId>) -> StepId {
        self.plan.steps.push(Step::new(action, cause, after, Condition::Always));
        self.plan.steps.len() - 1
    }

    fn finish(mut self) -> Plan {
        order::reduce(&mut self.plan.steps);
        self.plan
    }
}

/// The wait that an edge asks for; none for a dependency that only has to be started or has no container.
fn wait_of(edge: &Edge, dependent: &str, observed: &Observed) -> Option<Action> {
    let waits = edge.condition != "service_started" && !containers_of(observed, &edge.on).is_empty();
    waits.then(|| Action::WaitFor {
        service: edge.on.clone(),
        condition: edge.condition.clone(),
        required: edge.required,
        dependents: vec![dependent.to_owned()],
    })
}

fn is_wanted(services: &[String], service: &str) -> bool {
    services.is_empty() || services.iter().any(|s| s == service)
}

fn is_live(container: &ObservedContainer) -> bool {
    matches!(container.state, RunState::Running | RunState::Paused | RunState::Restarting)
}

fn stop_of(container: &ObservedContainer) -> Action {
    Action::StopContainer {
        service: container.service.clone(),
        id: container.id.clone(),
        name: container.name.clone(),
        hooks: true,
    }
}

fn start_of(container: &ObservedContainer) -> Action {
    Action::StartContainer {
        service: container.service.clone(),
        number: container.number,
        name: container.name.clone(),
    }
}
