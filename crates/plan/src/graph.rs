//! Which service needs which, and the order that follows: from the project or, where its file is gone, from the labels
//! of its containers.

use std::collections::{BTreeMap, BTreeSet};

use super::converge::{dependencies, in_dependency_order, shares};
use super::{Observed, ObservedContainer};
use turnout_compose::{labels, model::Project};

/// One edge: a service that another needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    pub on: String,
    pub condition: String,
    pub restart: bool,
    pub required: bool,
}

/// Services and their edges, dependencies first.
#[derive(Debug, Default)]
pub(super) struct Graph {
    order: Vec<String>,
    edges: BTreeMap<String, Vec<Edge>>,
}

impl Graph {
    /// Takes the project's word; without one, the word of what it left in the engine.
    pub fn new(project: Option<&Project>, observed: &Observed) -> Graph {
        let edges = match project {
            Some(project) => of_project(project),
            None => of_labels(observed),
        };
        let needs: BTreeMap<&str, Vec<&str>> = edges
            .iter()
            .map(|(name, own)| (name.as_str(), own.iter().map(|edge| edge.on.as_str()).collect()))
            .collect();
        // Labels may say anything, even a circle; then any order serves.
        let order = in_dependency_order(&needs).unwrap_or_else(|_| needs.keys().copied().collect());
        Graph { order: order.into_iter().map(str::to_owned).collect(), edges }
    }

    /// Services, dependencies first.
    pub fn services(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    pub fn contains(&self, service: &str) -> bool {
        self.edges.contains_key(service)
    }

    /// What a service needs, as far as it comes before it.
    pub fn needs(&self, service: &str) -> &[Edge] {
        self.edges.get(service).map_or(&[], Vec::as_slice)
    }

    /// Services that need this one.
    pub fn dependents<'a>(&'a self, service: &'a str) -> impl Iterator<Item = (&'a str, &'a Edge)> {
        self.edges
            .iter()
            .flat_map(|(name, edges)| edges.iter().map(move |edge| (name.as_str(), edge)))
            .filter(move |(_, edge)| edge.on == service)
    }

    /// The named services and all that they need, directly or not; all services if none is named.
    pub fn with_needs(&self, named: &[String]) -> BTreeSet<String> {
        let mut open: Vec<String> = if named.is_empty() {
            self.order.clone()
        } else {
            named.iter().filter(|name| self.contains(name)).cloned().collect()
        };
        let mut found = BTreeSet::new();
        while let Some(name) = open.pop() {
            if found.insert(name.clone()) {
                open.extend(self.needs(&name).iter().map(|edge| edge.on.clone()));
            }
        }
        found
    }

    /// The named services and all that depends on them over edges that `follow` accepts; all services if none is named.
    pub fn with_dependents(&self, named: &[String], follow: fn(&Edge) -> bool) -> BTreeSet<String> {
        let mut open: Vec<String> = if named.is_empty() {
            self.order.clone()
        } else {
            named.iter().filter(|n| self.contains(n)).cloned().collect()
        };
        let mut found = BTreeSet::new();
        while let Some(name) = open.pop() {
            open.extend(self.dependents(&name).filter(|(_, edge)| follow(edge)).map(|(other, _)| other.to_owned()));
            found.insert(name);
            open.retain(|other| !found.contains(other));
        }
        found
    }
}

/// The project's services, dependencies first; services that do not depend on each other by name.
pub fn dependency_order(project: &Project) -> Vec<String> {
    Graph::new(Some(project), &Observed::default()).order
}

/// What each service of a project depends on.
pub fn needs(project: &Project) -> BTreeMap<String, BTreeSet<String>> {
    let own = |edges: Vec<Edge>| edges.into_iter().map(|edge| edge.on).collect();
    of_project(project).into_iter().map(|(name, edges)| (name, own(edges))).collect()
}

fn of_project(project: &Project) -> BTreeMap<String, Vec<Edge>> {
    let edges = project.services.iter().map(|(name, service)| {
        let owners: Vec<&str> = shares(service).into_iter().map(|(_, target)| target).collect();
        let own = dependencies(project, service).into_iter().map(|on| {
            let written = service.depends_on.get(on);
            Edge {
                on: on.to_owned(),
                condition: written.map_or_else(|| "service_started".to_owned(), |d| d.condition.clone()),
                restart: written.map_or_else(|| owners.contains(&on), |d| d.restart),
                required: written.is_none_or(|d| d.required),
            }
        });
        (name.clone(), own.collect())
    });
    edges.collect()
}

fn of_labels(observed: &Observed) -> BTreeMap<String, Vec<Edge>> {
    let mut edges: BTreeMap<String, Vec<Edge>> = BTreeMap::new();
    for container in &observed.containers {
        let own = edges.entry(container.service.clone()).or_default();
        let label = container.labels.get(labels::DEPENDS_ON).map_or("", String::as_str);
        for d in labels::parse_depends_on(label) {
            let edge = Edge { on: d.service, condition: d.condition, restart: d.restart, required: true };
            if !own.contains(&edge) {
                own.push(edge);
            }
        }
    }
    let known: BTreeSet<String> = edges.keys().cloned().collect();
    for (name, own) in &mut edges {
        own.retain(|edge| known.contains(&edge.on) && edge.on != *name);
    }
    edges
}

/// A service's containers, without one-offs, by number.
pub(super) fn containers_of<'a>(observed: &'a Observed, service: &str) -> Vec<&'a ObservedContainer> {
    let mut found: Vec<&ObservedContainer> =
        observed.containers.iter().filter(|c| !c.oneoff && c.service == service).collect();
    found.sort_by_key(|c| (c.number, c.name.as_str()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn project(services: &[(&str, serde_json::Value)]) -> Project {
        let services = services
            .iter()
            .map(|(name, value)| ((*name).to_owned(), serde_json::from_value(value.clone()).unwrap()))
            .collect();
        Project { services, ..Project::default() }
    }

    #[test]
    fn dependencies_come_first_and_by_name_what_may_come_at_once() {
        let on = |name: &str| json!({"depends_on": {name: {"condition": "service_started", "required": true}}});
        let project = project(&[
            ("a", on("c")),
            ("b", json!({"network_mode": "service:d"})),
            ("c", json!({})),
            ("d", json!({})),
            ("e", json!({})),
        ]);
        assert_eq!(dependency_order(&project), ["c", "d", "e", "a", "b"]);
    }
}
