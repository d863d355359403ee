//! What is refused, and the line to write that lifts it.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::fmt;

use serde_json::{Value, json};

use crate::class::{Class, Place};

/// Why a stack cannot be switched as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// What is in the way.
    pub cause: Cause,
    /// What to write to have it go.
    pub line: Line,
}

/// What to write, and where. Merged into what is there, it lifts the refusal.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// Under `switch:` of the repository in `repos.yaml`.
    Repos(Value),
    /// In the Compose file.
    Compose(Value),
}

impl Line {
    /// The value, without its place.
    pub fn value(&self) -> &Value {
        match self {
            Line::Repos(value) | Line::Compose(value) => value,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Repos(value) => f.write_str(&flow(&json!({ "switch": value }), true)),
            Line::Compose(value) => f.write_str(&flow(value, true)),
        }
    }
}

/// YAML on one line.
fn flow(value: &Value, top: bool) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", word(key), flow(value, false))).collect();
            if top { entries.join(", ") } else { format!("{{{}}}", entries.join(", ")) }
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(|item| flow(item, false)).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => word(text),
        other => other.to_string(),
    }
}

/// A text, quoted where YAML wants it.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let safe = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(plain)
        && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off");
    if safe { text.to_owned() } else { Value::from(text).to_string() }
}

/// What is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A service that stays needs one that changes colour: it would find none of them, or both.
    StayingNeeds {
        /// The one that stays.
        staying: String,
        /// What is derived for it, and has it stay.
        class: Class,
        /// The one that changes colour.
        moving: String,
        /// Where it is named; nothing: `depends_on`.
        place: Option<Place>,
        /// What to make of them.
        remedy: Remedy,
    },
    /// A front discovers by labels or variables: requests would go to the new colour before its gate.
    FoundByLabels {
        service: String,
        /// The label or variable.
        by: String,
        /// The program that finds containers by it.
        finder: Finder,
        /// The port that requests seem to go to.
        port: u16,
    },
    /// Another proxy leads requests, and where it leads to this one is not said.
    PlaceNotSaid {
        /// Key of the program, and of what it calls a place.
        adapter: (&'static str, &'static str),
        /// Ports of services that requests go to; none where nothing is published.
        targets: Vec<(String, u16)>,
        /// Where nothing is published: a service that could be meant.
        perhaps: Option<(String, u16)>,
    },
    /// Another proxy leads requests, and listeners are said, which only turnout-proxy has.
    ListenersSaid {
        /// The program's key.
        program: &'static str,
    },
    /// Another proxy leads requests, and whom turnout-proxy is to believe is said.
    TrustedSaid {
        /// The program's key.
        program: &'static str,
    },
    /// Two routes want one place of another proxy.
    SamePlace {
        /// Key of the program, and of what it calls a place.
        adapter: (&'static str, &'static str),
        place: String,
        /// Repository and service of one.
        one: (String, String),
        /// Repository, service and port of the other.
        two: (String, String, u16),
    },
    /// An engine is said to be coloured and has one place of storage: two engines would write there.
    EngineDoubled { service: String, place: String },
    /// Said to start first, and writes storage that nobody else does.
    TwoWritersSaid { service: String, place: String },
    /// A route leads to what does not change colour.
    RouteToStaying {
        service: String,
        /// What is derived for it.
        class: Class,
        /// Whether it writes storage of its own.
        writes: bool,
    },
    /// It is not seen by which port, or on which network, a front that keeps its ports reaches a service.
    FrontWithoutPort { front: String, service: String },
    /// A job of one kind shares namespaces or volumes with a service of the other.
    JoinedAcross {
        job: String,
        /// The service whose namespaces or volumes it shares.
        with: String,
        /// What the job would have to be.
        class: Class,
    },
    /// Requests are to be answered with where they are served over TLS, and they are nowhere.
    RedirectsNowhere {
        listen: String,
        /// Its port.
        port: u16,
        /// A host that no route with TLS has; nothing: all that are nobody's.
        host: Option<String>,
        /// Service, and port in its container.
        to: (String, u16),
        /// Hosts that routes with TLS have.
        hosts: Vec<String>,
    },
    /// COLOR of `.env` is none of `colors`.
    ForeignColour {
        /// The value of COLOR.
        colour: String,
        /// The two of `colors`.
        colours: [String; 2],
    },
    /// Two routes want one listener, and not by different host names.
    SameListener {
        listen: String,
        /// Repository and service of one.
        one: (String, String),
        /// Repository and service of the other.
        two: (String, String),
        /// The line for the second.
        port: u16,
        /// The port in its container.
        target: u16,
    },
}

/// What finds containers by themselves, by what is written on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finder {
    /// Traefik's Docker provider.
    Traefik,
    Caddy,
    /// nginx-proxy, and what goes with it.
    NginxProxy,
}

impl Finder {
    /// What to say instead, of a service.
    fn adapter(self, service: &str, port: u16) -> Value {
        let place = json!({format!("{service}:{port}"): service});
        match self {
            Finder::Traefik => json!({"traefik": {"file": "/etc/traefik/dynamic/turnout.yml", "service": place}}),
            Finder::Caddy => json!({"caddy": {"id": place}}),
            Finder::NginxProxy => json!({"nginx": {
                "file": "/etc/nginx/turnout/shop.conf", "upstream": place, "answers": "127.0.0.1:8099",
            }}),
        }
    }
}

/// What lifts [`Cause::StayingNeeds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The one that stays becomes this.
    StayingBecomes(Class),
    /// The other one stays as well.
    MovingStays,
}

impl Cause {
    /// With the line to write.
    pub(crate) fn refused(self) -> Refusal {
        let class = |service: &str, class: Class| Line::Repos(json!({"services": {service: class.word()}}));
        let line = match &self {
            Cause::StayingNeeds { staying, moving, remedy, .. } => match remedy {
                Remedy::StayingBecomes(becomes) => class(staying, *becomes),
                Remedy::MovingStays => class(moving, Class::Shared),
            },
            Cause::FoundByLabels { service, finder, port, .. } => {
                Line::Repos(json!({"adapter": finder.adapter(service, *port)}))
            }
            Cause::PlaceNotSaid { targets, perhaps: None, .. } if targets.is_empty() => {
                Line::Repos(json!({"adapter": null}))
            }
            Cause::PlaceNotSaid { adapter: (program, key), targets, perhaps } => {
                let name =
                    |(service, port): &(String, u16)| (format!("{service}:{port}"), Value::from(service.as_str()));
                let names: serde_json::Map<_, _> = targets.iter().chain(perhaps).map(name).collect();
                Line::Repos(json!({"adapter": {*program: {*key: names}}}))
            }
            Cause::ListenersSaid { .. } => Line::Repos(json!({"routes": null})),
            Cause::TrustedSaid { .. } => Line::Repos(json!({"trusted": null})),
            Cause::SamePlace { adapter: (program, key), two: (repository, service, port), .. } => {
                let place = format!("{repository}-{service}");
                Line::Repos(json!({"adapter": {*program: {*key: {format!("{service}:{port}"): place}}}}))
            }
            Cause::EngineDoubled { service, .. } => class(service, Class::Shared),
            Cause::TwoWritersSaid { service, .. } => {
                Line::Repos(json!({"services": {service: {"order": "stop-first"}}}))
            }
            Cause::RouteToStaying { service, writes, .. } => {
                class(service, if *writes { Class::Held } else { Class::Routed })
            }
            Cause::FrontWithoutPort { service, .. } => {
                Line::Compose(json!({"services": {service: {"expose": ["8000"]}}}))
            }
            Cause::JoinedAcross { job, class: becomes, .. } => class(job, *becomes),
            Cause::RedirectsNowhere { port, host: None, to: (service, target), hosts, .. } if !hosts.is_empty() => {
                let route =
                    json!({"listen": port, "hosts": hosts, "to": format!("{service}:{target}"), "redirect": "https"});
                Line::Repos(json!({"routes": [route]}))
            }
            Cause::RedirectsNowhere { host, to: (service, target), .. } => {
                let host = host.clone().unwrap_or_else(|| format!("{service}.example.org"));
                let tls = match host.starts_with('*') {
                    true => json!({"certificate": "/etc/ssl/shop.pem", "key": "/etc/ssl/shop.key"}),
                    false => json!("acme"),
                };
                let route = json!({"listen": 443, "hosts": [host], "to": format!("{service}:{target}"), "tls": tls});
                Line::Repos(json!({"routes": [route]}))
            }
            Cause::ForeignColour { colour, colours } => {
                Line::Repos(json!({"colors": [colour, colours.iter().find(|other| *other != colour)]}))
            }
            Cause::SameListener { two, port, target, .. } => {
                let to = format!("{}:{target}", two.1);
                Line::Repos(
                    json!({"routes": [{"listen": port, "hosts": [format!("{}.example.org", two.0)], "to": to}]}),
                )
            }
        };
        Refusal { cause: self, line }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::StayingNeeds { staying, class, moving, place: None, .. } => {
                write!(f, "{staying} is {class} and depends on {moving}, which changes colour")
            }
            Cause::StayingNeeds { staying, class, moving, place: Some(place), .. } => {
                write!(f, "{staying} is {class} and calls {moving} by {place}, which changes colour")
            }
            Cause::FoundByLabels { service, by, .. } => {
                write!(f, "{service} is found by {by}: it would get requests before its gate")
            }
            Cause::PlaceNotSaid { adapter: (program, key), targets, .. } if targets.is_empty() => {
                write!(
                    f,
                    "{program} is to lead requests, and nothing is published: which port a {key} leads to is not said"
                )
            }
            Cause::PlaceNotSaid { adapter: (program, key), targets, .. } => {
                let all: Vec<String> = targets.iter().map(|(service, port)| format!("{service}:{port}")).collect();
                write!(f, "{program} is to lead requests to {}, and each needs a {key} of its own", all.join(" and "))
            }
            Cause::ListenersSaid { program } => {
                write!(
                    f,
                    "routes are said, whose listeners, hosts and paths only turnout-proxy has; {program} has its own"
                )
            }
            Cause::TrustedSaid { program } => {
                write!(f, "`trusted` says whom turnout-proxy believes, and {program} leads requests, which has its own")
            }
            Cause::SamePlace { adapter: (program, key), place, one, two } => {
                write!(f, "{} of {} and {} of {} both want the {key} {place} of {program}", one.1, one.0, two.1, two.0)
            }
            Cause::EngineDoubled { service, place } => {
                write!(f, "{service} is an engine: two of it on {place} destroy it, whatever is said")
            }
            Cause::TwoWritersSaid { service, place } => {
                write!(f, "{service} is said to start first, and writes {place}, as nobody else does")
            }
            Cause::RouteToStaying { service, class, .. } => {
                write!(f, "a route leads to {service}, which is {class} and keeps its own ports")
            }
            Cause::FrontWithoutPort { front, service } => write!(
                f,
                "{front} stays and reaches {service}, and by which port (8000 is an example) or network is not to be seen"
            ),
            Cause::JoinedAcross { job, with, .. } => {
                write!(f, "the job {job} shares namespaces or volumes with {with}, and would be in another project")
            }
            Cause::RedirectsNowhere { listen, host, .. } => {
                let host = host.as_ref().map_or_else(|| "all hosts".to_owned(), |host| format!("the host {host}"));
                write!(f, "{listen} redirects to https, and no route with TLS serves {host} and its path there")
            }
            Cause::ForeignColour { colour, colours } => {
                write!(f, "COLOR is {colour}, which is none of {} and {}", colours[0], colours[1])
            }
            Cause::SameListener { listen, one, two, .. } => write!(
                f,
                "{} of {} and {} of {} both want {listen}, and not by different host names",
                one.1, one.0, two.1, two.0
            ),
        }
    }
}
