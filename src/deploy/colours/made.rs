//! What a colour was made as: all that is needed to send requests to it, to stop it, and to bring it back without git and
//! without a build. Kept with the colour's record, as JSON. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{canary::Canary, judged::Judged, reach::Reach};
use crate::{
    engine::{KeptNetwork, Wake},
    traffic::{
        Beyond, Colour, Protocol, ProxyProtocol, Repository, Route, RouteState, bounds,
        spot::{Host, Network, Prefix},
        table::{CertificateFiles, Tls},
    },
};

/// What a colour was made of and how it is reached, as it is kept in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its services, in the order in which they start.
    pub services: Vec<MadeService>,
    /// What leads to it.
    pub routes: Vec<MadeRoute>,
    /// How long it bakes, in milliseconds.
    pub bake: i64,
    /// A failure while it bakes leads back to the colour before it.
    pub goes_back: bool,
    /// By what its answers are judged.
    #[serde(default)]
    pub judged: Judged,
    /// What it waits for once it is ready; nothing: requests go there at once.
    #[serde(default)]
    pub promotion: Option<Promotion>,
    /// The proxy of the user's own that leads to it; `None`: turnout-proxy.
    #[serde(default)]
    pub led_by: Option<String>,
    /// Of what runs in place: ports that stand in for its own at the proxy, by these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stand_ins: BTreeMap<SocketAddr, u16>,
    /// Of these listeners those that are the engine's before and afterwards: of what stays.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub returns: BTreeSet<SocketAddr>,
    /// Copies of mounted files that its containers read.
    #[serde(default)]
    pub snapshots: Vec<MadeSnapshot>,
    /// What it was made with beyond its routes.
    #[serde(default)]
    pub reach: Reach,
    /// The shares of the requests that it gets before it gets all of them.
    #[serde(default)]
    pub canary: Canary,
    /// What is to run as long as it is live; empty in a record of an earlier turnout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<MadeRuns>,
    /// The networks of its project and of what stays beside it: whoever clears up the engine removes those of a stopped one. Empty in a
    /// record of an earlier turnout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<KeptNetwork>,
}

/// A service that is to run as long as a colour is live: one of its own, or one of those that stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRuns {
    /// Its key in the Compose file.
    pub service: String,
    /// It is one for both colours, in the project of what stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stays: bool,
    /// It may end with 0 when its work is done, and need not be there then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends: bool,
}

/// A copy of what containers mount from the work tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeSnapshot {
    /// What was copied.
    pub path: PathBuf,
    /// Where the copy lies: it is mounted in place of that.
    pub place: PathBuf,
    /// What was copied, as people call it.
    pub shown: String,
    /// A container may write to it.
    pub writable: bool,
}

/// What a colour waits for that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Requests go there by themselves after that time; else it is given up then.
    pub by_itself: bool,
    /// How long, in milliseconds.
    pub within: i64,
}

/// A service of a colour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeService {
    /// Its key in the Compose file.
    pub name: String,
    /// Its restart policy, as Compose writes it; taken away while the colour is stopped.
    pub restart: String,
    /// It must not run in two colours at once: the old one ends before the new one starts.
    pub alone: bool,
    /// While it changes over, requests are held.
    pub held: bool,
    /// It runs to its end, once a rollout, and is never brought back.
    pub job: bool,
    /// How long its health check may take to pass, in milliseconds, where the gate asks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
}

/// A listener, and where it leads in this colour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeRoute {
    /// Where turnout-proxy listens; nothing where another proxy leads.
    pub listen: Vec<SocketAddr>,
    /// The service whose containers get the requests.
    pub service: String,
    /// The port in its containers.
    pub port: u16,
    /// Where its containers are reached.
    pub targets: Vec<SocketAddr>,
    /// Whether requests are told apart; `None`: the gate asks the containers.
    pub http: Option<bool>,
    /// What is spoken there was known without asking the containers. `None`: of an earlier turnout, which did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_said: Option<bool>,
    /// The page that the gate asks for.
    pub page: String,
    /// How long the gate may take, in milliseconds.
    pub patience: u64,
    /// Host names that are its own; none: all that are nobody's.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// What the path begins with.
    #[serde(default)]
    pub path: Option<String>,
    /// Whether that is taken off.
    #[serde(default)]
    pub strip_path: bool,
    /// Where its certificate comes from, where the listener speaks TLS.
    #[serde(default)]
    pub tls: Option<MadeTls>,
    /// How long tunnels last once its colour has left the routes, in seconds.
    #[serde(default)]
    pub drain: Option<u64>,
    /// What its containers speak, where `http` is not all of it.
    #[serde(default)]
    pub speaks: Speaks,
    /// Networks whose hosts say first for whom they speak; nobody else may connect.
    #[serde(default)]
    pub proxied_by: Vec<String>,
    /// The version of the PROXY protocol by which its containers are told who their client is.
    #[serde(default)]
    pub proxy_protocol: Option<u8>,
    /// The port over which requests are served with TLS, where they are answered with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<u16>,
    /// How long browsers are to ask over TLS only, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<u64>,
    /// Networks whose hosts are believed what they say of their clients, in headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<String>,
    /// The page that is asked for from outside as well, and answered by its containers while a page of maintenance is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// The range of the network from which a front that keeps its ports sends its requests: what it says of their clients is
    /// believed. The proxy listens on the gateway of that network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<String>,
}

/// What containers speak beside HTTP/1.1 and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// As `http` says.
    #[default]
    Plainly,
    /// HTTP/2 without TLS.
    H2c,
    /// TLS of their own, passed through by the host that a client names.
    NamedTls,
}

impl MadeRoute {
    /// What its containers are told before the gate asks them: that nobody's connection it is.
    pub fn preamble(&self) -> &'static [u8] {
        match self.proxy_protocol {
            None => b"",
            Some(1) => b"PROXY UNKNOWN\r\n",
            Some(_) => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        }
    }
}

impl MadeSnapshot {
    /// Where it lies, and what it is a copy of, as the project has them.
    pub fn pair(&self) -> (String, String) {
        (self.place.display().to_string(), self.path.display().to_string())
    }
}

/// Where a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MadeTls {
    /// Files with certificate and key.
    Files(String, String),
    /// The proxy obtains it.
    Obtained(Obtained),
}

/// How a certificate is come by, where it lies in no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obtained {
    /// turnout-proxy obtains it by ACME.
    #[serde(rename = "acme")]
    Acme,
}

impl Made {
    /// From what is kept.
    ///
    /// # Errors
    /// Where it is none, for instance of a later turnout.
    pub fn read(text: &str) -> Result<Made, String> {
        serde_json::from_str(text).map_err(|error| format!("what is kept of the colour is not understood: {error}"))
    }

    /// As it is kept.
    pub fn to_text(&self) -> String {
        // Names, numbers and addresses: nothing that could not be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Services that must not run in two colours at once.
    pub fn alone(&self) -> Vec<String> {
        self.services.iter().filter(|one| one.alone && !one.job).map(|one| one.name.clone()).collect()
    }

    /// Whether it has such a service.
    pub fn has(&self, service: &str) -> bool {
        self.services.iter().any(|one| one.name == service)
    }

    /// Of what must not run twice, what answers no requests: it may take its time to end before anybody waits for it.
    pub fn asked_by_nobody(&self) -> Vec<String> {
        let asked = |name: &str| self.routes.iter().any(|route| route.service == name);
        let alone = self.services.iter().filter(|one| one.alone && !one.held && !one.job);
        alone.filter(|one| !asked(&one.name)).map(|one| one.name.clone()).collect()
    }

    /// All but the jobs, which are never stopped.
    pub fn not_jobs(&self) -> Vec<String> {
        self.services.iter().filter(|one| !one.job).map(|one| one.name.clone()).collect()
    }

    /// Whether requests are held while it changes over.
    pub fn holds(&self) -> bool {
        self.services.iter().any(|one| one.held)
    }

    /// What is brought back first, beside the live colour; or, with `alone`, what only after that has ended its own.
    pub fn wakes(&self, alone: bool) -> Vec<Wake> {
        let wanted = self.services.iter().filter(|one| !one.job && one.alone == alone);
        wanted.map(|one| Wake { service: one.name.clone(), restart: one.restart.clone() }).collect()
    }

    /// Routes to services that can be asked beside the live colour; or, with `alone`, to the others.
    pub fn routes_of(&self, alone: bool) -> Vec<MadeRoute> {
        let is_alone = |name: &str| self.services.iter().any(|one| one.name == name && one.alone);
        self.routes.iter().filter(|route| is_alone(&route.service) == alone).cloned().collect()
    }

    /// Whether the proxy obtains certificates for its routes.
    pub fn obtains(&self) -> bool {
        self.routes.iter().any(|route| matches!(route.tls, Some(MadeTls::Obtained(_))))
    }

    /// All of its routes for the proxy, with this colour as the only one.
    pub fn repository(&self, (generation, revision): (u64, u64), colour: &str, of: u64) -> Repository {
        let routes = self.routes.iter().flat_map(|route| {
            let tls = route.tls.clone().map(|tls| match tls {
                MadeTls::Files(certificate, key) => Tls::Files(CertificateFiles { certificate, key }),
                MadeTls::Obtained(Obtained::Acme) => Tls::Acme,
            });
            // What is none was refused before.
            let hosts: Vec<Host> = route.hosts.iter().filter_map(|host| Host::read(host).ok()).collect();
            let path = route.path.as_ref().and_then(|path| Prefix::read(path).ok());
            let proxied_by: Vec<Network> = route.proxied_by.iter().filter_map(|of| Network::read(of).ok()).collect();
            // Bytes say nothing of their clients.
            let trusts = route.http == Some(true) || route.speaks == Speaks::H2c;
            let trusted = route.front.iter().chain(&route.trusted).filter(|_| trusts);
            let trusted: Vec<Network> = trusted.filter_map(|of| Network::read(of).ok()).collect();
            let health: Vec<Prefix> = route.health.iter().filter_map(|page| Prefix::read(page).ok()).collect();
            route.listen.iter().map(move |listen| Route {
                listen: *listen,
                protocol: match route.speaks {
                    Speaks::H2c => Protocol::H2c,
                    Speaks::NamedTls => Protocol::Tls,
                    Speaks::Plainly if route.http == Some(true) => Protocol::Http,
                    Speaks::Plainly => Protocol::Tcp,
                },
                hosts: hosts.clone(),
                path: path.clone(),
                strip_path: route.strip_path,
                tls: tls.clone(),
                redirect_port: route.redirect,
                stand_in_port: None,
                yields: false,
                hsts_seconds: route.hsts,
                trusted: trusted.clone(),
                proxied_by: proxied_by.clone(),
                proxy_protocol: route.proxy_protocol.map(|version| match version {
                    1 => ProxyProtocol::V1,
                    _ => ProxyProtocol::V2,
                }),
                drain_seconds: route.drain,
                state: RouteState::Serve,
                idle_seconds: None,
                beyond: Beyond { health: health.clone(), ..Beyond::default() },
                colours: vec![Colour {
                    name: colour.to_owned(),
                    generation: of,
                    weight: bounds::WEIGHTS,
                    targets: route.targets.clone(),
                }],
            })
        });
        Repository { generation, revision, routes: routes.collect() }
    }
}

impl Made {
    /// Of its listeners those that return to the engine, with these routes.
    pub fn returned(&self, routes: Vec<MadeRoute>) -> Made {
        let stand_ins = self.stand_ins.iter().filter(|(listen, _)| self.returns.contains(*listen));
        let stand_ins = stand_ins.map(|(listen, port)| (*listen, *port)).collect();
        Made { routes, stand_ins, returns: self.returns.clone(), ..Made::default() }
    }

    /// Adds its routes to those of a colour, as if they were that colour's: who is live is told by one name.
    pub fn join(&self, wanted: &mut Repository, colour: &str, of: u64) {
        wanted.routes.extend(self.repository(wanted.age(), colour, of).routes);
    }
}

/// Other ports stand in for the listeners of what runs in place. `yields`: what has the listeners keeps them.
pub fn stands_in(repository: &mut Repository, of: &Made, yields: bool) {
    for route in &mut repository.routes {
        route.stand_in_port = of.stand_ins.get(&route.listen).copied();
        route.yields = (yields || of.returns.contains(&route.listen)) && route.stand_in_port.is_some();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::deploy::colours) fn shop() -> Made {
        let service = |name: &str, alone, held, job| MadeService {
            name: name.to_owned(),
            restart: "always".to_owned(),
            alone,
            held,
            job,
            patience: None,
        };
        Made {
            services: vec![
                service("migrate", false, false, true),
                service("web", false, false, false),
                service("worker", true, false, false),
            ],
            routes: vec![MadeRoute {
                listen: vec!["127.0.0.1:8000".parse().unwrap(), "[::1]:8000".parse().unwrap()],
                service: "web".to_owned(),
                port: 80,
                targets: vec!["127.0.0.1:20001".parse().unwrap()],
                http: Some(true),
                is_said: None,
                page: "/".to_owned(),
                patience: 1_000,
                hosts: vec!["shop.example.org".to_owned()],
                path: Some("/shop".to_owned()),
                strip_path: true,
                tls: None,
                drain: Some(30),
                speaks: Speaks::Plainly,
                proxied_by: Vec::new(),
                proxy_protocol: None,
                redirect: None,
                hsts: None,
                trusted: Vec::new(),
                health: None,
                front: None,
            }],
            bake: 60_000,
            goes_back: true,
            judged: Judged::default(),
            promotion: None,
            led_by: None,
            stand_ins: BTreeMap::new(),
            returns: BTreeSet::new(),
            snapshots: Vec::new(),
            reach: Reach::default(),
            canary: Canary::default(),
            runs: Vec::new(),
            networks: Vec::new(),
        }
    }

    #[test]
    fn what_is_kept_comes_back_and_says_who_goes_when() {
        let made = shop();
        assert_eq!(Made::read(&made.to_text()), Ok(made.clone()));
        for (tls, text) in [
            (MadeTls::Files("/c".to_owned(), "/k".to_owned()), r#""tls":["/c","/k"]"#),
            (MadeTls::Obtained(Obtained::Acme), r#""tls":"acme""#),
        ] {
            let mut with = made.clone();
            with.routes[0].tls = Some(tls.clone());
            assert!(with.to_text().contains(text), "{}", with.to_text());
            assert_eq!(with.obtains(), tls == MadeTls::Obtained(Obtained::Acme));
            assert_eq!(Made::read(&with.to_text()), Ok(with));
        }
        assert!(Made::read("{}").unwrap_err().contains("not understood"));
        assert_eq!((made.alone(), made.holds()), (vec!["worker".to_owned()], false));
        assert_eq!(made.asked_by_nobody(), ["worker"]);
        let names = |alone| made.wakes(alone).into_iter().map(|wake| wake.service).collect::<Vec<_>>();
        assert_eq!((names(false), names(true)), (vec!["web".to_owned()], vec!["worker".to_owned()]));
        assert_eq!((made.routes_of(false).len(), made.routes_of(true).len()), (1, 0));
    }

    #[test]
    fn only_listeners_that_have_one_are_stood_in_for() {
        let mut repository = shop().repository((7, 1), "blue", 6);
        let listen: SocketAddr = "127.0.0.1:8000".parse().unwrap();
        let mut of = Made { stand_ins: BTreeMap::from([(listen, 20_009)]), ..Made::default() };
        let found = |repository: &Repository| {
            repository.routes.iter().map(|route| (route.stand_in_port, route.yields)).collect::<Vec<_>>()
        };
        stands_in(&mut repository, &of, true);
        assert_eq!(found(&repository), [(Some(20_009), true), (None, false)]);
        stands_in(&mut repository, &of, false);
        assert_eq!(found(&repository), [(Some(20_009), false), (None, false)]);
        of.returns.insert(listen);
        stands_in(&mut repository, &of, false);
        assert_eq!(found(&repository), [(Some(20_009), true), (None, false)], "it is the engine's afterwards, too");
    }

    #[test]
    fn a_front_that_keeps_its_ports_is_believed_who_asks_it() {
        let mut made = shop();
        made.routes[0].front = Some("172.18.0.0/16".to_owned());
        let trusted = |made: &Made| made.repository((7, 1), "blue", 6).routes[0].trusted.len();
        assert_eq!(trusted(&made), 1);
        made.routes[0].http = Some(false);
        assert_eq!(trusted(&made), 0, "bytes say nothing of their clients");
    }

    #[test]
    fn each_listener_is_a_route_of_its_own() {
        let repository = shop().repository((7, 1), "blue", 6);
        assert_eq!((repository.age(), repository.routes.len()), ((7, 1), 2));
        for route in repository.routes {
            assert_eq!((route.protocol, route.colours.len()), (Protocol::Http, 1));
            assert_eq!((route.hosts.len(), route.path.is_some(), route.drain_seconds), (1, true, Some(30)));
            let colour = &route.colours[0];
            assert_eq!((colour.name.as_str(), colour.generation, colour.weight), ("blue", 6, bounds::WEIGHTS));
        }
    }
}
