//! What the rules of the switch say of a deployment without it: whether two of a service may run at a time, where its
//! `deploy.update_config.order` is `start-first`.

use std::{collections::BTreeMap, fmt};

use turnout_compose::model::{Project, Service};

use crate::{class::Reason, classify::bound_to_the_host, facts::Facts, said::Said, view::View};

/// What forbids that two of a service run at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bar {
    /// It publishes this port of the host.
    Port(String),
    /// Its `container_name`.
    Name(String),
    /// What keeps it from having colours, at most one of which may run.
    Rule(Reason),
}

impl fmt::Display for Bar {
    /// A sentence without its end, in which `it` is the service; with what to write, where something can be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bar::Port(port) => write!(f, "it publishes {port}, and a port of the host is one container's"),
            Bar::Name(name) => {
                write!(f, "its container_name is {name}, which one container can have: leave container_name out")
            }
            Bar::Rule(reason @ Reason::Awaited(_)) => write!(f, "it is a job: {reason}"),
            Bar::Rule(reason @ Reason::Writes(_)) => {
                write!(f, "it {reason}: mount that read-only (`:ro`) where it is only read")
            }
            Bar::Rule(reason) => write!(f, "it {reason}"),
        }
    }
}

/// Whether a service asks for its replacement to start before the old one stops.
fn asks(service: &Service) -> bool {
    let update = service.deploy.as_ref().and_then(|deploy| deploy.update_config.as_ref());
    update.is_some_and(|update| update.order == "start-first")
}

/// Whether any service asks for it: else there is nothing to look at.
pub fn any_asks(project: &Project) -> bool {
    project.services.values().any(asks)
}

/// The services that ask for it, and whether they may.
pub fn start_first(project: &Project, facts: &Facts) -> BTreeMap<String, Result<(), Bar>> {
    let said = Said::default();
    let view = View::of(project, facts, &said);
    let asking = project.services.iter().filter(|(_, service)| asks(service));
    asking.map(|(name, service)| (name.clone(), bar(&view, name, service).map_or(Ok(()), Err))).collect()
}

fn bar(view: &View<'_>, name: &str, service: &Service) -> Option<Bar> {
    if let Some(port) = service.ports.iter().find(|port| !port.published.is_empty()) {
        return Some(Bar::Port(port.published.clone()));
    }
    if !service.container_name.is_empty() {
        return Some(Bar::Name(service.container_name.clone()));
    }
    let awaited = || view.awaited.get(name).map(|by| by.iter().map(|by| (*by).to_owned()).collect());
    let engine = || view.engine(name).map(|(what, why)| Reason::Engine { what, why });
    let writes = || view.writers.alone(name).cloned().map(Reason::Writes);
    awaited()
        .map(Reason::Awaited)
        .or_else(|| bound_to_the_host(view, name))
        .or_else(engine)
        .or_else(writes)
        .or_else(|| view.scheduler(name).map(Reason::Scheduler))
        .map(Bar::Rule)
}
