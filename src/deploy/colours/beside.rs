//! A second colour in the routes, beside the one that gets the requests: a next one while it waits, by whatever reaches it then; and
//! the one before while the live one bakes, for files that only that one has. Pure.

use std::net::SocketAddr;

use super::{
    made::{Made, MadeRoute},
    reach::{MadePreview, Reach},
};
use crate::traffic::{
    Colour, Repository, Route,
    beyond::{Digest, Fallback, Mirror, PREVIEW_COOKIE, Pin, Preview},
    bounds,
    spot::{Host, Prefix},
};

/// A colour that stands beside the one that gets the requests.
#[derive(Debug, Clone, Copy)]
pub struct Second<'a> {
    /// Its colour, as `blue`.
    pub name: &'a str,
    /// Of the deployment that made it.
    pub generation: u64,
    /// What it was made as.
    pub made: &'a Made,
}

impl Second<'_> {
    /// Its routes alone, of those that this holds for.
    pub(super) fn routes(&self, of: impl Fn(&MadeRoute) -> bool) -> Vec<Route> {
        let Made { routes, .. } = self.made;
        let made = Made { routes: routes.iter().filter(|route| of(route)).cloned().collect(), ..Made::default() };
        made.repository((0, 0), self.name, self.generation).routes
    }
}

impl Made {
    /// Where the proxy leads to it while it waits: addresses, and a cookie with its secret.
    pub fn reached_at(&self) -> (Vec<String>, Option<String>) {
        let Some(MadePreview { host, listen, cookie, secret, .. }) = &self.reach.preview else {
            return (Vec::new(), None);
        };
        let mut repository = Repository { generation: 0, revision: 0, routes: Vec::new() };
        waits(&mut repository, &Second { name: "next", generation: 0, made: self });
        let mut all: Vec<String> = Vec::new();
        for route in &repository.routes {
            let path = route.path.as_ref().map_or("/", Prefix::as_str);
            let scheme = match (route.protocol.is_http(), &route.tls) {
                (false, _) => "tcp",
                (true, Some(_)) => "https",
                (true, None) => "http",
            };
            let port = route.listen.port();
            let place = match host.as_ref().filter(|_| !listen.contains(&route.listen)) {
                Some(host) => format!("{host}:{port}"),
                None => route.listen.to_string(),
            };
            let address = format!("{scheme}://{place}{path}");
            if !all.contains(&address) {
                all.push(address);
            }
        }
        (all, secret.as_ref().filter(|_| *cookie).map(|secret| format!("{PREVIEW_COOKIE}={secret}")))
    }
}

/// What the live colour answers with 404 below these paths is asked of the one before.
pub fn falls_back(repository: &mut Repository, paths: &[String], before: &Second<'_>) {
    // What is none was refused before.
    let paths: Vec<Prefix> = paths.iter().filter_map(|path| Prefix::read(path).ok()).collect();
    if paths.is_empty() {
        return;
    }
    let old = before.routes(|_| true);
    for route in &mut repository.routes {
        if joins(route, &old) {
            route.beyond.fallback = Some(Fallback { colour: before.name.to_owned(), paths: paths.clone() });
        }
    }
}

/// A next colour that waits is reached by what was said. What of it changes over later does not run yet.
pub fn waits(repository: &mut Repository, next: &Second<'_>) {
    let Reach { preview, mirror, pins, .. } = &next.made.reach;
    let runs: Vec<MadeRoute> = next.made.routes_of(false);
    let new = next.routes(|route| runs.contains(route));
    if mirror.is_some() || !pins.is_empty() {
        for route in repository.routes.iter_mut().filter(|route| route.protocol.is_http()) {
            if !joins(route, &new) {
                continue;
            }
            let colour = || next.name.to_owned();
            route.beyond.mirror = mirror.map(|percent| Mirror { colour: colour(), percent });
            let pins = pins.iter().map(|pin| Pin { by: pin.by(), value: pin.value.clone(), colour: colour() });
            route.beyond.pins = pins.collect();
        }
    }
    let Some(MadePreview { host, listen, cookie, to, secret }) = preview else { return };
    let meant = |route: &MadeRoute| to.as_ref().is_none_or(|to| (&to.0, to.1) == (&route.service, route.port));
    let shown = next.routes(|route| runs.contains(route) && meant(route));
    if let Some(secret) = secret.as_ref().filter(|_| *cookie) {
        for route in &mut repository.routes {
            if !joins(route, &shown) {
                continue;
            }
            let sha256 = Digest::of(secret.as_bytes());
            route.beyond.preview = Some(Preview { colour: next.name.to_owned(), sha256 });
        }
    }
    let http = |route: &&Route| route.protocol.is_http();
    if let Some(host) = host.as_ref().and_then(|host| Host::read(host).ok()) {
        let named = shown.iter().filter(http).map(|route| Route { hosts: vec![host.clone()], ..route.clone() });
        add(repository, named);
    }
    for listen in listen {
        let own = shown.iter().filter(|route| to.is_some() || http(route)).map(|route| on(*listen, route));
        add(repository, own);
    }
}

/// A route with a listener of its own, without what its clients were to have of the usual one.
fn on(listen: SocketAddr, route: &Route) -> Route {
    let Route { protocol, path, strip_path, proxy_protocol, drain_seconds, colours, .. } = route.clone();
    Route { path, strip_path, proxy_protocol, drain_seconds, ..Route::new(listen, protocol, colours) }
}

/// Adds routes; of several in one place the first.
fn add(repository: &mut Repository, routes: impl Iterator<Item = Route>) {
    for route in routes {
        let same =
            |other: &Route| (other.listen, &other.hosts, &other.path) == (route.listen, &route.hosts, &route.path);
        if !repository.routes.iter().any(same) {
            repository.routes.push(route);
        }
    }
}

/// The same as [`adds`], for routes whose requests are understood.
fn joins(route: &mut Route, others: &[Route]) -> bool {
    route.protocol.is_http() && adds(route, others)
}

/// Adds, without a weight, the colour that another table has in the same place. Answers whether it is there.
pub(super) fn adds(route: &mut Route, others: &[Route]) -> bool {
    let same = |other: &&Route| {
        let of = |route: &Route| (route.listen, route.protocol, route.strip_path, route.proxy_protocol);
        of(other) == of(route) && (&other.hosts, &other.path) == (&route.hosts, &route.path)
    };
    let found = others.iter().find(same);
    let Some(colour) = found.and_then(|other| other.colours.first()) else { return false };
    match route.colours.iter().find(|one| one.name == colour.name) {
        Some(there) => there.generation == colour.generation,
        None if route.colours.len() >= bounds::COLOURS => false,
        None => {
            route.colours.push(Colour { weight: 0, ..colour.clone() });
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{made, reach::MadePin},
        *,
    };
    use crate::traffic::Table;

    /// Of generation 6, and the next one of 7, which has other ports.
    fn two(reach: Reach) -> (Repository, Made) {
        let live = made::tests::shop();
        let mut next = Made { reach, ..live.clone() };
        next.routes[0].targets = vec!["127.0.0.1:20002".parse().unwrap()];
        (live.repository((7, 1), "blue", 6), next)
    }

    fn with(reach: Reach) -> Repository {
        let (mut repository, next) = two(reach);
        waits(&mut repository, &Second { name: "red", generation: 7, made: &next });
        // As turnout-proxy reads it.
        let table = Table { repositories: [("shop".to_owned(), repository.clone())].into(), ..Table::default() };
        assert_eq!(Table::default().replace("shop", repository.clone()), Ok(crate::traffic::Replaced::New(table)));
        repository
    }

    /// Names and weights, by listener and host.
    fn shown(repository: &Repository) -> Vec<String> {
        let routes = repository.routes.iter().map(|route| {
            let hosts: Vec<String> = route.hosts.iter().map(ToString::to_string).collect();
            let colours: Vec<String> = route.colours.iter().map(|one| format!("{}={}", one.name, one.weight)).collect();
            format!("{} {} {}", route.listen, hosts.join(","), colours.join(" "))
        });
        routes.collect()
    }

    const USUAL: [&str; 2] = ["127.0.0.1:8000 shop.example.org blue=100", "[::1]:8000 shop.example.org blue=100"];

    #[test]
    fn by_host_and_by_listener_only_the_next_colour_is_reached_and_by_nothing_else() {
        assert_eq!(shown(&with(Reach::default())), USUAL);
        let preview = |preview| Reach { preview: Some(preview), ..Reach::default() };
        let host = MadePreview { host: Some("next.example.org".to_owned()), ..MadePreview::default() };
        let next = ["127.0.0.1:8000 next.example.org red=100", "[::1]:8000 next.example.org red=100"];
        assert_eq!(shown(&with(preview(host))), [USUAL, next].concat());
        let listen = MadePreview { listen: vec!["127.0.0.1:9000".parse().unwrap()], ..MadePreview::default() };
        let repository = with(preview(listen.clone()));
        assert_eq!(shown(&repository), [&USUAL[..], &["127.0.0.1:9000  red=100"]].concat());
        // Its path is the same one.
        assert_eq!((repository.routes[2].path.is_some(), repository.routes[2].strip_path), (true, true));
        // Somebody else's service.
        let other = MadePreview { to: Some(("api".to_owned(), 80)), ..listen };
        assert_eq!(shown(&with(preview(other))), USUAL);
    }

    #[test]
    fn a_cookie_leads_to_the_next_colour_by_its_digest_alone() {
        let secret = Some("open sesame".to_owned());
        let cookie = MadePreview { cookie: true, secret, ..MadePreview::default() };
        assert!(!format!("{cookie:?}").contains("sesame"));
        let repository = with(Reach { preview: Some(cookie), ..Reach::default() });
        let both: Vec<String> = USUAL.iter().map(|usual| format!("{usual} red=0")).collect();
        assert_eq!(shown(&repository), both);
        let preview = repository.routes[0].beyond.preview.clone().unwrap();
        assert_eq!((preview.colour.as_str(), preview.sha256), ("red", Digest::of(b"open sesame")));
        assert!(!serde_json::to_string(&repository).unwrap().contains("sesame"));
    }

    #[test]
    fn copies_and_chosen_requests_need_no_route_of_their_own() {
        let pin = |header, name: &str| MadePin { header, name: name.to_owned(), value: "1".to_owned() };
        let pins = vec![pin(true, "X-Next"), pin(false, "next")];
        let repository = with(Reach { mirror: Some(10), pins, ..Reach::default() });
        let both: Vec<String> = USUAL.iter().map(|usual| format!("{usual} red=0")).collect();
        assert_eq!(shown(&repository), both);
        let beyond = &repository.routes[1].beyond;
        assert_eq!(beyond.mirror, Some(Mirror { colour: "red".to_owned(), percent: 10 }));
        assert_eq!(beyond.pins.len(), 2);
    }

    #[test]
    fn a_colour_that_has_a_share_keeps_it() {
        let (mut repository, next) = two(Reach { mirror: Some(10), ..Reach::default() });
        let red = next.repository((0, 0), "red", 7).routes[0].colours[0].clone();
        repository.routes[0].colours[0].weight = 95;
        repository.routes[0].colours.push(Colour { weight: 5, ..red });
        waits(&mut repository, &Second { name: "red", generation: 7, made: &next });
        assert_eq!(shown(&repository)[0], "127.0.0.1:8000 shop.example.org blue=95 red=5");
        assert!(repository.routes[0].beyond.mirror.is_some());
    }

    #[test]
    fn files_of_the_colour_before_are_asked_of_it_where_it_has_the_same_place() {
        let (mut repository, mut before) = two(Reach::default());
        before.routes[0].listen.truncate(1);
        let second = Second { name: "red", generation: 5, made: &before };
        falls_back(&mut repository, &[], &second);
        assert_eq!(shown(&repository), USUAL);
        falls_back(&mut repository, &["/assets".to_owned()], &second);
        assert_eq!(shown(&repository), ["127.0.0.1:8000 shop.example.org blue=100 red=0", USUAL[1]]);
        let fallback = repository.routes[0].beyond.fallback.clone().unwrap();
        assert_eq!(fallback.colour, "red");
        assert!(fallback.has(b"/assets/app.js") && !fallback.has(b"/api"));
        assert_eq!(repository.routes[1].beyond.fallback, None);
    }

    #[test]
    fn nothing_of_it_is_of_routes_that_are_not_understood() {
        let (mut repository, mut before) = two(Reach::default());
        before.routes[0].http = Some(false);
        falls_back(&mut repository, &["/assets".to_owned()], &Second { name: "red", generation: 5, made: &before });
        assert_eq!(shown(&repository), USUAL);
    }
}
