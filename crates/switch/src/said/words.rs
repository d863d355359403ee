//! What can be said, as types without a mistake in them; who wins where several places say something.

use std::collections::BTreeMap;

use turnout_compose::model::Duration;

use super::analysis::AnalysisSaid;
use crate::{
    class::{Class, Source},
    protocol::Protocol,
};

/// When a deployment goes to the other colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// With every deployment that changes anything.
    #[default]
    Deploy,
    /// When the user changes COLOR in `.env`, which then names the target.
    Color,
}

/// What comes first when a service changes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The new one starts, then the old one ends.
    StartFirst,
    /// The old one ends, then the new one starts.
    StopFirst,
}

/// What a failure after the switch asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Back to the previous colour.
    #[default]
    Rollback,
    /// The next colour stays live, and whoever is told of failures decides.
    Pause,
}

/// Who has requests go to a colour that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Promote {
    /// turnout does, as soon as the gate has been passed.
    #[default]
    Auto,
    /// A person does, by `turnout promote`, before `promote_deadline`.
    Manual,
    /// turnout, after this time; a person may do it earlier, or call it off.
    After(Duration),
}

/// A proxy of the user's own that leads requests, in the place of turnout-proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Which, and where it is asked.
    pub program: Program,
    /// What it calls the place that leads to the only route.
    pub one: Option<String>,
    /// The same by service and port, where it is not one name for all. Port 0: the only one of that service, which is not
    /// known yet.
    pub of: BTreeMap<(String, u16), String>,
}

/// A program that turnout can switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// HAProxy, by its runtime socket.
    Haproxy {
        /// The socket, of level `admin`.
        socket: String,
        /// The backend with the stick table.
        table: String,
        /// The folder of `server-state-base`.
        state: Option<String>,
    },
    /// nginx, by a file that it includes.
    Nginx {
        /// The file of upstreams that turnout writes and nginx includes.
        file: String,
        /// Where the number of its master process is.
        pid: Option<String>,
        /// Where it answers which deployment it has.
        answers: std::net::SocketAddr,
    },
    /// Caddy, by its admin interface.
    Caddy {
        /// An address, or the path of a socket.
        admin: String,
    },
    /// Traefik, by a file of its file provider.
    Traefik {
        /// The file of services that turnout writes and Traefik watches.
        file: String,
    },
}

impl Adapter {
    /// All that it calls places of this stack.
    pub fn places(&self) -> Vec<String> {
        self.one.iter().chain(self.of.values()).cloned().collect()
    }

    /// What it calls the place that leads to a port of a service.
    pub fn place(&self, service: &str, port: u16) -> Option<&str> {
        let own = |port| self.of.get(&(service.to_owned(), port));
        own(port).or_else(|| own(0)).or(self.one.as_ref()).map(String::as_str)
    }
}

impl Program {
    /// Its key under `adapter`.
    pub fn key(&self) -> &'static str {
        match self {
            Program::Haproxy { .. } => "haproxy",
            Program::Nginx { .. } => "nginx",
            Program::Caddy { .. } => "caddy",
            Program::Traefik { .. } => "traefik",
        }
    }

    /// The key for what it calls a place.
    pub fn place_key(&self) -> &'static str {
        match self {
            Program::Haproxy { .. } => "backend",
            Program::Nginx { .. } => "upstream",
            Program::Caddy { .. } => "id",
            Program::Traefik { .. } => "service",
        }
    }

    /// Where it is asked, or told.
    pub fn at(&self) -> &str {
        match self {
            Program::Haproxy { socket, .. } => socket,
            Program::Nginx { file, .. } | Program::Traefik { file } => file,
            Program::Caddy { admin } => admin,
        }
    }
}

/// How a new instance is asked whether it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// The path of an HTTP request to each route; an answer below 500 is ready.
    pub path: Option<String>,
    /// How long it may take to become ready.
    pub timeout: Option<Duration>,
}

/// A listener with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Certificates are obtained (ACME): `acme`, or `auto`.
    Auto,
    /// They lie in files.
    Files {
        /// The path of the certificate chain, in PEM.
        certificate: String,
        /// The path of its private key, in PEM.
        key: String,
    },
}

/// Where a route listens, as said: a port, or an address with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenSaid {
    /// Nothing: all of the host's.
    pub address: Option<std::net::IpAddr>,
    /// The TCP port of the host.
    pub port: u16,
}

/// One entry of `routes:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSaid {
    /// Where turnout-proxy listens for it.
    pub listen: ListenSaid,
    /// Host names that are its own; empty: all.
    pub hosts: Vec<String>,
    /// What the path begins with; nothing: all.
    pub path: Option<String>,
    /// Whether that is taken off before the container sees it.
    pub strip_path: bool,
    /// The service that the requests go to, by its key in the Compose file.
    pub service: String,
    /// The port in its container.
    pub port: u16,
    /// What is spoken there; nothing: it is derived.
    pub protocol: Option<Protocol>,
    /// TLS at the listener.
    pub tls: Option<Tls>,
    /// Networks whose hosts say first for whom they speak (PROXY protocol); nobody else may connect.
    pub proxied_by: Vec<String>,
    /// The version of the PROXY protocol by which the containers are told who their client is.
    pub proxy_protocol: Option<u8>,
    /// Whether requests are answered with where they are served over TLS.
    pub redirect: bool,
    /// How long browsers are to ask over TLS only.
    pub hsts: Option<Duration>,
    /// Networks whose hosts are believed what they say of their clients, in headers; nothing: as the stack says.
    pub trusted: Option<Vec<String>>,
}

/// What is said about one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceSaid {
    /// The class that takes the place of the derived one.
    pub class: Option<Class>,
    /// Whether the new one starts first or the old one ends first.
    pub order: Option<Order>,
    /// How it is asked whether it is ready.
    pub health: Option<Health>,
    /// What is spoken on all of its ports.
    pub protocol: Option<Protocol>,
    /// What is spoken on one port of its container.
    pub protocols: BTreeMap<u16, Protocol>,
    /// What it holds may be lost when its container is made anew.
    pub expendable: Option<bool>,
}

/// What one place says of how a next colour is reached while it waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BeyondSaid {
    /// `preview`: by whom and how it can be looked at.
    pub preview: Option<PreviewSaid>,
    /// `mirror`: how many of a hundred requests are copied.
    pub mirror: Option<u8>,
    /// `pins`: the requests that go to it, one of them at least.
    pub pins: Option<Vec<PinSaid>>,
}

/// How people reach a next colour before requests go there. At least one of the first three.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PreviewSaid {
    /// By a host name of its own, on the listeners that are there.
    pub host: Option<String>,
    /// By a listener of its own.
    pub listen: Option<ListenSaid>,
    /// By a cookie with a secret, under the usual host names.
    pub cookie: bool,
    /// Only what leads to this port of this service.
    pub to: Option<(String, u16)>,
}

/// Requests that go to a next colour while it waits. No secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinSaid {
    /// The header or cookie by which they are known.
    pub by: PinBy,
    /// With this value, letter by letter.
    pub value: String,
}

/// What a pinned request has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinBy {
    /// A header of this name.
    Header(String),
    /// A cookie of this name.
    Cookie(String),
}

/// What one place says of a canary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepsSaid {
    /// `steps`: at least one; each has a larger share than the one before it.
    pub steps: Option<Vec<StepSaid>>,
    /// `sticky`: by what a client is known again.
    pub sticky: Option<StickySaid>,
}

/// One step of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSaid {
    /// How many of a hundred clients get the next colour, from 1 to 99.
    pub weight: u8,
    /// How long; nothing: until a person promotes it.
    pub lasts: Option<Duration>,
}

/// How a client stays with its colour while two share the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickySaid {
    /// By a cookie of the proxy's.
    Cookie,
    /// By its address: all behind one address share a colour.
    Address,
}

/// What one place says: `switch:`, or the top level's `x-turnout:`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layer {
    /// `by`: what makes a deployment go to the other colour.
    pub by: Option<By>,
    /// `colors`: the pair that the repository goes between.
    pub colors: Option<[String; 2]>,
    /// `routes`; each takes the place of the derived one to the same port of the same service.
    pub routes: Option<Vec<RouteSaid>>,
    /// `trusted`: networks whose hosts are believed what they say of their clients, for routes of HTTP that say none.
    pub trusted: Option<Vec<String>>,
    /// `services`: what counts for single ones, by their keys in the Compose file.
    pub services: BTreeMap<String, ServiceSaid>,
    /// `protocol`, `health` and `order` for all that do not say otherwise.
    pub all: ServiceSaid,
    /// `bake`: how long the colour before runs on beside the new one.
    pub bake: Option<Duration>,
    /// `on_failure`: what a colour that fails in its bake asks for.
    pub on_failure: Option<OnFailure>,
    /// `analysis`: when its answers count as a failure, or that they do not.
    pub analysis: Option<AnalysisSaid>,
    /// `promote`: who has requests go to a colour that is ready.
    pub promote: Option<Promote>,
    /// `promote_deadline`: how long a person has for it.
    pub promote_deadline: Option<Duration>,
    /// `drain`: how long tunnels may last when their colour retires.
    pub drain: Option<Duration>,
    /// `keep`: how long a retired colour is there, stopped, to go back to.
    pub keep: Option<Duration>,
    /// `fallback`: paths whose 404 is tried at the old colour while baking.
    pub fallback: Option<Vec<String>>,
    /// `preview`, `mirror`, `pins`.
    pub beyond: BeyondSaid,
    /// `steps`, `sticky`.
    pub steps: StepsSaid,
    /// `adapter`: the proxy of the user's own that leads requests.
    pub adapter: Option<Adapter>,
}

/// All that was said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// `switch:` in `repos.yaml`.
    pub repos: Layer,
    /// `x-turnout:` at the top of the Compose file.
    pub compose: Layer,
    /// `x-turnout:` of services.
    pub services: BTreeMap<String, ServiceSaid>,
}

impl Said {
    /// What the most telling place says for the whole stack.
    pub(crate) fn stack<T>(&self, of: impl Fn(&Layer) -> Option<T>) -> Option<(T, Source)> {
        of(&self.repos)
            .map(|said| (said, Source::Repos))
            .or_else(|| of(&self.compose).map(|said| (said, Source::Compose)))
    }

    /// What the most telling place says about a service: `repos.yaml` (the service, then all), then the service's own
    /// `x-turnout`, then the top level's (the service, then all).
    pub(crate) fn service<T>(&self, name: &str, of: impl Fn(&ServiceSaid) -> Option<T>) -> Option<(T, Source)> {
        let repos = self.repos.services.get(name).and_then(&of).or_else(|| of(&self.repos.all));
        repos.map(|said| (said, Source::Repos)).or_else(|| {
            let own = self.services.get(name).and_then(&of);
            let said = own.or_else(|| self.compose.services.get(name).and_then(&of)).or_else(|| of(&self.compose.all));
            said.map(|said| (said, Source::Compose))
        })
    }

    /// As [`Said::service`], but only what is said of this very service.
    pub(crate) fn of_this<T>(&self, name: &str, of: impl Fn(&ServiceSaid) -> Option<T>) -> Option<(T, Source)> {
        let repos = self.repos.services.get(name).and_then(&of);
        repos.map(|said| (said, Source::Repos)).or_else(|| {
            let own = self.services.get(name).and_then(&of);
            own.or_else(|| self.compose.services.get(name).and_then(&of)).map(|said| (said, Source::Compose))
        })
    }

    /// What is spoken on a port of a service.
    pub(crate) fn protocol(&self, name: &str, port: u16) -> Option<(Protocol, Source)> {
        self.service(name, |said| said.protocols.get(&port).copied().or(said.protocol))
    }
}
