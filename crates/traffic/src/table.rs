//! The route table: types that have no mistake in them once they were read ([`crate::file`], [`crate::control`]).

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Serialize, Serializer};

use crate::{
    beyond::Beyond,
    spot::{Host, Network, Prefix},
};

/// All routes that turnout-proxy serves, by repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// By their names in `repos.yaml`. One without routes remembers its generation.
    pub repositories: BTreeMap<String, Repository>,
    /// How requests to some of them stand. Apart from their routes: no deployment changes it, and a restart keeps it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub standing: BTreeMap<String, Standing>,
}

/// How requests to a repository's `http` routes stand, where they are not simply let through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Requests wait in the proxy until they are let through.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// They are answered by a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintained: Option<Maintained>,
}

impl Standing {
    /// Whether there is nothing to be said of it.
    pub fn is_usual(&self) -> bool {
        !self.held && self.maintained.is_none()
    }
}

/// What is answered while a repository is maintained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Maintained {
    /// In HTML; without one a line of text is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

impl Table {
    /// The table with a repository's requests standing so.
    #[must_use]
    pub fn standing_so(&self, name: &str, standing: Standing) -> Table {
        let mut table = self.clone();
        if standing.is_usual() {
            table.standing.remove(name);
        } else {
            table.standing.insert(name.to_owned(), standing);
        }
        table
    }
}

/// What one repository has; it is replaced as a whole, so that all its routes move together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repository {
    /// Counts its deployments; never falls.
    pub generation: u64,
    /// Counts changes within a generation, such as the steps of a canary.
    pub revision: u64,
    /// Its routes; none of them has the place of another one, here or elsewhere in the table.
    pub routes: Vec<Route>,
}

impl Repository {
    /// What decides which of two is newer.
    pub fn age(&self) -> (u64, u64) {
        (self.generation, self.revision)
    }
}

/// From a listener to the containers of one or more colours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The address that turnout-proxy listens on.
    pub listen: SocketAddr,
    /// How connections are understood.
    pub protocol: Protocol,
    /// Of an `http`, `h2c` or `tls` route: the hosts that are its. None: all that are no other route's of the same listener.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// Of an `http` route: its paths begin so. None: all that are no other route's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Prefix>,
    /// The containers do not see that beginning.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strip_path: bool,
    /// Clients that are believed what they say of who asked (`X-Forwarded-For` and others). On a listener of the loopback
    /// network all are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<Network>,
    /// Of an `http` route: clients speak TLS, and this is shown to those that name its hosts. All routes of a listener have one, or
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Browsers are told to ask over TLS only, for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsts_seconds: Option<u64>,
    /// Requests are answered by the same address with `https`, at this port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_port: Option<u16>,
    /// Whoever connects from these networks says first whom it speaks for, by the PROXY protocol; nobody else may connect. All
    /// routes of a listener have the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proxied_by: Vec<Network>,
    /// The containers are told first of each connection who its client is, by the PROXY protocol. Of an `http` route each request
    /// has a connection of its own then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Another port of the same address, at which connections to [`Route::listen`] arrive as long as another program has that one
    /// (rules of the kernel lead them there). They are served as if they had come to `listen`, which is listened on as soon as
    /// it can be had, unless [`Route::yields`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stand_in_port: Option<u16>,
    /// With a port that stands in: `listen` is left to the program that has it, also when that has gone for a moment. Answers of
    /// HTTP/1 say that their connection ends: the next one is that program's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub yields: bool,
    /// What happens to connections.
    pub state: RouteState,
    /// A connection on which neither side has said anything for so many seconds is cut. None: never. An idle connection to
    /// a database is no fault, and the engine's own port helper cuts none either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u64>,
    /// Once a colour has left the route, what is open to it and is not a request (tunnels, and connections that are not
    /// understood) is cut after so many seconds. None: it may end by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_seconds: Option<u64>,
    /// What it does beyond the weights of its colours.
    #[serde(flatten)]
    pub beyond: Beyond,
    /// Who may get connections; the weights are [`crate::bounds::WEIGHTS`] together.
    pub colours: Vec<Colour>,
}

impl Route {
    /// Where connections to its listener arrive meanwhile, see [`Route::stand_in_port`].
    pub fn stand_in(&self) -> Option<SocketAddr> {
        self.stand_in_port.map(|port| SocketAddr::new(self.listen.ip(), port))
    }

    /// One that takes all of its listener and has nothing unusual.
    pub fn new(listen: SocketAddr, protocol: Protocol, colours: Vec<Colour>) -> Route {
        Route {
            listen,
            protocol,
            hosts: Vec::new(),
            path: None,
            strip_path: false,
            trusted: Vec::new(),
            tls: None,
            hsts_seconds: None,
            redirect_port: None,
            proxied_by: Vec::new(),
            proxy_protocol: None,
            stand_in_port: None,
            yields: false,
            state: RouteState::Serve,
            idle_seconds: None,
            drain_seconds: None,
            beyond: Beyond::default(),
            colours,
        }
    }
}

/// Where what a listener shows to clients that speak TLS comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Files of the user's.
    Files(CertificateFiles),
    /// turnout-proxy obtains a certificate for each host, and renews it; written `"acme"`.
    Acme,
}

/// Files with a certificate. turnout-proxy reads both again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateFiles {
    /// A file in PEM form: the certificate, and those that lead to its authority.
    pub certificate: String,
    /// A file in PEM form: its key, without a password.
    pub key: String,
}

impl Serialize for Tls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tls::Files(files) => files.serialize(serializer),
            Tls::Acme => serializer.serialize_str(ACME),
        }
    }
}

/// The word of [`Tls::Acme`].
pub(crate) const ACME: &str = "acme";

/// How a route's connections are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Not at all: bytes are passed on, both ways.
    Tcp,
    /// As HTTP: each request finds its own container, which speaks HTTP/1.1. Clients speak that, or HTTP/2.
    Http,
    /// The same, with containers that speak HTTP/2 without TLS: gRPC, for one.
    H2c,
    /// As TLS that is the containers' own: bytes are passed on, by the host that a client names in its first words.
    Tls,
}

impl Protocol {
    /// Whether its requests are understood.
    pub fn is_http(self) -> bool {
        matches!(self, Protocol::Http | Protocol::H2c)
    }
}

/// How a container is told who its client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// In a line of text.
    V1,
    /// In binary form.
    V2,
}

/// What happens to a route's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// They are passed on.
    Serve,
}

/// The containers that one deployment made of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Colour {
    /// `red`, `blue`, or another word of the repository's.
    pub name: String,
    /// Of the deployment that made these containers. A colour of the same name and another generation is another one: what
    /// is open to it is counted apart.
    pub generation: u64,
    /// Its share of the clients, of [`crate::bounds::WEIGHTS`]. 0: gets no new connections.
    pub weight: u64,
    /// Where its containers are reached.
    pub targets: Vec<SocketAddr>,
}
