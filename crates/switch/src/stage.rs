//! A colour in two stages: first what may overlap with the colour before it, then what may not, once that has ended there.
//!
//! How a rollout uses them: [`Stages::first`] is planned and carried out, [`Stages::second`] planned with `no_start`, which
//! has its images pulled and built and its containers created while the old ones still run; these are stopped; and the
//! second is planned again, which starts what is left. The second is planned without anything to build and with
//! `Pull::Never`: an image that arrives meanwhile would replace what has just passed its gate.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use turnout_compose::model::{Dependency, Project, Service};

use crate::{class::Class, derived::Derived, dress::Coloured, said::Order, units::joined_with};

/// A colour's project in two. Both are the one project for the engine, by name; what a stage lacks is
/// [set aside](Project::set_aside) in it, so that planning one never takes the other's containers for orphans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stages {
    /// Jobs, and what may overlap. `None` where there is nothing of that kind.
    pub first: Option<Project>,
    /// The whole colour but for the jobs of the first stage, which have run and must not run a second time. `None` where
    /// nothing had to wait.
    pub second: Option<Project>,
    /// What is in another order than the Compose file says, for the log.
    pub notes: Vec<Note>,
}

/// What is in another order than the Compose file says, or comes later than one might think.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A service starts without waiting for another, which starts in the second stage.
    NotWaitedFor {
        /// The service that does not wait.
        service: String,
        /// What its `depends_on` names.
        on: String,
        /// The `condition` of that `depends_on`.
        condition: String,
    },
    /// A service could start in the first stage, but for one that starts in the second.
    Follows {
        /// The service that is kept back.
        service: String,
        /// The service of the second stage that it needs.
        other: String,
        /// Why it cannot do without.
        why: Tie,
    },
}

/// Why a service cannot start in an earlier stage than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tie {
    /// It uses namespaces or volumes of it, or both do so of a third.
    Shares,
    /// It links to it: links are made with the container, and are part of its hash.
    Links,
    /// It is to have ended.
    Completed,
    /// It is a job: what it does may need all that it waits for.
    Job,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NotWaitedFor { service, on, condition } => write!(
                f,
                "{service} starts without waiting for {on} (depends_on: {condition}), which starts only when the old one \
                 has stopped"
            ),
            Note::Follows { service, other, why } => {
                write!(f, "{service} starts only when the old {other} has stopped: ")?;
                match why {
                    Tie::Shares => write!(f, "both share namespaces or volumes"),
                    Tie::Links => write!(f, "it links to {other}"),
                    Tie::Completed => write!(f, "it waits for the end of {other}"),
                    Tie::Job => write!(f, "it is a job and waits for {other}"),
                }
            }
        }
    }
}

/// Divides a colour's services by whether they may run beside the old ones.
///
/// A service is in the second stage if the one of the old colour is to stop before it starts, and if it cannot do without
/// one that is (see [`Tie`]): to start late costs time, to start without what a container is made from is not possible.
/// Other edges from the first stage to the second are dropped, with a note. Neither that nor what is set aside changes a
/// hash: containers of the first stage are up to date in the second.
pub fn stages(coloured: &Coloured, derived: &Derived) -> Stages {
    let whole = &coloured.project;
    let mut stages = Stages::default();
    let late = late(whole, derived, &mut stages.notes);
    let is_late = |name: &String| late.contains(name.as_str());
    let has_run = |name: &String| !is_late(name) && is_job(derived, name);

    let mut early = without(whole, &is_late);
    for (name, service) in &mut early.services {
        let gone = service.depends_on.extract_if(.., |other, _| is_late(other));
        stages.notes.extend(gone.map(|(on, Dependency { condition, .. })| Note::NotWaitedFor {
            service: name.clone(),
            on,
            condition,
        }));
    }
    if !late.is_empty() {
        let mut all = without(whole, &has_run);
        for (name, service) in &mut all.services {
            // Those that were dropped are so in both: with `restart: true` one would start again what runs already.
            let early = !is_late(name);
            service.depends_on.retain(|other, _| !(has_run(other) || early && is_late(other)));
        }
        stages.second = Some(all);
    }
    stages.first = (!early.services.is_empty()).then_some(early);
    stages
}

/// The project with some of its services set aside.
fn without(whole: &Project, goes: &impl Fn(&String) -> bool) -> Project {
    let mut project = whole.clone();
    let aside: BTreeMap<String, Service> = project.services.extract_if(.., |name, _| goes(name)).collect();
    project.set_aside.extend(aside);
    project
}

/// Services of the second stage.
fn late<'a>(whole: &'a Project, derived: &Derived, notes: &mut Vec<Note>) -> BTreeSet<&'a str> {
    let stops_first = |name: &&str| {
        let fate = derived.services.get(*name);
        fate.and_then(|fate| fate.order).is_some_and(|(order, _)| order == Order::StopFirst)
    };
    let mut late: BTreeSet<&str> = whole.services.keys().map(String::as_str).filter(stops_first).collect();
    loop {
        let open = whole.services.iter().filter(|(name, _)| !late.contains(name.as_str()));
        let more: Vec<(&str, &str, Tie)> = open
            .filter_map(|(name, service)| {
                let (other, why) = ties(derived, name, service).find(|(other, _)| late.contains(other))?;
                Some((name.as_str(), other, why))
            })
            .collect();
        if more.is_empty() {
            return late;
        }
        for (name, other, why) in more {
            late.insert(name);
            notes.push(Note::Follows { service: name.to_owned(), other: other.to_owned(), why });
        }
    }
}

/// What a service cannot start before.
fn ties<'a>(derived: &'a Derived, name: &str, service: &'a Service) -> impl Iterator<Item = (&'a str, Tie)> {
    let joined = derived.services.get(name).into_iter().flat_map(|fate| &fate.joined).map(String::as_str);
    let shares = joined.chain(joined_with(service)).map(|other| (other, Tie::Shares));
    let links = service.links.iter().filter_map(|link| link.split(':').next()).map(|other| (other, Tie::Links));
    let job = is_job(derived, name);
    let waits = service.depends_on.iter().filter_map(move |(other, edge)| match edge.condition.as_str() {
        "service_completed_successfully" => Some((other.as_str(), Tie::Completed)),
        _ if job => Some((other.as_str(), Tie::Job)),
        _ => None,
    });
    shares.chain(links).chain(waits)
}

fn is_job(derived: &Derived, name: &str) -> bool {
    derived.services.get(name).is_some_and(|fate| fate.class == Class::Job)
}
