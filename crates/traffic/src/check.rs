//! What routes must keep together, however each of them is right.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use crate::{
    bounds,
    mistake::Mistakes,
    spot::Prefix,
    table::{Protocol, Route, Table},
};

/// A route, and where it stands.
pub(crate) struct Placed {
    /// Path inside the text that is checked.
    pub(crate) path: String,
    pub(crate) repository: String,
    pub(crate) route: Route,
}

impl Placed {
    /// The routes of a table, where they stand in a route file.
    pub(crate) fn of(table: &Table) -> Vec<Placed> {
        let routes = table.repositories.iter().flat_map(|(name, repository)| {
            let numbered = repository.routes.iter().enumerate();
            numbered.map(move |(index, route)| Placed {
                path: format!("repositories.{name}.routes[{index}]"),
                repository: name.clone(),
                route: route.clone(),
            })
        });
        routes.collect()
    }
}

/// Checks all routes that are to be served together.
pub(crate) fn together(routes: &[Placed], mistakes: &mut Mistakes) {
    if routes.len() > bounds::ROUTES {
        mistakes.add("", format!("{} routes; at most {} may be", routes.len(), bounds::ROUTES));
        return;
    }
    let targets: usize =
        routes.iter().flat_map(|placed| &placed.route.colours).map(|colour| colour.targets.len()).sum();
    if targets > bounds::ALL_TARGETS {
        mistakes.add("", format!("{targets} targets; at most {} may be", bounds::ALL_TARGETS));
        return;
    }
    let mut by_port: HashMap<u16, Vec<&Placed>> = HashMap::new();
    for placed in routes {
        let same_port = by_port.entry(placed.route.listen.port()).or_default();
        let (path, listen) = (&placed.path, placed.route.listen);
        let wrong =
            same_port.iter().find_map(|other| beside(&other.route, &placed.route).err().map(|why| (other, why)));
        if let Some((other, (key, why))) = wrong {
            let of = match other.repository == placed.repository {
                true => "another route of it".to_owned(),
                false => format!("a route of {}", other.repository),
            };
            mistakes.add(format!("{path}.{key}"), format!("{listen}: {of} {why}"));
        }
        same_port.push(placed);
    }
    let stand_ins: Vec<SocketAddr> = routes.iter().filter_map(|placed| placed.route.stand_in()).collect();
    for Placed { path, route, .. } in routes {
        if let Some(stand_in) = route.stand_in() {
            let there = by_port.get(&stand_in.port()).map(Vec::as_slice).unwrap_or_default();
            if there.iter().any(|other| overlap(stand_in, other.route.listen)) {
                mistakes.add(format!("{path}.stand_in_port"), format!("{stand_in}: a route listens there"));
            }
            // Whose connections arrive there has to be one listener alone.
            let other = routes.iter().find(|other| {
                let same = other.route.listen == route.listen
                    && (other.route.stand_in_port, other.route.yields) == (route.stand_in_port, route.yields);
                let mine = other.route.listen == route.listen;
                !same && (mine || other.route.stand_in().is_some_and(|other| overlap(stand_in, other)))
            });
            if let Some(other) = other.filter(|other| other.route.listen == route.listen) {
                let message = format!("another route of {} says otherwise", other.route.listen);
                mistakes.add(format!("{path}.stand_in_port"), message);
            } else if let Some(other) = other {
                let message = format!("{stand_in}: connections to {} arrive there", other.route.listen);
                mistakes.add(format!("{path}.stand_in_port"), message);
            }
        }
        for (at, colour) in route.colours.iter().enumerate() {
            for (index, target) in colour.targets.iter().enumerate() {
                let listeners = by_port.get(&target.port()).map(Vec::as_slice).unwrap_or_default();
                let listeners = listeners.iter().map(|other| other.route.listen);
                let mut listeners = listeners.chain(stand_ins.iter().copied());
                if let Some(listen) = listeners.find(|listen| leads_back(*target, *listen)) {
                    let path = format!("{path}.colours[{at}].targets[{index}]");
                    let back = format!("{target} leads back into the proxy, which listens on {listen}");
                    mistakes.add(path, back);
                }
            }
        }
    }
}

/// Whether two routes can be served together; which key of the second one is wrong, and what the first one does.
fn beside(one: &Route, other: &Route) -> Result<(), (&'static str, String)> {
    let listens = format!("listens on {}", one.listen);
    if one.listen != other.listen {
        return if overlap(one.listen, other.listen) { Err(("listen", listens)) } else { Ok(()) };
    }
    let kind = |route: &Route| match route.protocol {
        Protocol::Tcp => None,
        Protocol::Http | Protocol::H2c => Some("http"),
        Protocol::Tls => Some("tls"),
    };
    match (kind(one), kind(other)) {
        (None, None) => return Err(("listen", listens)),
        (one, other) if one != other => {
            let rule = "only `http` and `h2c` routes share a listener, or `tls` routes";
            return Err(("listen", format!("{listens}; {rule}")));
        }
        _ => {}
    }
    if one.tls.is_some() != other.tls.is_some() {
        let has = if one.tls.is_some() { "has `tls`" } else { "has no `tls`" };
        return Err(("tls", format!("{has}; clients of one listener speak TLS for all of its routes, or for none")));
    }
    if one.proxied_by != other.proxied_by {
        let rule = "has other networks; who connects to a listener says for all of its routes whom it speaks for";
        return Err(("proxied_by", rule.to_owned()));
    }
    if !one.shares_spot_with(other) {
        return Ok(());
    }
    let path = one.path.as_ref().map_or("/", Prefix::as_str);
    let host = one.hosts.iter().find(|host| other.hosts.contains(host));
    let host = host.map_or("any host".to_owned(), ToString::to_string);
    Err(("hosts", format!("has {host} with path {path} already; give each hosts or a path of its own")))
}

/// Whether two listeners cannot be had side by side. IPv6 listeners take IPv6 only.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same_family = one.is_ipv4() == other.is_ipv4();
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && same_family && (any || one.ip() == other.ip())
}

/// Whether a target is surely a listener of the proxy's own: a circle that no connection would leave.
fn leads_back(target: SocketAddr, listen: SocketAddr) -> bool {
    let all_own = |ip: IpAddr| ip.is_loopback() && target.is_ipv4() == listen.is_ipv4();
    target.port() == listen.port()
        && (target.ip() == listen.ip() || (listen.ip().is_unspecified() && all_own(target.ip())))
}
