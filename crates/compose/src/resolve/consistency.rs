//! Whether the parts of a project fit together.

use std::collections::BTreeMap;

use super::{places::Places, typing::EXTENSIONS};
use crate::{
    error::LoadError,
    model::{Build, Project, Resource, Service},
};
use turnout_report::nearest;
use turnout_yaml::Node;

/// Checks active services against each other and the resources they name.
///
/// When a service has `scale` and `deploy`, `deploy.replicas` takes the value of `scale`.
pub(super) fn check(project: &mut Project, places: &Places<'_>) -> Result<(), LoadError> {
    for (name, service) in &project.services {
        let at = At { project, places, name, inside: Vec::new(), service };
        at.image_or_build()?;
        at.references()?;
        at.dependencies()?;
        at.scale()?;
        at.resources()?;
        at.watch()?;
        at.mounts()?;
        for (index, step) in service.pre_start.iter().enumerate() {
            let inside = vec!["pre_start".to_owned(), format!("[{index}]")];
            let at = At { project, places, name, inside, service: &step.spec };
            at.references()?;
            at.mounts()?;
        }
    }
    for service in project.services.values_mut() {
        if let (Some(scale), Some(deploy)) = (service.scale, &mut service.deploy) {
            deploy.replicas = Some(scale);
        }
    }
    for (name, secret) in &project.secrets {
        if !secret.external && secret.file.is_empty() && secret.environment.is_empty() {
            let error = places.error(&["secrets", name], format!("secret '{name}' has neither file nor environment"));
            return Err(error.hint("say where its content comes from: add file: or environment:, or external: true"));
        }
    }
    match project.dependency_order() {
        Ok(_) => Ok(()),
        Err(cycle) => {
            let first = cycle.path.first().map(String::as_str).unwrap_or_default();
            Err(places
                .error(&["services", first, "depends_on"], cycle.to_string())
                .hint("links, service: namespaces and volumes_from count as dependencies, too"))
        }
    }
}

/// Two services cannot both own a container name.
pub(super) fn check_container_names(project: &Project, places: &Places<'_>) -> Result<(), LoadError> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, service) in project.services.iter().filter(|(_, service)| !service.container_name.is_empty()) {
        if let Some(owner) = owners.insert(&service.container_name, name) {
            let message = format!("container name {:?} is already in use by service {owner}", service.container_name);
            let error = places.error(&["services", name, "container_name"], message);
            return Err(error.hint("give every service its own, or none"));
        }
    }
    Ok(())
}

/// Gives what comes with a path its number in its list.
fn numbered<P, T>(list: impl Iterator<Item = (P, T)>) -> impl Iterator<Item = (P, (usize, T))> {
    list.enumerate().map(|(index, (path, item))| (path, (index, item)))
}

struct At<'a> {
    project: &'a Project,
    places: &'a Places<'a>,
    name: &'a str,
    /// The way from the service to what is checked: to a step of `pre_start`, or none.
    inside: Vec<String>,
    service: &'a Service,
}

impl At<'_> {
    fn error(&self, path: &[&str], message: impl Into<String>) -> LoadError {
        let inside: Vec<&str> = self.inside.iter().map(String::as_str).collect();
        self.places.error(&[&["services", self.name], inside.as_slice(), path].concat(), message)
    }

    fn undefined<'k>(
        &self,
        path: &[&str],
        what: &str,
        key: &str,
        known: impl Iterator<Item = &'k String>,
    ) -> LoadError {
        let hint = nearest(key, known.map(String::as_str)).map(|near| format!("did you mean '{near}'?"));
        let message = format!("service '{}' refers to undefined {what} '{key}'", self.name);
        let hint = hint.unwrap_or_else(|| format!("declare it under {what}s: at the top level of the file"));
        self.error(path, message).hint(hint)
    }

    fn image_or_build(&self) -> Result<(), LoadError> {
        let Service { build, image, provider, platform, .. } = self.service;
        if build.is_none() && image.is_empty() && provider.is_none() {
            let message = format!("service '{}' has neither an image nor a build context specified", self.name);
            return Err(self.error(&[], message).hint("add image: or build:"));
        }
        match build {
            Some(build) => self.build(build, platform),
            None => Ok(()),
        }
    }

    fn build(&self, build: &Build, platform: &str) -> Result<(), LoadError> {
        if !build.dockerfile_inline.is_empty() && !build.dockerfile.is_empty() {
            return Err(self
                .error(&["build", "dockerfile_inline"], "dockerfile and dockerfile_inline exclude each other")
                .hint("remove one of them"));
        }
        for (context, source) in &build.additional_contexts {
            let Some(target) = source.strip_prefix("service:") else { continue };
            let path = ["build", "additional_contexts", context];
            match self.project.services.get(target) {
                None => return Err(self.undefined(&path, "service", target, self.project.services.keys())),
                Some(service) if service.build.is_none() => {
                    return Err(self
                        .error(&path, format!("service '{target}' is not built, so it is no build context"))
                        .hint("give it build:, or name its image as docker-image://IMAGE"));
                }
                Some(_) => {}
            }
        }
        if !build.platforms.is_empty() && !platform.is_empty() && !build.platforms.iter().any(|p| p == platform) {
            return Err(self
                .error(
                    &["build", "platforms"],
                    format!("service.build.platforms MUST include service.platform \"{platform}\""),
                )
                .hint("add it to the list, or change the platform"));
        }
        Ok(())
    }

    /// What was taken for an extension, and so names nothing.
    fn extensions(&self) -> Result<(), LoadError> {
        let tables = [
            ("networks", self.service.networks.contains_key(EXTENSIONS)),
            ("models", self.service.models.contains_key(EXTENSIONS)),
        ];
        let Some((table, _)) = tables.into_iter().find(|(_, taken)| *taken) else { return Ok(()) };
        let written = ["services", self.name, table].iter().try_fold(self.places.root, |node, key| node.get(key));
        let mut names = written.and_then(Node::as_map).into_iter().flat_map(|map| map.keys());
        let name = names.find(|name| name.starts_with("x-")).map_or(EXTENSIONS, String::as_str);
        let message = format!("'{name}' is taken for an extension, it names nothing here");
        Err(self.error(&[table, name], message).hint("use a name that does not begin with x-"))
    }

    fn references(&self) -> Result<(), LoadError> {
        self.extensions()?;
        let Self { project, service, .. } = self;
        // A step inherits the networks, and its own network_mode replaces them.
        if self.inside.is_empty() && !service.network_mode.is_empty() && !service.networks.is_empty() {
            return Err(self
                .error(&["network_mode"], "network_mode and networks exclude each other")
                .hint("remove one of them"));
        }
        if let Some(network) = service.networks.keys().find(|key| !project.networks.contains_key(*key)) {
            return Err(self.undefined(&["networks", network], "network", network, project.networks.keys()));
        }
        if let Some(first) = service.healthcheck.as_ref().and_then(|check| check.test.first())
            && !matches!(first.as_str(), "CMD" | "CMD-SHELL" | "NONE")
        {
            let message = format!("must start with \"CMD\", \"CMD-SHELL\" or \"NONE\", not \"{first}\"");
            return Err(self.error(&["healthcheck", "test"], message).hint("or write the command as one text"));
        }
        let volumes = service.volumes.iter().enumerate();
        let named = volumes.filter(|(_, mount)| mount.r#type == "volume" && !mount.source.is_empty());
        let at = |index: usize| format!("[{index}]");
        for (index, mount) in named {
            if !project.volumes.contains_key(&mount.source) {
                return Err(self.undefined(&["volumes", &at(index)], "volume", &mount.source, project.volumes.keys()));
            }
        }
        let build_secrets =
            service.build.iter().flat_map(|build| &build.secrets).map(|secret| (&["build", "secrets"][..], secret));
        let secrets = service.secrets.iter().map(|secret| (&["secrets"][..], secret));
        for (path, (index, secret)) in numbered(build_secrets).chain(numbered(secrets)) {
            if !project.secrets.contains_key(&secret.source) {
                return Err(self.undefined(
                    &[path, &[at(index).as_str()]].concat(),
                    "secret",
                    &secret.source,
                    project.secrets.keys(),
                ));
            }
        }
        for (index, config) in service.configs.iter().enumerate() {
            if !project.configs.contains_key(&config.source) {
                return Err(self.undefined(&["configs", &at(index)], "config", &config.source, project.configs.keys()));
            }
        }
        if let Some(model) = service.models.keys().find(|key| !project.models.contains_key(*key)) {
            return Err(self.undefined(&["models", model], "model", model, project.models.keys()));
        }
        Ok(())
    }

    fn dependencies(&self) -> Result<(), LoadError> {
        let Self { project, service, .. } = self;
        for (dependency, edge) in &service.depends_on {
            let disabled = project.disabled_services.contains_key(dependency);
            if project.services.contains_key(dependency) || (disabled && !edge.required) {
                continue;
            }
            let message = format!("service '{}' depends on undefined service '{dependency}'", self.name);
            let hint = if disabled {
                Some("its profiles are not active: activate one, or set required: false".to_owned())
            } else {
                let known = project.services.keys().map(String::as_str);
                nearest(dependency, known).map(|near| format!("did you mean '{near}'?"))
            };
            let hint = hint.unwrap_or_else(|| "add the service, or remove the dependency".to_owned());
            let origin = self.origin(dependency);
            return Err(self.error(&origin.iter().map(String::as_str).collect::<Vec<_>>(), message).hint(hint));
        }
        if let Some(shared) = Service::shared_service(&service.network_mode)
            && !project.services.contains_key(shared)
        {
            let message = format!("service '{shared}' not found for network_mode 'service:{shared}'");
            let hint = "name a service of this project that is active";
            return Err(self.error(&["network_mode"], message).hint(hint));
        }
        Ok(())
    }

    /// The attribute that a dependency comes from; most come from `depends_on`.
    fn origin(&self, dependency: &str) -> Vec<String> {
        let service = self.service;
        for (attribute, mode) in [("network_mode", &service.network_mode), ("ipc", &service.ipc), ("pid", &service.pid)]
        {
            if Service::shared_service(mode) == Some(dependency) {
                return vec![attribute.to_owned()];
            }
        }
        for (attribute, list) in [("links", &service.links), ("volumes_from", &service.volumes_from)] {
            if let Some(index) = list.iter().position(|item| item.split(':').next() == Some(dependency)) {
                return vec![attribute.to_owned(), format!("[{index}]")];
            }
        }
        vec!["depends_on".to_owned(), dependency.to_owned()]
    }

    fn scale(&self) -> Result<(), LoadError> {
        let service = self.service;
        let replicas = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
        if let (Some(scale), Some(replicas)) = (service.scale, replicas)
            && scale != replicas
        {
            return Err(self
                .error(&["scale"], "can't set distinct values on 'scale' and 'deploy.replicas'")
                .hint("write the number in one of them only"));
        }
        for (count, path) in [(service.scale, &["scale"][..]), (replicas, &["deploy", "replicas"])] {
            if count.is_some_and(|count| count < 0) {
                return Err(self.error(path, "must be greater than or equal to 0").hint("write 0 or more"));
            }
        }
        if service.scale() > 1 && !service.container_name.is_empty() {
            let attribute = if service.scale.is_some() { "scale" } else { "deploy.replicas" };
            let message = format!("can't set container_name and {attribute} as container name must be unique");
            return Err(self.error(&["container_name"], message).hint("leave container_name out"));
        }
        Ok(())
    }

    fn resources(&self) -> Result<(), LoadError> {
        let Service { cpus, mem_limit, mem_reservation, pids_limit, deploy, .. } = self.service;
        let Some(deploy) = deploy else { return Ok(()) };
        let limits = deploy.resources.limits.as_ref();
        let reservations = deploy.resources.reservations.as_ref();
        let differs = |own_set: bool, other: Option<&Resource>, same: fn(&Resource, &Service) -> bool| {
            own_set && other.is_some_and(|other| !same(other, self.service))
        };
        let conflicts = [
            ("cpus", "limits.cpus", differs(cpus.0 != 0.0, limits, |r, s| r.cpus == s.cpus)),
            ("mem_limit", "limits.memory", differs(mem_limit.0 != 0, limits, |r, s| r.memory == s.mem_limit)),
            (
                "mem_reservation",
                "reservations.memory",
                differs(mem_reservation.0 != 0, reservations, |r, s| r.memory == s.mem_reservation),
            ),
            ("pids_limit", "limits.pids", differs(*pids_limit != 0, limits, |r, s| r.pids == s.pids_limit)),
        ];
        match conflicts.iter().find(|(_, _, conflict)| *conflict) {
            Some((own, other, _)) => Err(self
                .error(&[own], format!("can't set distinct values on '{own}' and 'deploy.resources.{other}'"))
                .hint("a limits or reservations section must repeat the value, or leave the attribute out")),
            None => Ok(()),
        }
    }

    fn watch(&self) -> Result<(), LoadError> {
        let rules = self.service.develop.iter().flat_map(|develop| &develop.watch);
        for (index, rule) in rules.enumerate() {
            if rule.target.is_empty() && !matches!(rule.action.as_str(), "rebuild" | "restart") {
                return Err(self
                    .error(&["develop", "watch", &format!("[{index}]")], "target is required for non-rebuild actions")
                    .hint("say where in the container the files go"));
            }
        }
        Ok(())
    }

    fn mounts(&self) -> Result<(), LoadError> {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        let tmpfs =
            self.service.tmpfs.iter().enumerate().map(|(index, spec)| {
                ("tmpfs", index, spec.split_once(':').map_or(spec.as_str(), |(target, _)| target))
            });
        let volumes =
            self.service.volumes.iter().enumerate().map(|(index, mount)| ("volumes", index, mount.target.as_str()));
        for (list, index, target) in tmpfs.chain(volumes) {
            let inside: String = self.inside.iter().map(|key| format!(".{key}")).collect::<String>().replace(".[", "[");
            let here = format!("services.{}{inside}.{list}[{index}]", self.name);
            if let Some(first) = seen.get(target) {
                return Err(self
                    .error(&[list, &format!("[{index}]")], format!("target {target} already mounted as {first}"))
                    .hint("give every mount its own target"));
            }
            seen.insert(target, here);
        }
        Ok(())
    }
}
