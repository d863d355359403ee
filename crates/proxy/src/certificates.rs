//! Certificates that are obtained by ACME, and renewed: which hosts want one, when each is due, and how the last try went. On
//! a thread of its own, which begins when a route wants one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::sleep,
};
use turnout_acme::{AcmeError, Files, Kind, Record, Session, Settings, due, obtain};
use turnout_traffic::{Protocol, RouteFile, Table, Tls, control::CertificateStatus, spot::Host};

use crate::{challenges::Challenges, tls::Store};

/// The folder inside the state directory.
const FOLDER: &str = "acme";
/// Orders at a time.
const AT_A_TIME: usize = 4;
/// Longest time without a look at what is due, in seconds: clocks are set.
const LOOK: i64 = 3_600;
/// Shortest and longest time after which a certificate that has just come is asked for anew, whatever it says of itself, in seconds.
const REST: (i64, i64) = (5, 3_600);

/// What the user said.
#[derive(Debug, Clone)]
pub(crate) struct Agreed {
    pub(crate) settings: Settings,
    /// In which way hosts are proven; without it, by the port of their routes.
    pub(crate) challenge: Option<Kind>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Certificates {
    shared: Arc<Shared>,
    hosts: watch::Sender<Hosts>,
    /// None: it runs.
    waits: Mutex<Option<watch::Receiver<Hosts>>>,
}

#[derive(Debug)]
struct Shared {
    agreed: Option<Agreed>,
    files: Files,
    store: Arc<Store>,
    challenges: Challenges,
    again: Notify,
    told: Mutex<BTreeMap<String, CertificateStatus>>,
}

/// Hosts that want a certificate, and how each is proven.
type Hosts = Arc<BTreeMap<String, Wanted>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    kind: Kind,
    /// Whether a listener has the port where that is asked for.
    heard: bool,
}

impl Certificates {
    /// In this state directory. Without an agreement none are obtained; those that are there are used.
    pub(crate) fn new(state: &Path, agreed: Option<Agreed>) -> Certificates {
        let files = Files::of(state.join(FOLDER));
        let at = files.clone();
        let obtained = Box::new(move |host: &str| at.certificate(host));
        let store = Arc::new(Store::new(agreed.is_some(), obtained));
        let (hosts, waits) = watch::channel(Hosts::default());
        let shared = Shared {
            agreed,
            files,
            store,
            challenges: Challenges::default(),
            again: Notify::new(),
            told: Mutex::default(),
        };
        Certificates { shared: Arc::new(shared), hosts, waits: Mutex::new(Some(waits)) }
    }

    /// What listeners show.
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.shared.store)
    }

    pub(crate) fn challenges(&self) -> &Challenges {
        &self.shared.challenges
    }

    /// Another table is served.
    pub(crate) fn tell(&self, served: &RouteFile) {
        let Some(agreed) = &self.shared.agreed else { return };
        let hosts = wanted(&served.table, agreed.challenge);
        let none = hosts.is_empty();
        self.hosts.send_if_modified(|known| {
            let changed = **known != hosts;
            *known = Arc::new(hosts);
            changed
        });
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if none || waits.is_none() {
            return;
        }
        let Some(receiver) = waits.take() else { return };
        let (shared, agreed) = (Arc::clone(&self.shared), agreed.clone());
        let started = std::thread::Builder::new().name("certificates".to_owned()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(work(&shared, &agreed, receiver)),
                Err(error) => tracing::error!("certificates cannot be obtained: {error}"),
            }
        });
        if let Err(error) = started {
            tracing::error!("certificates cannot be obtained: their thread does not start: {error}");
        }
    }

    /// What failed is tried again at once, but for what an authority forbids.
    pub(crate) fn again(&self) {
        self.shared.again.notify_one();
    }

    /// For `status`.
    pub(crate) fn status(&self) -> Vec<CertificateStatus> {
        self.shared.told().values().cloned().collect()
    }
}

/// Which hosts of a table want one. A host whose route listens on port 443 is proven there, if nothing else is said.
fn wanted(table: &Table, said: Option<Kind>) -> BTreeMap<String, Wanted> {
    let routes = || table.repositories.values().flat_map(|repository| &repository.routes);
    let acme = || routes().filter(|route| route.tls == Some(Tls::Acme));
    let on_80 =
        routes().any(|route| route.listen.port() == 80 && matches!(route.protocol, Protocol::Http | Protocol::H2c));
    let mut hosts = BTreeMap::new();
    for route in acme() {
        let on_443 = route.listen.port() == 443;
        for host in &route.hosts {
            let Host::Exact(name) = host else { continue };
            let at_443 = on_443 || acme().any(|other| other.listen.port() == 443 && other.hosts.contains(host));
            let kind = said.unwrap_or(if at_443 { Kind::TlsAlpn } else { Kind::Http });
            let heard = if kind == Kind::Http { on_80 } else { at_443 };
            hosts.insert(name.clone(), Wanted { kind, heard });
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
async fn work(shared: &Arc<Shared>, agreed: &Agreed, mut wanted: watch::Receiver<Hosts>) {
    let directory = &agreed.settings.directory;
    let mut session: Option<Session> = None;
    let mut records: BTreeMap<String, Record> = BTreeMap::new();
    let mut under_way = BTreeSet::new();
    let mut tries: JoinSet<Tried> = JoinSet::new();
    loop {
        let hosts = Arc::clone(&wanted.borrow_and_update());
        // One that comes to be wanted again finds what is on the disk, and may be tried at once.
        records.retain(|host, _| hosts.contains_key(host) || under_way.contains(host));
        for host in hosts.keys().filter(|host| !records.contains_key(*host)).cloned().collect::<Vec<_>>() {
            let mut record = shared.files.record(&host).unwrap_or_else(|message| {
                tracing::error!("{message}");
                Record::default()
            });
            due::again(&mut record);
            records.insert(host, record);
        }
        let now = now();
        let mut next = now + LOOK;
        let mut due_now = Vec::new();
        for (host, record) in records.iter().filter(|(host, _)| hosts.contains_key(*host)) {
            let at = shared.due(host, record, directory);
            match at <= now {
                true if under_way.contains(host) => {}
                true => due_now.push(host.clone()),
                false => next = next.min(at),
            }
        }
        due_now.truncate(AT_A_TIME.saturating_sub(tries.len()));
        if session.is_none() && !due_now.is_empty() {
            match Session::open(&agreed.settings, &shared.files).await {
                Ok(opened) => session = Some(opened),
                // None of them can be tried.
                Err(error) => {
                    for host in std::mem::take(&mut due_now) {
                        let record = records.remove(&host).unwrap_or_default();
                        let record = shared.failed(&host, record, directory, None, &error);
                        records.insert(host, record);
                    }
                    next = now;
                }
            }
        }
        for host in due_now {
            let (Some(session), Some(wanted), Some(record)) = (&session, hosts.get(&host), records.get(&host)) else {
                continue;
            };
            let (shared, session, kind, mut record) =
                (Arc::clone(shared), session.clone(), wanted.kind, record.clone());
            under_way.insert(host.clone());
            tries.spawn(async move {
                let outcome = obtain(&session, &shared.files, &host, kind, &shared.challenges, &mut record).await;
                Tried { host, record, outcome }
            });
        }
        shared.tell(&hosts, &records, &under_way, directory);
        let until = Duration::from_secs(u64::try_from(next - now).unwrap_or(0));
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            Some(tried) = tries.join_next() => match tried {
                Ok(Tried { host, record, outcome }) => {
                    under_way.remove(&host);
                    if !matches!(outcome, Ok(()) | Err(AcmeError::NotProven(_) | AcmeError::Undecided(_))) {
                        // The account or the directory may be others by now.
                        session = None;
                    }
                    let record = match outcome {
                        Ok(()) => shared.obtained(&host, record, directory),
                        Err(error) => shared.failed(&host, record, directory, hosts.get(&host).copied(), &error),
                    };
                    records.insert(host, record);
                }
                Err(error) => {
                    tracing::error!(%error, "a fault in turnout-proxy itself");
                    // Whose it was is not known: none of them is tried by this process again.
                }
            },
            () = shared.again.notified() => records.values_mut().for_each(due::again),
            () = sleep(until) => {}
        }
    }
}

impl Shared {
    fn told(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, CertificateStatus>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a host's certificate is to be obtained.
    fn due(&self, host: &str, record: &Record, directory: &str) -> i64 {
        let there = self.files.lifetime(host).filter(|_| self.store.is_obtained(host));
        due::at(there, record, directory)
    }

    fn tell(&self, hosts: &Hosts, records: &BTreeMap<String, Record>, under_way: &BTreeSet<String>, directory: &str) {
        let told = hosts.keys().filter_map(|host| {
            let record = records.get(host)?;
            let ends = self.files.lifetime(host).filter(|_| self.store.is_obtained(host)).map(|there| there.to);
            let status = CertificateStatus {
                host: host.clone(),
                ends,
                next: self.due(host, record, directory),
                under_way: under_way.contains(host),
                failures: record.failures,
                said: record.said.clone(),
            };
            Some((host.clone(), status))
        });
        *self.told() = told.collect();
    }

    /// A certificate is in its place: it is used from now on.
    fn obtained(&self, host: &str, mut record: Record, directory: &str) -> Record {
        self.store.look(host);
        let now = now();
        let there = self.files.lifetime(host).filter(|_| self.store.is_obtained(host));
        match there {
            Some(there) if there.renewal() > now => {
                let rest = ((there.to - there.from) / 100).clamp(REST.0, REST.1);
                record.not_before = now + rest;
                let days = (there.to - now) / 86_400;
                tracing::info!("the certificate of {host} was obtained from {directory}; it counts for {days} days");
            }
            Some(_) => {
                due::failed(
                    &mut record,
                    now,
                    "what came is to be renewed already: is the clock right?".to_owned(),
                    None,
                );
                tracing::error!("the certificate of {host} is to be renewed already: is the clock right?");
            }
            None => {
                due::failed(&mut record, now, "what came cannot be used; the log says why".to_owned(), None);
            }
        }
        self.keep(host, record)
    }

    fn failed(&self, host: &str, mut record: Record, directory: &str, of: Option<Wanted>, error: &AcmeError) -> Record {
        record.directory = directory.to_owned();
        let hint = match (error, of) {
            (AcmeError::NotProven(_), Some(Wanted { kind: Kind::Http, heard: false })) => {
                "; no route here listens on port 80, where http-01 is asked for"
            }
            (AcmeError::NotProven(_), Some(Wanted { kind: Kind::TlsAlpn, heard: false })) => {
                "; no route of this host listens on port 443, where tls-alpn-01 is asked for"
            }
            _ => "",
        };
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

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// What the command line says, if it is enough.
pub(crate) fn agreed(said: crate::args::Acme) -> Option<Agreed> {
    let crate::args::Acme { agree_terms, directory, contact, authority, challenge } = said;
    let authority: Option<PathBuf> = authority;
    agree_terms.then_some(Agreed { settings: Settings { directory, contact, authority }, challenge })
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
        let both = table(vec![
            route(8443, &["a.example", "b.example"], acme.clone()),
            route(443, &["b.example"], acme.clone()),
            route(80, &["c.example"], None),
        ]);
        let of = |kind, heard| Wanted { kind, heard };
        let names = |a, b| BTreeMap::from([("a.example".to_owned(), a), ("b.example".to_owned(), b)]);
        assert_eq!(wanted(&both, None), names(of(Kind::Http, true), of(Kind::TlsAlpn, true)));
        assert_eq!(wanted(&both, Some(Kind::TlsAlpn)), names(of(Kind::TlsAlpn, false), of(Kind::TlsAlpn, true)));
        let alone = table(vec![route(8443, &["a.example"], acme)]);
        assert_eq!(wanted(&alone, None)["a.example"], of(Kind::Http, false));
        assert!(wanted(&table(vec![route(443, &["a.example"], None)]), None).is_empty());
    }
}
