//! Certificates that are obtained by ACME, and renewed: which hosts want one, when each is due, and how the last try went. On
//! a thread of its own, which begins when a route wants one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::sleep,
};
use turnout_acme::{AcmeError, Files, Kind, Record, Session, Settings, due, now, obtain};
use turnout_traffic::{Authority, Challenge, Protocol, RouteFile, Table, Tls, control::CertificateStatus, spot::Host};

use crate::{
    challenges::Challenges,
    tls::{NOT_AGREED, Store},
};

/// The folder inside the state directory.
const FOLDER: &str = "acme";
/// Orders at a time.
const AT_A_TIME: usize = 4;
/// Longest time without a look at what is due, in seconds: clocks are set.
const LOOK: i64 = 3_600;
/// Shortest and longest time after which a certificate that has just come is asked for anew, whatever it says of itself, in seconds.
const REST: (i64, i64) = (5, 3_600);

/// See the module.
#[derive(Debug)]
pub(crate) struct Certificates {
    shared: Arc<Shared>,
    want: watch::Sender<Want>,
    /// None: it runs.
    waits: Mutex<Option<watch::Receiver<Want>>>,
    /// Turns true when its thread is to end.
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    files: Files,
    store: Arc<Store>,
    challenges: Challenges,
    again: Notify,
    told: Mutex<BTreeMap<String, CertificateStatus>>,
}

/// What is wanted of whom.
#[derive(Debug, Clone, Default)]
struct Want {
    hosts: Arc<BTreeMap<String, Heard>>,
    /// None: nobody has agreed to the terms of any.
    authority: Option<Arc<Authority>>,
}

/// Whether a listener has the port where an authority asks for a proof of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    on_443: bool,
    on_80: bool,
}

impl Heard {
    /// A host whose route listens on port 443 is proven there, if nothing else is said.
    fn kind(self, said: Option<Challenge>) -> Kind {
        match said {
            Some(Challenge::Http) => Kind::Http,
            Some(Challenge::TlsAlpn) => Kind::TlsAlpn,
            None if self.on_443 => Kind::TlsAlpn,
            None => Kind::Http,
        }
    }

    /// What may be the reason that a host could not be proven in this way.
    fn hint(self, kind: Kind) -> &'static str {
        match kind {
            Kind::Http if !self.on_80 => "; no route here listens on port 80, where http-01 is asked for",
            Kind::TlsAlpn if !self.on_443 => {
                "; no route of this host listens on port 443, where tls-alpn-01 is asked for"
            }
            _ => "",
        }
    }
}

impl Certificates {
    /// In this state directory, from where it was kept that one may be asked.
    pub(crate) fn new(state: &Path) -> Certificates {
        let files = Files::of(state.join(FOLDER));
        let at = files.clone();
        let obtained = Box::new(move |host: &str| at.certificate(host));
        let kept: Result<Option<Option<Authority>>, String> = files.settings();
        let authority = kept.map(Option::flatten).unwrap_or_else(|message| {
            tracing::error!("{message}; no certificate is obtained before turnout says anew where");
            None
        });
        let store = Arc::new(Store::new(authority.is_some(), obtained));
        let (want, waits) = watch::channel(Want { authority: authority.map(Arc::new), ..Want::default() });
        let shared =
            Shared { files, store, challenges: Challenges::default(), again: Notify::new(), told: Mutex::default() };
        let waits = Mutex::new(Some(waits));
        Certificates {
            shared: Arc::new(shared),
            want,
            waits,
            stop: watch::Sender::new(false),
            thread: Mutex::default(),
        }
    }

    /// What listeners show.
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.shared.store)
    }

    pub(crate) fn challenges(&self) -> &Challenges {
        &self.shared.challenges
    }

    /// Whose are obtained.
    pub(crate) fn authority(&self) -> Option<Authority> {
        self.want.borrow().authority.as_deref().cloned()
    }

    /// They are obtained there from now on; it is kept first. Whether that changed anything. It waits for the disk.
    pub(crate) fn agree(&self, authority: Option<Authority>) -> Result<bool, String> {
        if self.authority() == authority {
            return Ok(false);
        }
        self.shared.files.keep_settings(&authority).map_err(|error| format!("{error}. Nothing was changed"))?;
        match &authority {
            Some(authority) => tracing::info!("certificates are obtained from {} from now on", authority.directory),
            None => tracing::info!("no certificates are obtained any more; those that are there are used on"),
        }
        self.shared.store.may_obtain(authority.is_some());
        self.want.send_modify(|want| want.authority = authority.map(Arc::new));
        Ok(true)
    }

    /// Another table is served.
    pub(crate) fn tell(&self, served: &RouteFile) {
        let hosts = wanted(&served.table);
        let none = hosts.is_empty();
        self.want.send_if_modified(|want| {
            let changed = *want.hosts != hosts;
            want.hosts = Arc::new(hosts);
            changed
        });
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if none || waits.is_none() {
            return;
        }
        let Some(receiver) = waits.take() else { return };
        let (shared, mut stop) = (Arc::clone(&self.shared), self.stop.subscribe());
        let started = std::thread::Builder::new().name("certificates".to_owned()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(async {
                    tokio::select! {
                        () = work(&shared, receiver) => {}
                        _ = stop.wait_for(|stop| *stop) => {}
                    }
                }),
                Err(error) => tracing::error!("certificates cannot be obtained: {error}"),
            }
        });
        match started {
            Ok(thread) => *self.thread() = Some(thread),
            Err(error) => tracing::error!("certificates cannot be obtained: their thread does not start: {error}"),
        }
    }

    /// None is obtained from now on: what is under way is broken off, as at an end of the process, and nothing of it is written any
    /// more. It waits: not for a thread of the runtime.
    pub(crate) fn rest(&self) {
        self.stop.send_replace(true);
        let thread = self.thread().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a fault in turnout-proxy itself: the thread of certificates ended by a panic");
        }
    }

    /// They are obtained again.
    pub(crate) fn go_on(&self, served: &RouteFile) {
        self.stop.send_replace(false);
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.want.subscribe());
        self.tell(served);
    }

    fn thread(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What failed is tried again at once, but for what an authority forbids.
    pub(crate) fn again(&self) {
        self.shared.again.notify_one();
    }

    /// How each host's certificate stands, for the answer to `status`.
    pub(crate) fn status(&self) -> Vec<CertificateStatus> {
        self.shared.told().values().cloned().collect()
    }
}

/// Which hosts of a table want one, and where their proofs would be asked for.
fn wanted(table: &Table) -> BTreeMap<String, Heard> {
    let routes = || table.repositories.values().flat_map(|repository| &repository.routes);
    let on_80 =
        routes().any(|route| route.listen.port() == 80 && matches!(route.protocol, Protocol::Http | Protocol::H2c));
    let mut hosts: BTreeMap<String, Heard> = BTreeMap::new();
    for route in routes().filter(|route| route.tls == Some(Tls::Acme)) {
        for host in &route.hosts {
            let Host::Exact(name) = host else { continue };
            let heard = hosts.entry(name.clone()).or_insert(Heard { on_443: false, on_80 });
            heard.on_443 |= route.listen.port() == 443;
        }
    }
    hosts
}

/// How one try ended.
struct Tried {
    host: String,
    record: Record,
    outcome: Result<(), AcmeError>,
}

/// Until the process ends.
async fn work(shared: &Arc<Shared>, mut wanted: watch::Receiver<Want>) {
    let mut session: Option<Session> = None;
    let mut asked: Option<Arc<Authority>> = None;
    let mut records: BTreeMap<String, Record> = BTreeMap::new();
    let mut under_way: BTreeSet<String> = BTreeSet::new();
    let mut tries: JoinSet<Tried> = JoinSet::new();
    let mut whose: HashMap<tokio::task::Id, String> = HashMap::new();
    let mut begins = true;
    loop {
        let Want { hosts, authority } = wanted.borrow_and_update().clone();
        if asked != authority {
            // Whom it may write to is told when it is opened.
            session = None;
            asked.clone_from(&authority);
        }
        records.retain(|host, _| hosts.contains_key(host) || under_way.contains(host));
        for host in hosts.keys().filter(|host| !records.contains_key(*host)).cloned().collect::<Vec<_>>() {
            let mut record = shared.files.record(&host).unwrap_or_else(|message| {
                tracing::error!("{message}");
                Record::default()
            });
            // Somebody has just written it into a route: it may be tried at once. That this process begins is no reason.
            if !begins {
                due::again(&mut record);
            }
            records.insert(host, record);
        }
        begins = false;
        let now = now();
        let mut next = now + LOOK;
        let mut due_now = Vec::new();
        let directory = authority.as_deref().map(|authority| authority.directory.clone()).unwrap_or_default();
        if let Some(authority) = &authority {
            for (host, record) in records.iter().filter(|(host, _)| hosts.contains_key(*host)) {
                let at = shared.due(host, record, &directory);
                match at <= now {
                    true if under_way.contains(host) => {}
                    true => due_now.push(host.clone()),
                    false => next = next.min(at),
                }
            }
            due_now.truncate(AT_A_TIME.saturating_sub(tries.len()));
            if session.is_none() && !due_now.is_empty() {
                match Session::open(&settings(authority), &shared.files).await {
                    Ok(opened) => session = Some(opened),
                    // None of them can be tried.
                    Err(error) => {
                        for host in std::mem::take(&mut due_now) {
                            let record = records.remove(&host).unwrap_or_default();
                            let record = shared.failed(&host, record, &directory, "", &error);
                            records.insert(host, record);
                        }
                        next = now;
                    }
                }
            }
        }
        for host in due_now {
            let (Some(session), Some(heard), Some(record)) = (&session, hosts.get(&host), records.get(&host)) else {
                continue;
            };
            let kind = heard.kind(authority.as_ref().and_then(|authority| authority.challenge));
            let (shared, session, mut record) = (Arc::clone(shared), session.clone(), record.clone());
            under_way.insert(host.clone());
            let of = host.clone();
            let started = tries.spawn(async move {
                let outcome = obtain(&session, &shared.files, &host, kind, &shared.challenges, &mut record).await;
                Tried { host, record, outcome }
            });
            whose.insert(started.id(), of);
        }
        shared.tell(&hosts, &records, &under_way, authority.as_deref());
        let until = Duration::from_secs(u64::try_from(next - now).unwrap_or(0));
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            Some(tried) = tries.join_next_with_id() => {
                let (id, Tried { host, record, outcome }) = match tried {
                    Ok(tried) => tried,
                    Err(error) => {
                        let host = whose.get(&error.id()).cloned().unwrap_or_default();
                        let outcome = Err(AcmeError::Here(format!("a fault in turnout-proxy itself: {error}")));
                        let record = records.remove(&host).unwrap_or_default();
                        (error.id(), Tried { host, record, outcome })
                    }
                };
                whose.remove(&id);
                under_way.remove(&host);
                if !matches!(outcome, Ok(()) | Err(AcmeError::NotProven(_) | AcmeError::Undecided(_) | AcmeError::Bounded(_))) {
                    // The account or the directory may be others by now.
                    session = None;
                }
                // Of the authority that was asked, which may be another one by now.
                let directory = record.directory.clone();
                let record = match outcome {
                    Ok(()) => shared.obtained(&host, record),
                    Err(error) => {
                        let said = authority.as_ref().and_then(|authority| authority.challenge);
                        let hint = hosts.get(&host).map_or("", |heard| heard.hint(heard.kind(said)));
                        shared.failed(&host, record, &directory, hint, &error)
                    }
                };
                records.insert(host, record);
            },
            () = shared.again.notified() => records.values_mut().for_each(due::again),
            () = sleep(until) => {}
        }
    }
}

/// As the client wants them.
fn settings(authority: &Authority) -> Settings {
    let Authority { directory, contact, trust, .. } = authority;
    Settings {
        directory: directory.clone(),
        contact: contact.iter().map(|address| format!("mailto:{address}")).collect(),
        authority: trust.as_ref().map(PathBuf::from),
    }
}

impl Shared {
    fn told(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, CertificateStatus>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the one that is used counts.
    fn there(&self, host: &str) -> Option<due::Lifetime> {
        self.files.lifetime(host).filter(|_| self.store.is_obtained(host))
    }

    /// When a host's certificate is to be obtained.
    fn due(&self, host: &str, record: &Record, directory: &str) -> i64 {
        due::at(self.there(host), record, directory)
    }

    fn tell(
        &self,
        hosts: &BTreeMap<String, Heard>,
        records: &BTreeMap<String, Record>,
        under_way: &BTreeSet<String>,
        authority: Option<&Authority>,
    ) {
        let told = hosts.keys().filter_map(|host| {
            let record = records.get(host)?;
            let there = self.there(host);
            let status = CertificateStatus {
                host: host.clone(),
                begins: there.map(|there| there.from),
                ends: there.map(|there| there.to),
                next: authority.map(|authority| due::at(there, record, &authority.directory)),
                under_way: under_way.contains(host),
                failures: record.failures,
                said: if authority.is_some() { record.said.clone() } else { Some(NOT_AGREED.to_owned()) },
            };
            Some((host.clone(), status))
        });
        *self.told() = told.collect();
    }

    /// A certificate is in its place: it is used from now on.
    fn obtained(&self, host: &str, mut record: Record) -> Record {
        self.store.look(host);
        let now = now();
        match self.there(host) {
            Some(there) if there.renewal() > now => {
                let rest = ((there.to - there.from) / 100).clamp(REST.0, REST.1);
                record.not_before = now + rest;
                let (days, directory) = ((there.to - now) / 86_400, &record.directory);
                tracing::info!("the certificate of {host} was obtained from {directory}; it counts for {days} days");
            }
            Some(_) => {
                let words = "what came is to be renewed already: is the clock right?";
                due::failed(&mut record, now, words.to_owned(), None);
                tracing::error!("the certificate of {host}: {words}");
            }
            None => {
                due::failed(&mut record, now, "what came cannot be used; the log says why".to_owned(), None);
            }
        }
        self.keep(host, record)
    }

    fn failed(&self, host: &str, mut record: Record, directory: &str, hint: &str, error: &AcmeError) -> Record {
        if record.directory != directory {
            // An order of another authority is nothing to go on with.
            record = Record { directory: directory.to_owned(), ..Record::default() };
        }
        let hint = if matches!(error, AcmeError::NotProven(_)) { hint } else { "" };
        let words = format!("{error}{hint}");
        let now = now();
        due::failed(&mut record, now, words.clone(), error.retry_after());
        let pause = record.not_before - now;
        let uses = if self.store.is_obtained(host) { "the one that is there is used on" } else { "it has none" };
        tracing::error!("the certificate of {host} was not obtained ({uses}); tried again in {pause} s: {words}");
        self.keep(host, record)
    }

    fn keep(&self, host: &str, record: Record) -> Record {
        if let Err(error) = self.files.keep(host, &record) {
            tracing::error!("{error}; a proxy that starts anew tries at once");
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use turnout_traffic::{Repository, Route};

    use super::*;

    #[test]
    fn a_host_is_proven_where_its_routes_listen() {
        let route = |port: u16, hosts: &[&str], tls: Option<Tls>| Route {
            hosts: hosts.iter().map(|host| Host::read(host).unwrap()).collect(),
            tls,
            ..Route::new(([0, 0, 0, 0], port).into(), Protocol::Http, Vec::new())
        };
        let table = |routes: Vec<Route>| {
            let repository = Repository { generation: 1, revision: 0, routes };
            Table { repositories: [("shop".to_owned(), repository)].into(), ..Table::default() }
        };
        let acme = Some(Tls::Acme);
        let both = wanted(&table(vec![
            route(8443, &["a.example", "b.example"], acme.clone()),
            route(443, &["b.example"], acme.clone()),
            route(80, &["c.example"], None),
        ]));
        assert_eq!(both.keys().collect::<Vec<_>>(), ["a.example", "b.example"]);
        let [a, b] = ["a.example", "b.example"].map(|host| both[host]);
        assert_eq!([a.kind(None), b.kind(None)], [Kind::Http, Kind::TlsAlpn]);
        assert_eq!([a.hint(Kind::Http), b.hint(Kind::TlsAlpn)], ["", ""]);
        assert_eq!(b.kind(Some(Challenge::Http)), Kind::Http);
        assert!(a.hint(a.kind(Some(Challenge::TlsAlpn))).contains("port 443"));
        let alone = wanted(&table(vec![route(8443, &["a.example"], acme)]));
        assert!(alone["a.example"].hint(Kind::Http).contains("port 80"));
        assert!(wanted(&table(vec![route(443, &["a.example"], None)])).is_empty());
    }
}
