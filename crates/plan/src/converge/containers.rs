//! Third phase: containers are removed, created and replaced, dependencies first. None is started.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::super::{Action, Condition, ObservedContainer, PlanError, Removal, RunState, Step, StepId};
use super::draft::{Fate, NetworkFate, Slot};
use super::judge::{Grounds, References};
use super::{Draft, any_of, judge, names, select, starts};
use turnout_compose::{
    labels::{self, final_name},
    model::Service,
};

/// Removes, or mentions, containers that belong to no service: those of services that are gone, and one-offs that
/// ended. Running one-offs and services of inactive profiles are left alone.
pub(super) fn orphans(draft: &mut Draft<'_>) {
    let project = draft.project;
    let known = |c: &ObservedContainer| {
        project.services.contains_key(&c.service)
            || project.disabled_services.contains_key(&c.service) && !draft.intent.idle_orphans.contains(&c.id)
    };
    let is_orphan = |c: &&ObservedContainer| {
        if c.oneoff { matches!(c.state, RunState::Exited(_) | RunState::Dead) } else { !known(c) }
    };
    let orphans: Vec<&ObservedContainer> = draft.observed.containers.iter().filter(is_orphan).collect();
    if orphans.is_empty() || draft.intent.ignore_orphans && !draft.intent.remove_orphans {
        return;
    }
    if !draft.intent.remove_orphans {
        let names: Vec<&str> = orphans.iter().map(|c| c.name.as_str()).collect();
        draft.warn(format!(
            "orphans, containers that no service stands behind: {} (remove them with --remove-orphans)",
            names.join(", ")
        ));
        return;
    }
    for orphan in orphans.into_iter().filter(|c| c.state != RunState::Removing) {
        match draft.intent.spared_orphans.get(&orphan.id) {
            Some(why) if why.is_empty() => continue,
            Some(why) => {
                draft.warn(format!("{}, which no service stands behind, is left: {why}", orphan.name));
                continue;
            }
            None => {}
        }
        let cause = if orphan.oneoff {
            "one-off that has ended".to_owned()
        } else if project.disabled_services.contains_key(&orphan.service) {
            format!("no profile of service {} is on any more", orphan.service)
        } else {
            format!("service {} is no longer in the project", orphan.service)
        };
        remove(draft, orphan, Removal::Orphan, cause);
    }
}

/// Plans the containers of every service that takes part. Where a name that one step takes is given up by a later one
/// only, everything is planned anew with that name taken off its container first.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), PlanError> {
    let before = draft.clone();
    every_service(draft)?;
    let late = names::given_up_late(&draft.plan.steps);
    if !late.is_empty() {
        *draft = before;
        names::take_off(draft, &late);
        every_service(draft)?;
    }
    Ok(())
}

fn every_service(draft: &mut Draft<'_>) -> Result<(), PlanError> {
    for (name, service) in draft.selected() {
        if service.provider.is_none() {
            one_service(draft, name, service)?;
        }
    }
    Ok(())
}

fn one_service<'a>(draft: &mut Draft<'a>, name: &'a str, service: &'a Service) -> Result<(), PlanError> {
    let wanted = select::scale(draft.project, draft.intent, name)?;
    let references = if wanted == 0 { References::default() } else { judge::references(draft, name, service)? };
    let (members, leftovers) = members(draft, name);
    let mut judged: Vec<(&ObservedContainer, Grounds)> =
        members.iter().map(|c| (*c, judge::judge(draft, name, service, &references, c))).collect();

    // As in Compose, whose users find the same containers left: obsolete ones go first, of these the oldest; then the
    // highest numbers.
    judged.sort_by_key(|(c, grounds)| match grounds.certain.is_empty() {
        false => (false, c.number, Reverse(None)),
        true => (true, None, Reverse(c.number)),
    });
    let existing = judged.len();
    let excess = existing.saturating_sub(wanted as usize);
    let kept = judged.split_off(excess);
    for (container, _) in judged {
        remove(draft, container, Removal::ScaleDown, format!("scaled down from {existing} to {wanted}"));
    }
    for container in leftovers {
        let cause = "left over from a replacement that was interrupted".to_owned();
        remove(draft, container, Removal::Leftover, cause);
    }

    let mut kept = kept;
    kept.sort_by_key(|(c, _)| c.number);
    let mut slots: Vec<Slot<'a>> = Vec::with_capacity(wanted as usize);
    let stops = stop_before_replacing(draft, name, &kept);
    restart_for_mounts(draft, name, &kept);
    for (container, grounds) in kept {
        slots.push(one_container(draft, name, service, &references, container, grounds, &stops)?);
    }
    // Gaps are not filled, so that a number never means two containers.
    let highest = members.iter().filter_map(|c| c.number).max().unwrap_or(0);
    for (number, _) in (highest.saturating_add(1)..).zip(existing..wanted as usize) {
        let cause = if existing == 0 {
            "no container yet".to_owned()
        } else {
            format!("scaled up from {existing} to {wanted}")
        };
        slots.push(create(draft, name, service, &references, number, cause));
    }
    if !draft.intent.no_start {
        stop_stranded_sharers(draft, name, service, &slots);
    }
    draft.slots.insert(name.to_owned(), slots);
    Ok(())
}

/// Stops what is to be restarted because of what it has mounted, and whoever wants to be restarted then; the last phase
/// starts them again. One that is replaced anyway is not stopped before.
fn restart_for_mounts(draft: &mut Draft<'_>, name: &str, kept: &[(&ObservedContainer, Grounds)]) {
    for (container, _) in kept.iter().filter(|(_, grounds)| grounds.certain.is_empty()) {
        let cause = draft.intent.mounted.get(&container.id).and_then(|mounted| mounted.restart.clone());
        if let Some(cause) = cause {
            stop(draft, container, &Condition::Always, &cause);
            stop_dependents(draft, name, &Condition::Always, &format!("{name} is restarted"));
        }
    }
}

/// Signals a container that runs and has changed files mounted; before it is perhaps replaced.
fn signal_for_mounts(draft: &mut Draft<'_>, name: &str, container: &ObservedContainer) -> Option<StepId> {
    let mounted = draft.intent.mounted.get(&container.id)?;
    let (signal, cause) = mounted.signal.clone()?;
    if container.state != RunState::Running || draft.stops.contains_key(&container.id) {
        return None;
    }
    let action = Action::SignalContainer {
        service: name.to_owned(),
        id: container.id.clone(),
        name: container.name.clone(),
        signal,
    };
    let after = draft.foundation();
    Some(draft.push(action, cause, after, Condition::Always))
}

/// Whoever runs in the namespaces of a container that has stopped runs in ones that are cut off; a start of the owner
/// does not bring them back, so they are started again after it.
fn stop_stranded_sharers(draft: &mut Draft<'_>, name: &str, service: &Service, slots: &[Slot<'_>]) {
    let owner = slots.iter().min_by_key(|slot| &slot.name);
    let Some(owner) = owner.filter(|slot| !matches!(slot.fate, Fate::New(_))) else { return };
    let idle = owner.existing.and_then(|container| starts::idle(draft, name, service, container));
    if idle.is_some() {
        let cause = format!("lives in namespaces of {name}, which are gone since that stopped");
        stop_those(draft, draft.residents(name), &Condition::Always, &cause);
        return;
    }
    let Some(owner) = owner.existing else { return };
    for sharer in draft.residents(name) {
        for container in members(draft, sharer).0 {
            if starts::began_before(container, owner) {
                let cause = format!("lives in namespaces of {name} that are gone: {name} was started again after it");
                stop(draft, container, &Condition::Always, &cause);
            }
        }
    }
}

/// The service's containers, and those that are only remains: a temporary name beside the container it was to replace.
fn members<'a>(draft: &Draft<'a>, name: &str) -> (Vec<&'a ObservedContainer>, Vec<&'a ObservedContainer>) {
    let all = draft.borne(name).iter().copied();
    let all = all.filter(|c| !c.oneoff && c.state != RunState::Removing);
    let (temporary, mut members): (Vec<_>, Vec<_>) = all.partition(|c| final_name(&c.name) != c.name);
    let mut leftovers = Vec::new();
    for container in temporary {
        let taken = |c: &&ObservedContainer| {
            c.number.is_some() && c.number == container.number || final_name(&c.name) == final_name(&container.name)
        };
        if members.iter().any(taken) { leftovers.push(container) } else { members.push(container) }
    }
    (members, leftovers)
}

/// Stops, before any of a service's containers is replaced, what wants to be restarted then.
fn stop_before_replacing(draft: &mut Draft<'_>, name: &str, kept: &[(&ObservedContainer, Grounds)]) -> Vec<StepId> {
    match any_of(kept.iter().filter_map(|(_, grounds)| condition(grounds))) {
        Some(when) => stop_dependents(draft, name, &when, &format!("{name} is replaced")),
        None => Vec::new(),
    }
}

fn condition(grounds: &Grounds) -> Option<Condition> {
    if grounds.certain.is_empty() {
        any_of(grounds.possible.iter().map(|(condition, _)| condition.clone()))
    } else {
        Some(Condition::Always)
    }
}

/// Stops containers of services that depend on `name` with `restart: true`, or live in its namespaces; and, before,
/// what lives in the namespaces of those. They are started again in the last phase.
pub(super) fn stop_dependents(draft: &mut Draft<'_>, name: &str, when: &Condition, cause: &str) -> Vec<StepId> {
    stop_those(draft, draft.restarted_with(name), when, cause)
}

fn stop_those(draft: &mut Draft<'_>, services: Vec<&str>, when: &Condition, cause: &str) -> Vec<StepId> {
    let mut steps = Vec::new();
    for service in services {
        let (containers, _) = members(draft, service);
        for container in containers {
            steps.extend(stop(draft, container, when, cause));
        }
    }
    steps
}

/// Stops one container if it runs, after what lives in its namespaces. Empty if it need not or is stopped for certain already.
pub(super) fn stop(draft: &mut Draft<'_>, container: &ObservedContainer, when: &Condition, cause: &str) -> Vec<StepId> {
    let live = matches!(container.state, RunState::Running | RunState::Paused | RunState::Restarting);
    if !live || draft.removed.contains_key(&container.id) {
        return Vec::new();
    }
    let before = draft.stops.get(&container.id).cloned().unwrap_or_default();
    let settled =
        |id: &StepId| draft.plan.steps.get(*id).is_some_and(|s| s.only_if == Condition::Always || s.only_if == *when);
    if before.iter().any(settled) {
        return before;
    }
    let mut after = draft.foundation();
    after.extend(&before);
    after.extend(steps_of(when));
    if *when != Condition::Always {
        after.extend(resume(draft, container));
    }
    // Not those that only depend on it with `restart: true`: like Compose, that reaches as far as those who depend on
    // what is replaced, no further.
    let stranded = format!("{} is stopped", container.service);
    after.extend(stop_those(draft, draft.residents(&container.service), when, &stranded));
    let action = Action::StopContainer {
        service: container.service.clone(),
        id: container.id.clone(),
        name: container.name.clone(),
    };
    let step = draft.push(action, cause, after, when.clone());
    draft.stops.entry(container.id.clone()).or_default().push(step);
    vec![step]
}

/// Steps that a condition speaks of; whoever has the condition waits for them.
pub(super) fn steps_of(condition: &Condition) -> Vec<StepId> {
    match condition {
        Condition::Always | Condition::ImageChanged { .. } => Vec::new(),
        Condition::AnyDid(steps) => steps.clone(),
        Condition::DidNot(step) => vec![*step],
        Condition::AnyOf(parts) => parts.iter().flat_map(steps_of).collect(),
    }
}

fn remove(draft: &mut Draft<'_>, container: &ObservedContainer, reason: Removal, cause: String) {
    let planned = draft.removed.get(&container.id).and_then(|(step, _)| draft.plan.steps.get_mut(*step));
    if let Some(Step { action: Action::RemoveContainer { reason: old, .. }, cause: why, .. }) = planned {
        // Its volume's replacement removes it anyhow; it just does not come back.
        *old = reason;
        *why = cause;
        return;
    }
    let mut after = draft.foundation();
    after.extend(draft.stops.get(&container.id).into_iter().flatten());
    after.extend(reconnects(draft));
    let (renamed, name) = names::present(draft, container);
    after.extend(renamed);
    let action = Action::RemoveContainer {
        service: container.service.clone(),
        id: container.id.clone(),
        name: name.clone(),
        volumes: false,
        reason,
    };
    let step = draft.push(action, cause, after, Condition::Always);
    draft.freed.insert(name, step);
    if reason == Removal::Orphan {
        draft.orphan_steps.push(step);
    }
}

/// Network replacements connect existing containers, which must not vanish meanwhile.
fn reconnects(draft: &Draft<'_>) -> Vec<StepId> {
    let fates = draft.networks.values();
    fates
        .filter_map(|fate| match fate {
            NetworkFate::Replaced { step, .. } => Some(*step),
            _ => None,
        })
        .collect()
}

/// Plans one existing container that stays in number.
fn one_container<'a>(
    draft: &mut Draft<'a>,
    name: &'a str,
    service: &Service,
    references: &References,
    container: &'a ObservedContainer,
    grounds: Grounds,
    stops: &[StepId],
) -> Result<Slot<'a>, PlanError> {
    let stays = |slot_name: &str, fate| Slot {
        number: container.number,
        name: slot_name.to_owned(),
        existing: Some(container),
        fate,
    };
    let temporary = final_name(&container.name) != container.name;
    let signalled = match grounds.certain.is_empty() {
        true => signal_for_mounts(draft, name, container),
        false => None,
    };
    let Some(when) = condition(&grounds) else {
        if let Some(own) = names::own(draft, name, container) {
            names::restore(draft, container, own.clone());
            return Ok(stays(&own, Fate::Stays));
        }
        if temporary {
            rename(draft, name, container);
        }
        return Ok(stays(final_name(&container.name), Fate::Stays));
    };
    let Grounds { certain: mut causes, possible } = grounds;
    causes.extend(possible.into_iter().map(|(_, cause)| cause));
    let cause = distinct(causes).join("; ");
    let Some(number) = container.number else {
        return Err(PlanError::ContainerLabel {
            container: container.name.clone(),
            service: name.to_owned(),
            label: labels::CONTAINER_NUMBER.to_owned(),
            cause,
        });
    };
    let final_name = select::container_name(draft.project, name, number);
    if draft.removed.contains_key(&container.id) {
        let mut slot = create(draft, name, service, references, number, cause);
        slot.existing = Some(container);
        return Ok(slot);
    }
    let mut after = groundwork(draft, service, references, &final_name);
    after.extend(stops);
    after.extend(signalled);
    after.extend(draft.stops.get(&container.id).into_iter().flatten());
    after.extend(&draft.orphan_steps);
    after.extend(reconnects(draft));
    after.extend(steps_of(&when));
    let (renamed, mut old_name) = names::present(draft, container);
    after.extend(renamed);
    if temporary && when != Condition::Always {
        after.push(rename(draft, name, container));
        old_name = final_name.clone();
    }
    if when != Condition::Always {
        after.extend(resume(draft, container));
    }
    let certain = when == Condition::Always;
    let action = Action::RecreateContainer {
        service: name.to_owned(),
        number,
        name: final_name.clone(),
        old_id: container.id.clone(),
        old_name: old_name.clone(),
        inherit_volumes: !draft.intent.renew_anon_volumes,
    };
    let step = draft.push(action, cause, after, when);
    if old_name != final_name {
        draft.freed.insert(old_name, step);
    }
    Ok(stays(&final_name, if certain { Fate::New(step) } else { Fate::Perhaps(step) }))
}

fn distinct(causes: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    causes.into_iter().filter(|cause| seen.insert(cause.clone())).collect()
}

fn rename(draft: &mut Draft<'_>, name: &str, container: &ObservedContainer) -> StepId {
    let to = final_name(&container.name).to_owned();
    let mut after = draft.foundation();
    after.extend(draft.stops.get(&container.id).into_iter().flatten());
    after.extend(draft.freed.get(&to));
    let action = Action::RenameContainer {
        service: name.to_owned(),
        id: container.id.clone(),
        from: container.name.clone(),
        to,
    };
    let cause = "its replacement was interrupted before it got its final name";
    draft.push(action, cause, after, Condition::Always)
}

/// Resumes a container that somebody paused, once, if it may live on.
pub(super) fn resume(draft: &mut Draft<'_>, container: &ObservedContainer) -> Option<StepId> {
    if container.state != RunState::Paused || draft.plan.steps.iter().any(|s| resumes(s, container)) {
        return None;
    }
    let after = draft.foundation();
    let action = Action::UnpauseContainer {
        service: container.service.clone(),
        id: container.id.clone(),
        name: container.name.clone(),
    };
    Some(draft.push(action, "the container is paused", after, Condition::Always))
}

fn resumes(step: &Step, container: &ObservedContainer) -> bool {
    matches!(&step.action, Action::UnpauseContainer { id, .. } if *id == container.id)
}

fn create<'a>(
    draft: &mut Draft<'a>,
    name: &'a str,
    service: &Service,
    references: &References,
    number: u32,
    cause: String,
) -> Slot<'a> {
    let container = select::container_name(draft.project, name, number);
    let after = groundwork(draft, service, references, &container);
    let action = Action::CreateContainer { service: name.to_owned(), number, name: container.clone() };
    let step = draft.push(action, cause, after, Condition::Always);
    Slot { number: Some(number), name: container, existing: None, fate: Fate::New(step) }
}

/// Steps before any container of the service can be made: all images, its networks and volumes, whose container IDs
/// it needs, and whoever holds the name.
fn groundwork(draft: &Draft<'_>, service: &Service, references: &References, name: &str) -> Vec<StepId> {
    let mut after = draft.foundation();
    after.extend(service.networks.keys().filter_map(|key| match draft.networks.get(key)? {
        NetworkFate::Stays(_) => None,
        NetworkFate::New(step) | NetworkFate::Replaced { step, .. } => Some(*step),
    }));
    let volumes: BTreeMap<_, _> = service.volumes.iter().map(|mount| (&mount.source, ())).collect();
    after.extend(volumes.keys().filter_map(|key| draft.volume_steps.get(*key)));
    after.extend(&references.after);
    // A name such as `1234567890ab_shop-web-1` is in the way of the next replacement just as the final one.
    after.extend(draft.freed.iter().filter(|(freed, _)| final_name(freed) == name).map(|(_, step)| *step));
    after
}
