//! Which services take part, in which order, how many containers each has and what they are called.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Intent, PlanError};
use super::sharing::shares;
use turnout_compose::{
    labels,
    model::{Project, Service},
};

/// Containers of one plan. A number is short to write, and each of them is a step of its own.
const MOST_CONTAINERS: u64 = 10_000;

/// The services that `intent` names and, unless told otherwise, what they depend on; dependencies first.
pub(super) fn services<'a>(project: &'a Project, intent: &Intent) -> Result<Vec<&'a str>, PlanError> {
    if project.services.is_empty() && !intent.all_resources {
        return Err(PlanError::NoServices);
    }
    for name in intent.services.iter().chain(intent.build.keys()).chain(intent.scale.keys()) {
        if !project.services.contains_key(name) {
            let known = project.services.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(PlanError::UnknownService { name: name.clone(), known });
        }
    }
    if let Some(name) = intent.build.keys().find(|name| project.services.get(*name).is_some_and(|s| s.build.is_none()))
    {
        return Err(PlanError::NothingToBuild(name.clone()));
    }
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = if intent.services.is_empty() {
        project.services.keys().map(String::as_str).collect()
    } else {
        project.services.keys().filter(|name| intent.services.contains(name)).map(String::as_str).collect()
    };
    while let Some(name) = open.pop() {
        if chosen.insert(name)
            && !intent.no_deps
            && let Some(service) = project.services.get(name)
        {
            open.extend(dependencies(project, service));
        }
    }
    let mut containers = 0_u64;
    for name in &chosen {
        containers = containers.saturating_add(u64::from(scale(project, intent, name)?));
        if containers > MOST_CONTAINERS {
            return Err(PlanError::TooMany { service: (*name).to_owned(), most: MOST_CONTAINERS });
        }
    }
    order(project, &chosen)
}

/// Mentions what was asked of services that take no part.
pub(super) fn warn_of_idle_wishes(draft: &mut super::Draft<'_>) {
    let intent = draft.intent;
    let builds = intent.build.keys().map(|name| (name, "build"));
    let scales = intent.scale.keys().map(|name| (name, "scale"));
    for (name, wish) in builds.chain(scales) {
        if !draft.is_selected(name) {
            draft.warn(format!("{name}: asked to {wish} it, but it takes no part in this plan"));
        } else if wish == "build" && intent.no_build {
            draft.warn(format!("{name}: asked to build it, but building was refused (--no-build)"));
        }
    }
}

/// Names of the project's services that this one needs: declared, or implied by sharing something.
pub fn dependencies<'a>(project: &'a Project, service: &'a Service) -> Vec<&'a str> {
    let mut names: BTreeSet<&str> = service.depends_on.keys().map(String::as_str).collect();
    names.extend(shares(service).into_iter().map(|(_, target)| target));
    names.extend(links(service));
    names.into_iter().filter(|name| project.services.contains_key(*name)).collect()
}

/// Services named by `links`; their containers must exist before.
pub(super) fn links(service: &Service) -> impl Iterator<Item = &str> {
    service.links.iter().map(|link| link.split(':').next().unwrap_or_default())
}

/// Sorts services so that each comes after what it depends on; equals by name.
fn order<'a>(project: &'a Project, chosen: &BTreeSet<&'a str>) -> Result<Vec<&'a str>, PlanError> {
    let edges = chosen
        .iter()
        .filter_map(|name| {
            let needs = dependencies(project, project.services.get(*name)?);
            Some((*name, needs.into_iter().filter(|n| chosen.contains(n) && n != name).collect()))
        })
        .collect();
    in_dependency_order(&edges).map_err(PlanError::Cycle)
}

/// Topological order of `node -> what it needs`; the error names the nodes of a circle.
pub(crate) fn in_dependency_order<'a>(edges: &BTreeMap<&'a str, Vec<&'a str>>) -> Result<Vec<&'a str>, String> {
    let (done, stuck) = in_rounds(edges);
    if stuck.is_empty() { Ok(done) } else { Err(stuck.join(", ")) }
}

/// Nodes in rounds, each after all that it needs, those of one round by name; and those that a circle holds up. What is
/// needed and no node is left out. Takes time by nodes and edges only: a commit chooses how many there are.
pub(super) fn in_rounds<'a>(edges: &BTreeMap<&'a str, Vec<&'a str>>) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    let mut followers: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for (name, needs) in edges {
        let needs: BTreeSet<&str> = needs.iter().copied().filter(|needed| edges.contains_key(needed)).collect();
        open.insert(name, needs.len());
        needs.into_iter().for_each(|needed| followers.entry(needed).or_default().push(name));
    }
    let mut done: Vec<&'a str> = Vec::with_capacity(edges.len());
    let mut round: Vec<&'a str> = edges.keys().copied().filter(|name| open.get(name) == Some(&0)).collect();
    while !round.is_empty() {
        let mut next = BTreeSet::new();
        for follower in round.iter().filter_map(|name| followers.get(name)).flatten() {
            if let Some(count) = open.get_mut(follower) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    next.insert(*follower);
                }
            }
        }
        done.extend(round);
        round = next.into_iter().collect();
    }
    let stuck = edges.keys().copied().filter(|name| open.get(name).is_some_and(|count| *count > 0)).collect();
    (done, stuck)
}

/// How many containers a service is to have; 0 for one that the project does not know.
pub(super) fn scale(project: &Project, intent: &Intent, name: &str) -> Result<u32, PlanError> {
    let Some(service) = project.services.get(name) else { return Ok(0) };
    let wanted = intent.scale.get(name).copied().unwrap_or_else(|| service.scale());
    if wanted > 1 && !service.container_name.is_empty() {
        return Err(PlanError::FixedName {
            service: name.to_owned(),
            name: service.container_name.clone(),
            scale: wanted,
        });
    }
    Ok(wanted)
}

/// Name of the container with this number.
pub(crate) fn container_name(project: &Project, service: &str, number: u32) -> String {
    let definition = project.services.get(service);
    definition.map_or_else(String::new, |found| labels::container_name(&project.name, service, found, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_end_at_a_circle() {
        let edges =
            [("a", vec!["b"]), ("b", vec!["a", "c"]), ("c", vec![]), ("d", vec!["c", "gone"]), ("e", vec!["a"])];
        assert_eq!(in_rounds(&edges.clone().into()), (vec!["c", "d"], vec!["a", "b", "e"]));
        assert_eq!(in_dependency_order(&edges.into()), Err("a, b, e".to_owned()));
        assert_eq!(in_dependency_order(&[("a", vec!["b"]), ("b", vec![])].into()), Ok(vec!["b", "a"]));
    }

    #[test]
    fn one_plan_has_its_most_containers() {
        for (scales, fits) in [
            ([10_000, 0], true),
            ([9_999, 1], true),
            ([10_000, 1], false),
            ([20_000, 0], false),
            ([u32::MAX, u32::MAX], false),
        ] {
            let names = ["a", "b"].map(str::to_owned);
            let services = names.clone().map(|name| (name, Service::default())).into();
            let project = Project { services, ..Project::default() };
            let intent = Intent { scale: names.into_iter().zip(scales).collect(), ..Intent::default() };
            let refused = matches!(self::services(&project, &intent), Err(PlanError::TooMany { .. }));
            assert_eq!(refused, !fits, "{scales:?}");
        }
    }
}
