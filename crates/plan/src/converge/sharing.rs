//! What services have in common with others: namespaces and volumes.

use turnout_compose::model::Service;

/// `service:` references, whose target's container ID becomes part of the configuration: what is shared, with whom.
pub(crate) fn shares(service: &Service) -> Vec<(&'static str, &str)> {
    let modes = [
        ("the network namespace", &service.network_mode),
        ("the IPC namespace", &service.ipc),
        ("the PID namespace", &service.pid),
    ];
    let mut found: Vec<_> =
        modes.into_iter().filter_map(|(what, mode)| Some((what, mode.strip_prefix("service:")?))).collect();
    for entry in &service.volumes_from {
        let first = entry.split(':').next().unwrap_or_default();
        if first != "container" {
            found.push(("volumes", first));
        }
    }
    found
}

/// Services in whose namespaces this one lives.
pub fn namespace_owners(service: &Service) -> impl Iterator<Item = &str> {
    shares(service).into_iter().filter(|(what, _)| *what != "volumes").map(|(_, target)| target)
}
