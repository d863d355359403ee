//! Third phase: containers are removed, created and replaced, dependencies first. None is started.

use std::{cmp::Reverse, collections::BTreeMap};

use super::super::{
    Action, Cause, Condition, ContainerCause, ObservedContainer, PlanError, Removal, Replaced, RunState, ServiceCause,
    StepId,
};
use super::draft::{Fate, NetworkFate, Slot, Swap, steps_of};
use super::judge::{Grounds, References};
use super::members::{is_live, members};
use super::stops::{already, resume, stop, stop_dependents, stop_stranded_sharers};
use super::swaps::{put_in_place, remove};
use super::{Draft, any_of, judge, names, overlap, select};
use turnout_compose::{
    labels::{self, final_name},
    model::Service,
};

/// Removes, or mentions, containers that belong to no service: those of services that are gone, and one-offs that
/// ended. Running one-offs, services of inactive profiles and those that were set aside are left alone.
pub(super) fn orphans(draft: &mut Draft<'_>) {
    let project = draft.project;
    let known = |c: &ObservedContainer| {
        project.services.contains_key(&c.service)
            || project.set_aside.contains_key(&c.service)
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
        let cause: Cause = if orphan.oneoff {
            ContainerCause::OneOffEnded.into()
        } else if project.disabled_services.contains_key(&orphan.service) {
            ServiceCause::NoProfile(orphan.service.clone()).into()
        } else {
            ServiceCause::Gone(orphan.service.clone()).into()
        };
        remove(draft, orphan, Removal::Orphan, cause);
    }
}

/// Plans the containers of every service that takes part.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), PlanError> {
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
        remove(
            draft,
            container,
            Removal::ScaleDown,
            ServiceCause::Scaled { from: existing, to: wanted as usize }.into(),
        );
    }
    for container in leftovers {
        // One that runs serves somebody: it goes as any other that is too many, not before all is created that can be.
        let reason = if is_live(container) { Removal::ScaleDown } else { Removal::Leftover };
        remove(draft, container, reason, ContainerCause::LeftOver.into());
    }

    let mut kept = kept;
    kept.sort_by_key(|(c, _)| c.number);
    let mut slots: Vec<Slot<'a>> = Vec::with_capacity(wanted as usize);
    restart_for_mounts(draft, name, &kept);
    let mut swaps = Vec::new();
    for (container, grounds) in kept {
        slots.push(one_container(draft, name, service, &references, container, grounds, &mut swaps)?);
    }
    put_in_place(draft, name, &swaps);
    // Gaps are not filled, so that a number never means two containers.
    let highest = members.iter().filter_map(|c| c.number).max().unwrap_or(0);
    for (number, _) in (highest.saturating_add(1)..).zip(existing..wanted as usize) {
        let cause: Cause = if existing == 0 {
            ContainerCause::Absent.into()
        } else {
            ServiceCause::Scaled { from: existing, to: wanted as usize }.into()
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
            stop(draft, container, &Condition::Always, &ContainerCause::Mounted(cause).into());
            let cause = ServiceCause::Restarted(name.to_owned()).into();
            stop_dependents(draft, name, &Condition::Always, &cause);
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
    Some(draft.push(action, ContainerCause::Mounted(cause), after, Condition::Always))
}

fn condition(grounds: &Grounds) -> Option<Condition> {
    if grounds.certain.is_empty() {
        any_of(grounds.possible.iter().map(|(condition, _)| condition.clone()))
    } else {
        Some(Condition::Always)
    }
}

/// Plans one existing container that stays in number.
fn one_container<'a>(
    draft: &mut Draft<'a>,
    name: &'a str,
    service: &Service,
    references: &References,
    container: &'a ObservedContainer,
    grounds: Grounds,
    swaps: &mut Vec<Swap<'a>>,
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
    let cause = Cause::of(causes);
    let Some(number) = container.number else {
        return Err(PlanError::ContainerLabel {
            container: container.name.clone(),
            service: name.to_owned(),
            label: labels::CONTAINER_NUMBER.to_owned(),
            cause: cause.to_string(),
        });
    };
    let final_name = select::container_name(draft.project, name, number);
    if draft.removed.contains_key(&container.id) {
        let mut slot = create(draft, name, service, references, number, cause);
        slot.existing = Some(container);
        return Ok(slot);
    }
    let certain = when == Condition::Always;
    let mut before: Vec<StepId> = signalled.into_iter().collect();
    let mut old_name = container.name.clone();
    if temporary && !certain {
        before.push(rename(draft, name, container));
        old_name = final_name.clone();
    }
    // What has stopped is not paused any more.
    if !certain && !already(draft, container).1 {
        before.extend(resume(draft, container));
    }
    let mut after = groundwork(draft, service, references);
    after.extend(steps_of(&when));
    let create_as = labels::temporary_name(&container.id, &final_name);
    let action = Action::CreateContainer {
        service: name.to_owned(),
        number,
        name: final_name.clone(),
        create_as: create_as.clone(),
        replaces: Some(Replaced {
            id: container.id.clone(),
            name: old_name.clone(),
            inherit_volumes: !draft.intent.renew_anon_volumes,
        }),
    };
    let created = draft.push(action, cause.clone(), after, when);
    let slot = stays(&final_name, if certain { Fate::New(created) } else { Fate::Perhaps(created) });
    let swap = Swap { old: container, old_name, created, create_as, name: final_name, cause, before };
    match overlap::may(draft, name, service, container) {
        true => drop(draft.overlaps.insert(container.id.clone(), swap)),
        false => swaps.push(swap),
    }
    Ok(slot)
}

fn rename(draft: &mut Draft<'_>, name: &str, container: &ObservedContainer) -> StepId {
    let to = final_name(&container.name).to_owned();
    let after = draft.foundation();
    let action = Action::RenameContainer {
        service: name.to_owned(),
        id: Some(container.id.clone()),
        from: container.name.clone(),
        to,
    };
    let step = draft.push(action, ContainerCause::NameNotGiven, after, Condition::Always);
    draft.freed.insert(container.name.clone(), step);
    step
}

fn create<'a>(
    draft: &mut Draft<'a>,
    service_name: &'a str,
    service: &Service,
    references: &References,
    number: u32,
    cause: Cause,
) -> Slot<'a> {
    let container = select::container_name(draft.project, service_name, number);
    let after = groundwork(draft, service, references);
    let (create_as, name) = (container.clone(), container.clone());
    let action = Action::CreateContainer { service: service_name.to_owned(), number, name, create_as, replaces: None };
    let step = draft.push(action, cause, after, Condition::Always);
    Slot { number: Some(number), name: container, existing: None, fate: Fate::New(step) }
}

/// Steps before any container of the service can be made: all images, its networks and volumes, and whose container IDs
/// it needs.
fn groundwork(draft: &Draft<'_>, service: &Service, references: &References) -> Vec<StepId> {
    let mut after = draft.foundation();
    for key in service.networks.keys() {
        match draft.networks.get(key) {
            None | Some(NetworkFate::Stays(_)) => {}
            Some(NetworkFate::New(step)) => after.push(*step),
            Some(NetworkFate::Replaced { steps, .. }) => after.extend(steps),
        }
    }
    let volumes: BTreeMap<_, _> = service.volumes.iter().map(|mount| (&mount.source, ())).collect();
    after.extend(volumes.keys().filter_map(|key| draft.volume_steps.get(*key)));
    after.extend(&references.after);
    after
}
