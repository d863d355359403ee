//! Who gets a connection, or a request: the table as it is served, and what is open to each colour.
//!
//! A claim reads the pointer to its route, counts itself in, and looks whether that very pointer still counts; if not, it
//! undoes that and begins again. Once a table was replaced no claim of the old one stands any more, so that "nothing is open
//! to the previous colour" stays true once it was. Who has claimed before keeps the pointer: no lock is taken while the
//! table stays the same.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use turnout_traffic::{
    Colour, Protocol, Route, RouteFile,
    choose::{Wish, stay_cookie},
    control::{Age, ColourCounters, ColourStatus, Counters, Leaving, RouteCounters, RouteStatus},
    spot::{Aim, Host, Network, NoRoute, Prefix},
    spots::Spots,
    table,
};

use crate::{
    counts::{Answers, Bytes, Failure},
    http::Pool,
    standing::Standing,
    tls::{Shown, Store},
};

/// A connection that is not understood names nothing.
const ANY: Aim<'_> = Aim { host: b"", path: b"/" };

/// The table as it is served.
#[derive(Debug, Default)]
pub(crate) struct Board {
    live: RwLock<Live>,
    /// Certificates that routes show.
    pub(crate) store: Arc<Store>,
}

#[derive(Debug, Default)]
struct Live {
    file: Arc<RouteFile>,
    listeners: BTreeMap<SocketAddr, Arc<Listening>>,
    leaving: Vec<Gone>,
    standings: BTreeMap<String, Arc<Standing>>,
}

/// A listener's routes as they are served. They never change; others take their place.
#[derive(Debug)]
pub(crate) struct Listening {
    /// How what comes is understood: the same for all of its routes, but for what their containers speak.
    pub(crate) protocol: Protocol,
    /// Who may connect, and says first for whom it speaks. None: nobody says that.
    pub(crate) proxied_by: Vec<Network>,
    routes: Vec<Arc<Serving>>,
    spots: Arc<Spots>,
    /// What clients are shown that speak TLS, where they do.
    pub(crate) shown: Option<Arc<Shown>>,
    /// The only one takes every request.
    takes_all: bool,
    pub(crate) door: Arc<DoorTally>,
    /// Others have taken their place: what claims by these has to look again.
    replaced: AtomicBool,
}

impl Listening {
    /// What we answered ourselves, for a request of this route, or of none.
    pub(crate) fn answered_here(&self, serving: Option<&Serving>) {
        let only = || self.routes.first().filter(|_| self.takes_all).map(|only| &**only);
        match serving.or_else(only) {
            Some(serving) => serving.tally.answered_here.fetch_add(1, Relaxed),
            None => self.door.unrouted.fetch_add(1, Relaxed),
        };
    }

    /// The route of a request.
    pub(crate) fn find(&self, aim: Aim<'_>) -> Result<&Arc<Serving>, NoRoute> {
        let at = if self.takes_all { 0 } else { self.spots.find(aim)? };
        self.routes.get(at).ok_or(NoRoute::Host)
    }
}

/// A request's route, and a target if it has one that was not tried.
type Routed = (Arc<Serving>, Option<Claim>);

/// What happened at a listener since the proxy began, whichever route it was.
#[derive(Debug, Default)]
pub(crate) struct DoorTally {
    pub(crate) taken: AtomicU64,
    /// Whether it is listened on.
    pub(crate) listening: AtomicBool,
    /// Requests that are no route's, or none at all.
    pub(crate) unrouted: AtomicU64,
}

/// Where a route stands: while this and its repository stay the same, its counts go on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spot {
    listen: SocketAddr,
    hosts: Vec<Host>,
    path: Option<Prefix>,
}

impl Spot {
    fn of(route: &Route) -> Spot {
        Spot { listen: route.listen, hosts: route.hosts.clone(), path: route.path.clone() }
    }

    fn is_of(&self, route: &Route) -> bool {
        let Spot { listen, hosts, path } = self;
        (listen, path, hosts) == (&route.listen, &route.path, &route.hosts)
    }
}

/// A route as it is served.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) repository: String,
    pub(crate) route: Route,
    /// In the order of the route's.
    colours: Vec<Counts>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) standing: Arc<Standing>,
    /// Computed at the first request that needs it; see [`Serving::stay_cookie`].
    stay_cookie: OnceLock<String>,
}

/// What is open to a colour: all of it, and by target, in the order of the colour's.
#[derive(Debug, Clone, Default)]
struct Counts {
    all: Arc<ColourCount>,
    targets: Vec<Arc<Target>>,
}

/// What is open to a colour.
#[derive(Debug, Default)]
pub(crate) struct ColourCount {
    /// Connections, or requests in flight; tunnels included.
    open: AtomicU64,
    /// Of these, what was HTTP and is another protocol now.
    tunnels: AtomicU64,
    pub(crate) answers: Answers,
    pub(crate) bytes: Bytes,
    /// Once the colour has left its route: when what is open to it, and is no request, is cut.
    cut_at: watch::Sender<Option<Instant>>,
}

/// A container of a colour.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    colour: Arc<ColourCount>,
    open: AtomicU64,
    /// Connections to it without a request.
    pub(crate) pool: Pool,
}

/// What another table took the place of.
#[must_use = "its connections are open until they are closed"]
pub(crate) struct Left {
    _live: Live,
    /// Containers to which no more requests go.
    targets: Vec<Arc<Target>>,
}

impl Left {
    /// Closes the connections without a request.
    pub(crate) fn close(self) {
        self.targets.iter().for_each(|target| target.pool.close());
    }
}

/// A colour that left the table.
#[derive(Debug)]
struct Gone {
    repository: String,
    spot: Spot,
    name: String,
    generation: u64,
    /// How long connections to it may go on; see [`Route::drain_seconds`].
    drain: Option<Duration>,
    counts: Counts,
}

impl Gone {
    /// What is open to it and is no request has so much time from now on; what had some already has no more.
    fn drains(&self, drain: Option<Duration>) {
        self.counts.all.cut_at.send_if_modified(|cut_at| {
            let known = cut_at.is_some();
            *cut_at = cut_at.or(drain.map(|drain| Instant::now() + drain));
            !known && cut_at.is_some()
        });
    }

    /// It is back.
    fn stays(self) -> Counts {
        self.counts.all.cut_at.send_replace(None);
        self.counts
    }
}

/// What happened at a route since the proxy began.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) failed: AtomicU64,
    pub(crate) waiting: AtomicU64,
    /// What those hold.
    waiting_bytes: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) answered_here: AtomicU64,
    /// Requests that were asked of a second colour, and those that it had.
    pub(crate) fallback_asked: AtomicU64,
    pub(crate) fallback_served: AtomicU64,
}

/// A target for one connection, or one request. It counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    serving: Arc<Serving>,
    /// The place of its colour in the route.
    at: usize,
    pub(crate) to: Arc<Target>,
    tunnel: bool,
}

impl Claim {
    /// The route that it was claimed by.
    pub(crate) fn serving(&self) -> &Arc<Serving> {
        &self.serving
    }

    /// The target's address.
    pub(crate) fn target(&self) -> SocketAddr {
        self.to.address
    }

    /// How long neither side may say anything.
    pub(crate) fn idle(&self) -> Option<Duration> {
        self.serving.route.idle_seconds.map(Duration::from_secs)
    }

    /// What is counted at the listener.
    pub(crate) fn tally(&self) -> &Tally {
        &self.serving.tally
    }

    /// The colour that it is of.
    pub(crate) fn colour(&self) -> Option<&Colour> {
        self.serving.route.colours.get(self.at)
    }

    /// What is counted of its bytes.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.to.colour.bytes
    }

    /// What is counted of the colour's answers.
    pub(crate) fn answers(&self) -> &Answers {
        &self.to.colour.answers
    }

    /// Waits until what is no request has to end, for its colour has left.
    pub(crate) async fn drained(&self) {
        let mut changes = self.to.colour.cut_at.subscribe();
        loop {
            let cut_at = *changes.borrow_and_update();
            let comes = async {
                match cut_at {
                    Some(cut_at) => sleep_until(cut_at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = changes.changed() => {}
                () = comes => return,
            }
        }
    }

    /// What was a request is another protocol from now on, and is counted so.
    pub(crate) fn becomes_tunnel(&mut self) {
        if !std::mem::replace(&mut self.tunnel, true) {
            self.to.colour.tunnels.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.tunnel {
            self.to.colour.tunnels.fetch_sub(1, Relaxed);
        }
        self.to.open.fetch_sub(1, Relaxed);
        // Whoever reads that nothing is open any more also reads what was done before.
        self.to.colour.open.fetch_sub(1, SeqCst);
    }
}

/// Requests of one route that wait at a time.
const WAITING: u64 = 1_024;
/// Bytes that they hold together.
const WAITING_BYTES: u64 = 32 << 20;

/// A request that waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    tally: Arc<Tally>,
    bytes: u64,
}

impl Waiting {
    /// A place to wait for a request that holds so many bytes. None: as many wait there already as may.
    pub(crate) fn of(tally: &Arc<Tally>, bytes: u64) -> Option<Waiting> {
        let waiting = Waiting { tally: Arc::clone(tally), bytes };
        let before = tally.waiting.fetch_add(1, Relaxed);
        let bytes_before = tally.waiting_bytes.fetch_add(bytes, Relaxed);
        (before < WAITING && bytes_before + bytes <= WAITING_BYTES).then_some(waiting)
    }
}

impl Tally {
    /// Whether more wait than may. For who counts itself.
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiting.load(Relaxed) > WAITING
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.tally.waiting.fetch_sub(1, Relaxed);
        self.tally.waiting_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

impl Listening {
    fn new(routes: Vec<Arc<Serving>>, door: Arc<DoorTally>, store: &Store) -> Listening {
        let protocol = routes.first().map_or(Protocol::Tcp, |serving| serving.route.protocol);
        let proxied_by = routes.first().map(|serving| serving.route.proxied_by.clone()).unwrap_or_default();
        let takes_all = matches!(routes.as_slice(), [only] if only.route.takes_all());
        let spots = Arc::new(Spots::of(routes.iter().map(|serving| &serving.route)));
        let shows: Vec<_> = routes.iter().filter_map(|serving| store.shows(&serving.route)).collect();
        let shown = (!shows.is_empty()).then(|| Arc::new(Shown::new(Arc::clone(&spots), shows)));
        Listening { protocol, proxied_by, routes, spots, shown, takes_all, door, replaced: AtomicBool::new(false) }
    }
}

impl Serving {
    /// The route, with the counts of those of its colours that were known.
    fn new(
        repository: &str,
        route: &Route,
        spot: &Spot,
        (tally, standing): (Arc<Tally>, Arc<Standing>),
        gone: &mut Vec<Gone>,
    ) -> Serving {
        let colours = route.colours.iter().map(|colour| {
            let same = |gone: &Gone| {
                (gone.repository.as_str(), &gone.spot) == (repository, spot)
                    && (&gone.name, gone.generation) == (&colour.name, colour.generation)
            };
            let known = gone.iter().position(same).map(|at| gone.swap_remove(at).stays());
            known.unwrap_or_default().with_targets(&colour.targets)
        });
        let colours = colours.collect();
        Serving {
            repository: repository.to_owned(),
            route: route.clone(),
            colours,
            tally,
            standing,
            stay_cookie: OnceLock::new(),
        }
    }

    /// Its colours, as if all of them had left.
    fn gone(&self) -> impl Iterator<Item = Gone> {
        let colours = self.route.colours.iter().zip(&self.colours);
        colours.map(|(Colour { name, generation, .. }, counts)| Gone {
            repository: self.repository.clone(),
            spot: Spot::of(&self.route),
            name: name.clone(),
            generation: *generation,
            drain: self.route.drain_seconds.map(Duration::from_secs),
            counts: counts.clone(),
        })
    }

    fn counters(&self) -> RouteCounters {
        let Serving { route, colours, tally, .. } = self;
        let colours = route.colours.iter().zip(colours).map(|(colour, counts)| ColourCounters {
            name: colour.name.clone(),
            generation: colour.generation,
            weight: colour.weight,
            open: counts.all.open.load(SeqCst),
            http: counts.all.answers.told(),
        });
        RouteCounters {
            listen: route.listen,
            hosts: route.hosts.iter().map(ToString::to_string).collect(),
            path: route.path.as_ref().map(|path| path.as_str().to_owned()),
            requests: tally.requests.load(Relaxed),
            answered_here: tally.answered_here.load(Relaxed),
            waiting: tally.waiting.load(Relaxed),
            fallback_asked: tally.fallback_asked.load(Relaxed),
            fallback_served: tally.fallback_served.load(Relaxed),
            colours: colours.collect(),
        }
    }

    /// The name of the cookie that keeps a client at its colour. Made when it is needed first: tables are replaced often, and all at
    /// once.
    pub(crate) fn stay_cookie(&self) -> &str {
        self.stay_cookie.get_or_init(|| stay_cookie(&self.repository))
    }

    /// No container of a request's colour took it.
    pub(crate) fn unavailable(&self, wish: &Wish) {
        if let Some(counts) = self.route.colour_for(wish).and_then(|at| self.colours.get(at)) {
            counts.all.answers.failed(Failure::Unavailable);
        }
    }

    /// A target of a request's colour, counted in, whether this still counts or not.
    fn count_in(self: &Arc<Self>, wish: &Wish, tried: &[SocketAddr]) -> Option<Claim> {
        let at = self.route.colour_for(wish)?;
        let counts = self.colours.get(at)?;
        let targets = counts.targets.iter().filter(|target| !tried.contains(&target.address));
        let to = targets.min_by_key(|target| target.open.load(Relaxed))?;
        counts.all.open.fetch_add(1, SeqCst);
        to.open.fetch_add(1, Relaxed);
        Some(Claim { serving: Arc::clone(self), at, to: Arc::clone(to), tunnel: false })
    }
}

impl Board {
    /// An empty one, which shows these certificates.
    pub(crate) fn with(store: Arc<Store>) -> Board {
        Board { live: RwLock::default(), store }
    }

    /// The table, and its serial number.
    pub(crate) fn served(&self) -> Arc<RouteFile> {
        Arc::clone(&self.read().file)
    }

    /// Serves another table, all of it at once. What stays of a colour keeps its counts. Answered is what nobody needs any more:
    /// to close its connections takes longer than the change itself.
    pub(crate) fn replace(&self, file: RouteFile) -> Left {
        let mut live = self.write();
        let Live { listeners: before, leaving, standings: standings_before, .. } = &mut *live;
        let standings: BTreeMap<String, Arc<Standing>> = (file.table.repositories.keys())
            .map(|name| {
                let known = standings_before.get(name).map(Arc::clone);
                let said = || Arc::new(Standing::from_file(file.table.standing.get(name)));
                (name.clone(), known.unwrap_or_else(said))
            })
            .collect();
        let mut gone = std::mem::take(leaving);
        let known = before.values().flat_map(|listening| &listening.routes);
        gone.extend(known.flat_map(|serving| serving.gone()));
        let mut routes: BTreeMap<SocketAddr, Vec<Arc<Serving>>> = BTreeMap::new();
        for (name, repository) in &file.table.repositories {
            for route in &repository.routes {
                let (spot, standing) = (Spot::of(route), standings.get(name).map(Arc::clone).unwrap_or_default());
                let mut known = before.get(&route.listen).into_iter().flat_map(|listening| &listening.routes);
                let same = known.find(|serving| serving.repository == *name && spot.is_of(&serving.route));
                let tally = same.map(|serving| Arc::clone(&serving.tally)).unwrap_or_default();
                let serving = Serving::new(name, route, &spot, (tally, standing), &mut gone);
                routes.entry(route.listen).or_default().push(Arc::new(serving));
            }
        }
        let listeners: BTreeMap<SocketAddr, Arc<Listening>> = (routes.into_iter())
            .map(|(listen, routes)| {
                let door = before.get(&listen).map(|listening| Arc::clone(&listening.door)).unwrap_or_default();
                (listen, Arc::new(Listening::new(routes, door, &self.store)))
            })
            .collect();
        // From here on no claim by the old ones stands. One that counted itself in before is seen below.
        for listening in before.values() {
            listening.replaced.store(true, SeqCst);
        }
        for gone in &gone {
            // What is said now counts more than what was said before.
            let routes = listeners.get(&gone.spot.listen).into_iter().flat_map(|listening| &listening.routes);
            let mut own = routes.filter(|serving| serving.repository == gone.repository);
            let now = own.find_map(|serving| serving.route.drain_seconds);
            gone.drains(now.map(Duration::from_secs).or(gone.drain));
        }
        let targets = gone.iter().flat_map(|gone| gone.counts.targets.iter().map(Arc::clone)).collect();
        gone.retain(|gone| gone.counts.all.open.load(SeqCst) > 0);
        let next = Live { file: Arc::new(file), listeners, leaving: gone, standings };
        Left { _live: std::mem::replace(&mut *live, next), targets }
    }

    /// The same routes are in another file now.
    pub(crate) fn kept(&self, file: RouteFile) {
        self.write().file = Arc::new(file);
    }

    /// Requests stand as a route file says that somebody else wrote.
    pub(crate) fn stand_as(&self, said: &BTreeMap<String, table::Standing>) {
        for (name, standing) in &self.read().standings {
            standing.becomes(said.get(name));
        }
    }

    /// A target for a connection to a listener: of its colour, the one with the fewest connections, and none that was `tried`.
    /// None: there is no route any more, or no further target.
    pub(crate) fn claim(&self, listen: SocketAddr, client: IpAddr, tried: &[SocketAddr]) -> Option<Claim> {
        self.claim_named(listen, "", client, tried)
    }

    /// The same for one that names a host.
    pub(crate) fn claim_named(
        &self,
        listen: SocketAddr,
        host: &str,
        client: IpAddr,
        tried: &[SocketAddr],
    ) -> Option<Claim> {
        let aim = Aim { host: host.as_bytes(), ..ANY };
        self.claim_by(&mut None, listen, aim, &Wish::of_address(client), tried)?.ok()?.1
    }

    /// The same for a request, and its route, for whoever asks again and again and keeps the pointer between. None: the
    /// listener has no route any more.
    pub(crate) fn claim_by(
        &self,
        pointer: &mut Option<Arc<Listening>>,
        listen: SocketAddr,
        aim: Aim<'_>,
        wish: &Wish,
        tried: &[SocketAddr],
    ) -> Option<Result<Routed, NoRoute>> {
        loop {
            let listening = self.listening_by(pointer, listen)?;
            let found = listening.find(aim).map(|serving| (Arc::clone(serving), serving.count_in(wish, tried)));
            if !listening.replaced.load(SeqCst) {
                return Some(found);
            }
            drop(found);
        }
    }

    /// The routes of a listener as they are served now.
    pub(crate) fn listening_by<'p>(
        &self,
        pointer: &'p mut Option<Arc<Listening>>,
        listen: SocketAddr,
    ) -> Option<&'p Arc<Listening>> {
        match pointer {
            Some(listening) if !listening.replaced.load(SeqCst) => {}
            _ => *pointer = self.listening(listen),
        }
        pointer.as_ref()
    }

    /// The routes of a listener.
    pub(crate) fn listening(&self, listen: SocketAddr) -> Option<Arc<Listening>> {
        self.read().listeners.get(&listen).map(Arc::clone)
    }

    /// How a repository's requests stand. None: there is no such repository.
    pub(crate) fn standing(&self, repository: &str) -> Option<Arc<Standing>> {
        self.read().standings.get(repository).map(Arc::clone)
    }

    /// Repositories of which this is so.
    pub(crate) fn standing_so(&self, so: impl Fn(&Standing) -> bool) -> Vec<String> {
        let live = self.read();
        live.standings.iter().filter(|(_, standing)| so(standing)).map(|(name, _)| name.clone()).collect()
    }

    /// Closes connections to containers that have waited too long for a request.
    pub(crate) fn sweep(&self) {
        for serving in self.read().listeners.values().flat_map(|listening| &listening.routes) {
            for target in serving.colours.iter().flat_map(|counts| &counts.targets) {
                target.pool.sweep();
            }
        }
    }

    /// For `status`: repositories, routes, and colours that left.
    pub(crate) fn status(&self) -> (BTreeMap<String, Age>, Vec<RouteStatus>, Vec<Leaving>) {
        let live = self.read();
        let repositories = live.file.table.repositories.iter();
        let ages =
            repositories.map(|(name, of)| (name.clone(), Age { generation: of.generation, revision: of.revision }));
        let routes =
            live.listeners.values().flat_map(|listening| listening.routes.iter().map(move |of| (listening, of)));
        let routes = routes.map(|(listening, serving)| {
            let door = &listening.door;
            let Serving { repository, route, colours, tally, .. } = &**serving;
            RouteStatus {
                repository: repository.clone(),
                listen: route.listen,
                hosts: route.hosts.iter().map(ToString::to_string).collect(),
                path: route.path.as_ref().map(|path| path.as_str().to_owned()),
                listening: door.listening.load(Relaxed),
                stand_in_port: route.stand_in_port,
                taken: door.taken.load(Relaxed),
                failed: tally.failed.load(Relaxed),
                waiting: tally.waiting.load(Relaxed),
                requests: tally.requests.load(Relaxed),
                answered_here: tally.answered_here.load(Relaxed),
                unrouted: door.unrouted.load(Relaxed),
                colours: (route.colours.iter().zip(colours))
                    .map(|(Colour { name, generation, weight, .. }, counts)| ColourStatus {
                        name: name.clone(),
                        generation: *generation,
                        weight: *weight,
                        open: counts.all.open.load(SeqCst),
                        tunnels: counts.all.tunnels.load(Relaxed),
                        received: counts.all.bytes.received.load(Relaxed),
                        sent: counts.all.bytes.sent.load(Relaxed),
                        http: route.protocol.is_http().then(|| counts.all.answers.told()),
                    })
                    .collect(),
            }
        });
        let leaving =
            live.leaving.iter().map(|Gone { repository, spot, name, generation, counts, drain: _ }| Leaving {
                repository: repository.clone(),
                listen: spot.listen,
                hosts: spot.hosts.iter().map(ToString::to_string).collect(),
                path: spot.path.as_ref().map(|path| path.as_str().to_owned()),
                name: name.clone(),
                generation: *generation,
                open: counts.all.open.load(SeqCst),
                tunnels: counts.all.tunnels.load(Relaxed),
            });
        (ages.collect(), routes.collect(), leaving.filter(|leaving| leaving.open > 0).collect())
    }

    /// For `counters`, of one repository. None: there is no such repository.
    pub(crate) fn counters(&self, repository: &str, began: u64) -> Option<Counters> {
        let live = self.read();
        let table = live.file.table.repositories.get(repository)?;
        let all = live.listeners.values().flat_map(|listening| &listening.routes);
        let routes = table.routes.iter().filter_map(|route| {
            let spot = Spot::of(route);
            let own = |of: &&Arc<Serving>| of.repository == repository && spot.is_of(&of.route);
            all.clone().find(own).filter(|serving| serving.route.protocol.is_http())
        });
        let routes = routes.map(|serving| serving.counters()).collect();
        let (generation, revision) = table.age();
        Some(Counters { began, repository: repository.to_owned(), generation, revision, routes })
    }

    fn read(&self) -> RwLockReadGuard<'_, Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Live> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The same for these targets; those that stay keep their counts, and connections to the others are closed.
    fn with_targets(self, addresses: &[SocketAddr]) -> Counts {
        let Counts { all, targets: mut before } = self;
        let wanted = addresses.iter().map(|address| {
            let known = before.iter().position(|known| known.address == *address && !known.pool.is_closed());
            known.map_or_else(|| Arc::new(Target::at(*address, &all)), |at| before.swap_remove(at))
        });
        let targets = wanted.collect();
        before.iter().for_each(|target| target.pool.close());
        Counts { all, targets }
    }
}

impl Target {
    fn at(address: SocketAddr, colour: &Arc<ColourCount>) -> Target {
        Target { address, colour: Arc::clone(colour), open: AtomicU64::new(0), pool: Pool::default() }
    }
}

#[cfg(test)]
mod tests {
    use turnout_traffic::{Repository, Table};

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
        let route = Route::new(LISTEN.into(), Protocol::Tcp, colours.collect());
        let repository = Repository { generation: 9, revision: 0, routes: vec![route] };
        RouteFile {
            serial: 1,
            table: Table { repositories: [("shop".to_owned(), repository)].into(), ..Table::default() },
        }
    }

    fn port(claim: Option<&Claim>) -> Option<u16> {
        claim.map(|claim| claim.target().port())
    }

    #[test]
    fn the_target_with_the_fewest_connections_gets_the_next() {
        let board = Board::default();
        board.replace(file(&[("red", 1, 100, &[1, 2])])).close();
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
        board.replace(file(&[("red", 1, 100, &[1])])).close();
        let old = board.claim(LISTEN.into(), CLIENT, &[]);
        board.replace(file(&[("blue", 2, 100, &[2]), ("red", 1, 0, &[1])])).close();
        let new = board.claim(LISTEN.into(), CLIENT, &[]);
        assert_eq!([&old, &new].map(|claim| port(claim.as_ref())), [Some(1), Some(2)]);
        assert_eq!(open(&board), (vec![("blue".into(), 1), ("red".into(), 1)], vec![]));
        // Red leaves, and comes back as it was.
        board.replace(file(&[("blue", 2, 100, &[2])])).close();
        assert_eq!(open(&board), (vec![("blue".into(), 1)], vec![("red".into(), 1, 1)]));
        board.replace(file(&[("red", 1, 100, &[1])])).close();
        assert_eq!(open(&board), (vec![("red".into(), 1)], vec![("blue".into(), 2, 1)]));
        // A red of another deployment is another one.
        board.replace(file(&[("red", 3, 100, &[3])])).close();
        assert_eq!(open(&board), (vec![("red".into(), 0)], vec![("blue".into(), 2, 1), ("red".into(), 1, 1)]));
        drop((old, new));
        assert_eq!(open(&board), (vec![("red".into(), 0)], vec![]));
        board.replace(file(&[("red", 3, 100, &[3])])).close();
        assert!(board.read().leaving.is_empty(), "what ended is forgotten");
    }

    /// The race that a drain must not lose: a request that has read the old pointer, and counts itself in after the change.
    #[test]
    fn nothing_comes_to_a_colour_that_was_left() {
        use std::sync::atomic::AtomicBool;
        let (board, stop) = (Board::default(), AtomicBool::new(false));
        board.replace(file(&[("red", 1, 100, &[1])])).close();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let (mut pointer, wish) = (None, Wish::of_address(CLIENT));
                    while !stop.load(Relaxed) {
                        drop(board.claim_by(&mut pointer, LISTEN.into(), ANY, &wish, &[]));
                    }
                });
            }
            for generation in 2..500 {
                let before = board.listening(LISTEN.into()).map(|of| Arc::clone(&of.routes[0].colours[0].all)).unwrap();
                board.replace(file(&[("red", generation, 100, &[1])])).close();
                // Claims that stood before the change end; attempts that are undone come and go, and get no target.
                while before.open.load(SeqCst) > 0 {
                    std::hint::spin_loop();
                }
                let claim = board.claim(LISTEN.into(), CLIENT, &[]).unwrap();
                assert!(!Arc::ptr_eq(&claim.to.colour, &before), "{generation}");
            }
            stop.store(true, Relaxed);
        });
        assert_eq!(board.status().1[0].colours[0].open, 0);
    }
}
