//! From JSON to types, with every mistake on the way.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::{
    bounds,
    check::Placed,
    later,
    mistake::{Mistakes, quoted},
    spot::{Host, Network, Prefix},
    table::{Colour, Maintained, Protocol, ProxyProtocol, Repository, Route, RouteState, Standing, Table, Tls},
    tree::Tree,
};

/// Collects mistakes.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) mistakes: Mistakes,
}

/// An object whose keys are known ones, each once.
pub(crate) struct Fields<'t> {
    path: String,
    entries: Vec<(&'t str, &'t Tree)>,
}

impl<'t> Fields<'t> {
    pub(crate) fn get(&self, key: &str) -> Option<&'t Tree> {
        self.entries.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    fn at(&self, key: &str) -> String {
        below(&self.path, key)
    }
}

/// The path of a key.
fn below(path: &str, key: &str) -> String {
    match (path.is_empty(), plain(key)) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (true, false) => quoted(key),
        (false, false) => format!("{path}.{}", quoted(key)),
    }
}

/// Whether a name is made of what names are made of.
fn plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= bounds::NAME
        && !name.starts_with(['-', '.'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

impl Reading {
    pub(crate) fn wrong(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.mistakes.add(path, message);
    }

    /// An object's entries, each key once.
    fn entries<'t>(&mut self, path: &str, tree: &'t Tree) -> Option<Vec<(&'t str, &'t Tree)>> {
        let Tree::Map(map) = tree else {
            self.wrong(path, format!("is {}; an object is wanted", tree.kind()));
            return None;
        };
        let mut entries: Vec<(&str, &Tree)> = Vec::with_capacity(map.len().min(bounds::REPOSITORIES));
        let mut keys = std::collections::BTreeSet::new();
        for (key, value) in map {
            if keys.insert(key.as_str()) {
                entries.push((key, value));
            } else {
                self.wrong(below(path, key), "stands here twice");
            }
        }
        Some(entries)
    }

    /// An object with these keys and no others. `later`: keys that will be.
    pub(crate) fn fields<'t>(
        &mut self,
        path: &str,
        tree: &'t Tree,
        keys: &[&str],
        later: &[&str],
    ) -> Option<Fields<'t>> {
        let mut entries = self.entries(path, tree)?;
        entries.retain(|(key, _)| {
            if keys.contains(key) {
                return true;
            }
            let message = match later.contains(key) {
                true => later::not_yet("this key"),
                false => format!("unknown key; known here: {}", keys.join(", ")),
            };
            self.wrong(below(path, key), message);
            false
        });
        Some(Fields { path: path.to_owned(), entries })
    }

    pub(crate) fn required<'t>(&mut self, fields: &Fields<'t>, key: &str) -> Option<&'t Tree> {
        let found = fields.get(key);
        if found.is_none() {
            self.wrong(fields.at(key), "is missing");
        }
        found
    }

    fn text<'t>(&mut self, path: &str, tree: &'t Tree) -> Option<&'t str> {
        if let Tree::Text(text) = tree {
            return Some(text);
        }
        self.wrong(path, format!("is {}; a text is wanted", tree.kind()));
        None
    }

    pub(crate) fn required_text<'t>(&mut self, fields: &Fields<'t>, key: &str) -> Option<&'t str> {
        let tree = self.required(fields, key)?;
        self.text(&fields.at(key), tree)
    }

    /// A text that may be missing. None: it is something else.
    pub(crate) fn optional_text<'t>(&mut self, fields: &Fields<'t>, key: &str) -> Option<Option<&'t str>> {
        match fields.get(key) {
            None => Some(None),
            Some(tree) => self.text(&fields.at(key), tree).map(Some),
        }
    }

    pub(crate) fn required_switch(&mut self, fields: &Fields<'_>, key: &str) -> Option<bool> {
        let tree = self.required(fields, key)?;
        self.switch(&fields.at(key), tree)
    }

    /// False where it is missing.
    fn optional_switch(&mut self, fields: &Fields<'_>, key: &str) -> Option<bool> {
        fields.get(key).map_or(Some(false), |tree| self.switch(&fields.at(key), tree))
    }

    fn switch(&mut self, path: &str, tree: &Tree) -> Option<bool> {
        if let Tree::Bool(value) = tree {
            return Some(*value);
        }
        self.wrong(path, format!("is {}; true or false is wanted", tree.kind()));
        None
    }

    fn number(&mut self, path: &str, tree: &Tree, least: u64, most: u64) -> Option<u64> {
        if let Tree::Whole(number) = tree
            && (least..=most).contains(number)
        {
            return Some(*number);
        }
        let is = match tree {
            Tree::Whole(number) => number.to_string(),
            other => other.kind().to_owned(),
        };
        self.wrong(path, format!("is {is}; a whole number from {least} to {most} is wanted"));
        None
    }

    pub(crate) fn required_number(&mut self, fields: &Fields<'_>, key: &str, least: u64, most: u64) -> Option<u64> {
        let tree = self.required(fields, key)?;
        self.number(&fields.at(key), tree, least, most)
    }

    /// A number that may be missing. None: it is something else.
    fn optional_number(&mut self, fields: &Fields<'_>, key: &str, least: u64, most: u64) -> Option<Option<u64>> {
        match fields.get(key) {
            None => Some(None),
            Some(tree) => self.number(&fields.at(key), tree, least, most).map(Some),
        }
    }

    fn list<'t>(&mut self, path: &str, tree: &'t Tree, least: usize, most: usize) -> Option<&'t [Tree]> {
        let Tree::List(list) = tree else {
            self.wrong(path, format!("is {}; a list is wanted", tree.kind()));
            return None;
        };
        if !(least..=most).contains(&list.len()) {
            self.wrong(path, format!("has {} entries; from {least} to {most} may be", list.len()));
            return None;
        }
        Some(list)
    }

    /// A text that is read further.
    fn read_text<T>(&mut self, path: &str, text: &str, read: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        read(text).map_err(|message| self.wrong(path, format!("{} {message}", quoted(text)))).ok()
    }

    /// A list of texts, none of them twice; empty where it is missing, and not where it stands there.
    fn each_once<T: PartialEq>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        most: usize,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<Vec<T>> {
        let Some(tree) = fields.get(key) else { return Some(Vec::new()) };
        let list = self.list(&fields.at(key), tree, 1, most)?;
        let mut all = Vec::new();
        for (index, tree) in list.iter().enumerate() {
            let path = format!("{}[{index}]", fields.at(key));
            let Some(text) = self.text(&path, tree) else { continue };
            match self.read_text(&path, text, &read) {
                Some(value) if all.contains(&value) => self.wrong(path, format!("{} stands twice", quoted(text))),
                value => all.extend(value),
            }
        }
        (all.len() == list.len()).then_some(all)
    }

    /// A name of a repository or a colour.
    pub(crate) fn name(&mut self, path: &str, name: &str) -> Option<String> {
        if plain(name) {
            return Some(name.to_owned());
        }
        let most = bounds::NAME;
        let rule = format!("a name has letters, digits, -, _ and ., at most {most}, and does not begin with - or .");
        self.wrong(path, format!("{} is no name: {rule}", quoted(name)));
        None
    }

    /// An address with a port, in the one form that it has.
    fn address(&mut self, path: &str, tree: &Tree) -> Option<SocketAddr> {
        let text = self.text(path, tree)?;
        let Ok(address) = text.parse::<SocketAddr>() else {
            let message = "is no address with a port; as 0.0.0.0:80 or [::]:80, not a host name";
            self.wrong(path, format!("{} {message}", quoted(text)));
            return None;
        };
        if address.port() == 0 {
            self.wrong(path, "has port 0, which means any port; name one");
            return None;
        }
        if let IpAddr::V6(ip) = address.ip()
            && let Some(ip) = ip.to_ipv4_mapped()
        {
            self.wrong(path, format!("is an IPv4 address in the form of IPv6; write {ip}:{}", address.port()));
            return None;
        }
        Some(address)
    }

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
            "state",
            "idle_seconds",
            "drain_seconds",
            "colours",
        ];
        let fields = self.fields(path, tree, &keys, later::ROUTE_KEYS)?;
        let listen = self.required(&fields, "listen").and_then(|tree| self.address(&fields.at("listen"), tree));
        let protocols =
            [("tcp", Protocol::Tcp), ("http", Protocol::Http), ("h2c", Protocol::H2c), ("tls", Protocol::Tls)];
        let protocol = self.one_of(&fields, "protocol", &protocols);
        let state = match fields.get("state") {
            Some(Tree::Text(word)) if later::STATES.contains(&word.as_str()) => {
                let message =
                    format!("a whole repository can be so, not a route: the request {} asks for it", quoted(word));
                self.wrong(fields.at("state"), message);
                None
            }
            _ => self.one_of(&fields, "state", &[("serve", RouteState::Serve)]),
        };
        let hosts = self.each_once(&fields, "hosts", bounds::HOSTS, Host::read);
        let trusted = self.each_once(&fields, "trusted", bounds::NETWORKS, Network::read);
        let proxied_by = self.each_once(&fields, "proxied_by", bounds::NETWORKS, Network::read);
        let versions = [("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
        let proxy_protocol = match fields.get("proxy_protocol") {
            Some(_) => self.one_of(&fields, "proxy_protocol", &versions).map(Some),
            None => Some(None),
        };
        let path = match self.optional_text(&fields, "path") {
            Some(Some(text)) => self.read_text(&fields.at("path"), text, Prefix::read).map(Some),
            Some(None) => Some(None),
            None => None,
        };
        let strip_path = self.optional_switch(&fields, "strip_path");
        let tls = fields.get("tls").map_or(Some(None), |tree| self.tls(&fields.at("tls"), tree).map(Some));
        let hsts_seconds = self.optional_number(&fields, "hsts_seconds", 0, bounds::HSTS_SECONDS);
        let redirect_port = self.optional_number(&fields, "redirect_port", 1, u64::from(u16::MAX));
        let redirect_port = redirect_port.map(|port| port.and_then(|port| u16::try_from(port).ok()));
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
        for key in of_http.iter().filter(|key| fields.get(key).is_some()) {
            self.wrong(fields.at(key), needs);
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
        all.then_some(())?;
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
            state: state?,
            idle_seconds: idle_seconds?,
            drain_seconds: drain_seconds?,
            colours,
        })
    }

    fn tls(&mut self, path: &str, tree: &Tree) -> Option<Tls> {
        let fields = self.fields(path, tree, &["certificate", "key"], &[])?;
        let mut file = |key: &str| {
            let text = self.required_text(&fields, key)?;
            if !text.starts_with('/') || text.len() > bounds::FILE || text.contains(char::is_control) {
                self.wrong(fields.at(key), format!("{} is no path of a file that begins with /", quoted(text)));
                return None;
            }
            Some(text.to_owned())
        };
        let (certificate, key) = (file("certificate"), file("key"));
        Some(Tls { certificate: certificate?, key: key? })
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

    fn one_of<T: Copy>(&mut self, fields: &Fields<'_>, key: &str, known: &[(&str, T)]) -> Option<T> {
        let word = self.required_text(fields, key)?;
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == word) {
            return Some(*value);
        }
        let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        self.wrong(fields.at(key), format!("{} is not known; known here: {}", quoted(word), known.join(", ")));
        None
    }
}
