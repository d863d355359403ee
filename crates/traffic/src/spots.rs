//! Which route of a listener a request goes by: the most exact host counts, then the longest path.

use std::{collections::HashMap, net::IpAddr};

use crate::{
    spot::{Aim, Host, NoRoute, Prefix},
    table::Route,
};

/// The routes of one listener, by what requests name.
#[derive(Debug, Clone, Default)]
pub struct Spots {
    /// By host, and by what stands behind `*.`: places in the list of routes, the longest path first.
    exact: HashMap<Vec<u8>, Vec<usize>>,
    below: HashMap<Vec<u8>, Vec<usize>>,
    any: Vec<usize>,
    paths: Vec<Option<Prefix>>,
}

impl Spots {
    /// Of these routes.
    pub fn of<'r>(routes: impl Iterator<Item = &'r Route>) -> Spots {
        let mut spots = Spots::default();
        for (at, route) in routes.enumerate() {
            spots.paths.push(route.path.clone());
            for host in &route.hosts {
                let (among, name) = match host {
                    Host::Exact(name) => (&mut spots.exact, name),
                    Host::Below(name) => (&mut spots.below, name),
                };
                among.entry(name.clone().into_bytes()).or_default().push(at);
            }
            if route.hosts.is_empty() {
                spots.any.push(at);
            }
        }
        let Spots { exact, below, any, paths } = &mut spots;
        let length = |at: &usize| paths.get(*at).and_then(Option::as_ref).map_or(0, |path| path.as_str().len());
        for list in exact.values_mut().chain(below.values_mut()).chain([any]) {
            list.sort_by_key(|at| std::cmp::Reverse(length(at)));
        }
        spots
    }

    /// The place in the list of the one that a request goes by.
    ///
    /// # Errors
    /// Why it goes by none.
    pub fn find(&self, aim: Aim<'_>) -> Result<usize, NoRoute> {
        let list = self.of_host(&name(aim.host)).ok_or(NoRoute::Host)?;
        let fits = |at: &&usize| match self.paths.get(**at) {
            Some(Some(prefix)) => prefix.rest(aim.path).is_some(),
            _ => true,
        };
        list.iter().find(fits).copied().ok_or(NoRoute::Path)
    }

    /// The place of the first route of a host, whatever its path; for a name that is nobody's, of the first one that takes any.
    pub fn of_name(&self, host: &[u8]) -> Option<usize> {
        self.of_host(&name(host)).and_then(|list| list.first().copied())
    }

    fn of_host(&self, name: &[u8]) -> Option<&[usize]> {
        if let Some(list) = self.exact.get(name) {
            return Some(list);
        }
        // The longest one first. A name must have something before the dot.
        let dots = name.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'.');
        let mut ends = dots.filter_map(|(dot, _)| name.get(dot + 1..));
        let below = ends.find_map(|end| self.below.get(end)).map(Vec::as_slice);
        below.or((!self.any.is_empty()).then_some(self.any.as_slice()))
    }
}

/// A host's name, in small letters, without its port and without a dot at its end.
fn name(host: &[u8]) -> Vec<u8> {
    let end = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !host.ends_with(b"]") => colon,
        _ => host.len(),
    };
    let name = host.get(..end).unwrap_or_default();
    name.strip_suffix(b".").unwrap_or(name).to_ascii_lowercase()
}

impl Route {
    /// Whether what a client says of who asked is believed, by its address.
    pub fn trusts(&self, client: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.has(client))
    }

    /// Whether any request to the listener goes by this route.
    pub fn takes_all(&self) -> bool {
        self.hosts.is_empty() && self.path.is_none()
    }

    /// Whether this is the place of another route, too: the same paths of a host that both have.
    pub(crate) fn shares_spot_with(&self, other: &Route) -> bool {
        let hosts = self.hosts.is_empty() && other.hosts.is_empty();
        self.path == other.path && (hosts || self.hosts.iter().any(|host| other.hosts.contains(host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Protocol;

    #[test]
    fn the_most_exact_host_and_then_the_longest_path() {
        let route = |hosts: &[&str], path: Option<&str>| Route {
            hosts: hosts.iter().map(|host| Host::read(host).unwrap()).collect(),
            path: path.map(|path| Prefix::read(path).unwrap()),
            ..Route::new(([0, 0, 0, 0], 80).into(), Protocol::Http, Vec::new())
        };
        let routes = [
            route(&["*.example.org"], None),
            route(&["shop.example.org", "example.org"], Some("/api")),
            route(&["shop.example.org"], Some("/api/v2")),
            route(&["shop.example.org"], None),
            route(&["*.b.example.org"], Some("/x")),
            route(&["only.example.com"], Some("/a")),
        ];
        let find = |routes: &[Route], host: &str, path: &str| {
            Spots::of(routes.iter()).find(Aim { host: host.as_bytes(), path: path.as_bytes() })
        };
        for (host, path, expected) in [
            ("shop.example.org", "/", Ok(3)),
            ("Shop.Example.ORG:8080", "/api", Ok(1)),
            ("shop.example.org.", "/api/", Ok(1)),
            ("shop.example.org", "/apix", Ok(3)),
            ("shop.example.org", "/api?x", Ok(1)),
            ("shop.example.org", "/api/v2/y", Ok(2)),
            ("example.org", "/api", Ok(1)),
            ("example.org", "/", Err(NoRoute::Path)),
            ("blog.example.org", "/api", Ok(0)),
            ("a.b.example.org", "/x/y", Ok(4)),
            // The most exact host has no such path: what is less exact is another site.
            ("a.b.example.org", "/y", Err(NoRoute::Path)),
            ("example.com", "/", Err(NoRoute::Host)),
            ("xexample.org", "/", Err(NoRoute::Host)),
            (".example.org", "/", Err(NoRoute::Host)),
            ("[::1]:80", "/", Err(NoRoute::Host)),
            ("", "/", Err(NoRoute::Host)),
        ] {
            assert_eq!(find(&routes, host, path), expected, "{host} {path}");
        }
        let all = [route(&[], None), route(&["a.example"], None)];
        assert_eq!((find(&all, "", "*"), find(&all, "a.example", "/")), (Ok(0), Ok(1)));
    }
}
