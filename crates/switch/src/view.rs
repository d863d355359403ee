//! A project with what is known of its services: the questions that the rules ask.

use std::collections::{BTreeMap, BTreeSet};

use turnout_compose::model::{Port, Project, Service};

use crate::{
    class::{Class, Place},
    facts::{Facts, ImageFacts},
    hosts,
    known::{self, Why},
    protocol::{Protocol, Spoken},
    said::Said,
    storage::Writers,
};

/// The condition of `depends_on` that waits for an end (Compose specification).
pub(crate) const COMPLETED: &str = "service_completed_successfully";

/// A project, and what was looked up and said.
pub(crate) struct View<'a> {
    pub(crate) project: &'a Project,
    pub(crate) facts: &'a Facts,
    pub(crate) said: &'a Said,
    /// Who waits for the end of whom.
    pub(crate) awaited: BTreeMap<&'a str, Vec<&'a str>>,
    /// Which services write to which volumes and folders.
    pub(crate) writers: Writers<'a>,
    /// Services whose code is this repository's, or would be (ADR 23, *ours*).
    pub(crate) ours: BTreeSet<&'a str>,
}

/// By what one service reaches another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    Depends,
    Names(Place, Option<u16>),
}

impl<'a> View<'a> {
    pub(crate) fn of(project: &'a Project, facts: &'a Facts, said: &'a Said) -> View<'a> {
        let mut awaited: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, service) in &project.services {
            for (other, dependency) in &service.depends_on {
                if dependency.condition == COMPLETED && project.services.contains_key(other) {
                    awaited.entry(other).or_default().push(name);
                }
            }
        }
        let mut view = View { project, facts, said, awaited, writers: Writers::default(), ours: BTreeSet::new() };
        let jobs = project.services.keys().map(String::as_str).filter(|name| view.is_job(name)).collect();
        view.writers = Writers::of(project, facts, &jobs);
        view.ours = view.ours();
        view
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.project.services.keys().map(String::as_str)
    }

    pub(crate) fn service(&self, name: &str) -> Option<&'a Service> {
        self.project.services.get(name)
    }

    /// Whether a service is said to be a job, or is waited for as one and not said to be something else.
    pub(crate) fn is_job(&self, name: &str) -> bool {
        match self.said.of_this(name, |said| said.class) {
            Some((class, _)) => class == Class::Job,
            None => self.awaited.contains_key(name),
        }
    }

    pub(crate) fn image_name(&self, name: &str) -> String {
        self.service(name).map(|service| service.image_name(&self.project.name, name)).unwrap_or_default()
    }

    pub(crate) fn image(&self, name: &str) -> Option<&'a ImageFacts> {
        self.facts.images.get(&self.image_name(name))
    }

    /// What it runs: entrypoint and command, the image's where the file has none.
    pub(crate) fn command(&self, name: &str) -> Vec<&'a str> {
        let (service, image) = (self.service(name), self.image(name));
        let entrypoint = service.and_then(|service| service.entrypoint.as_ref());
        let command = service.and_then(|service| service.command.as_ref());
        let first = entrypoint.or_else(|| image.map(|image| &image.entrypoint));
        // An entrypoint of the file's own clears the image's command (Compose specification, `entrypoint`).
        let second = command.or_else(|| image.filter(|_| entrypoint.is_none()).map(|image| &image.command));
        first.into_iter().chain(second).flatten().map(String::as_str).collect()
    }

    /// Whether it runs what its image runs by itself.
    fn runs_images_command(&self, name: &str) -> bool {
        self.service(name).is_some_and(|service| service.command.is_none() && service.entrypoint.is_none())
    }

    /// The word by which it is seen to be a scheduler.
    pub(crate) fn scheduler(&self, name: &str) -> Option<String> {
        known::scheduler(name, &self.image_name(name), &self.command(name))
    }

    /// The proxy that it is: by its image's name, by what it runs, or, where it is built here, by what it is called after.
    pub(crate) fn proxy(&self, name: &str) -> Option<&'static str> {
        let image = self.image_name(name);
        let built = || known::proxy_name(&image).or_else(|| known::proxy_name(name)).filter(|_| self.is_built(name));
        known::proxy_image(&image)
            .or_else(|| self.command(name).iter().find_map(|word| known::proxy_program(word)))
            .or_else(built)
    }

    /// The engine that it is (ADR 23, *engine*).
    pub(crate) fn engine(&self, name: &str) -> Option<(&'static str, Why)> {
        let service = self.service(name)?;
        if let Some(what) = known::engine_image(&service.image) {
            return Some((what, Why::Image(service.image.clone())));
        }
        if self.proxy(name).is_some() {
            // A proxy before an engine has the engine's port, and no data.
            return None;
        }
        let image = self.image(name).into_iter().flat_map(|image| image.ports.iter().copied());
        let mut ports = self.tcp_ports(name).filter_map(target).chain(self.exposed(name)).chain(image);
        ports.find_map(|port| known::engine_port(port).map(|what| (what, Why::Port(port))))
    }

    /// The TCP ports that a service publishes on the host.
    pub(crate) fn tcp_ports(&self, name: &str) -> impl Iterator<Item = &'a Port> + use<'a> {
        let ports = self.service(name).into_iter().flat_map(|service| &service.ports);
        ports.filter(|port| matches!(port.protocol.as_str(), "" | "tcp"))
    }

    /// TCP ports of `expose`; of a range the first.
    pub(crate) fn exposed(&self, name: &str) -> impl Iterator<Item = u16> + use<'a> {
        let entries = self.service(name).into_iter().flat_map(|service| &service.expose);
        entries
            .filter(|entry| !entry.ends_with("/udp"))
            .filter_map(|entry| entry.split(['/', '-']).next()?.parse().ok())
    }

    /// What is spoken on a published port.
    pub(crate) fn spoken(&self, name: &str, port: u16, app: &str) -> Spoken {
        if let Some((protocol, source)) = self.said.protocol(name, port) {
            return Spoken::Said(protocol, source);
        }
        if let Some(protocol) = Protocol::of_app(app) {
            return Spoken::App(protocol, app.to_owned());
        }
        known::not_http(port).map_or(Spoken::Asked, Spoken::Port)
    }

    /// Whether it publishes what is HTTP, or may be.
    pub(crate) fn publishes_http(&self, name: &str) -> bool {
        self.tcp_ports(name)
            .filter_map(|port| Some((target(port)?, port)))
            .any(|(number, port)| self.spoken(name, number, &port.app_protocol).may_be_http())
    }

    /// Names under which a service is found by others of its networks.
    pub(crate) fn host_names(&self, name: &'a str) -> Vec<&'a str> {
        let Some(service) = self.service(name) else { return vec![name] };
        let aliases = service.networks.values().flatten().flat_map(|attachment| &attachment.aliases);
        let all = [name, &service.container_name, &service.hostname].into_iter().chain(aliases.map(String::as_str));
        let mut names: Vec<&str> = Vec::new();
        for found in all.filter(|found| !found.is_empty()) {
            if !names.contains(&found) {
                names.push(found);
            }
        }
        names
    }

    /// Where one service names another as a host.
    pub(crate) fn names_host(&self, from: &str, to: &'a str) -> Option<(Place, Option<u16>)> {
        let service = self.service(from).filter(|_| from != to)?;
        hosts::named(self.project, self.facts, service, &self.host_names(to))
    }

    /// By what one service reaches another; a name tells more than `depends_on`.
    pub(crate) fn reaches(&self, from: &str, to: &'a str) -> Option<Reach> {
        if let Some((place, port)) = self.names_host(from, to) {
            return Some(Reach::Names(place, port));
        }
        let depends = self.service(from).is_some_and(|service| service.depends_on.contains_key(to));
        depends.then_some(Reach::Depends)
    }

    /// By what a service is seen to listen without publishing (ADR 23, rule 8).
    ///
    /// A port that the image exposes tells nothing where the service runs a command of its own: a worker of the web's image
    /// has the web's EXPOSE.
    pub(crate) fn listens(&self, name: &str) -> Option<crate::class::Listens> {
        use crate::class::Listens;
        let service = self.service(name)?;
        if let Some(port) = service.expose.first() {
            return Some(Listens::Expose(port.clone()));
        }
        if let Some(port) = self.image(name).filter(|_| self.runs_images_command(name)).and_then(|i| i.ports.first()) {
            return Some(Listens::Image(*port));
        }
        let test = service.healthcheck.as_ref().filter(|check| !check.disable).map(|check| check.test.join(" "));
        let asks_itself = |test: &String| {
            ["://localhost", "://127.0.0.1", "://0.0.0.0", "://[::1]", "localhost:", "127.0.0.1:"]
                .iter()
                .any(|address| test.contains(address))
        };
        test.filter(asks_itself).map(|_| Listens::Healthcheck)
    }

    /// *Ours*: has `build`, or the image of one that has. Where nothing is built but engines and jobs, services that
    /// publish HTTP, and others of their images.
    fn ours(&self) -> BTreeSet<&'a str> {
        let built: BTreeSet<&str> = self.names().filter(|name| self.is_built(name)).collect();
        let app = |name: &&str| self.engine(name).is_none() && !self.is_job(name);
        let first: BTreeSet<&str> = if built.iter().any(app) {
            built
        } else {
            self.names().filter(|name| self.publishes_http(name)).filter(app).collect()
        };
        let images: BTreeSet<String> = first.iter().map(|name| self.image_name(name)).collect();
        self.names().filter(|name| first.contains(name) || images.contains(&self.image_name(name))).collect()
    }

    fn is_built(&self, name: &str) -> bool {
        self.service(name).is_some_and(|service| service.build.is_some())
    }
}

/// The port in the container; 0 and what is no port never pass the loader.
pub(crate) fn target(port: &Port) -> Option<u16> {
    u16::try_from(port.target).ok().filter(|port| *port != 0)
}
