//! Who gets a connection: the table as it is served, and what is open to each colour.
//!
//! A connection claims its target while the table cannot change. Once a table was replaced no claim of the old one begins
//! any more, so that "nothing is open to the previous colour" stays true once it was.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use turnout_traffic::{
    Colour, Route, RouteFile,
    control::{Age, ColourStatus, Leaving, RouteStatus},
};

/// The table as it is served.
#[derive(Debug, Default)]
pub(crate) struct Board {
    live: RwLock<Live>,
}

#[derive(Debug, Default)]
struct Live {
    file: Arc<RouteFile>,
    routes: BTreeMap<SocketAddr, LiveRoute>,
    leaving: Vec<Gone>,
}

#[derive(Debug)]
struct LiveRoute {
    repository: String,
    route: Route,
    /// In the order of the route's.
    colours: Vec<Counts>,
    tally: Arc<Tally>,
}

/// What is open to a colour: all of it, and by target.
#[derive(Debug, Clone, Default)]
struct Counts {
    open: Arc<AtomicU64>,
    targets: HashMap<SocketAddr, Arc<AtomicU64>>,
}

/// A colour that left the table.
#[derive(Debug)]
struct Gone {
    repository: String,
    listen: SocketAddr,
    name: String,
    generation: u64,
    counts: Counts,
}

/// What happened at a listener since the proxy began.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) taken: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) waiting: AtomicU64,
    /// Whether it is listened on.
    pub(crate) listening: AtomicBool,
}

/// A target for one connection. It counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) target: SocketAddr,
    pub(crate) idle: Option<Duration>,
    pub(crate) tally: Arc<Tally>,
    counted: [Arc<AtomicU64>; 2],
}

impl Drop for Claim {
    fn drop(&mut self) {
        for counter in &self.counted {
            counter.fetch_sub(1, Relaxed);
        }
    }
}

impl Board {
    /// The table, and its serial number.
    pub(crate) fn served(&self) -> Arc<RouteFile> {
        Arc::clone(&self.read().file)
    }

    /// Serves another table, all of it at once. What stays of a colour keeps its counts.
    pub(crate) fn replace(&self, file: RouteFile) {
        let mut live = self.write();
        let Live { routes: before, leaving, .. } = &mut *live;
        let mut gone = std::mem::take(leaving);
        let mut tallies = BTreeMap::new();
        for (listen, LiveRoute { repository, route, colours, tally }) in std::mem::take(before) {
            tallies.insert(listen, tally);
            gone.extend(route.colours.into_iter().zip(colours).map(|(Colour { name, generation, .. }, counts)| Gone {
                repository: repository.clone(),
                listen,
                name,
                generation,
                counts,
            }));
        }
        let mut routes = BTreeMap::new();
        for (name, repository) in &file.table.repositories {
            for route in &repository.routes {
                let colours = route.colours.iter().map(|colour| {
                    let same = |gone: &Gone| {
                        (gone.repository.as_str(), gone.listen) == (name.as_str(), route.listen)
                            && (&gone.name, gone.generation) == (&colour.name, colour.generation)
                    };
                    let known = gone.iter().position(same).map(|at| gone.swap_remove(at).counts);
                    known.unwrap_or_default().with_targets(&colour.targets)
                });
                let colours = colours.collect();
                let tally = tallies.remove(&route.listen).unwrap_or_default();
                routes
                    .insert(route.listen, LiveRoute { repository: name.clone(), route: route.clone(), colours, tally });
            }
        }
        gone.retain(|gone| gone.counts.open.load(Relaxed) > 0);
        *live = Live { file: Arc::new(file), routes, leaving: gone };
    }

    /// A target for a client of a listener: of its colour, the one with the fewest connections, and none that it `tried`.
    /// None: there is no route any more, or no further target.
    pub(crate) fn claim(&self, listen: SocketAddr, client: IpAddr, tried: &[SocketAddr]) -> Option<Claim> {
        let live = self.read();
        let LiveRoute { route, colours, tally, .. } = live.routes.get(&listen)?;
        let at = route.colour_for(client)?;
        let (colour, counts) = route.colours.get(at).zip(colours.get(at))?;
        let targets = colour.targets.iter().filter(|target| !tried.contains(target));
        let counted = targets.filter_map(|target| counts.targets.get(target).map(|open| (target, open)));
        let (target, open) = counted.min_by_key(|(_, open)| open.load(Relaxed))?;
        let counted = [Arc::clone(&counts.open), Arc::clone(open)];
        for counter in &counted {
            counter.fetch_add(1, Relaxed);
        }
        let idle = route.idle_seconds.map(Duration::from_secs);
        Some(Claim { target: *target, idle, tally: Arc::clone(tally), counted })
    }

    /// What is counted at a listener. None: there is no route any more.
    pub(crate) fn tally(&self, listen: SocketAddr) -> Option<Arc<Tally>> {
        self.read().routes.get(&listen).map(|route| Arc::clone(&route.tally))
    }

    /// For `status`: repositories, routes, and colours that left.
    pub(crate) fn status(&self) -> (BTreeMap<String, Age>, Vec<RouteStatus>, Vec<Leaving>) {
        let live = self.read();
        let repositories = live.file.table.repositories.iter();
        let ages =
            repositories.map(|(name, of)| (name.clone(), Age { generation: of.generation, revision: of.revision }));
        let routes = live.routes.iter().map(|(listen, LiveRoute { repository, route, colours, tally })| RouteStatus {
            repository: repository.clone(),
            listen: *listen,
            listening: tally.listening.load(Relaxed),
            taken: tally.taken.load(Relaxed),
            failed: tally.failed.load(Relaxed),
            waiting: tally.waiting.load(Relaxed),
            colours: (route.colours.iter().zip(colours))
                .map(|(Colour { name, generation, weight, .. }, counts)| ColourStatus {
                    name: name.clone(),
                    generation: *generation,
                    weight: *weight,
                    open: counts.open.load(Relaxed),
                })
                .collect(),
        });
        let leaving = live.leaving.iter().map(|Gone { repository, listen, name, generation, counts }| Leaving {
            repository: repository.clone(),
            listen: *listen,
            name: name.clone(),
            generation: *generation,
            open: counts.open.load(Relaxed),
        });
        (ages.collect(), routes.collect(), leaving.filter(|leaving| leaving.open > 0).collect())
    }

    fn read(&self) -> RwLockReadGuard<'_, Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Live> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The same for these targets; those that stay keep their counts.
    fn with_targets(mut self, targets: &[SocketAddr]) -> Counts {
        self.targets =
            targets.iter().map(|target| (*target, self.targets.remove(target).unwrap_or_default())).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use turnout_traffic::{Protocol, Repository, RouteState, Table};

    use super::*;

    const LISTEN: ([u8; 4], u16) = ([0, 0, 0, 0], 80);
    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A table whose only route has these colours: name, generation, weight, ports of targets.
    fn file(colours: &[(&str, u64, u64, &[u16])]) -> RouteFile {
        let colours = colours.iter().map(|(name, generation, weight, ports)| Colour {
            name: (*name).to_owned(),
            generation: *generation,
            weight: *weight,
            targets: ports.iter().map(|port| ([127, 0, 0, 1], *port).into()).collect(),
        });
        let route = Route {
            listen: LISTEN.into(),
            protocol: Protocol::Tcp,
            state: RouteState::Serve,
            idle_seconds: None,
            colours: colours.collect(),
        };
        let repository = Repository { generation: 9, revision: 0, routes: vec![route] };
        RouteFile { serial: 1, table: Table { repositories: [("shop".to_owned(), repository)].into() } }
    }

    fn port(claim: Option<&Claim>) -> Option<u16> {
        claim.map(|claim| claim.target.port())
    }

    #[test]
    fn the_target_with_the_fewest_connections_gets_the_next() {
        let board = Board::default();
        board.replace(file(&[("red", 1, 100, &[1, 2])]));
        let claim = |tried: &[SocketAddr]| board.claim(LISTEN.into(), CLIENT, tried);
        let (first, second, third) = (claim(&[]), claim(&[]), claim(&[]));
        assert_eq!([&first, &second, &third].map(|claim| port(claim.as_ref())), [Some(1), Some(2), Some(1)]);
        drop((first, third));
        assert_eq!(port(claim(&[]).as_ref()), Some(1));
        assert_eq!(port(claim(&[([127, 0, 0, 1], 1).into()]).as_ref()), Some(2));
        assert!(claim(&[([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()]).is_none());
        assert!(board.claim(([0, 0, 0, 0], 81).into(), CLIENT, &[]).is_none());
    }

    #[test]
    fn what_is_open_is_counted_over_changes() {
        let board = Board::default();
        let open = |board: &Board| {
            let (_, routes, leaving) = board.status();
            let colours: Vec<_> = routes[0].colours.iter().map(|colour| (colour.name.clone(), colour.open)).collect();
            (colours, leaving.iter().map(|gone| (gone.name.clone(), gone.generation, gone.open)).collect::<Vec<_>>())
        };
        board.replace(file(&[("red", 1, 100, &[1])]));
        let old = board.claim(LISTEN.into(), CLIENT, &[]);
        board.replace(file(&[("blue", 2, 100, &[2]), ("red", 1, 0, &[1])]));
        let new = board.claim(LISTEN.into(), CLIENT, &[]);
        assert_eq!([&old, &new].map(|claim| port(claim.as_ref())), [Some(1), Some(2)]);
        assert_eq!(open(&board), (vec![("blue".into(), 1), ("red".into(), 1)], vec![]));
        // Red leaves, and comes back as it was.
        board.replace(file(&[("blue", 2, 100, &[2])]));
        assert_eq!(open(&board), (vec![("blue".into(), 1)], vec![("red".into(), 1, 1)]));
        board.replace(file(&[("red", 1, 100, &[1])]));
        assert_eq!(open(&board), (vec![("red".into(), 1)], vec![("blue".into(), 2, 1)]));
        // A red of another deployment is another one.
        board.replace(file(&[("red", 3, 100, &[3])]));
        assert_eq!(open(&board), (vec![("red".into(), 0)], vec![("blue".into(), 2, 1), ("red".into(), 1, 1)]));
        drop((old, new));
        assert_eq!(open(&board), (vec![("red".into(), 0)], vec![]));
        board.replace(file(&[("red", 3, 100, &[3])]));
        assert!(board.read().leaving.is_empty(), "what ended is forgotten");
    }
}
