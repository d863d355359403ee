//! Shares of the requests: two colours with a weight in one route, and what the proxy says of them. Pure.

use std::collections::BTreeSet;

use super::{
    beside::{Second, adds},
    canary::Step,
    made::MadeRoute,
    stands::Routed,
};
use crate::traffic::{
    Repository, bounds,
    control::{RouteStatus, Status},
};

/// What of the routes of the live colour a share was set in, by listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// Listeners on which requests are shared.
    pub shared: BTreeSet<String>,
    /// Those on which they are not: the next colour has no route in the same place, or the service there changes over later.
    pub left: BTreeSet<String>,
}

impl Set {
    /// That not all requests are shared, in words.
    pub fn said_of_left(&self, project: &str) -> Option<String> {
        let left: Vec<&str> = self.left.iter().map(String::as_str).collect();
        (!left.is_empty()).then(|| {
            format!(
                "on {} the live colour keeps all requests: {project} has no route there, or one whose service changes over later",
                left.join(", ")
            )
        })
    }
}

/// How it stands, as the one who leads says.
pub struct Seen {
    /// The routes; `None`: it knows nothing of the repository. Where it leads elsewhere than it was told, no colour is in them.
    pub routed: Option<Routed>,
    /// Why that is not what it was told.
    pub otherwise: Option<String>,
    /// Requests are answered by a page of its own: turnout-proxy alone has one.
    pub maintained: bool,
    /// Requests wait there while something changes over, which turnout-proxy alone can have them do.
    pub held: bool,
    /// Who else gets requests, beside the live colour.
    pub shares: Vec<Share>,
}

/// Gives the next colour its share of each route that both have in one place. What of it changes over later does not run yet,
/// and gets none.
pub fn shares(repository: &mut Repository, next: &Second<'_>, step: Step) -> Set {
    let runs: Vec<MadeRoute> = next.made.routes_of(false);
    let new = next.routes(|route| runs.contains(route));
    let mut set = Set::default();
    for route in &mut repository.routes {
        let listen = route.listen.to_string();
        if !adds(route, &new) {
            set.left.insert(listen);
            continue;
        }
        for colour in &mut route.colours {
            colour.weight = match colour.name == next.name {
                true => step.percent,
                false => bounds::WEIGHTS.saturating_sub(step.percent),
            };
        }
        if route.protocol.is_http() {
            route.beyond.sticky = next.made.canary.sticky();
        }
        set.shared.insert(listen);
    }
    set
}

/// A colour that gets a share of the requests beside the live one, as the proxy has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The colour that gets it, as `blue`.
    pub colour: String,
    /// How many of a hundred clients.
    pub percent: u64,
    /// It gets none on some of the routes that the live colour has.
    pub in_part: bool,
}

impl Share {
    /// Who has a share of a repository's requests beside its live colour: of the routes in which that one is, for by a preview a
    /// colour is reached by a route of its own.
    pub fn of(status: &Status, repo: &str) -> Vec<Share> {
        let Some((live, _)) = Routed::of(status, repo).and_then(|routed| routed.colour) else { return Vec::new() };
        let routes = status.routes.iter().filter(|route| route.repository == repo);
        let routes: Vec<_> = routes.filter(|route| route.colours.iter().any(|one| one.name == live)).collect();
        let others = routes.iter().flat_map(|route| &route.colours).filter(|one| one.name != live && one.weight > 0);
        let names: BTreeSet<&str> = others.map(|one| one.name.as_str()).collect();
        let share = |name: &str| {
            let of =
                |route: &RouteStatus| route.colours.iter().find(|one| one.name == name).map_or(0, |one| one.weight);
            let weights: BTreeSet<u64> = routes.iter().map(|route| of(route)).collect();
            let percent = weights.last().copied().unwrap_or_default();
            Share { colour: name.to_owned(), percent, in_part: weights.len() > 1 }
        };
        names.into_iter().map(share).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            canary::Canary,
            made::{self, Made, Speaks},
        },
        *,
    };
    use crate::traffic::{
        Replaced, Table,
        beyond::Sticky,
        control::{Age, Answer, ColourStatus, Origin},
    };

    const STEP: Step = Step { percent: 5, lasts: None };

    /// The live one, of generation 6, and the next one, of 7.
    fn two() -> (Repository, Made) {
        let live = made::tests::shop();
        let mut next = Made { canary: Canary { steps: vec![STEP], by_address: false }, ..live.clone() };
        next.routes[0].targets = vec!["127.0.0.1:20002".parse().unwrap()];
        (live.repository((7, 1), "blue", 6), next)
    }

    fn shared(repository: &mut Repository, next: &Made, step: Step) -> Set {
        let set = shares(repository, &Second { name: "red", generation: 7, made: next }, step);
        // As turnout-proxy reads it.
        let table = Table { repositories: [("shop".to_owned(), repository.clone())].into(), ..Table::default() };
        assert_eq!(Table::default().replace("shop", repository.clone()), Ok(Replaced::New(table)));
        set
    }

    /// Names and weights, by route.
    fn weights(repository: &Repository) -> Vec<String> {
        let routes = repository.routes.iter().map(|route| {
            let colours = route.colours.iter().map(|one| format!("{}={}", one.name, one.weight));
            colours.collect::<Vec<_>>().join(" ")
        });
        routes.collect()
    }

    #[test]
    fn the_next_colour_has_its_share_where_both_have_a_route_and_the_live_one_has_the_rest() {
        let (mut repository, next) = two();
        let set = shared(&mut repository, &next, STEP);
        assert_eq!(
            (weights(&repository), set.left.len(), set.shared.len()),
            (vec!["blue=95 red=5".to_owned(); 2], 0, 2)
        );
        assert_eq!((repository.routes[0].beyond.sticky, set.said_of_left("redshop")), (Sticky::Cookie, None));
        // From one step to the next, on the same table.
        shared(&mut repository, &next, Step { percent: 50, ..STEP });
        assert_eq!(weights(&repository), ["blue=50 red=50", "blue=50 red=50"]);

        // A route that the next one has not.
        let (mut repository, mut next) = two();
        next.routes[0].listen.truncate(1);
        next.canary.by_address = true;
        let set = shared(&mut repository, &next, STEP);
        assert_eq!(weights(&repository), ["blue=95 red=5", "blue=100"]);
        assert_eq!(repository.routes[0].beyond.sticky, Sticky::Address);
        assert!(set.said_of_left("redshop").unwrap().contains("on [::1]:8000 the live colour keeps all requests"));

        // A service that changes over later, and one that has another place by now.
        let (mut repository, mut next) = two();
        next.services[1].alone = true;
        assert_eq!(shared(&mut repository, &next, STEP).shared.len(), 0);
        next.services[1].alone = false;
        next.routes[0].strip_path = false;
        assert_eq!(shared(&mut repository, &next, STEP).shared.len(), 0);
        assert_eq!(weights(&repository), ["blue=100", "blue=100"]);
    }

    #[test]
    fn bytes_that_are_passed_on_are_shared_by_address() {
        let (_, mut next) = two();
        let route = &mut next.routes[0];
        (route.http, route.hosts, route.path, route.strip_path) = (Some(false), Vec::new(), None, false);
        route.speaks = Speaks::Plainly;
        let live = next.clone();
        let mut repository = live.repository((7, 1), "blue", 6);
        shared(&mut repository, &next, STEP);
        assert_eq!(weights(&repository), ["blue=95 red=5", "blue=95 red=5"]);
        assert_eq!(repository.routes[0].beyond.sticky, Sticky::Address);
    }

    /// As turnout-proxy has a table.
    fn status(repository: &Repository) -> Status {
        let routes = repository.routes.iter().map(|route| RouteStatus {
            repository: "shop".to_owned(),
            listen: route.listen,
            hosts: Vec::new(),
            path: None,
            listening: true,
            stand_in_port: None,
            taken: 0,
            failed: 0,
            waiting: 0,
            requests: 0,
            answered_here: 0,
            unrouted: 0,
            colours: route
                .colours
                .iter()
                .map(|one| ColourStatus {
                    name: one.name.clone(),
                    generation: one.generation,
                    weight: one.weight,
                    open: 0,
                    tunnels: 0,
                    received: 0,
                    sent: 0,
                    http: None,
                })
                .collect(),
        });
        let status = Status {
            serial: 1,
            origin: Origin::Current,
            durable: true,
            ending: false,
            connections: 0,
            repositories: [("shop".to_owned(), Age { generation: 7, revision: 1 })].into(),
            routes: routes.collect(),
            leaving: Vec::new(),
            held: Vec::new(),
            maintained: Vec::new(),
            certificates: Vec::new(),
            authority: None,
        };
        let line = Answer::Status(status).to_line().unwrap();
        let Ok(Answer::Status(status)) = Answer::from_line(&line) else { panic!("no status") };
        status
    }

    #[test]
    fn who_has_a_share_and_who_is_live_is_what_the_proxy_says() {
        let (mut repository, next) = two();
        assert_eq!(Share::of(&status(&repository), "shop"), []);
        shared(&mut repository, &next, STEP);
        let share = |in_part| vec![Share { colour: "red".to_owned(), percent: 5, in_part }];
        let live = |repository: &Repository| Routed::of(&status(repository), "shop").and_then(|routed| routed.colour);
        assert_eq!(
            (Share::of(&status(&repository), "shop"), Share::of(&status(&repository), "blog")),
            (share(false), vec![])
        );
        assert_eq!(live(&repository), Some(("blue".to_owned(), 6)), "a share is no switch");
        repository.routes[1].colours.truncate(1);
        assert_eq!(Share::of(&status(&repository), "shop"), share(true));
        // Looked at by a route of its own, it has no share.
        repository.routes[1].colours =
            vec![crate::traffic::Colour { weight: 100, ..repository.routes[0].colours[1].clone() }];
        repository.routes[0].colours.truncate(1);
        assert_eq!(Share::of(&status(&repository), "shop"), []);
        repository.routes.remove(0);
        assert_eq!((live(&repository), Share::of(&status(&repository), "shop")), (Some(("red".to_owned(), 7)), vec![]));
    }
}
