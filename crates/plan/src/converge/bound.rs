//! References by name that the engine resolves when a container is created, and does not look at again: links of a
//! container on the default bridge, and what is shared with `container:NAME`. Links within a network are looked up
//! when they are used; `service:NAME` becomes an ID before.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Action, StepId};
use super::{Draft, names, select};
use turnout_compose::model::Service;

/// Lets containers be created only when whoever they refer to by name has it: created before, they would hold on to the
/// predecessor, which goes, or be refused where nobody has the name.
///
/// Where such references go round in a circle, no order does for all: whoever comes first in the plan does not wait.
pub(super) fn settle(draft: &mut Draft<'_>) {
    let mut givers: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
    let mut waiting: Vec<(StepId, Vec<String>)> = Vec::new();
    for (id, step) in draft.plan.steps.iter().enumerate() {
        let name = match &step.action {
            Action::CreateContainer { create_as: name, .. } | Action::RenameContainer { to: name, .. } => name,
            _ => continue,
        };
        givers.entry(name.clone()).or_default().push(id);
        if let Action::CreateContainer { service, .. } = &step.action
            && let Some(service) = draft.project.services.get(service)
        {
            waiting.push((id, bound(draft, service)));
        }
    }
    for (id, names) in waiting {
        for giver in names.iter().filter_map(|name| givers.get(name)).flatten() {
            if *giver != id && !names::waits_for(draft, *giver, id, &mut BTreeSet::new()) {
                draft.wait(id, *giver);
            }
        }
    }
}

/// Whether a creation of this service binds the name of that container of another one.
pub(super) fn binds(service: &Service, other: &str, container: &str) -> bool {
    let named = |reference: &String| {
        let name = reference.strip_prefix("container:").map(|name| name.split(':').next().unwrap_or_default());
        name == Some(container)
    };
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    let external = || service.external_links.iter().any(|link| link.split(':').next() == Some(container));
    modes.into_iter().chain(&service.volumes_from).any(named)
        || service.networks.is_empty() && (select::links(service).any(|target| target == other) || external())
}

/// Names of the containers that the creation of one of the service binds.
fn bound(draft: &Draft<'_>, service: &Service) -> Vec<String> {
    let container = |reference: &str| {
        let name = reference.strip_prefix("container:")?;
        Some(name.split(':').next().unwrap_or_default().to_owned())
    };
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    let shared = modes.into_iter().chain(&service.volumes_from);
    let mut found: Vec<String> = shared.filter_map(|reference| container(reference)).collect();
    // The engine refuses links with other modes, and looks them up by name within networks.
    if service.networks.is_empty() && matches!(service.network_mode.as_str(), "bridge" | "default") {
        let slots = select::links(service).filter_map(|target| draft.slots.get(target)).flatten();
        found.extend(slots.map(|slot| slot.name.clone()));
        let external = service.external_links.iter().map(|link| link.split(':').next().unwrap_or_default());
        found.extend(external.map(str::to_owned));
    }
    found
}
