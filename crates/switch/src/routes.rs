//! From listeners to services: said, else the published TCP ports of those that change colour.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    class::{Reason, Source},
    classify::Classes,
    derived::{Listen, Note, Route},
    found,
    protocol::{Protocol, Spoken},
    redirect,
    refusal::Cause,
    said::{Adapter, RouteSaid},
    view::{Reach, View, target},
};

pub(crate) fn routes(
    view: &View<'_>,
    classes: &Classes<'_>,
    notes: &mut Vec<Note>,
    refused: &mut Vec<Cause>,
) -> Vec<Route> {
    let said = view.said.stack(|layer| layer.routes.clone());
    if let Some(adapter) = &view.said.repos.adapter {
        return by_another(view, classes, adapter, said.is_some(), refused);
    }
    let mut routes = said.map(|(said, source)| said_routes(view, classes, said, source, refused)).unwrap_or_default();
    // Port by port, so that a line about one of them does not take the others away.
    let replaced = |it: &Route| routes.iter().any(|said| (&said.service, said.port) == (&it.service, it.port));
    let (replaced, published): (Vec<_>, Vec<_>) = published(view, classes, notes).into_iter().partition(replaced);
    notes.extend(replaced.into_iter().filter_map(|it| not_listened(it, &routes)));
    routes.extend(published);
    routes.extend(behind_single_fronts(view, classes, refused));
    routes
}

/// What is published and no route listens on, because others to the same port are said.
fn not_listened(published: Route, said: &[Route]) -> Option<Note> {
    let Listen::Host { addresses, port: Some(port) } = published.listen else { return None };
    let is_said = |address: &IpAddr| {
        said.iter().any(|route| match &route.listen {
            Listen::Host { addresses, port: known } => *known == Some(port) && addresses.contains(address),
            Listen::Gateway { .. } | Listen::Other { .. } => false,
        })
    };
    let addresses: Vec<IpAddr> = addresses.into_iter().filter(|address| !is_said(address)).collect();
    let listen = Listen::Host { addresses, port: Some(port) };
    let is_any = !matches!(&listen, Listen::Host { addresses, .. } if addresses.is_empty());
    is_any.then_some(Note::NotListened { listen, service: published.service, port: published.port })
}

fn said_routes(
    view: &View<'_>,
    classes: &Classes<'_>,
    said: Vec<RouteSaid>,
    source: Source,
    refused: &mut Vec<Cause>,
) -> Vec<Route> {
    let (mut routes, mut redirects) = (Vec::new(), Vec::new());
    for route in said {
        let RouteSaid {
            listen,
            hosts,
            path,
            strip_path,
            service,
            port,
            protocol,
            tls,
            proxied_by,
            proxy_protocol,
            redirect,
            hsts,
            trusted,
        } = route;
        let Some(class) = classes.class(&service) else { continue }; // no profile selects it
        if !class.moves() {
            let writes = view.writers.alone(&service).is_some() || view.engine(&service).is_some();
            refused.push(Cause::RouteToStaying { service: service.clone(), class, writes });
        }
        let spoken = match protocol {
            Some(protocol) => Spoken::Said(protocol, source),
            // Nothing else can be answered so.
            None if redirect => Spoken::Said(Protocol::Http, source),
            None => {
                let app = view.tcp_ports(&service).find(|found| target(found) == Some(port));
                view.spoken(&service, port, app.map_or("", |port| &port.app_protocol))
            }
        };
        let addresses = listen.address.map_or_else(everywhere, |address| vec![address]);
        let listen = Listen::Host { addresses, port: Some(listen.port) };
        routes.push(Route {
            service,
            port,
            listen,
            hosts,
            path,
            strip_path,
            tls,
            proxied_by,
            proxy_protocol,
            redirect: None,
            hsts,
            trusted: trusted.unwrap_or_else(|| usual(view, &spoken)),
            spoken,
            said: Some(source),
        });
        redirects.push(redirect);
    }
    redirect::find(&mut routes, &redirects, refused);
    routes
}

/// Networks that routes trust which say none; those of bytes have no headers to believe.
fn usual(view: &View<'_>, spoken: &Spoken) -> Vec<String> {
    match spoken.protocol() {
        Some(Protocol::Tcp | Protocol::Https) => Vec::new(),
        _ => view.said.stack(|layer| layer.trusted.clone()).map(|(trusted, _)| trusted).unwrap_or_default(),
    }
}

/// What another proxy leads to: the published ports, and those that are said with its places.
fn by_another(
    view: &View<'_>,
    classes: &Classes<'_>,
    adapter: &Adapter,
    listeners_said: bool,
    refused: &mut Vec<Cause>,
) -> Vec<Route> {
    let (program, keys) = (adapter.program.key(), (adapter.program.key(), adapter.program.place_key()));
    if listeners_said {
        refused.push(Cause::ListenersSaid { program });
    }
    if view.said.stack(|layer| layer.trusted.clone()).is_some() {
        refused.push(Cause::TrustedSaid { program });
    }
    let mut targets: Vec<(String, u16)> = Vec::new();
    let published = view
        .names()
        .filter(|name| classes.moves(name))
        .flat_map(|name| view.tcp_ports(name).filter_map(target).map(move |port| (name.to_owned(), port)));
    for one in published.chain(adapter.of.keys().cloned()) {
        if !targets.contains(&one) {
            targets.push(one);
        }
    }
    let is_clear =
        if adapter.one.is_some() { targets.len() == 1 } else { targets.iter().all(|one| adapter.of.contains_key(one)) };
    if !is_clear {
        let perhaps = found::perhaps(view, classes).filter(|_| targets.is_empty());
        refused.push(Cause::PlaceNotSaid { adapter: keys, targets, perhaps });
        return Vec::new();
    }
    let mut routes = Vec::new();
    for (service, port) in targets {
        let Some(class) = classes.class(&service) else { continue }; // no profile selects it
        if !class.moves() {
            let writes = view.writers.alone(&service).is_some() || view.engine(&service).is_some();
            refused.push(Cause::RouteToStaying { service: service.clone(), class, writes });
        }
        let Some(place) = adapter.place(&service, port).map(str::to_owned) else { continue };
        let app = view.tcp_ports(&service).find(|found| target(found) == Some(port));
        routes.push(Route {
            spoken: view.spoken(&service, port, app.map_or("", |port| &port.app_protocol)),
            listen: Listen::Other { adapter: keys, at: adapter.program.at().to_owned(), place },
            hosts: Vec::new(),
            path: None,
            strip_path: false,
            tls: None,
            proxied_by: Vec::new(),
            proxy_protocol: None,
            redirect: None,
            hsts: None,
            trusted: Vec::new(),
            said: adapter.of.contains_key(&(service.clone(), port)).then_some(Source::Repos),
            service,
            port,
        });
    }
    routes
}

/// A port without an address is published on both families.
fn everywhere() -> Vec<IpAddr> {
    vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
}

fn published(view: &View<'_>, classes: &Classes<'_>, notes: &mut Vec<Note>) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for name in view.names().filter(|name| classes.moves(name)) {
        for published in view.tcp_ports(name) {
            let Some(port) = target(published) else { continue };
            let host = published.published.parse::<u16>().ok().filter(|port| *port != 0);
            let address = published.host_ip.parse::<IpAddr>().ok();
            let addresses = address.map_or_else(everywhere, |address| vec![address]);
            let spoken = view.spoken(name, port, &published.app_protocol);
            let app = &published.app_protocol;
            if !app.is_empty() && Protocol::of_app(app).is_none() {
                notes.push(Note::UnknownAppProtocol { service: name.to_owned(), word: app.clone() });
            }
            if host.is_none() {
                notes.push(Note::PortChosen { service: name.to_owned(), port });
            }
            // `0.0.0.0:80:80` and `[::]:80:80` are one listener with two addresses.
            let same = routes.iter_mut().find_map(|route| match &mut route.listen {
                Listen::Host { addresses, port: known }
                    if route.service == name && route.port == port && host.is_some() && *known == host =>
                {
                    Some(addresses)
                }
                _ => None,
            });
            if let Some(known) = same {
                known.extend(addresses.into_iter().filter(|address| !known.contains(address)).collect::<Vec<_>>());
                continue;
            }
            routes.push(Route {
                service: name.to_owned(),
                port,
                listen: Listen::Host { addresses, port: host },
                hosts: Vec::new(),
                path: None,
                strip_path: false,
                tls: None,
                proxied_by: Vec::new(),
                proxy_protocol: None,
                redirect: None,
                hsts: None,
                trusted: usual(view, &spoken),
                spoken,
                said: None,
            });
        }
    }
    routes
}

/// What a front that keeps its ports reaches: the proxy listens on the gateway of a network that they have in common, on
/// the port which the front calls already (ADR 23, front (b)).
fn behind_single_fronts(view: &View<'_>, classes: &Classes<'_>, refused: &mut Vec<Cause>) -> Vec<Route> {
    let mut routes = Vec::new();
    for (front, name) in single_fronts(view, classes) {
        let called = match view.reaches(front, name) {
            Some(Reach::Names(_, port)) => port,
            _ => None,
        };
        let image = view.image(name).and_then(|image| image.ports.first().copied());
        let port =
            called.or_else(|| view.exposed(name).next()).or_else(|| view.tcp_ports(name).find_map(target)).or(image);
        let networks = view.service(front).map(|service| &service.networks);
        let common = view.service(name).and_then(|service| {
            service.networks.keys().find(|key| networks.is_some_and(|networks| networks.contains_key(*key)))
        });
        let (Some(port), Some(network)) = (port, common) else {
            refused.push(Cause::FrontWithoutPort { front: front.to_owned(), service: name.to_owned() });
            continue;
        };
        let spoken = view.spoken(name, port, "");
        routes.push(Route {
            service: name.to_owned(),
            port,
            listen: Listen::Gateway { front: front.to_owned(), network: network.clone(), port },
            hosts: Vec::new(),
            path: None,
            strip_path: false,
            tls: None,
            proxied_by: Vec::new(),
            proxy_protocol: None,
            redirect: None,
            hsts: None,
            trusted: usual(view, &spoken),
            spoken,
            said: None,
        });
    }
    routes
}

/// Fronts that keep their ports, each with a service that moves and which it reaches.
pub(crate) fn single_fronts<'a>(view: &View<'a>, classes: &Classes<'a>) -> Vec<(&'a str, &'a str)> {
    let mut pairs = Vec::new();
    for front in view.names() {
        if !crate::classify::is_single_front(view, front, classes.class(front)) {
            continue;
        }
        // Workers are not called; `depends_on` alone has a front wait for one.
        let called = |name: &&str| {
            classes.moves(name)
                && match view.reaches(front, name) {
                    Some(Reach::Names(..)) => true,
                    Some(Reach::Depends) => {
                        !matches!(classes.verdicts.get(*name), Some((_, Reason::Scheduler(_) | Reason::NobodyCalls)))
                    }
                    None => false,
                }
        };
        pairs.extend(view.names().filter(called).map(|name| (front, name)));
    }
    pairs
}
