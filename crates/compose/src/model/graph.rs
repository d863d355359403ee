//! What follows from a service's attributes (how many containers, which image, which platform), and the order in which
//! services depend on each other.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::*;

/// A circle of `depends_on`, first service repeated at the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dependency cycle detected: {}", path.join(" -> "))]
pub struct DependencyCycle {
    /// The services in their order, such as `a`, `b`, `a`.
    pub path: Vec<String>,
}

impl Service {
    /// How many containers are wanted; negative numbers never pass the loader.
    pub fn scale(&self) -> u32 {
        let replicas = self.scale.or_else(|| self.deploy.as_ref().and_then(|deploy| deploy.replicas));
        replicas.map_or(1, |count| u32::try_from(count).unwrap_or(0))
    }

    /// Sets the number of containers, as `--scale` does.
    pub fn set_scale(&mut self, count: u32) {
        self.scale = Some(i64::from(count));
        if let Some(deploy) = &mut self.deploy {
            deploy.replicas = self.scale;
        }
    }

    /// The image to run: `image`, or the name that a build gets.
    pub fn image_name(&self, project: &str, service: &str) -> String {
        if self.image.is_empty() {
            format!("{project}{}{service}", crate::labels::separator())
        } else {
            self.image.clone()
        }
    }

    /// The platform that containers are wanted for: `platform`, or the default of the project's environment; empty
    /// where neither says anything.
    pub fn platform_or_default<'a>(&'a self, environment: &'a BTreeMap<String, String>) -> &'a str {
        match (self.platform.as_str(), environment.get("DOCKER_DEFAULT_PLATFORM")) {
            ("", Some(default)) => default,
            (own, _) => own,
        }
    }

    /// Compose keys of the networks, highest `priority` first, ties by name; the first is the primary one.
    pub fn networks_by_priority(&self) -> Vec<&str> {
        let mut keys: Vec<(Reverse<i64>, &str)> = self
            .networks
            .iter()
            .map(|(name, attachment)| (Reverse(attachment.as_ref().map_or(0, |a| a.priority)), name.as_str()))
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, name)| name).collect()
    }

    /// Whether one of `active` profiles, or `*`, selects the service. A service without profiles is always active.
    pub fn has_profile(&self, active: &[String]) -> bool {
        self.profiles.is_empty() || active.iter().any(|p| p == "*" || self.profiles.contains(p))
    }

    /// The service whose namespace `mode` shares (`service:NAME`), if any.
    pub fn shared_service(mode: &str) -> Option<&str> {
        mode.strip_prefix("service:")
    }
}

impl Project {
    /// Active services, dependencies before their dependents, ties by name.
    ///
    /// Edges to services that are not active are left out; the loader has refused those that are required.
    pub fn dependency_order(&self) -> Result<Vec<&str>, DependencyCycle> {
        order(self.services.iter().map(|(name, service)| {
            let edges = service.depends_on.keys().map(String::as_str).filter(|d| self.services.contains_key(*d));
            (name.as_str(), edges.collect())
        }))
    }

    /// Active services that depend directly on `name`.
    pub fn dependents<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Dependency)> {
        self.services
            .iter()
            .filter_map(move |(dependent, service)| Some((dependent.as_str(), service.depends_on.get(name)?)))
    }
}

/// Depth-first order without recursion: the depth of a chain is the writer's choice, the stack is ours.
fn order<'a>(nodes: impl Iterator<Item = (&'a str, Vec<&'a str>)>) -> Result<Vec<&'a str>, DependencyCycle> {
    let edges: BTreeMap<&str, Vec<&str>> = nodes.collect();
    let mut done = BTreeSet::new();
    let mut ordered = Vec::with_capacity(edges.len());
    for &root in edges.keys() {
        // Each frame: a service and how many of its dependencies were visited.
        let mut path: Vec<(&str, usize)> = if done.contains(root) { Vec::new() } else { vec![(root, 0)] };
        while let Some((name, visited)) = path.last_mut() {
            let next = edges.get(name).and_then(|list| list.get(*visited)).copied();
            *visited += 1;
            match next {
                Some(next) if done.contains(next) => {}
                Some(next) => {
                    if let Some(start) = path.iter().position(|(on_path, _)| *on_path == next) {
                        let circle = path.iter().skip(start).map(|(name, _)| *name).chain([next]);
                        return Err(DependencyCycle { path: circle.map(str::to_owned).collect() });
                    }
                    path.push((next, 0));
                }
                None => {
                    if let Some((name, _)) = path.pop() {
                        done.insert(name);
                        ordered.push(name);
                    }
                }
            }
        }
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(edges: &[(&str, &[&str])]) -> Project {
        let services = edges.iter().map(|(name, dependencies)| {
            let depends_on = dependencies.iter().map(|d| ((*d).to_owned(), Dependency::default())).collect();
            ((*name).to_owned(), Service { depends_on, ..Service::default() })
        });
        Project { services: services.collect(), ..Project::default() }
    }

    #[test]
    fn dependencies_come_first() {
        for (edges, expected) in [
            (&[("a", &["b"][..]), ("b", &["c"]), ("c", &[])][..], Ok("c b a")),
            (&[("web", &["db", "gone"]), ("db", &[])], Ok("db web")),
            (&[("a", &["c", "b"]), ("b", &["c"]), ("c", &[])], Ok("c b a")),
            (&[("a", &["a"])], Err("dependency cycle detected: a -> a")),
            (&[("x", &["a"]), ("a", &["b"]), ("b", &["a"])], Err("dependency cycle detected: a -> b -> a")),
        ] {
            let project = project(edges);
            let got = project.dependency_order().map(|order| order.join(" ")).map_err(|e| e.to_string());
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{edges:?}");
        }
    }

    #[test]
    fn the_primary_network_has_the_highest_priority() {
        let attachment = |priority| Some(Attachment { priority, ..Attachment::default() });
        let service = Service {
            networks: [
                ("b".into(), None),
                ("a".into(), None),
                ("z".into(), attachment(5)),
                ("y".into(), attachment(-1)),
            ]
            .into(),
            ..Service::default()
        };
        assert_eq!(service.networks_by_priority(), ["z", "a", "b", "y"]);
    }

    #[test]
    fn scale_prefers_its_own_attribute() {
        let mut service = Service::default();
        assert_eq!(service.scale(), 1);
        service.deploy = Some(Deploy { replicas: Some(3), ..Deploy::default() });
        assert_eq!(service.scale(), 3);
        service.set_scale(0);
        assert_eq!((service.scale(), service.deploy.and_then(|d| d.replicas)), (0, Some(0)));
    }
}
