//! What is said over the control socket: one JSON object a line, one answer a request, in order.
//!
//! ```json
//! {"version":1,"request":"apply","repository":"shop","generation":8,"revision":0,"routes":[…]}
//! {"version":1,"answer":"applied","serial":13,"changed":true}
//! ```
//!
//! An apply may be sent again: the same one is answered as the first time. Who got no answer asks again, and does not guess.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{
    authority::Authority,
    bounds,
    check::{self, Placed},
    mistake::{Mistakes, quoted},
    reading::Reading,
    spot::Host,
    table::{CertificateFiles, Repository, Route},
    tree::{Tree, parsed},
};

pub use crate::counters::{ColourCounters, Counters, Failures, HttpCounts, LATENCY_MILLIS, Mirrored, RouteCounters};

/// Version of what is said here. Another one is refused, by both sides.
pub const VERSION: u64 = 1;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// One repository's routes are to be these, all at once, and to stay so.
    Apply {
        /// Its name in `repos.yaml`.
        repository: String,
        /// All that it has.
        wanted: Repository,
    },
    /// The route file is to be read again; somebody replaced it.
    Reload,
    /// A new process of the program is to take over, with all listeners, and this one to serve what it has to its end.
    /// [`Code::NotRenewed`] says that this one serves on.
    Renew,
    /// What is served, and how much is open.
    Status,
    /// The same in figures, as Prometheus reads them.
    Metrics,
    /// What is counted of one repository's `http` routes.
    Counters {
        /// Its name in `repos.yaml`.
        repository: String,
    },
    /// Requests to a repository's `http` routes are to wait, until [`Request::Resume`]. Those in flight go on. It is so at once,
    /// and kept: a proxy that starts anew holds them too. [`Code::NotDurable`] says that it is so, and not kept.
    Hold {
        /// Its name in `repos.yaml`.
        repository: String,
    },
    /// They are to go on.
    Resume {
        /// Its name in `repos.yaml`.
        repository: String,
    },
    /// Requests to a repository's `http` routes are to be answered by a page that says so, or no longer. It is kept as
    /// a hold is.
    Maintain {
        /// Its name in `repos.yaml`.
        repository: String,
        /// Whether from now on, or no longer.
        on: bool,
        /// The page, in HTML; without one a line of text is answered.
        page: Option<String>,
    },
    /// Whether it could be served so: nothing is changed. What could not is refused, each in a mistake with its path.
    Try {
        /// Addresses that would be listened on.
        listen: Vec<SocketAddr>,
        /// Files with certificates that would be read.
        tls: Vec<Shown>,
    },
    /// Certificates of routes with [`crate::Tls::Acme`] are to be obtained there from now on, or, without one, no longer. It is kept,
    /// and those that are there are used on.
    Authority {
        /// Whose terms somebody agreed to.
        authority: Option<Authority>,
    },
}

/// A certificate that would be shown to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Where it is.
    #[serde(flatten)]
    pub files: CertificateFiles,
    /// Hosts that it has to name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
}

/// As [`Request`] is written.
#[derive(Serialize)]
#[serde(tag = "request", rename_all = "snake_case")]
enum Written<'r> {
    Apply {
        repository: &'r str,
        generation: u64,
        revision: u64,
        routes: &'r [Route],
    },
    Reload,
    Renew,
    Status,
    Metrics,
    Counters {
        repository: &'r str,
    },
    Hold {
        repository: &'r str,
    },
    Resume {
        repository: &'r str,
    },
    Maintain {
        repository: &'r str,
        on: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        page: Option<&'r str>,
    },
    Try {
        listen: &'r [SocketAddr],
        tls: &'r [Shown],
    },
    Authority {
        #[serde(skip_serializing_if = "Option::is_none")]
        authority: Option<&'r Authority>,
    },
}

/// Any message with its version.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u64,
    #[serde(flatten)]
    said: T,
}

impl Request {
    /// The line, with its end.
    ///
    /// # Errors
    /// Where it is too long.
    pub fn to_line(&self) -> Result<Vec<u8>, Mistakes> {
        let said = match self {
            Request::Apply { repository, wanted: Repository { generation, revision, routes } } => {
                Written::Apply { repository, generation: *generation, revision: *revision, routes }
            }
            Request::Reload => Written::Reload,
            Request::Renew => Written::Renew,
            Request::Status => Written::Status,
            Request::Metrics => Written::Metrics,
            Request::Counters { repository } => Written::Counters { repository },
            Request::Hold { repository } => Written::Hold { repository },
            Request::Resume { repository } => Written::Resume { repository },
            Request::Maintain { repository, on, page } => {
                Written::Maintain { repository, on: *on, page: page.as_deref() }
            }
            Request::Try { listen, tls } => Written::Try { listen, tls },
            Request::Authority { authority } => Written::Authority { authority: authority.as_ref() },
        };
        line(&Versioned { version: VERSION, said })
    }

    /// Reads a line.
    ///
    /// # Errors
    /// The refusal to be answered: [`Code::Malformed`], [`Code::Version`] or [`Code::Mistaken`].
    pub fn from_line(line: &[u8]) -> Result<Request, Refusal> {
        let tree = parsed(line).map_err(|message| Refusal::new(Code::Malformed, format!("the request {message}")))?;
        let Tree::Map(entries) = &tree else {
            return Err(Refusal::new(Code::Malformed, format!("the request is {}, not an object", tree.kind())));
        };
        match entries.iter().find(|(key, _)| key == "version") {
            Some((_, Tree::Whole(VERSION))) => {}
            Some((_, Tree::Whole(other))) => {
                let message = format!("version {other} is not spoken here, only version {VERSION}");
                return Err(Refusal::new(Code::Version, message));
            }
            _ => return Err(Refusal::new(Code::Version, format!("no version is said; it is {VERSION}"))),
        }
        let Some((_, Tree::Text(word))) = entries.iter().find(|(key, _)| key == "request") else {
            return Err(Refusal::new(Code::Malformed, "`request` is missing, or no text".to_owned()));
        };
        let mut reading = Reading::default();
        let request = match word.as_str() {
            "apply" => reading.apply(&tree),
            "reload" => reading.fields("", &tree, &["version", "request"], &[]).map(|_| Request::Reload),
            "renew" => reading.fields("", &tree, &["version", "request"], &[]).map(|_| Request::Renew),
            "status" => reading.fields("", &tree, &["version", "request"], &[]).map(|_| Request::Status),
            "metrics" => reading.fields("", &tree, &["version", "request"], &[]).map(|_| Request::Metrics),
            "counters" => reading.of_one(&tree).map(|repository| Request::Counters { repository }),
            "hold" => reading.of_one(&tree).map(|repository| Request::Hold { repository }),
            "resume" => reading.of_one(&tree).map(|repository| Request::Resume { repository }),
            "maintain" => reading.maintain(&tree),
            "try" => reading.tries(&tree),
            "authority" => reading.authority_or_none(&tree),
            word => {
                let message = format!("{} is not known; known are: {KNOWN}", quoted(word));
                return Err(Refusal::new(Code::Malformed, message));
            }
        };
        match (reading.mistakes.unless_any(()), request) {
            (Ok(()), Some(request)) => Ok(request),
            (Err(mistakes), _) => Err(Refusal::mistaken(mistakes)),
            (Ok(()), None) => Err(Refusal::new(Code::Malformed, "the request is not understood".to_owned())),
        }
    }
}

/// For whoever asks for something else.
const KNOWN: &str = "apply, reload, renew, status, metrics, counters, hold, resume, maintain, try, authority";

impl Reading {
    fn of_one(&mut self, tree: &Tree) -> Option<String> {
        let fields = self.fields("", tree, &["version", "request", "repository"], &[])?;
        self.required_text(&fields, "repository").and_then(|name| self.name("repository", name))
    }

    fn maintain(&mut self, tree: &Tree) -> Option<Request> {
        let fields = self.fields("", tree, &["version", "request", "repository", "on", "page"], &[])?;
        let repository = self.required_text(&fields, "repository").and_then(|name| self.name("repository", name));
        let on = self.required_switch(&fields, "on");
        let page = self.page(&fields)?;
        Some(Request::Maintain { repository: repository?, on: on?, page })
    }

    fn tries(&mut self, tree: &Tree) -> Option<Request> {
        let fields = self.fields("", tree, &["version", "request", "listen", "tls"], &[])?;
        let listed = |reading: &mut Reading, key: &str| {
            reading.required(&fields, key).and_then(|tree| reading.list(key, tree, 0, bounds::ROUTES))
        };
        let (addresses, pairs) = (listed(self, "listen"), listed(self, "tls"));
        let (mut listen, mut tls) = (Vec::new(), Vec::new());
        for (index, tree) in addresses?.iter().enumerate() {
            listen.extend(self.address(&format!("listen[{index}]"), tree));
        }
        for (index, tree) in pairs?.iter().enumerate() {
            let path = format!("tls[{index}]");
            let Some(pair) = self.fields(&path, tree, &["certificate", "key", "hosts"], &[]) else { continue };
            let hosts = self.each_once(&pair, "hosts", bounds::HOSTS, Host::read);
            if let (Some(files), Some(hosts)) = (self.certificate_files(&pair), hosts) {
                tls.push(Shown { files, hosts });
            }
        }
        Some(Request::Try { listen, tls })
    }

    fn authority_or_none(&mut self, tree: &Tree) -> Option<Request> {
        let fields = self.fields("", tree, &["version", "request", "authority"], &[])?;
        let authority = match fields.get("authority") {
            None => None,
            Some(tree) => Some(self.authority("authority", tree)?),
        };
        Some(Request::Authority { authority })
    }

    fn apply(&mut self, tree: &Tree) -> Option<Request> {
        let keys = ["version", "request", "repository", "generation", "revision", "routes"];
        let fields = self.fields("", tree, &keys, &[])?;
        let name = self.required_text(&fields, "repository").and_then(|name| self.name("repository", name));
        let mut placed: Vec<Placed> = Vec::new();
        let wanted = self.repository(&fields, name.as_deref().unwrap_or_default(), &mut placed);
        check::together(&placed, &mut self.mistakes);
        Some(Request::Apply { repository: name?, wanted: wanted? })
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It is served, and on the disk.
    Applied {
        /// Of the route file that has it.
        serial: u64,
        /// Whether anything was changed by it; not, where it was so already.
        changed: bool,
    },
    /// What is served.
    Status(Status),
    /// The same in figures, for a Prometheus.
    Metrics {
        /// In Prometheus's text format.
        text: String,
    },
    /// What is counted of one repository.
    Counters(Counters),
    /// It is so.
    Done {
        /// Whether anything was changed by it; not, where it was so already.
        changed: bool,
    },
    /// It is not.
    Refused(Refusal),
}

impl Answer {
    /// The line, with its end.
    ///
    /// # Errors
    /// Where it is too long.
    pub fn to_line(&self) -> Result<Vec<u8>, Mistakes> {
        line(&Versioned { version: VERSION, said: self })
    }

    /// Reads a line.
    ///
    /// # Errors
    /// Where it is no answer of this version.
    pub fn from_line(line: &[u8]) -> Result<Answer, Mistakes> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let wrong =
            |error: serde_json::Error| Mistakes::one("", format!("the proxy's answer is not understood: {error}"));
        let Version { version } = serde_json::from_slice(line).map_err(wrong)?;
        if version != VERSION {
            let message = format!("the proxy answers in version {version}, version {VERSION} is understood");
            return Err(Mistakes::one("version", message));
        }
        let Versioned { said, .. } = serde_json::from_slice(line).map_err(wrong)?;
        Ok(said)
    }
}

fn line(message: &impl Serialize) -> Result<Vec<u8>, Mistakes> {
    let written = serde_json::to_vec(message);
    let mut line = written.map_err(|error| Mistakes::one("", format!("cannot be written as JSON: {error}")))?;
    line.push(b'\n');
    if line.len() > bounds::BYTES {
        return Err(Mistakes::one("", format!("a message of more than {} bytes", bounds::BYTES)));
    }
    Ok(line)
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs: what of it can be acted on.
    pub code: Code,
    /// For people: what, and what to do.
    pub message: String,
    /// Each with its path inside the request (or inside the route file, where routes of others are concerned).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<crate::Mistake>,
}

impl Refusal {
    /// A refusal that is not about single places of what was sent.
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), mistakes: Vec::new() }
    }

    /// For mistakes in what was asked for.
    pub fn mistaken(mistakes: Mistakes) -> Refusal {
        Refusal { code: Code::Mistaken, message: mistakes.to_string(), mistakes: mistakes.0 }
    }
}

/// Why something is not done, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No request at all.
    Malformed,
    /// Another version of what is said here.
    Version,
    /// Something that this proxy cannot do yet. Said by older ones.
    Later,
    /// Mistakes in the table.
    Mistaken,
    /// A newer generation or revision is served.
    Older,
    /// The same generation and revision is served with other routes.
    Conflict,
    /// An address cannot be listened on. Nothing was changed.
    CannotListen,
    /// The route file could not be written. Nothing was changed.
    NotKept,
    /// It is served, and the disk did not say that it has it: ask again.
    NotDurable,
    /// Whether it was done will show: ask again.
    Unknown,
    /// Another change is under way: ask again.
    Busy,
    /// The proxy ends, and changes nothing any more.
    Ending,
    /// Whoever asks may not.
    Forbidden,
    /// No other process has taken over. Nothing was changed.
    NotRenewed,
}

/// What is served, and how much is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of the table that is served.
    pub serial: u64,
    /// Where that table came from when the proxy began.
    pub origin: Origin,
    /// Whether the disk has said that it has that table.
    pub durable: bool,
    /// The proxy ends: it takes no connections any more.
    pub ending: bool,
    /// Connections that are open, those that wait for a container included.
    pub connections: u64,
    /// What each repository is at.
    pub repositories: BTreeMap<String, Age>,
    /// All routes, in the order of the table.
    pub routes: Vec<RouteStatus>,
    /// Colours that no route has any more, and to which connections are open still.
    pub leaving: Vec<Leaving>,
    /// Repositories whose requests wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<String>,
    /// Repositories whose requests are answered by a page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintained: Vec<String>,
    /// Certificates that the proxy obtains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
    /// Where it obtains them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Box<Authority>>,
}

/// A certificate that the proxy obtains by ACME. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The host that it is for.
    pub host: String,
    /// Until when the one that is used counts. None: there is none yet, and clients of that host get no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<i64>,
    /// Since when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<i64>,
    /// When it is asked for next. None: never, `said` tells why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
    /// It is being asked for.
    #[serde(default)]
    pub under_way: bool,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// What the last one said, in the authority's words, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// Where the table came from when the proxy began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// There was no route file: this is the first start.
    Nothing,
    /// From the route file.
    Current,
    /// From the previous route file, for the newest was missing or damaged: what it had may be lost.
    Previous,
    /// There were route files, and none was readable: everything is to be applied again.
    Lost,
}

/// How new a repository's routes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Age {
    /// Of the deployment that made them; see [`Repository::generation`].
    pub generation: u64,
    /// Counts changes within a generation; see [`Repository::revision`].
    pub revision: u64,
}

/// One route, as it is served now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Whose it is.
    pub repository: String,
    /// The address and port on which it is served.
    pub listen: SocketAddr,
    /// Its hosts; none: all that are no other route's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// How its paths begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether it is listened on; not, while another program has the address.
    pub listening: bool,
    /// As in the table: where its connections arrive meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in_port: Option<u16>,
    /// Connections that the listener has taken since the proxy began, for whichever of its routes.
    pub taken: u64,
    /// Of these, those that no container took: they were cut.
    pub failed: u64,
    /// Connections or requests that wait: for a container that takes them, or because their repository is held.
    pub waiting: u64,
    /// Of an `http` route: requests that came since the proxy began.
    #[serde(default)]
    pub requests: u64,
    /// Of these, those that the proxy answered itself, and no container.
    #[serde(default)]
    pub answered_here: u64,
    /// Requests to the listener that were no route's, or none at all, where it has several routes or hosts.
    #[serde(default)]
    pub unrouted: u64,
    /// As in the table.
    pub colours: Vec<ColourStatus>,
}

/// One colour of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColourStatus {
    /// `red`, `blue`.
    pub name: String,
    /// Of the deployment that made its containers.
    pub generation: u64,
    /// Its share of new connections.
    pub weight: u64,
    /// Connections that are open to it; of an `http` route: requests in flight, and tunnels.
    pub open: u64,
    /// Of these, what was HTTP and is another protocol now.
    #[serde(default)]
    pub tunnels: u64,
    /// Bytes that its containers got, since it was first served; those of a request count when its answer has ended.
    #[serde(default)]
    pub received: u64,
    /// Bytes that its clients got.
    #[serde(default)]
    pub sent: u64,
    /// Of an `http` route: what its containers answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCounts>,
}

/// A colour that left the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Whose route it had.
    pub repository: String,
    /// That route's listener.
    pub listen: SocketAddr,
    /// That route's hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// How that route's paths begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `red`, `blue`.
    pub name: String,
    /// Of the deployment that made its containers.
    pub generation: u64,
    /// Connections that are open to it still; of an `http` route: requests in flight, and tunnels.
    pub open: u64,
    /// Of these, what was HTTP and is another protocol now.
    #[serde(default)]
    pub tunnels: u64,
}
