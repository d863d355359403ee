//! The ordered rules: the first that fits decides (ADR 23, "Classes").

use std::collections::BTreeMap;

use crate::{
    class::{Class, Reason},
    storage, units,
    view::{Reach, View},
};

/// A class and its reason.
pub(crate) type Classified = (Class, Reason);

/// What the rules make of every active service.
pub(crate) struct Classes<'a> {
    pub(crate) verdicts: BTreeMap<&'a str, Classified>,
    /// By service, all that are joined with it, itself included.
    pub(crate) units: BTreeMap<&'a str, Vec<&'a str>>,
}

impl Classes<'_> {
    pub(crate) fn class(&self, name: &str) -> Option<Class> {
        self.verdicts.get(name).map(|(class, _)| *class)
    }

    /// Whether a service gets a new instance in the next colour.
    pub(crate) fn moves(&self, name: &str) -> bool {
        self.class(name).is_some_and(Class::moves)
    }
}

pub(crate) fn classify<'a>(view: &View<'a>) -> Classes<'a> {
    let mut verdicts: BTreeMap<&str, Classified> = BTreeMap::new();
    let mut units_of = BTreeMap::new();
    // Rules 0 to 7, unit by unit; those for which nothing is decided yet are coloured, and publish nothing.
    let mut open: Vec<Vec<&str>> = Vec::new();
    for name in view.names().filter(|name| view.is_job(name)) {
        let said = view.said.of_this(name, |said| said.class).map(|(_, source)| Reason::Said(source));
        let by = || view.awaited.get(name).into_iter().flatten().map(|by| (*by).to_owned()).collect();
        verdicts.insert(name, (Class::Job, said.unwrap_or_else(|| Reason::Awaited(by()))));
        units_of.insert(name, vec![name]);
    }
    for members in units::units(view.project, |name| view.is_job(name)).into_values() {
        match most_careful(view, &members) {
            Some(found) => verdicts.extend(spread(&members, found)),
            None => open.push(members.clone()),
        }
        units_of.extend(members.iter().map(|name| (*name, members.clone())));
    }
    // Rules 8 and 9. All that is open is coloured, so that it does not matter who comes first.
    behind_single_fronts(view, &mut verdicts, &mut open);
    let coloured: Vec<&str> = (view.names())
        .filter(|name| verdicts.get(name).is_none_or(|(class, _)| class.moves() || *class == Class::Job))
        .collect();
    for members in open {
        let found = members.iter().find_map(|name| {
            let outside = coloured.iter().copied().filter(|other| !members.contains(other));
            Some((*name, without_ports(view, &verdicts, name, outside)?))
        });
        let nobody = || (Class::Worker, Reason::NobodyCalls);
        verdicts.extend(match found {
            Some(found) => spread(&members, found),
            None => members.iter().map(|name| (*name, nobody())).collect(),
        });
    }
    Classes { verdicts, units: units_of }
}

/// The class of a unit, and whose it is: what is said, else the most careful one.
fn most_careful<'a>(view: &View<'a>, members: &[&'a str]) -> Option<(&'a str, Classified)> {
    let said = members.iter().filter_map(|name| {
        let (class, source) = view.said.of_this(name, |said| said.class)?;
        Some((*name, (class, Reason::Said(source))))
    });
    let care = |found: &(&str, Classified)| found.1.0;
    let ruled = || members.iter().filter_map(|name| Some((*name, rules_2_to_7(view, name)?)));
    said.max_by_key(care).or_else(|| ruled().max_by_key(care))
}

/// Gives a unit's class to all of its members.
fn spread<'a>(members: &[&'a str], (whose, (class, reason)): (&'a str, Classified)) -> Vec<(&'a str, Classified)> {
    let reason_of = |name: &str| match name == whose {
        true => reason.clone(),
        false => Reason::JoinedWith(whose.to_owned()),
    };
    members.iter().map(|name| (*name, (class, reason_of(name)))).collect()
}

fn rules_2_to_7(view: &View<'_>, name: &str) -> Option<Classified> {
    if let Some(reason) = bound_to_the_host(view, name) {
        return Some((Class::Single, reason));
    }
    let service = view.service(name)?;
    if !service.ports.is_empty() && storage::has_engine_socket(service) {
        return Some((Class::Single, Reason::EngineSocket));
    }
    if let Some((what, why)) = view.engine(name) {
        return Some((Class::Shared, Reason::Engine { what, why }));
    }
    let ours = view.ours.contains(name);
    if let Some(storage) = view.writers.alone(name) {
        let storage = storage.clone();
        return Some(match view.proxy(name).filter(|_| is_before_others(view, name)) {
            Some(what) => (Class::Single, Reason::FrontWithState { what, storage }),
            None if ours && view.publishes_http(name) => (Class::Held, Reason::Writes(storage)),
            None => (Class::Shared, Reason::Writes(storage)),
        });
    }
    let published = view.tcp_ports(name).next();
    if !ours {
        let behind = published.and_then(|_| view.ours.iter().find(|other| is_app_behind(view, name, other)));
        return Some(match behind {
            Some(other) => (Class::Routed, Reason::FrontOf((*other).to_owned())),
            None => (Class::Shared, Reason::NotOurs),
        });
    }
    let adapter = view.said.repos.adapter.as_ref();
    if let Some(adapter) = adapter.filter(|adapter| adapter.of.keys().any(|(service, _)| service == name)) {
        return Some((Class::Routed, Reason::LedToBy(adapter.program.key())));
    }
    let port = published?;
    let shown = match port.published.as_str() {
        "" => port.target.to_string(),
        host => host.to_owned(),
    };
    Some((Class::Routed, Reason::Publishes(shown)))
}

/// Rule 2: what can be there once only, because it is the host's.
pub(crate) fn bound_to_the_host(view: &View<'_>, name: &str) -> Option<Reason> {
    let service = view.service(name)?;
    if service.network_mode == "host" {
        return Some(Reason::HostNetwork);
    }
    if service.pid == "host" {
        return Some(Reason::HostPid);
    }
    if let Some(device) = service.devices.first() {
        return Some(Reason::Device(device.source.clone()));
    }
    let reserved = service.deploy.as_ref().and_then(|deploy| deploy.resources.reservations.as_ref());
    if !service.gpus.is_empty() || reserved.is_some_and(|resource| !resource.devices.is_empty()) {
        return Some(Reason::Device("of its GPU request".to_owned()));
    }
    for port in &service.ports {
        if !matches!(port.protocol.as_str(), "" | "tcp") {
            let host = if port.published.is_empty() { port.target.to_string() } else { port.published.clone() };
            return Some(Reason::PublishedNotTcp(format!("{host}/{}", port.protocol)));
        }
        if port.published.contains('-') {
            return Some(Reason::PortRange(port.published.clone()));
        }
    }
    let attached = service.networks.values().flatten();
    let fixed = attached.flat_map(|network| [&network.ipv4_address, &network.ipv6_address, &network.mac_address]);
    let fixed = fixed.chain([&service.mac_address]).find(|address| !address.is_empty());
    fixed.map(|address| Reason::FixedAddress(address.clone()))
}

/// Whether a service publishes ports and passes requests on to another one that is no engine and no job.
pub(crate) fn is_before_others(view: &View<'_>, name: &str) -> bool {
    view.tcp_ports(name).next().is_some() && view.names().any(|other| is_app_behind(view, name, other))
}

fn is_app_behind<'a>(view: &View<'a>, name: &str, other: &'a str) -> bool {
    name != other && view.engine(other).is_none() && !view.is_job(other) && view.reaches(name, other).is_some()
}

/// Whether a service is a front that keeps its ports when colours change: front (b).
pub(crate) fn is_single_front(view: &View<'_>, name: &str, class: Option<Class>) -> bool {
    class.is_some_and(Class::stays) && view.proxy(name).is_some() && is_before_others(view, name)
}

/// What a front that stays reaches without a published port is routed: its names there lead to the proxy.
fn behind_single_fronts<'a>(
    view: &View<'a>,
    verdicts: &mut BTreeMap<&'a str, Classified>,
    open: &mut Vec<Vec<&'a str>>,
) {
    let class = |name: &str| verdicts.get(name).map(|(class, _)| *class);
    let fronts: Vec<&str> = view.names().filter(|name| is_single_front(view, name, class(name))).collect();
    open.retain(|members| {
        let found = members.iter().find_map(|name| {
            let front = fronts.iter().find(|front| view.reaches(front, name).is_some())?;
            Some((*name, (Class::Routed, Reason::BehindSingleFront((*front).to_owned()))))
        });
        verdicts.extend(found.clone().map(|found| spread(members, found)).into_iter().flatten());
        found.is_none()
    });
}

/// Rules 8 and 9 for one service that publishes nothing; nothing where no rule but the last one fits.
fn without_ports<'a>(
    view: &View<'a>,
    verdicts: &BTreeMap<&str, Classified>,
    name: &'a str,
    coloured: impl Iterator<Item = &'a str>,
) -> Option<Classified> {
    // Before rule 8: an internal service overlaps with its successor.
    if let Some(word) = view.scheduler(name) {
        return Some((Class::Worker, Reason::Scheduler(word)));
    }
    for other in coloured {
        match view.reaches(other, name) {
            Some(Reach::Names(place, _)) => {
                return Some((Class::Internal, Reason::NamedBy { service: other.to_owned(), place }));
            }
            // `depends_on` alone is no proof, but of a front: that it has something behind it is what makes it one.
            Some(Reach::Depends) => {
                let front = matches!(verdicts.get(other), Some((_, Reason::FrontOf(_)))) || view.proxy(other).is_some();
                if front && !view.is_job(other) {
                    return Some((Class::Internal, Reason::BehindFront(other.to_owned())));
                }
            }
            None => {}
        }
    }
    view.listens(name).map(|how| (Class::Internal, Reason::Listens(how)))
}
