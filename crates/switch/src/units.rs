//! Services that are joined: `network_mode`, `ipc` or `pid` of another service, or its volumes (ADR 23, *unit*).

use std::collections::BTreeMap;

use turnout_compose::model::{Project, Service};

/// By service, the first by name of those that it is joined with, itself included.
pub(crate) fn units(project: &Project, left_out: impl Fn(&str) -> bool) -> BTreeMap<&str, Vec<&str>> {
    let mut heads: BTreeMap<&str, &str> =
        project.services.keys().filter(|name| !left_out(name)).map(|name| (name.as_str(), name.as_str())).collect();
    for (name, service) in &project.services {
        for other in joined_with(service) {
            let (Some(&one), Some(&two)) = (heads.get(name.as_str()), heads.get(other)) else { continue };
            let (head, gone) = if one < two { (one, two) } else { (two, one) };
            heads.values_mut().filter(|at| **at == gone).for_each(|at| *at = head);
        }
    }
    let mut units: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, head) in heads {
        units.entry(head).or_default().push(name);
    }
    units
}

/// Whose namespaces or volumes a service has.
pub(crate) fn joined_with(service: &Service) -> impl Iterator<Item = &str> {
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    let volumes = service.volumes_from.iter().filter_map(|entry| entry.split(':').next());
    // `container:NAME` is a stranger's.
    modes
        .into_iter()
        .filter_map(|mode| Service::shared_service(mode))
        .chain(volumes.filter(|name| *name != "container"))
}
