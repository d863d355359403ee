//! Looks for what cannot be switched: services that stay and need one that moves, and fronts that find what moves by labels.

use std::collections::BTreeSet;

use crate::{
    class::Class,
    classify::{Classes, is_single_front},
    derived::{Job, Note},
    found,
    refusal::{Cause, Remedy},
    routes::single_fronts,
    said::Order,
    units,
    view::{Reach, View},
};

/// Services that stay and need what moves. Fronts that keep their ports are led to the proxy instead.
pub(crate) fn staying_needs<'a>(view: &View<'a>, classes: &Classes<'a>, jobs: &[Job], refused: &mut Vec<Cause>) {
    let led = single_fronts(view, classes);
    let of_colour = |name: &str| jobs.iter().any(|job| job.service == name && !job.stays);
    let of_stay = |name: &str| jobs.iter().any(|job| job.service == name && job.stays);
    let staying = view.names().filter(|name| classes.class(name).is_some_and(Class::stays) || of_stay(name));
    for staying in staying {
        for moving in view.names().filter(|name| classes.moves(name) || of_colour(name)) {
            let place = match view.reaches(staying, moving) {
                Some(Reach::Depends) => None,
                Some(Reach::Names(place, _)) => Some(place),
                None => continue,
            };
            if led.contains(&(staying, moving)) {
                continue;
            }
            let class = classes.class(staying).unwrap_or(Class::Shared);
            refused.push(Cause::StayingNeeds {
                staying: staying.to_owned(),
                class,
                moving: moving.to_owned(),
                place,
                remedy: remedy(view, classes, jobs, staying, class),
            });
        }
    }
}

/// Jobs that share namespaces or volumes with what is in the other project: no unit holds them together.
pub(crate) fn joined_across(view: &View<'_>, classes: &Classes<'_>, jobs: &[Job], refused: &mut Vec<Cause>) {
    let is_job = |name: &str| classes.class(name) == Some(Class::Job);
    let stays = |name: &str| match classes.class(name) {
        Some(Class::Job) => jobs.iter().any(|job| job.service == name && job.stays),
        class => class.is_some_and(Class::stays),
    };
    for name in view.names() {
        let Some(service) = view.service(name) else { continue };
        let others = units::joined_with(service).filter(|other| view.service(other).is_some());
        for other in others.filter(|other| stays(name) != stays(other)) {
            let (job, with) = if is_job(name) { (name, other) } else { (other, name) };
            // Of two jobs, one that is run with what stays is one that both can be joined with.
            let class = classes.class(with).filter(|class| *class != Class::Job).unwrap_or(Class::Shared);
            refused.push(Cause::JoinedAcross { job: job.to_owned(), with: with.to_owned(), class });
        }
    }
}

/// What nobody's storage speaks against is coloured as well, unless something bound to stay needs it in turn; else what it
/// needs stays with it.
fn remedy<'a>(view: &View<'a>, classes: &Classes<'a>, jobs: &[Job], staying: &'a str, class: Class) -> Remedy {
    if is_bound(view, class, staying) || is_needed_by_bound(view, classes, jobs, staying) {
        Remedy::MovingStays
    } else if view.tcp_ports(staying).next().is_some() {
        Remedy::StayingBecomes(Class::Routed)
    } else if view.listens(staying).is_some() {
        Remedy::StayingBecomes(Class::Internal)
    } else {
        Remedy::StayingBecomes(Class::Worker)
    }
}

/// Whether a service could not be coloured.
fn is_bound(view: &View<'_>, class: Class, name: &str) -> bool {
    class != Class::Shared || view.engine(name).is_some() || view.writers.alone(name).is_some()
}

/// Whether one that stays and could not be coloured needs a service, directly or through others that stay.
fn is_needed_by_bound<'a>(view: &View<'a>, classes: &Classes<'a>, jobs: &[Job], name: &'a str) -> bool {
    let mut seen = BTreeSet::from([name]);
    let mut left = vec![name];
    while let Some(at) = left.pop() {
        for other in view.names().filter(|other| !seen.contains(other)).collect::<Vec<_>>() {
            let stays = |class: &Class| class.stays() || jobs.iter().any(|job| job.service == other && job.stays);
            let Some(class) = classes.class(other).filter(stays) else { continue };
            if view.reaches(other, at).is_none() || is_single_front(view, other, Some(class)) {
                continue;
            }
            if is_bound(view, class, other) {
                return true;
            }
            seen.insert(other);
            left.push(other);
        }
    }
    false
}

/// Fronts that discover by labels or variables, here or outside (ADR 23, front (c)).
pub(crate) fn found_by_labels(view: &View<'_>, classes: &Classes<'_>, refused: &mut Vec<Cause>) {
    // With an adapter what finds them is taken off (`dress`).
    if view.said.repos.adapter.is_some() {
        return;
    }
    for name in view.names().filter(|name| classes.moves(name)) {
        if let Some((by, finder)) = found::by(view, name) {
            refused.push(Cause::FoundByLabels { service: name.to_owned(), by, finder, port: found::port(view, name) });
        }
    }
}

/// What is said against storage: engines are never doubled, whatever is said; others only on the user's word.
pub(crate) fn writers(view: &View<'_>, classes: &Classes<'_>, refused: &mut Vec<Cause>, notes: &mut Vec<Note>) {
    for name in view.names() {
        let Some(class) = classes.class(name) else { continue };
        let one_place = view.writers.written(name).find(|place| place.is_one_place());
        if class.is_coloured()
            && view.engine(name).is_some()
            && let Some(place) = one_place
        {
            refused.push(Cause::EngineDoubled { service: name.to_owned(), place: place.to_string() });
            continue;
        }
        let alone = view.writers.alone(name).filter(|place| place.is_one_place());
        let order = view.said.service(name, |said| said.order).map(|(order, _)| order);
        match alone {
            Some(place) if class == Class::Held && order == Some(Order::StartFirst) => {
                refused.push(Cause::TwoWritersSaid { service: name.to_owned(), place: place.to_string() });
            }
            Some(place) if class.is_coloured() => {
                notes.push(Note::TwoWriters { service: name.to_owned(), place: place.to_string() });
            }
            _ => {}
        }
    }
}
