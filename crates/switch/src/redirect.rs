//! Requests that are answered with where they are served over TLS: on which port that is, by host and path.

use crate::{
    derived::{Listen, Route},
    protocol::Protocol,
    refusal::Cause,
};

/// Finds for each of these routes that is to redirect (`wanted`, in their order) a port of those with TLS, which has all of its
/// hosts.
pub(crate) fn find(routes: &mut [Route], wanted: &[bool], refused: &mut Vec<Cause>) {
    let secure: Vec<Route> = routes.iter().filter(|route| is_secure(route)).cloned().collect();
    for (route, _) in routes.iter_mut().zip(wanted).filter(|(_, wanted)| **wanted) {
        let all: Vec<Option<&str>> = match route.hosts.as_slice() {
            [] => vec![None],
            hosts => hosts.iter().map(|host| Some(host.as_str())).collect(),
        };
        let serves = |port: u16, host: Option<&str>| {
            secure.iter().any(|one| port_of(one) == Some(port) && has_host(&one.hosts, host) && has_path(one, route))
        };
        let mut ports: Vec<u16> = secure.iter().filter_map(port_of).collect();
        // The usual one first, here and where none has all.
        ports.sort_by_key(|port| *port != 443);
        let best =
            ports.iter().rev().copied().max_by_key(|port| all.iter().filter(|host| serves(*port, **host)).count());
        let found = ports.iter().copied().find(|port| all.iter().all(|host| serves(*port, *host)));
        if found.is_none() {
            let lacks = all.iter().find(|host| best.is_none_or(|port| !serves(port, **host)));
            refused.push(Cause::RedirectsNowhere {
                listen: route.listen.to_string(),
                port: port_of(route).unwrap_or_default(),
                host: lacks.copied().flatten().map(str::to_owned),
                to: (route.service.clone(), route.port),
                hosts: secure.iter().flat_map(|one| one.hosts.clone()).collect(),
            });
        }
        route.redirect = found;
    }
}

/// Whether clients speak TLS there.
fn is_secure(route: &Route) -> bool {
    route.tls.is_some() || route.spoken.protocol() == Some(Protocol::Https)
}

fn port_of(route: &Route) -> Option<u16> {
    match &route.listen {
        Listen::Host { port, .. } => *port,
        Listen::Gateway { .. } | Listen::Other { .. } => None,
    }
}

/// Whether these hosts have one; `None`: any that there may be.
fn has_host(hosts: &[String], wanted: Option<&str>) -> bool {
    let has = |host: &String| {
        let below =
            |wanted: &str| host.strip_prefix('*').is_some_and(|end| wanted.trim_start_matches('*').ends_with(end));
        wanted.is_some_and(|wanted| host == wanted || below(wanted))
    };
    hosts.is_empty() || hosts.iter().any(has)
}

/// Whether one has all the paths of another.
fn has_path(one: &Route, wanted: &Route) -> bool {
    one.path.as_ref().is_none_or(|path| {
        let rest = wanted.path.as_ref().and_then(|wanted| wanted.strip_prefix(path.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}
