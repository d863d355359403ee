//! The two projects that a switched stack becomes: one for each colour, and one for what stays (ADR 23,
//! "Two projects").
//!
//! Both come from the same Compose file, loaded once with the colour and once with a fixed COLOR: what stays would change
//! its hash with every switch otherwise. Neither owns what the other's containers write: volumes keep the names that they
//! have, and belong to what stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use turnout_compose::{
    labels::TURNOUT_JOB,
    model::{Attachment, Ipam, Network, Port, Project, Service, Volume},
};

use crate::{
    class::Class,
    derived::{Derived, Front, Link, Listen},
    snapshot,
};

/// What a colour is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dress {
    /// The colour's project, `blueshop`.
    pub name: String,
    /// The project of what stays, whose link networks and volumes the colour uses.
    pub staying: String,
    /// Loopback ports by service and port in its containers; of several replicas the first of as many.
    pub loopback: BTreeMap<(String, u16), u16>,
    /// Engine names of volumes that are there from before the switch, by Compose key.
    pub volumes: BTreeMap<String, String>,
    /// Where copies of mounted files lie, by their path in the work tree.
    pub snapshots: BTreeMap<String, String>,
}

/// A colour's project, and what Compose has no words for.
#[derive(Debug, Clone, PartialEq)]
pub struct Coloured {
    /// The project. Its containers are [nameless](Project::nameless) in link networks and in those that are not the
    /// project's own. What only the engine gives a name cannot be helped: a service's `hostname`, with an engine from 25.0
    /// on, is found there in both colours.
    pub project: Project,
    /// What was waited for in the project of what stays: service, what it waited for, condition. It is there, and as it
    /// ought to be, before the colour is created.
    pub waits: Vec<(String, String, String)>,
}

/// What stays is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StayingDress {
    /// The Compose project's name, without a colour.
    pub name: String,
    /// Gateways of its networks, by Compose key, for fronts that find the proxy there.
    pub gateways: BTreeMap<String, IpAddr>,
    /// The volumes of what stays, as [`Dress`] has them.
    pub volumes: BTreeMap<String, String>,
}

/// Something that had to be given and was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// A port of the loopback interface leads to it.
    Port {
        /// The service whose containers are to listen behind it.
        service: String,
        /// The port in its container.
        port: u16,
    },
    /// The gateway of a network of a front.
    Gateway {
        /// The front that is to reach the proxy.
        front: String,
        /// The network's Compose key.
        network: String,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Port { service, port } => write!(f, "no loopback port was chosen for {port} of {service}"),
            Missing::Gateway { front, network } => {
                write!(f, "the gateway of the network {network} is not known, and {front} is to find the proxy there")
            }
        }
    }
}

impl std::error::Error for Missing {}

/// The key of the link network beside a Compose network, in both projects.
pub fn link_key(network: &str) -> String {
    format!("turnout-link-{network}")
}

/// What changes colour, in one colour. `project` was loaded with that COLOR.
///
/// # Errors
///
/// A route has no loopback port.
pub fn coloured(project: &Project, derived: &Derived, dress: &Dress) -> Result<Coloured, Missing> {
    let mut dressed = Coloured { project: project.clone(), waits: Vec::new() };
    dressed.project.services.retain(|name, _| moves(derived, name));
    for (name, service) in &mut dressed.project.services {
        service.ports = ports(derived, dress, name, service)?;
        if derived.adapter.is_some() {
            not_found(service);
        }
        // A colour that comes back was stopped, and many a worker ends with 0 then, as a job does that is done.
        let is_job = derived.services.get(name).is_some_and(|fate| fate.class == Class::Job);
        service.labels.entry(TURNOUT_JOB.to_owned()).or_insert_with(|| is_job.to_string());
        let mut nameless: BTreeSet<String> =
            derived.outside.iter().filter(|key| service.networks.contains_key(*key)).cloned().collect();
        keep_name(service, &nameless);
        for link in derived.links.iter().filter(|link| link.moving.contains(name)) {
            let key = link_key(&link.network);
            // What runs before it has the same to reach, on the networks that it has from its service.
            let steps = service.pre_start.iter_mut().map(|step| &mut step.spec);
            for step in steps.filter(|step| step.networks.contains_key(&link.network)) {
                step.networks.insert(key.clone(), None);
            }
            service.networks.insert(key.clone(), None);
            nameless.insert(key);
        }
        if !nameless.is_empty() {
            dressed.project.nameless.insert(name.clone(), nameless);
        }
        let gone = service.depends_on.extract_if(.., |other, _| !moves(derived, other));
        dressed.waits.extend(gone.map(|(other, dependency)| (name.clone(), other, dependency.condition)));
        // Names of links are on the link networks, with those that stay.
        service.links.retain(|link| link.split(':').next().is_some_and(|other| moves(derived, other)));
    }
    snapshot::point(&mut dressed.project, &dress.snapshots);
    own_networks(&mut dressed.project, project, &dress.name);
    for network in dressed.project.networks.values_mut().flatten().filter(|network| !network.external) {
        // The other colour would have the same.
        network.ipam = Ipam { driver: std::mem::take(&mut network.ipam.driver), config: Vec::new() };
        network.driver_opts.remove("com.docker.network.bridge.name");
    }
    for (key, network) in &mut dressed.project.networks {
        if let Some(network) = network.as_mut().filter(|_| derived.outside.contains(key)) {
            make_external(network);
        }
    }
    for link in &derived.links {
        let network = Network { name: link_name(&dress.staying, link), external: true, ..Network::default() };
        dressed.project.networks.insert(link_key(&link.network), Some(network));
    }
    let used = dressed.project.services.values().flat_map(Service::with_steps).flat_map(|service| &service.volumes);
    let used: BTreeSet<&str> = used.map(|mount| mount.source.as_str()).collect();
    dressed.project.volumes.retain(|key, _| used.contains(key.as_str()));
    volumes(&mut dressed.project, &dress.volumes, true);
    dressed.project.name.clone_from(&dress.name);
    Ok(dressed)
}

/// What stays. `project` was loaded with a COLOR that never changes.
///
/// It owns volumes and link networks that none of its own services need be on: whoever plans it asks for
/// `Intent::all_resources`, or they are not made. Volumes whose names are remembered are there already, with the labels of
/// whoever made them, and are external: neither made, replaced nor removed.
///
/// # Errors
///
/// The gateway of a front's network is not known.
pub fn staying(project: &Project, derived: &Derived, dress: &StayingDress) -> Result<Project, Missing> {
    let mut dressed = project.clone();
    dressed.services.retain(|name, _| !moves(derived, name));
    for (name, service) in &mut dressed.services {
        // One that was stopped may have ended with 0, as a job does that is done.
        let is_job = derived.services.get(name).is_some_and(|fate| fate.class == Class::Job);
        service.labels.entry(TURNOUT_JOB.to_owned()).or_insert_with(|| is_job.to_string());
        // Those of fronts; all others were refused.
        service.depends_on.retain(|other, _| !moves(derived, other));
        service.links.retain(|link| !link.split(':').next().is_some_and(|other| moves(derived, other)));
        for link in &derived.links {
            if let Some(names) = link.staying.get(name) {
                let attachment = Attachment { aliases: names.clone(), ..Attachment::default() };
                service.networks.insert(link_key(&link.network), Some(attachment));
            }
        }
        lead_to_proxy(project, derived, dress, name, service)?;
    }
    own_networks(&mut dressed, project, &dress.name);
    for link in &derived.links {
        let network = Network { name: link_name(&dress.name, link), internal: true, ..Network::default() };
        dressed.networks.insert(link_key(&link.network), Some(network));
    }
    volumes(&mut dressed, &dress.volumes, false);
    dressed.name.clone_from(&dress.name);
    Ok(dressed)
}

/// Whether a service belongs to a colour: its class, or a job of it.
fn moves(derived: &Derived, name: &str) -> bool {
    derived.services.get(name).is_some_and(|fate| match fate.class {
        Class::Job => derived.jobs.iter().any(|job| job.service == name && !job.stays),
        class => class.moves(),
    })
}

/// Takes off what Traefik, caddy-docker-proxy and nginx-proxy find containers by: the next colour would get requests before
/// its gate.
fn not_found(service: &mut Service) {
    let by_traefik = |key: &str| key.starts_with("traefik.");
    if service.labels.keys().any(|key| by_traefik(key)) {
        service.labels.retain(|key, _| !by_traefik(key));
        service.labels.insert("traefik.enable".to_owned(), "false".to_owned());
    }
    let by_caddy =
        |key: &str| key.strip_prefix("caddy").is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']));
    service.labels.retain(|key, _| !by_caddy(key));
    service.environment.retain(|key, _| !key.starts_with("VIRTUAL_"));
}

fn link_name(staying: &str, link: &Link) -> String {
    format!("{staying}_{}", link_key(&link.network))
}

/// Loopback ports in the place of what was published.
fn ports(derived: &Derived, dress: &Dress, name: &str, service: &Service) -> Result<Vec<Port>, Missing> {
    let routed: BTreeSet<u16> =
        derived.routes.iter().filter(|route| route.service == name).map(|route| route.port).collect();
    let port = |port: u16| {
        let missing = || Missing::Port { service: name.to_owned(), port };
        let first = *dress.loopback.get(&(name.to_owned(), port)).ok_or_else(missing)?;
        // The engine gives each replica one of the range.
        let last = u16::try_from(service.scale().max(1) - 1).ok().and_then(|more| first.checked_add(more));
        let published = match last.ok_or_else(missing)? {
            last if last == first => first.to_string(),
            last => format!("{first}-{last}"),
        };
        Ok(Port {
            mode: "ingress".to_owned(),
            host_ip: "127.0.0.1".to_owned(),
            target: u32::from(port),
            published,
            protocol: "tcp".to_owned(),
            ..Port::default()
        })
    };
    routed.into_iter().map(port).collect()
}

/// A container name would be there twice; it stays a name within the colour.
fn keep_name(service: &mut Service, nameless: &BTreeSet<String>) {
    let name = std::mem::take(&mut service.container_name);
    if name.is_empty() {
        return;
    }
    for (_, attachment) in service.networks.iter_mut().filter(|(key, _)| !nameless.contains(*key)) {
        let attachment = attachment.get_or_insert_default();
        if !attachment.aliases.contains(&name) {
            attachment.aliases.push(name.clone());
        }
    }
}

/// The engine's name of a Compose network in the project of what stays.
pub fn network_name(project: &Project, key: &str, staying: &str) -> String {
    let own = format!("{}_{key}", project.name);
    let known = project.networks.get(key).and_then(Option::as_ref);
    match known.filter(|network| !network.name.is_empty() && (network.external || network.name != own)) {
        Some(network) => network.name.clone(),
        None if known.is_some_and(|network| network.external) => key.to_owned(),
        None => format!("{staying}_{key}"),
    }
}

/// Gives networks of the project's own the names of another project; those that nobody uses there go. Two networks cannot
/// have one subnet or bridge, so what was asked for of that kind stays with nobody but the project that it was written for.
fn own_networks(dressed: &mut Project, project: &Project, name: &str) {
    let services = dressed.services.values().flat_map(Service::with_steps);
    let used: BTreeSet<&String> = services.flat_map(|service| service.networks.keys()).collect();
    dressed.networks.retain(|key, _| used.contains(key));
    for (key, network) in &mut dressed.networks {
        let own = format!("{}_{key}", project.name);
        if let Some(network) = network.as_mut().filter(|network| !network.external && network.name == own) {
            network.name = format!("{name}_{key}");
            if name != project.name {
                network.ipam = Ipam { driver: std::mem::take(&mut network.ipam.driver), config: Vec::new() };
                network.driver_opts.remove("com.docker.network.bridge.name");
            }
        }
    }
}

/// What is external has a name and nothing else.
fn make_external(network: &mut Network) {
    let name = std::mem::take(&mut network.name);
    *network = Network { name, external: true, ..Network::default() };
}

/// Volumes keep the names that they have. A colour never owns one (`all`): it is removed, and they are not. Nobody owns one
/// that was there before the switch.
fn volumes(dressed: &mut Project, remembered: &BTreeMap<String, String>, all: bool) {
    for (key, volume) in &mut dressed.volumes {
        let volume = volume.get_or_insert_default();
        let known = remembered.get(key);
        if all || known.is_some() {
            let name = known.cloned().unwrap_or_else(|| std::mem::take(&mut volume.name));
            *volume = Volume { name, external: true, ..Volume::default() };
        }
    }
}

/// The names by which a front that stays knows what moves lead it to the proxy, on the gateway of the network that they
/// had in common. `/etc/hosts` comes before the engine's names.
fn lead_to_proxy(
    project: &Project,
    derived: &Derived,
    dress: &StayingDress,
    name: &str,
    service: &mut Service,
) -> Result<(), Missing> {
    let Some(Front::Keeps(_)) = derived.services.get(name).and_then(|fate| fate.front.as_ref()) else { return Ok(()) };
    for route in &derived.routes {
        let Listen::Gateway { front, network, .. } = &route.listen else { continue };
        if front != name {
            continue;
        }
        let missing = || Missing::Gateway { front: front.clone(), network: network.clone() };
        let gateway = dress.gateways.get(network).ok_or_else(missing)?.to_string();
        let mut names = vec![route.service.clone()];
        if let Some(behind) = project.services.get(&route.service) {
            names.push(behind.container_name.clone());
            names.extend(behind.networks.values().flatten().flat_map(|attachment| attachment.aliases.clone()));
        }
        for host in names.into_iter().filter(|host| !host.is_empty()) {
            let known = service.extra_hosts.0.entry(host).or_default();
            if !known.contains(&gateway) {
                known.push(gateway.clone());
            }
        }
    }
    Ok(())
}
