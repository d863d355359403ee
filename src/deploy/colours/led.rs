//! Routes to what runs in place, and what the kernel leads to the proxy meanwhile. Pure.

use std::{collections::BTreeMap, net::SocketAddr};

use super::made::{Made, MadeRoute, Speaks, stands_in};
use crate::{engine::Published, nat::Lead, rollout::Generation, switch, traffic::Repository};

/// How long one that stays may take to answer again, in milliseconds.
const PATIENCE: u64 = 20_000;

/// The routes of what runs in place. `yields`: it has its ports, or will have them again.
pub(super) fn routes(made: &Made, age: (u64, u64), colour: &str, generation: Generation, yields: bool) -> Repository {
    let of = u64::try_from(generation).unwrap_or_default();
    let mut wanted = made.repository(age, colour, of);
    stands_in(&mut wanted, made, yields);
    wanted
}

/// Where the kernel is to lead connections.
pub(super) fn leads(made: &Made) -> Vec<Lead> {
    made.stand_ins.iter().map(|(from, to)| Lead { from: *from, to: *to }).collect()
}

/// Who has a listener in place.
pub(super) fn target(published: &[Published], listen: SocketAddr) -> Option<SocketAddr> {
    let one = published.iter().find(|one| one.on == listen)?;
    one.addresses.first().map(|address| SocketAddr::new(*address, one.port))
}

/// Listeners that the next colour will have and what runs in place has, each once: there they have no hosts, paths or
/// certificates of their own.
pub(super) fn in_place_routes(made: &Made, published: &[Published]) -> Vec<MadeRoute> {
    let mut found: BTreeMap<SocketAddr, MadeRoute> = BTreeMap::new();
    for route in &made.routes {
        for listen in &route.listen {
            let Some(target) = target(published, *listen) else { continue };
            found.entry(*listen).or_insert_with(|| MadeRoute {
                listen: vec![*listen],
                targets: vec![target],
                hosts: Vec::new(),
                path: None,
                strip_path: false,
                tls: None,
                redirect: None,
                hsts: None,
                ..route.clone()
            });
        }
    }
    found.into_values().collect()
}

/// Listeners of what stays, which are the engine's before and afterwards, each with who has it now. `drain`: seconds that tunnels
/// have once that is over.
pub(super) fn staying_routes(published: &[Published], drain: u64, stays: impl Fn(&str) -> bool) -> Vec<MadeRoute> {
    let all = published.iter().filter(|one| stays(&one.container.service));
    let routes = all.filter_map(|one| {
        Some(MadeRoute {
            listen: vec![one.on],
            service: one.container.service.clone(),
            port: one.port,
            targets: vec![SocketAddr::new(*one.addresses.first()?, one.port)],
            // Engines are not asked for a page.
            http: switch::not_http(one.port).map(|_| false),
            is_said: None,
            page: "/".to_owned(),
            patience: PATIENCE,
            hosts: Vec::new(),
            path: None,
            strip_path: false,
            tls: None,
            drain: Some(drain),
            speaks: Speaks::Plainly,
            proxied_by: Vec::new(),
            proxy_protocol: None,
            redirect: None,
            hsts: None,
            trusted: Vec::new(),
            health: None,
            front: None,
        })
    });
    routes.collect()
}

/// Routes of the listeners that are the engine's again, to whoever has them now; those that nobody has any more are left out.
pub(super) fn returning(was: &Made, published: &[Published]) -> Vec<MadeRoute> {
    let all = was.routes.iter().filter(|route| route.listen.iter().any(|listen| was.returns.contains(listen)));
    let routes = all.filter_map(|route| {
        let targets: Vec<SocketAddr> = route.listen.iter().filter_map(|listen| target(published, *listen)).collect();
        (!targets.is_empty()).then(|| MadeRoute { targets, ..route.clone() })
    });
    routes.collect()
}

#[cfg(test)]
mod tests {
    use super::{super::made::tests::shop, *};
    use crate::engine::ContainerRef;

    fn published(on: &str) -> Published {
        Published {
            container: ContainerRef { id: "1".to_owned(), name: "redshop-web-1".to_owned(), service: "web".to_owned() },
            started: String::new(),
            on: on.parse().unwrap(),
            port: 80,
            addresses: vec!["172.18.0.2".parse().unwrap()],
        }
    }

    #[test]
    fn listeners_of_what_stays_lead_to_whoever_has_them() {
        let before = [published("0.0.0.0:80"), Published { port: 5_432, ..published("127.0.0.1:5432") }];
        let routes = staying_routes(&before, 30, |name| name == "web");
        assert_eq!(routes.iter().map(|route| route.http).collect::<Vec<_>>(), [None, Some(false)]);
        assert_eq!(staying_routes(&before, 30, |_| false), []);

        let was = Made { returns: routes.iter().flat_map(|route| route.listen.clone()).collect(), routes, ..shop() };
        // The second one is published no more.
        let now = Published { addresses: vec!["172.19.0.7".parse().unwrap()], ..published("0.0.0.0:80") };
        let [front] = returning(&was, &[now]).try_into().unwrap();
        assert_eq!(front.targets[0].to_string(), "172.19.0.7:80");
        assert_eq!(returning(&shop(), &before), [], "the colour's own are not the engine's again");
    }

    #[test]
    fn listeners_that_it_has_lead_to_its_own_containers_as_they_are() {
        // The second one is that of another program, or of nobody.
        let found = in_place_routes(&shop(), &[published("127.0.0.1:8000"), published("127.0.0.1:9000")]);
        let [route] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((route.listen.len(), route.targets[0].to_string()), (1, "172.18.0.2:80".to_owned()));
        assert_eq!((route.hosts.len(), &route.path, route.strip_path), (0, &None, false));

        let stand_ins = BTreeMap::from([(route.listen[0], 20_001)]);
        let made = Made { routes: found, stand_ins, ..Made::default() };
        let wanted = routes(&made, (4, 2), "red", 4, true);
        assert_eq!(
            (wanted.age(), wanted.routes[0].stand_in_port, wanted.routes[0].yields),
            ((4, 2), Some(20_001), true)
        );
        assert_eq!(leads(&made), [Lead { from: "127.0.0.1:8000".parse().unwrap(), to: 20_001 }]);
    }
}
