//! What follows for a stack: the value that `turnout plan` prints and a rollout carries out.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use turnout_compose::model::Duration;

use crate::{
    class::{Class, Reason, Source},
    protocol::Spoken,
    refusal::Refusal,
    said::{
        Adapter, By, Measure, OnFailure, OnUnknown, Order, PinSaid, PreviewSaid, Promote, Rules, StepSaid, StickySaid,
        Tls,
    },
    short::short,
    snapshot::Mounted,
};

/// All that was derived.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// The Compose project as it was read: colour and name, `redshop`.
    pub project: String,
    /// When a deployment changes the colour.
    pub by: By,
    /// The colour of `.env`, and its partner.
    pub colours: Colours,
    /// What becomes of each active service.
    pub services: BTreeMap<String, Fate>,
    /// What the proxy listens on, by service and port.
    pub routes: Vec<Route>,
    /// Jobs, in the order in which they run.
    pub jobs: Vec<Job>,
    /// Networks by which coloured containers reach those that stay.
    pub links: Vec<Link>,
    /// Paths of the work tree that containers mount, and where they read them.
    pub files: Vec<Mounted>,
    /// Compose networks that are not the project's own: coloured containers get no alias there.
    pub outside: Vec<String>,
    /// How long the previous colour runs on beside the new one.
    pub bake: Given<Duration>,
    /// How long tunnels may last when their colour retires.
    pub drain: Given<Duration>,
    /// How long a retired colour is kept, stopped.
    pub keep: Given<Duration>,
    /// What a failure while baking asks for.
    pub on_failure: Given<OnFailure>,
    /// When the answers of a new colour count as a failure of it; `None`: they are not judged.
    pub analysis: Given<Option<Rules>>,
    /// What else is asked of it; nothing unless it is said.
    pub measures: Option<Given<Measures>>,
    /// Who has requests go to a colour that is ready.
    pub promote: Given<Promote>,
    /// How long a person has for that.
    pub promote_deadline: Given<Duration>,
    /// Paths whose 404 is tried at the old colour while baking.
    pub fallback: Given<Vec<String>>,
    /// How a next colour is reached while it waits.
    pub beyond: Beyond,
    /// The shares of the requests that it gets before it gets all of them.
    pub canary: Canary,
    /// How a front outside is told who is live.
    pub adapter: Option<Adapter>,
    /// Why this stack cannot be switched as it is; with any, nothing is.
    pub refusals: Vec<Refusal>,
    /// What the user should know.
    pub notes: Vec<Note>,
}

/// What is asked of a new colour beside its answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// In the order in which they are shown: Prometheus, commands, pages.
    pub all: Vec<Measure>,
    /// Bad answers in a row that count.
    pub looks: u64,
    /// How often in a row an answer may say nothing.
    pub unknowns: u64,
    /// What follows then.
    pub on_unknown: OnUnknown,
}

/// How a next colour is reached while it waits; nothing of it unless it is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beyond {
    /// By whoever wants to look at it.
    pub preview: Option<Given<PreviewSaid>>,
    /// By copies of so many of a hundred requests.
    pub mirror: Option<Given<u8>>,
    /// By requests that have one of these.
    pub pins: Option<Given<Vec<PinSaid>>>,
}

/// The shares of the requests that a next colour gets before it gets all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// Each larger than the one before it; nothing: requests move all at once.
    pub steps: Option<Given<Vec<StepSaid>>>,
    /// How a client stays with its colour meanwhile.
    pub sticky: Given<StickySaid>,
}

/// The pair of colours that a repository goes between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Colours {
    /// The colour that `COLOR` in `.env` names.
    pub named: String,
    /// The other one of the pair, by `colors` or the default pair of it.
    pub partner: String,
}

/// A value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given<T> {
    /// What counts for this stack.
    pub value: T,
    /// Which place said so, for `turnout plan` to name.
    pub from: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was written down, in `repos.yaml` or in the Compose file.
    Said(Source),
    /// This attribute of this service.
    Attribute(&'static str, String),
    /// Nobody said anything, so turnout's own value counts.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Said(source) => write!(f, "said in {source}"),
            Origin::Attribute(attribute, service) => write!(f, "{attribute} of {service}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// What becomes of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Fate {
    /// What a rollout does with its containers.
    pub class: Class,
    /// The rule that gave it that class, as `turnout plan` prints it.
    pub reason: Reason,
    /// Services that share a namespace or volumes with it, and so its class.
    pub joined: Vec<String>,
    /// Whether it must never run twice.
    pub scheduler: bool,
    /// What kind of front it is, if one.
    pub front: Option<Front>,
    /// What it is, if that is an engine whose data lies in its container alone, and nobody said that it may be lost.
    pub unkept: Option<&'static str>,
    /// How many containers: the proxy's targets, if it is routed.
    pub replicas: u32,
    /// What comes first; of services that change colour.
    pub order: Option<(Order, OrderWhy)>,
    /// When it counts as ready; of services that change colour.
    pub gate: Option<Gate>,
}

/// Why one comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderWhy {
    /// The user said it.
    Said(Source),
    /// The Compose file says it for this service.
    UpdateConfig,
    /// It writes storage, and two at once must not be.
    OneWriter,
    /// A scheduler never runs twice.
    Scheduler,
    /// Workers do not overlap unless said.
    Worker,
    /// Nothing speaks against it.
    Usual,
}

impl fmt::Display for OrderWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrderWhy::Said(source) => write!(f, "said in {source}"),
            OrderWhy::UpdateConfig => f.write_str("deploy.update_config.order"),
            OrderWhy::OneWriter => f.write_str("one writer"),
            OrderWhy::Scheduler => f.write_str("a scheduler"),
            OrderWhy::Worker => f.write_str("workers do not overlap"),
            OrderWhy::Usual => f.write_str("default"),
        }
    }
}

/// A front in the same file (ADR 23, "Fronts").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Front {
    /// (a) Coloured with those behind it; each colour's front finds its own.
    Coloured(Vec<String>),
    /// (b) Keeps its ports; these names lead it to the proxy.
    Keeps(Vec<String>),
}

/// What must be before a new instance gets requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The health check that turnout runs.
    pub check: Check,
    /// The page that is asked on HTTP routes; below 500 is ready.
    pub page: Given<String>,
    /// How long all of it may take.
    pub timeout: Given<Duration>,
}

/// Whose health check decides that a container is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// `healthcheck` of the service in the Compose file.
    Service,
    /// `HEALTHCHECK` of its image; the service says nothing.
    Image,
    /// There is none: the container must stay up, and its ports must answer.
    None,
}

/// From a listener to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The service whose containers get the requests.
    pub service: String,
    /// The port in its containers.
    pub port: u16,
    /// Where the proxy listens.
    pub listen: Listen,
    /// Host names; empty: all.
    pub hosts: Vec<String>,
    /// What the path begins with.
    pub path: Option<String>,
    /// Whether that is taken off.
    pub strip_path: bool,
    /// TLS at the listener.
    pub tls: Option<Tls>,
    /// Networks whose hosts say first for whom they speak (PROXY protocol); nobody else may connect.
    pub proxied_by: Vec<String>,
    /// The version of the PROXY protocol by which the containers are told who their client is.
    pub proxy_protocol: Option<u8>,
    /// The port over which requests are served with TLS, where they are answered with that.
    pub redirect: Option<u16>,
    /// How long browsers are to ask over TLS only.
    pub hsts: Option<Duration>,
    /// Networks whose hosts are believed what they say of their clients, in headers.
    pub trusted: Vec<String>,
    /// What is spoken, and how that is known.
    pub spoken: Spoken,
    /// Whether the user said the route; else it is a published port.
    pub said: Option<Source>,
}

/// Where the proxy listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// On these addresses of the host. Without a port, on one that turnout chooses once.
    Host {
        /// The addresses of this machine; `0.0.0.0` and `::` are all of them.
        addresses: Vec<IpAddr>,
        /// The port on them; `None` until turnout has chosen one, which then stays.
        port: Option<u16>,
    },
    /// On the gateway of the network of a front that keeps its ports.
    Gateway {
        /// The service that is the front.
        front: String,
        /// The key of the network on which the front finds what is behind it.
        network: String,
        /// The port, which the front already calls.
        port: u16,
    },
    /// Nowhere: another proxy leads requests there.
    Other {
        /// Key of the program, and of what it calls a place.
        adapter: (&'static str, &'static str),
        /// Where that program is asked.
        at: String,
        /// What that program calls it: a backend, an upstream, an id or a service.
        place: String,
    },
}

impl Listen {
    /// Whether only this machine reaches it: X-Forwarded-* is then trusted and extended, as the usual nginx before it
    /// wants it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Listen::Host { addresses, .. } => addresses.iter().all(IpAddr::is_loopback),
            Listen::Gateway { .. } | Listen::Other { .. } => false,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Host { addresses, port } => {
                let port = port.map_or("a port that turnout chooses".to_owned(), |port| port.to_string());
                let all = addresses.iter().map(|address| match address {
                    IpAddr::V4(address) => format!("{address}:{port}"),
                    IpAddr::V6(address) => format!("[{address}]:{port}"),
                });
                f.write_str(&all.collect::<Vec<_>>().join(" and "))
            }
            Listen::Gateway { network, port, .. } => write!(f, "gateway of {network}:{port}"),
            Listen::Other { adapter: (program, key), place, .. } => write!(f, "{key} {place} of {program}"),
        }
    }
}

/// A service that runs to its end, once, before others start: `service_completed_successfully`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The service that is run.
    pub service: String,
    /// Whether it belongs to services that stay, because only such wait for it; else it runs once a rollout, in the new
    /// colour.
    pub stays: bool,
    /// Services that wait for it.
    pub before: Vec<String>,
}

/// An internal network that turnout owns, beside a Compose network: services that stay are on it under their names from
/// the start, coloured containers without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The Compose network's key.
    pub network: String,
    /// Services that stay, with the names by which they are found.
    pub staying: BTreeMap<String, Vec<String>>,
    /// Services that change colour.
    pub moving: Vec<String>,
}

/// How long turnout-proxy has a request wait, in words.
const HOLD: &str = "30 s";
/// What comes of long ends, and what helps against them.
const TOO_LONG: &str = "those that waited longer are answered with 504; have it end at its stop signal (an `exec` or \
                        `init: true` passes that on), or write a shorter one";

/// How long ends may take, each before the next, in words.
fn takes(chain: &[Grace]) -> String {
    let all = chain.iter().map(Grace::to_string).collect::<Vec<_>>().join(", then ");
    match chain {
        [one] => format!("by its stop_grace_period the end of {} may take {} of that", one.service, short(one.lasts)),
        _ => format!("by their stop_grace_period the ends of {all}, one after the other, may use that up"),
    }
}

/// How long a service may take to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grace {
    /// Its key in the Compose file.
    pub service: String,
    /// Its `stop_grace_period`, or what the engine gives where it says nothing.
    pub lasts: Duration,
}

impl fmt::Display for Grace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.service, short(self.lasts))
    }
}

/// What the user should know; nothing of it stops a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The app no longer sees who calls, and the engine's rules for published ports no longer count.
    PeerAddress(Vec<String>),
    /// The engine chose the host's port so far.
    PortChosen {
        /// The service that publishes it.
        service: String,
        /// The port in the container.
        port: u16,
    },
    /// A route that is said takes the place of all published ports of its target: nobody listens on this one.
    NotListened {
        /// Where the Compose file publishes it.
        listen: Listen,
        /// The service that publishes it.
        service: String,
        /// The port in the container.
        port: u16,
    },
    /// `app_protocol` says nothing that turnout knows.
    UnknownAppProtocol {
        /// The service whose port has it.
        service: String,
        /// What `app_protocol` says.
        word: String,
    },
    /// `failure_action: continue` would leave a broken colour live.
    FailureContinue(String),
    /// `start-first` of the Compose file is not followed.
    StartFirstNotKept {
        /// The service that asks for it.
        service: String,
        /// What speaks against two at once.
        why: OrderWhy,
    },
    /// A front that keeps its ports finds these through the proxy, if nothing between bars it.
    LeadsToProxy {
        /// The service that is the front.
        front: String,
        /// The names of coloured services, which lead it to the proxy from now on.
        names: Vec<String>,
    },
    /// Requests are held while these end, each before the next, and may have to wait too long for that.
    LongEnd(Vec<Grace>),
    /// The same where this one, which stays, is replaced.
    LongReplaced(Grace),
    /// The same where what stays changes hands.
    LongEnds {
        /// What ends, each before the next.
        chain: Vec<Grace>,
        /// At the first switch as well; else only on the way back in place.
        first: bool,
    },
    /// On networks that are not the project's own, coloured containers have no names.
    NoAliasOutside(String),
    /// A fixed container name would be there twice; it stays a name within its colour.
    ContainerName {
        /// The service that has it.
        service: String,
        /// The name that `container_name` gives.
        name: String,
    },
    /// What would find it by itself is taken off, for another proxy is told of it.
    NotFound {
        /// The service that carries it.
        service: String,
        /// The label or variable.
        by: String,
    },
    /// Said to be coloured although it writes: the user takes it upon themselves that two may write there.
    TwoWriters {
        /// The service that is in two colours at once during a bake.
        service: String,
        /// The volume or folder that both write.
        place: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::PeerAddress(listeners) => write!(
                f,
                "behind {} the app no longer sees its callers' addresses but in X-Forwarded-For; rules in DOCKER-USER no \
                 longer apply to them (a restricted port would open), and rules in INPUT do",
                listeners.join(", ")
            ),
            Note::PortChosen { service, port } => write!(
                f,
                "{service} publishes its port {port} without one of the host: turnout chooses one and keeps it"
            ),
            Note::NotListened { listen, service, port } => write!(
                f,
                "nobody listens on {listen}, where {service} publishes {port}: a route to {service}:{port} is said, and takes the \
                 place of all published ports of it; write a route for each listener that is to be there"
            ),
            Note::UnknownAppProtocol { service, word } => {
                write!(f, "app_protocol {word} of {service} is no word that turnout knows: the gate asks the container")
            }
            Note::FailureContinue(service) => {
                write!(f, "failure_action: continue of {service} is not followed: a colour that fails goes back")
            }
            Note::StartFirstNotKept { service, why } => {
                write!(f, "order: start-first of {service} is not followed: {why}")
            }
            Note::LeadsToProxy { front, names } => write!(
                f,
                "{front} stays as it is, and finds turnout's proxy under {}: the proxy must be reachable from its network",
                names.join(", ")
            ),
            Note::NoAliasOutside(network) => {
                write!(f, "on the network {network}, which is not the project's own, coloured containers have no names")
            }
            Note::LongEnd(chain) => write!(
                f,
                "requests wait {HOLD} at most while {} {}, and {}: {TOO_LONG}",
                chain.iter().map(|one| one.service.as_str()).collect::<Vec<_>>().join(" and "),
                if chain.len() == 1 { "changes over" } else { "change over" },
                takes(chain)
            ),
            Note::LongReplaced(grace) => write!(
                f,
                "where a deployment replaces {}, requests wait {HOLD} at most, and {}: {TOO_LONG}",
                grace.service,
                takes(std::slice::from_ref(grace))
            ),
            Note::LongEnds { chain, first } => write!(
                f,
                "{}on the way back in place, requests wait {HOLD} at most while the stack ends, and {}: {TOO_LONG}",
                if *first { "at the first switch, and " } else { "" },
                takes(chain)
            ),
            Note::ContainerName { service, name } => {
                write!(f, "the container name {name} of {service} stays a name within its colour only")
            }
            Note::NotFound { service, by } => {
                write!(f, "{by} and its like are taken off {service}: who gets requests is told by the adapter alone")
            }
            Note::TwoWriters { service, place } => {
                write!(f, "{service} is said to be coloured: two of it may write {place} at the same time")
            }
        }
    }
}
