//! Last phase: what does not run is started, dependencies first, after the conditions that dependents wait for.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{
    Action, Condition, ContainerCause, ObservedContainer, PlanError, Removal, RunState, ServiceCause, StepId,
};
use super::draft::{Fate, Slot};
use super::idle::{COMPLETED, Job, idle, job};
use super::{Draft, any_of, overlap, pre_start, stops};
use turnout_compose::model::Service;

const HEALTHY: &str = "service_healthy";

/// One start to come.
struct Start {
    number: Option<u32>,
    name: String,
    cause: ContainerCause,
    when: Condition,
    /// The container that runs until this one is ready, by ID.
    first: Option<String>,
}

/// Adds waits and starts, and says of each service that needs nothing why so.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), PlanError> {
    let created = draft.ends();
    let mut planned: BTreeMap<&str, Vec<Start>> = BTreeMap::new();
    for (name, service) in draft.selected() {
        planned.insert(name, starts(draft, name, service));
    }
    let paused: Vec<(&str, &ObservedContainer)> = draft
        .selected()
        .iter()
        .flat_map(|(name, _)| draft.slots.get(*name).into_iter().flatten().map(|slot| (*name, slot)))
        .filter(|(_, slot)| slot.fate == Fate::Stays && !slot.existing.is_some_and(|c| draft.stops.contains_key(&c.id)))
        .filter_map(|(name, slot)| slot.existing.filter(|c| c.state == RunState::Paused).map(|c| (name, c)))
        .collect();
    let mut resumed: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    for (name, container) in paused {
        let step = stops::resume(draft, container);
        resumed.entry(name).or_default().extend(step);
    }

    let waits = waits(draft, &planned)?;
    let mut last: BTreeMap<&str, Vec<StepId>> = resumed;
    let mut wait_steps: BTreeMap<WaitKey<'_>, StepId> = BTreeMap::new();
    for (name, service) in draft.selected() {
        let own = planned.remove(name).unwrap_or_default();
        if own.is_empty() && !draft.intent.wait_for_running {
            continue;
        }
        let mut gates = created.clone();
        let mut waited = Vec::new();
        for (dependency, edge) in &service.depends_on {
            let Some((dependency, condition)) = known(draft, dependency, &edge.condition) else { continue };
            let key = (dependency, condition, edge.required);
            let before = last.get(dependency).cloned().unwrap_or_default();
            if let Some((dependents, when)) = waits.get(&key) {
                let step = wait_steps.get(&key).copied().unwrap_or_else(|| {
                    let mut after = created.clone();
                    after.extend(&before);
                    let action = Action::WaitFor {
                        service: dependency.to_owned(),
                        condition: condition.to_owned(),
                        required: edge.required,
                        dependents: dependents.clone(),
                    };
                    let cause = ServiceCause::NeededBy(dependents.clone());
                    draft.push(action, cause, after, when.clone())
                });
                wait_steps.insert(key, step);
                gates.push(step);
                waited.push(step);
            } else {
                gates.extend(before);
            }
        }
        if own.is_empty() {
            last.entry(name).or_default().extend(waited);
            continue;
        }
        gates.extend(last.get(name).into_iter().flatten());
        if let Some(first) = own.first()
            && !pre_start::one_runs_on(draft, name, |slot| own.iter().any(|start| start.name == slot))
        {
            let when: Vec<Condition> = own.iter().map(|start| start.when.clone()).collect();
            pre_start::run(draft, name, service, (first.number, &first.name), when, &mut gates);
        }
        let mut ends = Vec::new();
        for start in own {
            let swap = start.first.and_then(|id| draft.overlaps.remove(&id));
            let called = swap.as_ref().map_or(start.name, |swap| swap.create_as.clone());
            let action = Action::StartContainer { service: name.to_owned(), number: start.number, name: called };
            let step = draft.push(action, start.cause, gates.clone(), start.when);
            gates.push(step);
            ends.extend(swap.map(|swap| overlap::hand_over(draft, &swap, step)));
            last.insert(name, vec![step]);
        }
        last.entry(name).or_default().extend(ends);
    }
    Ok(())
}

/// A dependency that takes part and has containers; with its condition spelt out.
fn known<'a>(draft: &Draft<'a>, dependency: &str, condition: &'a str) -> Option<(&'a str, &'a str)> {
    let name = draft.selected_name(dependency)?;
    let has_containers = draft.slots.get(name).is_some_and(|slots| !slots.is_empty());
    has_containers.then_some((name, if condition.is_empty() { "service_started" } else { condition }))
}

/// Waits that are needed: for whom, and when. None for a plain, required `service_started`: edges do that.
type Waits<'a> = BTreeMap<WaitKey<'a>, (Vec<String>, Condition)>;
/// Service waited for, condition, whether required.
type WaitKey<'a> = (&'a str, &'a str, bool);

fn waits<'a>(draft: &Draft<'a>, planned: &BTreeMap<&'a str, Vec<Start>>) -> Result<Waits<'a>, PlanError> {
    let mut waits: BTreeMap<WaitKey<'a>, (Vec<String>, Vec<Condition>)> = BTreeMap::new();
    for (name, service) in draft.selected() {
        let starts = planned.get(name).map_or(&[][..], Vec::as_slice);
        let runs_on = starts.is_empty();
        let on_its_way = |other: &str| {
            let slots = draft.slots.get(other).into_iter().flatten();
            // What is resumed needs its time to be healthy again.
            slots.filter_map(|slot| slot.existing).any(|container| container.state == RunState::Paused)
        };
        if runs_on && !(draft.intent.wait_for_running && draft.slots.get(name).is_some_and(|slots| !slots.is_empty())) {
            continue;
        }
        for (dependency, edge) in &service.depends_on {
            let Some((dependency, condition)) = known(draft, dependency, &edge.condition) else { continue };
            if runs_on && on_its_way(dependency) {
                continue;
            }
            let dependency_starts = planned.get(dependency).is_some_and(|s| !s.is_empty());
            let needed = match condition {
                HEALTHY => {
                    require_healthcheck(draft, dependency, name, edge.required)?;
                    true
                }
                COMPLETED => dependency_starts || !has_completed(draft, dependency),
                _ => !edge.required && dependency_starts,
            };
            if needed {
                let entry = waits.entry((dependency, condition, edge.required)).or_default();
                entry.0.push(name.to_owned());
                entry.1.extend(starts.iter().map(|start| start.when.clone()));
                entry.1.extend(runs_on.then_some(Condition::Always));
            }
        }
    }
    Ok(waits
        .into_iter()
        .map(|(key, (dependents, parts))| (key, (dependents, any_of(parts).unwrap_or(Condition::Always))))
        .collect())
}

/// Fails early where the wait is sure to fail. Not when the image is still to come, for it may bring a check along.
fn require_healthcheck(draft: &Draft<'_>, name: &str, dependent: &str, required: bool) -> Result<(), PlanError> {
    let Some(service) = draft.project.services.get(name) else { return Ok(()) };
    let image = service.image_name(&draft.project.name, name);
    let of_image =
        draft.changing.contains_key(&image) || draft.observed.images.get(&image).is_none_or(|state| state.healthcheck);
    let checked = match &service.healthcheck {
        Some(check) if check.disable || check.test.first().is_some_and(|t| t == "NONE") => false,
        Some(check) if !check.test.is_empty() => true,
        _ => of_image,
    };
    if checked || !required || draft.intent.start_unchecked {
        return Ok(());
    }
    Err(PlanError::NoHealthcheck { service: name.to_owned(), dependent: dependent.to_owned() })
}

fn has_completed(draft: &Draft<'_>, name: &str) -> bool {
    let first = draft.slots.get(name).and_then(|slots| slots.first());
    first.is_some_and(|slot| slot.fate == Fate::Stays && slot.existing.is_some_and(|c| c.state == RunState::Exited(0)))
}

fn starts(draft: &Draft<'_>, name: &str, service: &Service) -> Vec<Start> {
    let slots = draft.slots.get(name).map_or(&[][..], Vec::as_slice);
    slots
        .iter()
        .filter_map(|slot| {
            let (cause, when) = start(draft, name, service, slot)?;
            let first = slot.existing.map(|old| &old.id).filter(|id| draft.overlaps.contains_key(*id)).cloned();
            let cause = if first.is_some() { ContainerCause::StartsFirst } else { cause };
            Some(Start { number: slot.number, name: slot.name.clone(), cause, when, first })
        })
        .collect()
}

/// Why and when a slot's container is started; `None` if it runs on.
fn start(draft: &Draft<'_>, name: &str, service: &Service, slot: &Slot<'_>) -> Option<(ContainerCause, Condition)> {
    let Some(container) = slot.existing else { return Some((ContainerCause::Created, Condition::Always)) };
    let replaced = match slot.fate {
        Fate::New(_) => return Some((ContainerCause::Replaced, Condition::Always)),
        Fate::Perhaps(step) => Some(step),
        Fate::Stays => None,
    };
    let stopped = draft.stops.get(&container.id).map_or(&[][..], Vec::as_slice);
    if let Some(cause) = idle(draft, name, service, container) {
        return Some((cause, Condition::Always));
    }
    let certain = |id: &StepId| draft.plan.steps.get(*id).is_some_and(|step| step.only_if == Condition::Always);
    let when = if stopped.iter().any(certain) {
        Condition::Always
    } else {
        any_of([Condition::AnyDid(stopped.iter().copied().chain(replaced).collect())])?
    };
    let cause = match (replaced, stopped.is_empty()) {
        (Some(_), true) => ContainerCause::Replaced,
        (Some(_), false) => ContainerCause::ReplacedOrStopped,
        (None, _) => ContainerCause::StoppedBefore,
    };
    Some((cause, when))
}

/// Says of services without any step why they have none.
pub(super) fn unchanged(draft: &mut Draft<'_>) {
    let (mut lines, mut doubts) = (Vec::new(), Vec::new());
    // One-offs and what steps have left bear the service's name, but are not what it runs.
    let strange: BTreeSet<&str> = draft
        .plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::RemoveContainer { id, reason: Removal::Orphan | Removal::StepLeft, .. } => Some(id.as_str()),
            _ => None,
        })
        .collect();
    let own = |action: &Action| match action {
        Action::StopContainer { id, .. } | Action::RemoveContainer { id, .. } => !strange.contains(id.as_str()),
        _ => true,
    };
    let touched = draft.plan.steps.iter().map(|step| &step.action).filter(|action| own(action));
    let touched: BTreeSet<&str> = touched.filter_map(container_of).collect();
    for (name, service) in draft.selected() {
        if touched.contains(name) {
            continue;
        }
        let containers: Vec<&ObservedContainer> =
            draft.slots.get(name).into_iter().flatten().filter_map(|slot| slot.existing).collect();
        let restarting = containers.iter().filter(|c| c.state == RunState::Restarting).count();
        let completed = containers.iter().all(|c| c.state == RunState::Exited(0));
        let mounted = containers.iter().filter_map(|container| draft.intent.mounted.get(&container.id));
        let mut left: Vec<&str> = mounted.flat_map(|mounted| &mounted.left).map(String::as_str).collect();
        left.dedup();
        lines.push(match containers.len() {
            0 => format!("{name}: scaled to 0"),
            _ if completed && job(draft.project, name, service) == Job::Guessed => {
                let doubt = format!("{name} ended with exit code 0 and counts as a job that is done");
                let line = format!("{name}: ended with exit code 0, counts as a job that is done, not run again");
                doubts.push(doubt);
                format!("{line} (restart: unless-stopped tells a service)")
            }
            _ if completed => format!("{name}: completed with exit code 0, nothing changed, not run again"),
            _ if containers.iter().any(|c| !matches!(c.state, RunState::Running | RunState::Restarting)) => {
                format!("{name}: not running, nothing changed")
            }
            _ if restarting > 0 => format!("{name}: nothing changed, but it keeps restarting"),
            _ if !left.is_empty() => format!("{name}: running, left alone: {}", left.join("; ")),
            1 => format!("{name}: running, nothing changed"),
            count => format!("{name}: {} running, nothing changed", turnout_report::counted(count, "container")),
        });
    }
    draft.plan.unchanged.extend(lines);
    draft.plan.doubts.extend(doubts);
}

/// The service whose container an action touches.
fn container_of(action: &Action) -> Option<&str> {
    match action {
        Action::RenameContainer { service, .. }
        | Action::CreateContainer { service, .. }
        | Action::StopContainer { service, .. }
        | Action::RemoveContainer { service, .. }
        | Action::RestartContainer { service, .. }
        | Action::SignalContainer { service, .. }
        | Action::UnpauseContainer { service, .. }
        | Action::RunPreStart { service, .. }
        | Action::AwaitReady { service, .. }
        | Action::StartContainer { service, .. } => Some(service),
        _ => None,
    }
}
