//! Networks between colours and what stays (ADR 23, "Two projects").

use std::collections::BTreeMap;

use turnout_compose::model::{Network, Project};

use crate::{
    class::Class,
    classify::{Classes, is_single_front},
    derived::{Job, Link},
    view::View,
};

/// One link for each of the project's own networks that has both kinds on it.
pub(crate) fn links<'a>(view: &View<'a>, classes: &Classes<'a>, jobs: &[Job]) -> Vec<Link> {
    let mut links = Vec::new();
    for (key, network) in &view.project.networks {
        // On a network that is not the project's own all are already, in both colours.
        if is_outside(view.project, key, network.as_ref()) {
            continue;
        }
        let on_it = |name: &&str| view.service(name).is_some_and(|service| service.networks.contains_key(key));
        let (mut staying, mut moving) = (BTreeMap::new(), Vec::new());
        for name in view.names().filter(on_it) {
            let stays = match classes.class(name) {
                Some(Class::Job) => jobs.iter().any(|job| job.service == name && job.stays),
                class => class.is_some_and(Class::stays),
            };
            if stays && is_only_a_front(view, classes, name) {
                continue;
            }
            if stays {
                let aliases = view.service(name).and_then(|service| service.networks.get(key)?.as_ref());
                let aliases = aliases.into_iter().flat_map(|attachment| attachment.aliases.iter().map(String::as_str));
                let container = view.service(name).map_or("", |service| service.container_name.as_str());
                let called = view.names().filter(|other| classes.moves(other)).filter_map(|other| view.service(other));
                let called = called.flat_map(|other| &other.links).filter_map(|link| link.split_once(':'));
                let called = called.filter(|(other, _)| *other == name).map(|(_, alias)| alias);
                let mut names = vec![name.to_owned()];
                for found in [container].into_iter().chain(aliases).chain(called).filter(|found| !found.is_empty()) {
                    if !names.iter().any(|known| known == found) {
                        names.push(found.to_owned());
                    }
                }
                staying.insert(name.to_owned(), names);
            } else {
                moving.push(name.to_owned());
            }
        }
        if !staying.is_empty() && !moving.is_empty() {
            links.push(Link { network: key.clone(), staying, moving });
        }
    }
    links
}

/// Whether a service is a front that keeps its ports and which nobody of a colour calls: it stays as untouched as it can.
fn is_only_a_front<'a>(view: &View<'a>, classes: &Classes<'a>, name: &'a str) -> bool {
    is_single_front(view, name, classes.class(name))
        && !view.names().any(|other| classes.moves(other) && view.names_host(other, name).is_some())
}

/// Networks that are not the project's own and have services on them that move.
pub(crate) fn outside(view: &View<'_>, classes: &Classes<'_>) -> Vec<String> {
    let moves = |key: &String| {
        view.names()
            .filter(|name| classes.moves(name))
            .any(|name| view.service(name).is_some_and(|service| service.networks.contains_key(key)))
    };
    let outside = view.project.networks.iter().filter(|(key, it)| is_outside(view.project, key, it.as_ref()));
    outside.map(|(key, _)| key.clone()).filter(moves).collect()
}

/// Whether a network is external, or has a name of the user's choice.
fn is_outside(project: &Project, key: &str, network: Option<&Network>) -> bool {
    let own = format!("{}_{key}", project.name);
    network.is_some_and(|network| network.external || !(network.name.is_empty() || network.name == own))
}
