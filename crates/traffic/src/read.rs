//! From JSON to types, with every mistake on the way.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    bounds,
    check::Placed,
    later,
    mistake::quoted,
    read_beyond,
    reading::{Fields, Reading, below},
    spot::{Host, Network, Prefix},
    table::{
        ACME, CertificateFiles, Colour, Maintained, Protocol, ProxyProtocol, Repository, Route, RouteState, Standing,
        Table, Tls,
    },
    tree::Tree,
};

impl Reading {
    /// `repositories` of a route file. What is right of it comes with the mistakes of the rest.
    pub(crate) fn table(&mut self, path: &str, tree: &Tree) -> Table {
        let mut table = Table::default();
        let mut placed = Vec::new();
        let entries = self.entries(path, tree).unwrap_or_default();
        if entries.len() > bounds::REPOSITORIES {
            let most = bounds::REPOSITORIES;
            self.wrong(path, format!("has {} entries; at most {most} may be", entries.len()));
            return table;
        }
        for (name, tree) in entries {
            let path = below(path, name);
            let Some(name) = self.name(&path, name) else { continue };
            let Some(fields) = self.fields(&path, tree, &["generation", "revision", "routes"], &[]) else { continue };
            let repository = self.repository(&fields, &name, &mut placed);
            table.repositories.extend(repository.map(|repository| (name, repository)));
        }
        crate::check::together(&placed, &mut self.mistakes);
        table
    }

    /// `standing` of a route file, of these repositories.
    pub(crate) fn standing(
        &mut self,
        path: &str,
        tree: &Tree,
        repositories: &BTreeMap<String, Repository>,
    ) -> BTreeMap<String, Standing> {
        let mut all = BTreeMap::new();
        for (name, tree) in self.entries(path, tree).unwrap_or_default() {
            let path = below(path, name);
            if !repositories.contains_key(name) {
                self.wrong(path, "there is no such repository in this file");
                continue;
            }
            let Some(fields) = self.fields(&path, tree, &["held", "maintained"], &[]) else { continue };
            let held = self.optional_switch(&fields, "held").unwrap_or_default();
            let maintained = fields.get("maintained").and_then(|tree| {
                let fields = self.fields(&fields.at("maintained"), tree, &["page"], &[])?;
                let page = self.page(&fields)?;
                Some(Maintained { page })
            });
            all.insert(name.to_owned(), Standing { held, maintained });
        }
        all
    }

    /// The page of a maintained repository, which may be missing. None: it is no page.
    pub(crate) fn page(&mut self, fields: &Fields<'_>) -> Option<Option<String>> {
        let page = self.optional_text(fields, "page")?;
        if let Some(page) = page
            && page.len() > bounds::PAGE
        {
            self.wrong(fields.at("page"), format!("has {} bytes; at most {} may be", page.len(), bounds::PAGE));
            return None;
        }
        Some(page.map(str::to_owned))
    }

    /// `generation`, `revision` and `routes`, wherever they stand.
    pub(crate) fn repository(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        placed: &mut Vec<Placed>,
    ) -> Option<Repository> {
        let generation = self.required_number(fields, "generation", 1, bounds::COUNTER);
        let revision = self.required_number(fields, "revision", 0, bounds::COUNTER);
        let path = fields.at("routes");
        let list = self.required(fields, "routes").and_then(|tree| self.list(&path, tree, 0, bounds::ROUTES))?;
        let mut routes = Vec::new();
        for (index, tree) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(route) = self.route(&path, tree, generation) {
                placed.push(Placed { path, repository: name.to_owned(), route: route.clone() });
                routes.push(route);
            }
        }
        Some(Repository { generation: generation?, revision: revision?, routes })
    }

    fn route(&mut self, path: &str, tree: &Tree, newest: Option<u64>) -> Option<Route> {
        let keys = [
            "listen",
            "protocol",
            "hosts",
            "path",
            "strip_path",
            "trusted",
            "tls",
            "hsts_seconds",
            "redirect_port",
            "proxied_by",
            "proxy_protocol",
            "stand_in_port",
            "yields",
            "state",
            "idle_seconds",
            "drain_seconds",
            "colours",
        ];
        let keys = [&keys[..], &read_beyond::KEYS].concat();
        let fields = self.fields(path, tree, &keys, later::ROUTE_KEYS)?;
        let listen = self.required(&fields, "listen").and_then(|tree| self.address(&fields.at("listen"), tree));
        let protocols =
            [("tcp", Protocol::Tcp), ("http", Protocol::Http), ("h2c", Protocol::H2c), ("tls", Protocol::Tls)];
        let protocol = self.one_of(&fields, "protocol", &protocols, &[]);
        let state = match fields.get("state") {
            Some(Tree::Text(word)) if later::STATES.contains(&word.as_str()) => {
                let message =
                    format!("a whole repository can be so, not a route: the request {} asks for it", quoted(word));
                self.wrong(fields.at("state"), message);
                None
            }
            _ => self.one_of(&fields, "state", &[("serve", RouteState::Serve)], &[]),
        };
        let hosts = self.each_once(&fields, "hosts", bounds::HOSTS, Host::read);
        let trusted = self.each_once(&fields, "trusted", bounds::NETWORKS, Network::read);
        let proxied_by = self.each_once(&fields, "proxied_by", bounds::NETWORKS, Network::read);
        let versions = [("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
        let proxy_protocol = match fields.get("proxy_protocol") {
            Some(_) => self.one_of(&fields, "proxy_protocol", &versions, &[]).map(Some),
            None => Some(None),
        };
        let path = match self.optional_text(&fields, "path") {
            Some(Some(text)) => self.read_text(&fields.at("path"), text, Prefix::read).map(Some),
            Some(None) => Some(None),
            None => None,
        };
        let strip_path = self.optional_switch(&fields, "strip_path");
        let tls = fields.get("tls").map_or(Some(None), |tree| self.tls(&fields.at("tls"), tree).map(Some));
        if let (Some(Some(Tls::Acme)), Some(hosts)) = (&tls, &hosts) {
            self.obtainable(&fields.at("hosts"), hosts);
        }
        let hsts_seconds = self.optional_number(&fields, "hsts_seconds", 0, bounds::HSTS_SECONDS);
        let redirect_port = self.optional_number(&fields, "redirect_port", 1, u64::from(u16::MAX));
        let redirect_port = redirect_port.map(|port| port.and_then(|port| u16::try_from(port).ok()));
        let stand_in_port = self.optional_number(&fields, "stand_in_port", 1, u64::from(u16::MAX));
        let stand_in_port = stand_in_port.map(|port| port.and_then(|port| u16::try_from(port).ok()));
        let yields = self.optional_switch(&fields, "yields");
        if yields == Some(true) && stand_in_port == Some(None) {
            self.wrong(fields.at("yields"), "needs `stand_in_port`: connections would arrive nowhere");
        }
        if hsts_seconds.flatten().is_some() && tls == Some(None) {
            self.wrong(fields.at("hsts_seconds"), "needs `tls`: browsers believe it of no other answer");
        }
        if redirect_port.flatten().is_some() && fields.get("tls").is_some() {
            self.wrong(fields.at("redirect_port"), "leads to `https`, which this route is already: it has `tls`");
        }
        let (of_http, needs): (&[&str], _) = match protocol {
            Some(Protocol::Tcp) => {
                (&["hosts", "path", "strip_path", "trusted", "tls", "redirect_port"], "needs `protocol` http")
            }
            Some(Protocol::Tls) => {
                let needs = "needs `protocol` http: what is said behind TLS that is the containers' own is not known";
                (&["path", "strip_path", "trusted", "tls", "redirect_port"], needs)
            }
            Some(Protocol::H2c) => {
                let needs = "needs `protocol` http, tcp or tls: requests of many clients share a connection to an h2c container";
                (&["proxy_protocol"], needs)
            }
            _ => (&[], ""),
        };
        let beyond: &[&str] = if protocol.is_some_and(|of| !of.is_http()) { &read_beyond::KEYS } else { &[] };
        for key in of_http.iter().chain(beyond).filter(|key| fields.get(key).is_some()) {
            self.wrong(fields.at(key), needs);
        }
        if protocol == Some(Protocol::H2c) || fields.get("proxy_protocol").is_some() {
            let needs = "needs `protocol` http without `proxy_protocol`: these are sent on connections of HTTP/1.1 of their own";
            for key in ["mirror", "fallback"].into_iter().filter(|key| fields.get(key).is_some()) {
                self.wrong(fields.at(key), needs);
            }
        }
        if protocol.is_some_and(Protocol::is_http) && strip_path == Some(true) && path == Some(None) {
            self.wrong(fields.at("strip_path"), "needs `path`: there is nothing to leave out");
        }
        let idle_seconds = self.optional_number(&fields, "idle_seconds", 1, bounds::IDLE_SECONDS);
        let drain_seconds = self.optional_number(&fields, "drain_seconds", 0, bounds::DRAIN_SECONDS);
        let at = fields.at("colours");
        let list = self.required(&fields, "colours").and_then(|tree| self.list(&at, tree, 1, bounds::COLOURS))?;
        let mut colours: Vec<Colour> = Vec::new();
        for (index, tree) in list.iter().enumerate() {
            let path = format!("{at}[{index}]");
            let Some(colour) = self.colour(&path, tree, newest) else { continue };
            if colours.iter().any(|other| (&other.name, other.generation) == (&colour.name, colour.generation)) {
                self.wrong(path, format!("{} of generation {} stands twice", quoted(&colour.name), colour.generation));
                continue;
            }
            colours.push(colour);
        }
        let sum: u64 = colours.iter().map(|colour| colour.weight).sum();
        let all = colours.len() == list.len();
        if all && sum != bounds::WEIGHTS {
            self.wrong(at, format!("the weights are {sum} together; they must be {}", bounds::WEIGHTS));
        }
        let beyond = self.beyond(&fields);
        all.then_some(())?;
        if let Some(beyond) = &beyond {
            self.names_colours(&fields, beyond, &colours);
        }
        Some(Route {
            listen: listen?,
            protocol: protocol?,
            hosts: hosts?,
            path: path?,
            strip_path: strip_path?,
            trusted: trusted?,
            tls: tls?,
            hsts_seconds: hsts_seconds?,
            redirect_port: redirect_port?,
            proxied_by: proxied_by?,
            proxy_protocol: proxy_protocol?,
            stand_in_port: stand_in_port?,
            yields: yields?,
            state: state?,
            idle_seconds: idle_seconds?,
            drain_seconds: drain_seconds?,
            beyond: beyond?,
            colours,
        })
    }

    /// Hosts for which an authority gives certificates, by what can be proven here.
    fn obtainable(&mut self, path: &str, hosts: &[Host]) {
        if hosts.is_empty() {
            self.wrong(path, "are needed by `tls` \"acme\": certificates are obtained for hosts by their names");
        }
        for host in hosts {
            match host {
                Host::Below(_) => {
                    let why = "is a wildcard: it is proven by DNS alone (dns-01), which is not there; name each host";
                    self.wrong(path, format!("`{host}` {why}, or give files"));
                }
                Host::Exact(name) if name.parse::<IpAddr>().is_ok() => {
                    self.wrong(
                        path,
                        format!("`{host}` is an address: certificates are obtained for names; give files"),
                    );
                }
                Host::Exact(_) => {}
            }
        }
    }

    fn tls(&mut self, path: &str, tree: &Tree) -> Option<Tls> {
        if let Tree::Text(word) = tree {
            if word != ACME {
                self.wrong(path, format!("{} is not known; known here: {ACME}, or certificate and key", quoted(word)));
            }
            return (word == ACME).then_some(Tls::Acme);
        }
        let fields = self.fields(path, tree, &["certificate", "key"], &[])?;
        self.certificate_files(&fields).map(Tls::Files)
    }

    pub(crate) fn certificate_files(&mut self, fields: &Fields<'_>) -> Option<CertificateFiles> {
        let mut file = |key: &str| {
            let text = self.required_text(fields, key)?;
            if !text.starts_with('/') || text.len() > bounds::FILE || text.contains(char::is_control) {
                self.wrong(fields.at(key), format!("{} is no path of a file that begins with /", quoted(text)));
                return None;
            }
            Some(text.to_owned())
        };
        let (certificate, key) = (file("certificate"), file("key"));
        Some(CertificateFiles { certificate: certificate?, key: key? })
    }

    fn colour(&mut self, path: &str, tree: &Tree, newest: Option<u64>) -> Option<Colour> {
        let fields = self.fields(path, tree, &["name", "generation", "weight", "targets"], &[])?;
        let name = self.required_text(&fields, "name").and_then(|name| self.name(&fields.at("name"), name));
        let generation = self.required_number(&fields, "generation", 1, bounds::COUNTER);
        if let (Some(own), Some(newest)) = (generation, newest)
            && own > newest
        {
            self.wrong(fields.at("generation"), format!("is {own}, newer than the repository's, which is {newest}"));
        }
        let weight = self.required_number(&fields, "weight", 0, bounds::WEIGHTS);
        let path = fields.at("targets");
        let list = self.required(&fields, "targets").and_then(|tree| self.list(&path, tree, 1, bounds::TARGETS))?;
        let mut targets = Vec::new();
        for (index, tree) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let Some(target) = self.address(&path, tree) else { continue };
            if target.ip().is_unspecified() || target.ip().is_multicast() {
                self.wrong(path, format!("{target} is the address of no container"));
            } else if targets.contains(&target) {
                self.wrong(path, format!("{target} stands twice"));
            } else {
                targets.push(target);
            }
        }
        (targets.len() == list.len()).then_some(Colour {
            name: name?,
            generation: generation?,
            weight: weight?,
            targets,
        })
    }
}
