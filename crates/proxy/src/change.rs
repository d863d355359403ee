//! From one table to the next, in an order in which nothing is lost: listen on what is new, keep the table on the disk,
//! stop listening on what is gone, serve the new table, say so.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex as Held, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    net::TcpListener,
    sync::{Mutex, MutexGuard},
    time::{Instant, timeout},
};
use turnout_report::counted;
use turnout_traffic::{
    Authority, Maintained, Mistakes, Replaced, Repository, Route, RouteFile, Table,
    control::{Answer, Code, Origin, Refusal, Shown, Status},
    follows,
};

use crate::{
    access::AccessLog,
    dies,
    door::{self, Door, Place},
    handed,
    house::House,
    metrics,
    overlap::{Before, Word, merged},
    route_file::{Keeper, Kept, NotWritten},
    standing::Standing,
    tls,
};

/// How long a change may take before whoever asked is told that it will show.
const COMMIT: Duration = Duration::from_secs(5);
/// How long a change waits for the one before it.
const TURN: Duration = Duration::from_secs(4);

/// The one who changes the table.
#[derive(Debug)]
pub(crate) struct Changer {
    house: Arc<House>,
    /// Held over a whole change.
    doors: Mutex<BTreeMap<SocketAddr, Door>>,
    keeper: Arc<Held<Keeper>>,
    origin: Origin,
    /// In milliseconds since 1970.
    began: u64,
    durable: AtomicBool,
    ending: AtomicBool,
    before: Arc<Before>,
}

/// What is open at listeners, held while a process hands over: no change is under way meanwhile.
pub(crate) type Turn<'c> = MutexGuard<'c, BTreeMap<SocketAddr, Door>>;

type Changed = Result<(u64, bool), Refusal>;

impl Changer {
    /// Serves what was found, on the listeners that were handed over where there are. An address that cannot be listened on is
    /// tried again and again: the others are served.
    pub(crate) async fn start(
        keeper: Keeper,
        (served, origin): (RouteFile, Origin),
        mut handed: BTreeMap<SocketAddr, std::net::TcpListener>,
        house: Arc<House>,
    ) -> Arc<Changer> {
        let places = places(&served.table);
        if *house.main.borrow() {
            handed::tell(&served);
        }
        // The other listeners are served all the same, and files that come to be right are seen.
        if let Err(mistakes) = house.board.store.load(&served.table, None) {
            mistakes
                .0
                .iter()
                .for_each(|mistake| tracing::error!("{mistake}; clients of that route get no TLS until it can"));
        }
        house.certificates.tell(&served);
        house.board.replace(served).close();
        let mut doors = BTreeMap::new();
        for (address, place) in places {
            let listener = match handed.remove(&address) {
                Some(listener) => taken_over(listener),
                None => door::listen(address),
            };
            if let (Err(error), false) = (&listener, place.may_wait) {
                tracing::error!("{address} cannot be listened on: {error}; it is tried again every second");
            }
            doors.insert(address, Door::open(address, place, listener.ok(), Arc::clone(&house)));
        }
        for (address, listener) in handed {
            tracing::info!(
                "{address} was listened on by the proxy before this one, and no route wants it: it is closed"
            );
            handed::forget(&listener, address);
        }
        Arc::new(Changer {
            house,
            doors: Mutex::new(doors),
            keeper: Arc::new(Held::new(keeper)),
            origin,
            began: u64::try_from(micros_since_1970() / 1_000).unwrap_or(0),
            durable: AtomicBool::new(true),
            ending: AtomicBool::new(false),
            before: Arc::default(),
        })
    }

    /// The disk has not said that it has what is served.
    pub(crate) fn is_not_durable(&self) {
        self.durable.store(false, Relaxed);
    }

    /// Processes before this one that have connections still.
    pub(crate) fn before(&self) -> &Arc<Before> {
        &self.before
    }

    /// What is handed over to another process of the proxy, while the turn is held: listeners, how the route file is kept, and
    /// the table with requests standing as they do.
    pub(crate) async fn to_hand_over(
        &self,
        doors: &Turn<'_>,
    ) -> Result<(Vec<(SocketAddr, OwnedFd)>, OwnedFd, Word), String> {
        let cannot = |error: io::Error| format!("there is no descriptor for a listener more: {error}");
        let mut listeners = Vec::new();
        for (address, door) in doors.iter() {
            listeners.extend(door.listener().map_err(cannot)?.map(|listener| (*address, listener)));
        }
        let kept = self.with_keeper(|keeper| keeper.to_hand_over()).await.map_err(|refusal| refusal.message)?;
        let Kept { lock, bytes, foreign } = kept.map_err(cannot)?;
        let file = self.house.board.served();
        let served = self.standing_now();
        let durable = self.durable.load(Relaxed) && served.table == file.table;
        let text =
            |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|error| format!("the route table is no text: {error}"));
        let served = text(served.to_bytes().map_err(|mistakes| mistakes.to_string())?)?;
        let kept = bytes.map(text).transpose()?;
        Ok((listeners, lock, Word::Table { served, kept, foreign, durable }))
    }

    /// The table, with requests standing as they do.
    fn standing_now(&self) -> RouteFile {
        let served = self.house.board.served();
        let mut next = RouteFile::clone(&served);
        for name in served.table.repositories.keys() {
            let told = self.house.board.standing(name).map(|standing| standing.told()).unwrap_or_default();
            next.table = next.table.standing_so(name, told);
        }
        next
    }

    /// Another process is the proxy from now on: nothing is changed and nothing written here any more, and nothing new taken.
    pub(crate) async fn leaves(&self, mut doors: Turn<'_>) {
        self.ending.store(true, Relaxed);
        self.writes_no_more().await;
        for (_, door) in std::mem::take(&mut *doors) {
            door.close().await;
        }
    }

    /// Another process may write from now on.
    pub(crate) async fn writes_no_more(&self) {
        if let Err(refusal) = self.with_keeper(Keeper::leave).await {
            tracing::error!("{}", refusal.message);
        }
    }

    /// Serves what it has by the table of the process that took over.
    pub(crate) fn follows(&self, served: &str) {
        match RouteFile::from_bytes(served.as_bytes()) {
            Ok(file) => {
                let standing = file.table.standing.clone();
                self.house.board.replace(file).close();
                self.house.board.stand_as(&standing);
            }
            Err(mistakes) => tracing::error!("the table of the next process is not understood: {mistakes}"),
        }
    }

    /// Has processes before this one serve by the table of this moment.
    pub(crate) async fn tell_before(&self) {
        if !self.before.any() {
            return;
        }
        let Ok(Ok(served)) = self.standing_now().to_bytes().map(String::from_utf8) else { return };
        let before = Arc::clone(&self.before);
        if let Err(error) = tokio::task::spawn_blocking(move || before.each(&Word::Follow { served })).await {
            tracing::error!(%error, "a fault in turnout-proxy itself");
        }
    }

    /// Answers `status`, with what is open to processes before this one.
    pub(crate) async fn status_of_all(&self) -> Status {
        if !self.before.any() {
            return self.status();
        }
        let before = Arc::clone(&self.before);
        let others = tokio::task::spawn_blocking(move || before.each(&Word::Ask)).await;
        merged(self.status(), others.unwrap_or_default())
    }

    /// How this process stands.
    pub(crate) fn status(&self) -> Status {
        let (repositories, routes, leaving) = self.house.board.status();
        Status {
            serial: self.house.board.served().serial,
            origin: self.origin,
            durable: self.durable.load(Relaxed),
            ending: self.ending.load(Relaxed),
            connections: self.house.open.load(Relaxed),
            repositories,
            routes,
            leaving,
            held: self.house.board.standing_so(Standing::held),
            maintained: self.house.board.standing_so(Standing::maintained),
            certificates: self.house.certificates.status(),
            authority: self.house.certificates.authority().map(Box::new),
        }
    }

    /// Certificates that have changed on the disk are used from now on.
    pub(crate) async fn refresh_certificates(&self) {
        let (store, served) = (Arc::clone(&self.house.board.store), self.house.board.served());
        if let Err(error) = tokio::task::spawn_blocking(move || store.refresh(&served.table)).await {
            tracing::error!(%error, "a fault in turnout-proxy itself");
        }
    }

    /// Answers `authority`.
    pub(crate) async fn authority(&self, authority: Option<Authority>) -> Answer {
        // It is written to the disk, which one process does.
        let _doors = match self.turn().await {
            Ok(doors) => doors,
            Err(refusal) => return Answer::Refused(refusal),
        };
        let house = Arc::clone(&self.house);
        match tokio::task::spawn_blocking(move || house.certificates.agree(authority)).await {
            Ok(Ok(changed)) => Answer::Done { changed },
            Ok(Err(message)) => Answer::Refused(Refusal::new(Code::NotKept, message)),
            Err(error) => Answer::Refused(fault(&error)),
        }
    }

    /// Answers `try`.
    pub(crate) async fn tries(&self, listen: Vec<SocketAddr>, tls: Vec<Shown>) -> Answer {
        let mut mistakes = Mistakes::default();
        {
            let doors = match self.turn().await {
                Ok(doors) => doors,
                Err(refusal) => return Answer::Refused(refusal),
            };
            for (index, address) in listen.iter().enumerate().filter(|(_, address)| !doors.contains_key(*address)) {
                if let Err(error) = door::try_listen(*address) {
                    let mut message = not_listened(*address, &error, &doors);
                    if error.kind() == io::ErrorKind::AddrInUse && own_beside(*address, &doors).is_none() {
                        message.push_str("; end what has it (`ss -ltnp` and `docker ps` name it), or listen elsewhere");
                    }
                    mistakes.add(format!("listen[{index}]"), message);
                }
            }
        }
        let read = tokio::task::spawn_blocking(move || {
            let read = |Shown { files, hosts }: &Shown| tls::try_read(files, hosts);
            tls.iter().map(read).collect::<Vec<_>>()
        });
        match read.await {
            Ok(read) => {
                for (index, message) in read.into_iter().enumerate().filter_map(|(at, read)| Some((at, read.err()?))) {
                    mistakes.add(format!("tls[{index}]"), message);
                }
            }
            Err(error) => return Answer::Refused(fault(&error)),
        }
        match mistakes.unless_any(()) {
            Ok(()) => Answer::Done { changed: false },
            Err(mistakes) => Answer::Refused(Refusal::mistaken(mistakes)),
        }
    }

    /// Answers `metrics`.
    pub(crate) fn metrics(&self) -> String {
        metrics::text(&self.status(), self.house.access.as_ref().map_or(0, AccessLog::dropped))
    }

    /// Answers `counters`.
    pub(crate) fn counters(&self, repository: &str) -> Answer {
        match self.house.board.counters(repository, self.began) {
            Some(counters) => Answer::Counters(counters),
            None => Answer::Refused(unknown(repository)),
        }
    }

    /// Answers `hold` and `resume`.
    pub(crate) async fn hold(self: &Arc<Self>, repository: String, held: bool) -> Answer {
        self.stand(repository, if held { "held" } else { "let through" }, |standing| standing.hold(held)).await
    }

    /// Answers `maintain`.
    pub(crate) async fn maintain(self: &Arc<Self>, repository: String, page: Option<Maintained>) -> Answer {
        let word = if page.is_some() { "answered by a page" } else { "answered by its containers" };
        self.stand(repository, word, |standing| standing.maintain(page)).await
    }

    /// It is so first, and kept then: a full disk must not keep requests waiting.
    async fn stand(self: &Arc<Self>, repository: String, word: &str, change: impl FnOnce(&Standing) -> bool) -> Answer {
        let Some(standing) = self.house.board.standing(&repository) else {
            return Answer::Refused(unknown(&repository));
        };
        if self.ending.load(Relaxed) {
            return Answer::Refused(ends());
        }
        let changed = change(&standing);
        if changed {
            tracing::info!("{repository}: requests are {word} from now on");
        }
        let changer = Arc::clone(self);
        let kept = within(async move {
            let kept = changer.keep_standing(&repository).await;
            changer.tell_before().await;
            kept
        });
        match kept.await {
            Ok(_) => Answer::Done { changed },
            // The process that took over in this moment has not heard of it, and says how requests stand here as well.
            Err(refusal) if refusal.code == Code::Ending => Answer::Refused(refusal),
            Err(Refusal { message, .. }) => {
                let message = format!("requests are {word}, but a proxy that starts anew would not know: {message}");
                Answer::Refused(Refusal::new(Code::NotDurable, message))
            }
        }
    }

    /// Sees that the route file says how a repository's requests stand at this moment.
    async fn keep_standing(&self, repository: &str) -> Changed {
        let _doors = self.turn().await?;
        let (served, standing) = (self.house.board.served(), self.house.board.standing(repository));
        let told = standing.map(|standing| standing.told()).unwrap_or_default();
        let table = served.table.standing_so(repository, told);
        if table == served.table && self.durable.load(Relaxed) {
            return Ok((served.serial, false));
        }
        let next = RouteFile { serial: served.serial + 1, table };
        let bytes = next.to_bytes().map_err(Refusal::mistaken)?;
        let serial = next.serial;
        let not_durable = self.write(bytes, false).await?;
        self.house.board.kept(next);
        self.told_durable(not_durable)?;
        Ok((serial, true))
    }

    /// Answers `apply`.
    pub(crate) async fn apply(self: &Arc<Self>, repository: String, wanted: Repository) -> Answer {
        let changer = Arc::clone(self);
        in_time(async move { changer.apply_now(&repository, wanted).await }).await
    }

    /// Answers `reload`.
    pub(crate) async fn reload(self: &Arc<Self>) -> Answer {
        let changer = Arc::clone(self);
        in_time(async move { changer.reload_now().await }).await
    }

    /// Takes no connections and no changes any more.
    pub(crate) async fn end(&self) {
        self.ending.store(true, Relaxed);
        let Ok(mut doors) = timeout(TURN, self.doors.lock()).await else {
            tracing::error!("a change is still under way; is the disk stuck?");
            return;
        };
        for (_, door) in std::mem::take(&mut *doors) {
            door.close().await;
        }
    }

    /// Waits for a change that is under way.
    ///
    /// # Errors
    /// It takes too long, or nothing is changed here any more.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, Refusal> {
        let busy = || Refusal::new(Code::Busy, "another change is still under way; ask again");
        let doors = timeout(TURN, self.doors.lock()).await.map_err(|_| busy())?;
        if self.ending.load(Relaxed) {
            return Err(ends());
        }
        Ok(doors)
    }

    async fn apply_now(&self, name: &str, wanted: Repository) -> Changed {
        let mut doors = self.turn().await?;
        let served = self.house.board.served();
        let (generation, revision) = wanted.age();
        let count = counted(wanted.routes.len(), "route");
        let next = match served.table.replace(name, wanted)? {
            Replaced::Same if self.durable.load(Relaxed) => return Ok((served.serial, false)),
            // It is served already; only the disk has not said that it has it.
            Replaced::Same => served.table.clone(),
            Replaced::New(table) => table,
        };
        let next = RouteFile { serial: served.serial + 1, table: next };
        let bytes = next.to_bytes().map_err(Refusal::mistaken)?;
        let serial = next.serial;
        self.commit(&mut doors, next, bytes, Some(name.to_owned())).await?;
        tracing::info!("{name}: generation {generation}, revision {revision} is served ({count}; serial {serial})");
        Ok((serial, true))
    }

    async fn reload_now(&self) -> Changed {
        let mut doors = self.turn().await?;
        let read = self.with_keeper(Keeper::read_again).await?;
        let (bytes, next) = read.map_err(|(file, mistakes)| {
            let refusal = Refusal::mistaken(mistakes);
            Refusal { message: format!("{}: {}", file.display(), refusal.message), ..refusal }
        })?;
        let served = self.house.board.served();
        if next == *served {
            return Ok((served.serial, false));
        }
        if next.serial < served.serial {
            let message = format!("the route file has serial {}, and {} is served", next.serial, served.serial);
            return Err(Refusal::new(Code::Older, message));
        }
        follows(&served.table, &next.table).map_err(|mistakes| {
            let refusal = Refusal::mistaken(mistakes);
            Refusal { code: Code::Older, ..refusal }
        })?;
        let serial = next.serial;
        let standing = next.table.standing.clone();
        self.commit(&mut doors, next, bytes, None).await?;
        self.house.board.stand_as(&standing);
        self.tell_before().await;
        tracing::info!("the route file was read again: serial {serial} is served");
        Ok((serial, true))
    }

    /// See the module. `only`: whose routes have changed; without it the file on the disk is the one that is to be written.
    async fn commit(
        &self,
        doors: &mut BTreeMap<SocketAddr, Door>,
        next: RouteFile,
        bytes: Vec<u8>,
        only: Option<String>,
    ) -> Result<(), Refusal> {
        let there = only.is_none();
        let wanted = places(&next.table);
        let mut listeners: Vec<(SocketAddr, Place, Option<TcpListener>)> = Vec::new();
        dies::here("before", "listening");
        for (address, place) in wanted.iter().filter(|(address, _)| !doors.contains_key(address)) {
            let listener = match door::listen(*address) {
                Err(error) if place.may_wait => {
                    tracing::info!("{address} is another program's still ({error}): another port stands in for it");
                    None
                }
                listener => Some(listener.map_err(|error| cannot_listen(*address, &error, doors))?),
            };
            listeners.push((*address, *place, listener));
        }
        dies::here("after", "listening");
        let (store, table) = (Arc::clone(&self.house.board.store), next.table.clone());
        let loaded = tokio::task::spawn_blocking(move || store.load(&table, only.as_deref()))
            .await
            .map_err(|error| fault(&error))?;
        loaded.map_err(Refusal::mistaken)?;
        let not_durable = self.write(bytes, there).await?;
        // What came before this moment has the old table.
        for address in doors.keys().filter(|address| !wanted.contains_key(address)).copied().collect::<Vec<_>>() {
            if let Some(door) = doors.remove(&address) {
                door.close().await;
            }
        }
        if *self.house.main.borrow() {
            handed::tell(&next);
        }
        self.house.certificates.tell(&next);
        dies::here("before", "moving the routes");
        let since = Instant::now();
        let left = self.house.board.replace(next);
        let (at, micros) = (micros_since_1970(), since.elapsed().as_micros());
        left.close();
        dies::here("after", "moving the routes");
        tracing::debug!(at, micros, "the routes have moved");
        for (address, place, listener) in listeners {
            doors.insert(address, Door::open(address, place, listener, Arc::clone(&self.house)));
        }
        self.tell_before().await;
        self.told_durable(not_durable)
    }

    /// Writes the route file; what is said where the disk does not say that it has it.
    async fn write(&self, bytes: Vec<u8>, there: bool) -> Result<Option<String>, Refusal> {
        let written = self.with_keeper(move |keeper| {
            if there {
                keeper.accept();
            }
            keeper.write(&bytes)
        });
        match written.await? {
            Ok(()) => Ok(None),
            Err(NotWritten::Nothing(message)) => {
                Err(Refusal::new(Code::NotKept, format!("{message}. Nothing was changed")))
            }
            Err(NotWritten::NotDurable(message)) => Ok(Some(message)),
        }
    }

    fn told_durable(&self, not_durable: Option<String>) -> Result<(), Refusal> {
        self.durable.store(not_durable.is_none(), Relaxed);
        match not_durable {
            None => Ok(()),
            Some(message) => {
                tracing::error!("{message}");
                Err(Refusal::new(Code::NotDurable, message))
            }
        }
    }

    /// Work with the disk, beside the runtime.
    async fn with_keeper<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let keeper = Arc::clone(&self.keeper);
        let done =
            tokio::task::spawn_blocking(move || work(&mut keeper.lock().unwrap_or_else(PoisonError::into_inner)));
        done.await.map_err(|error| fault(&error))
    }
}

/// A change goes on to its end, whoever waits for it: half of one would be worse than none.
async fn within(change: impl Future<Output = Changed> + Send + 'static) -> Changed {
    match timeout(COMMIT, tokio::spawn(change)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Err(fault(&error)),
        Err(_) => {
            let message =
                format!("it is not done after {COMMIT:?}; is the disk stuck? ask again: the answer will show");
            Err(Refusal::new(Code::Unknown, message))
        }
    }
}

async fn in_time(change: impl Future<Output = Changed> + Send + 'static) -> Answer {
    match within(change).await {
        Ok((serial, changed)) => Answer::Applied { serial, changed },
        Err(refusal) => Answer::Refused(refusal),
    }
}

/// By the clock as it is set.
#[expect(clippy::disallowed_methods, reason = "what a line of the log says")]
fn micros_since_1970() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros())
}

fn ends() -> Refusal {
    Refusal::new(Code::Ending, "the proxy ends and changes nothing any more; ask the next one")
}

fn fault(error: &tokio::task::JoinError) -> Refusal {
    Refusal::new(Code::Unknown, format!("a fault in turnout-proxy itself: {error}"))
}

fn unknown(repository: &str) -> Refusal {
    Refusal::new(Code::Mistaken, format!("{repository} is not known here; apply its routes first"))
}

/// Where is listened, and for what.
fn places(table: &Table) -> BTreeMap<SocketAddr, Place> {
    let routes = table.repositories.values().flat_map(|repository| &repository.routes);
    let mut places = BTreeMap::new();
    for Route { listen, .. } in routes.clone() {
        places.insert(*listen, Place { serves: *listen, may_wait: false });
    }
    for route in routes {
        let Some(stand_in) = route.stand_in() else { continue };
        match route.yields {
            true => drop(places.remove(&route.listen)),
            false => drop(places.insert(route.listen, Place { serves: route.listen, may_wait: true })),
        }
        places.insert(stand_in, Place { serves: route.listen, may_wait: false });
    }
    places
}

fn taken_over(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn cannot_listen(address: SocketAddr, error: &io::Error, doors: &BTreeMap<SocketAddr, Door>) -> Refusal {
    Refusal::new(Code::CannotListen, format!("{}. Nothing was changed", not_listened(address, error, doors)))
}

/// Where is listened already on the same port.
fn own_beside(address: SocketAddr, doors: &BTreeMap<SocketAddr, Door>) -> Option<SocketAddr> {
    doors.keys().find(|door| door.port() == address.port() && door.is_ipv4() == address.is_ipv4()).copied()
}

fn not_listened(address: SocketAddr, error: &io::Error, doors: &BTreeMap<SocketAddr, Door>) -> String {
    let hint = match own_beside(address, doors) {
        Some(door) => format!("; {door} is listened on until this change: take that route away first"),
        None => String::new(),
    };
    format!("cannot listen on {address}: {error}{hint}")
}
