//! From a project, facts and what was said to all that follows.

use std::collections::BTreeMap;

use turnout_compose::model::Project;

use crate::{
    analysis, beyond,
    clash::clashes,
    class::{Class, Reason},
    classify::{Classes, classify},
    derived::{Colours, Derived, Fate, Front, Given, Listen, Note, Origin},
    facts::Facts,
    found,
    gate::gate,
    graces, jobs, known, links, measures, pace,
    refusal::Cause,
    refuse, routes,
    said::Said,
    snapshot, steps,
    view::View,
};

/// `COLOR` where the `.env` has none.
const DEFAULT_COLOUR: &str = "red";
/// The colour beside it.
const PARTNER: &str = "blue";

/// What blue/green deployment makes of a stack.
pub fn derive(project: &Project, facts: &Facts, said: &Said) -> Derived {
    let view = View::of(project, facts, said);
    let classes = classify(&view);
    let (mut notes, mut refused) = (Vec::new(), Vec::new());

    let colours = colours(&view, &mut refused);
    let jobs = jobs::jobs(&view, &classes);
    let routes = routes::routes(&view, &classes, &mut notes, &mut refused);
    let services = fates(&view, &classes, &mut notes);
    if said.repos.adapter.is_none() {
        graces::notes(&view, &services, &mut notes);
    }
    refuse::staying_needs(&view, &classes, &jobs, &mut refused);
    refuse::joined_across(&view, &classes, &jobs, &mut refused);
    refuse::found_by_labels(&view, &classes, &mut refused);
    if said.repos.adapter.is_some() {
        let found = found::all(&view, &classes).into_iter();
        notes.extend(found.map(|(service, by)| Note::NotFound { service: service.to_owned(), by }));
    }
    refuse::writers(&view, &classes, &mut refused, &mut notes);
    let outside = links::outside(&view, &classes);
    notes.extend(outside.iter().map(|network| Note::NoAliasOutside(network.clone())));

    let moves = |(name, fate): &(&String, &Fate)| match fate.class {
        Class::Job => jobs.iter().any(|job| job.service == **name && !job.stays),
        class => class.moves(),
    };
    let moving = services.iter().filter(moves).map(|(name, _)| name.clone()).collect();
    let files = snapshot::mounted(project, facts, &moving);

    let mut derived = Derived {
        project: project.name.clone(),
        by: said.stack(|layer| layer.by).map(|(by, _)| by).unwrap_or_default(),
        colours,
        services,
        analysis: analysis::analysis(said, &routes, said.repos.adapter.as_ref()),
        measures: measures::measures(said),
        routes,
        links: links::links(&view, &classes, &jobs),
        files,
        jobs,
        outside,
        bake: pace::bake(&view, &classes),
        drain: pace::drain(&view),
        keep: pace::keep(&view),
        on_failure: pace::on_failure(&view, &classes, &mut notes),
        promote: pace::promote(&view),
        promote_deadline: pace::promote_deadline(&view),
        fallback: fallback(said),
        beyond: beyond::beyond(said),
        canary: steps::canary(said),
        adapter: said.repos.adapter.clone(),
        refusals: refused.into_iter().map(Cause::refused).collect(),
        notes,
    };
    let own = clashes(&[(&project.name, &derived)]);
    derived.refusals.extend(own);
    note_callers(&mut derived);
    derived
}

/// Only what was said: which paths hold an old colour's assets nothing tells.
fn fallback(said: &Said) -> Given<Vec<String>> {
    match said.stack(|layer| layer.fallback.clone()) {
        Some((value, source)) => Given { value, from: Origin::Said(source) },
        None => Given { value: Vec::new(), from: Origin::Default },
    }
}

/// COLOR of `.env` and its partner.
fn colours(view: &View<'_>, refused: &mut Vec<Cause>) -> Colours {
    let named = view.facts.colour.as_deref().filter(|colour| !colour.is_empty()).unwrap_or(DEFAULT_COLOUR).to_owned();
    let partner = match view.said.stack(|layer| layer.colors.clone()) {
        Some((colours, _)) => {
            let other = colours.iter().find(|colour| **colour != named).cloned();
            if !colours.contains(&named) {
                refused.push(Cause::ForeignColour { colour: named.clone(), colours });
            }
            other
        }
        None => None,
    };
    let usual = if named == PARTNER { DEFAULT_COLOUR } else { PARTNER };
    Colours { partner: partner.unwrap_or_else(|| usual.to_owned()), named }
}

fn fates(view: &View<'_>, classes: &Classes<'_>, notes: &mut Vec<Note>) -> BTreeMap<String, Fate> {
    let led = routes::single_fronts(view, classes);
    let mut fates = BTreeMap::new();
    for (name, (class, reason)) in &classes.verdicts {
        let (name, class) = (*name, *class);
        let Some(service) = view.service(name) else { continue };
        let unit = classes.units.get(name).map(Vec::as_slice).unwrap_or_default();
        let names: Vec<String> =
            led.iter().filter(|(front, _)| *front == name).map(|(_, led)| (*led).to_owned()).collect();
        if !names.is_empty() {
            notes.push(Note::LeadsToProxy { front: name.to_owned(), names: names.clone() });
        }
        if class.moves() && !service.container_name.is_empty() {
            let container = service.container_name.clone();
            notes.push(Note::ContainerName { service: name.to_owned(), name: container });
        }
        let fate = Fate {
            class,
            reason: reason.clone(),
            joined: unit.iter().filter(|other| **other != name).map(|other| (*other).to_owned()).collect(),
            scheduler: view.scheduler(name).is_some(),
            front: if names.is_empty() { coloured_front(view, classes, name) } else { Some(Front::Keeps(names)) },
            unkept: unkept(view, name),
            replicas: service.scale(),
            order: class.moves().then(|| pace::order(view, name, class, unit, notes)),
            gate: class.moves().then(|| gate(view, name)),
        };
        fates.insert(name.to_owned(), fate);
    }
    fates
}

/// The engine that it is, if that writes no storage and holds what nobody could do without.
fn unkept(view: &View<'_>, name: &str) -> Option<&'static str> {
    let (what, _) = view.engine(name)?;
    let expendable = view.said.of_this(name, |said| said.expendable).is_some_and(|(expendable, _)| expendable);
    let writes = view.writers.written(name).next().is_some();
    (!writes && !expendable && !known::holds_nothing(what)).then_some(what)
}

/// Front (a): routed, a proxy, and others of its colour behind it.
fn coloured_front(view: &View<'_>, classes: &Classes<'_>, name: &str) -> Option<Front> {
    let front = matches!(classes.verdicts.get(name), Some((_, Reason::FrontOf(_)))) || view.proxy(name).is_some();
    if !front || !matches!(classes.class(name), Some(Class::Routed | Class::Held)) {
        return None;
    }
    let behind = view.names().filter(|other| *other != name && classes.moves(other));
    let behind: Vec<String> = behind.filter(|other| view.reaches(name, other).is_some()).map(str::to_owned).collect();
    (!behind.is_empty()).then_some(Front::Coloured(behind))
}

/// Listeners behind which a container sees the proxy for its caller.
fn note_callers(derived: &mut Derived) {
    let open = derived.routes.iter().map(|route| &route.listen);
    let open = open.filter(|listen| matches!(listen, Listen::Host { .. }) && !listen.is_loopback());
    let mut listeners: Vec<String> = open.map(Listen::to_string).collect();
    listeners.dedup();
    if !listeners.is_empty() {
        derived.notes.push(Note::PeerAddress(listeners));
    }
}
