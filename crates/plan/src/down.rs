//! `down`: takes a project away, dependents first, and only what is its own.

use std::collections::{BTreeMap, BTreeSet};

use super::converge::{step_left, step_removal};
use super::graph::Graph;
use super::{
    Action, Belonging, Cause, Condition, DownOptions, ImageCause, NetworkRemoval, Observed, ObservedContainer, Plan,
    Removal, RemoveImages, RunState, ServiceCause, Step, StepId, VolumeCause, order,
};
use turnout_compose::{labels, model::Project};

/// Plans to stop and remove containers, then networks, and volumes and images only if `options` say so. Where services
/// are named, and the project's file is gone, what depends on them is removed too.
///
/// Without a project (its file is gone) everything comes from labels. External networks and volumes, and those of
/// others, are never removed.
pub fn down(project: Option<&Project>, observed: &Observed, options: &DownOptions) -> Plan {
    let name = project.map_or(options.project.as_str(), |p| p.name.as_str());
    let mut down = Down {
        plan: Plan { project: name.to_owned(), ..Plan::default() },
        project,
        observed,
        options,
        removals: BTreeMap::new(),
    };
    down.containers();
    down.steps();
    let gone: Vec<StepId> = (0..down.plan.steps.len()).collect();
    down.networks(&gone);
    down.volumes(&gone);
    down.images(&gone);
    order::reduce(&mut down.plan.steps);
    down.plan
}

struct Down<'a> {
    plan: Plan,
    project: Option<&'a Project>,
    observed: &'a Observed,
    options: &'a DownOptions,
    removals: BTreeMap<String, Vec<StepId>>,
}

impl<'a> Down<'a> {
    fn push(&mut self, action: Action, cause: impl Into<Cause>, after: Vec<StepId>) -> StepId {
        self.plan.steps.push(Step::new(action, cause, after, Condition::Always));
        self.plan.steps.len() - 1
    }

    fn containers(&mut self) {
        let graph = Graph::new(self.project, self.observed);
        for unknown in self.options.services.iter().filter(|name| !graph.contains(name)) {
            self.plan.warnings.push(format!("{unknown}: no such service, nothing of it is removed"));
        }
        let mut wanted = graph.with_dependents(&self.options.services, |_| true);
        if self.project.is_some() {
            // As Compose, which then knows no more of the project than what is named and what that needs: what depends
            // on it stays. Only without the file it goes too.
            let known = graph.with_needs(&self.options.services);
            wanted.retain(|service| known.contains(service));
        }
        let orphans_too = self.options.remove_orphans;
        for service in graph.services().rev().filter(|service| wanted.contains(*service)) {
            let after: Vec<StepId> = graph
                .dependents(service)
                .filter_map(|(other, _)| self.removals.get(other))
                .flatten()
                .copied()
                .collect();
            let mut own = Vec::new();
            for container in self.members(|c| c.service == service && (orphans_too || !c.oneoff)) {
                let cause = if self.options.services.is_empty() {
                    ServiceCause::ProjectTakenDown
                } else if self.options.services.iter().any(|s| s == service) {
                    ServiceCause::TakenDown(service.to_owned())
                } else {
                    ServiceCause::NeedTakenDown(service.to_owned())
                };
                own.push(self.remove(container, Removal::Asked, cause, self.options.volumes, after.clone()));
            }
            // A service without containers passes on what it would have waited for.
            own.extend(after);
            self.removals.insert(service.to_owned(), own);
        }
        // As in Compose: what belongs to a service of an inactive profile is no orphan, and of the one-offs of services
        // that are not active only those that have ended are.
        let project = self.project;
        let idle = |service: &str| project.is_some_and(|p| p.disabled_services.contains_key(service));
        let ended = |c: &ObservedContainer| matches!(c.state, RunState::Exited(_) | RunState::Dead);
        let is_orphan =
            |c: &ObservedContainer| !graph.contains(&c.service) && if c.oneoff { ended(c) } else { !idle(&c.service) };
        if orphans_too {
            for container in self.members(is_orphan) {
                let cause = ServiceCause::Unknown(container.service.clone());
                self.remove(container, Removal::Orphan, cause, false, Vec::new());
            }
        }
        if self.options.services.is_empty() {
            let kept = self.members(|c| idle(&c.service) && !(orphans_too && is_orphan(c)));
            self.left_alone(&kept, "their services are of profiles that are not active", "--profile");
            let orphans = self.members(|c| !idle(&c.service) && (c.oneoff || !graph.contains(&c.service)));
            if !orphans_too {
                self.left_alone(&orphans, "no active service stands behind them", "--remove-orphans");
            }
        }
    }

    /// What `pre_start` steps have left goes with their services.
    fn steps(&mut self) {
        let services = &self.options.services;
        let observed = self.observed;
        let goes = |c: &&ObservedContainer| services.is_empty() || services.contains(&c.service);
        for container in observed.step_containers.iter().filter(goes).filter(|c| c.state != RunState::Removing) {
            let after = self.removals.get(&container.service).cloned().unwrap_or_default();
            self.push(step_removal(container), step_left(container), after);
        }
    }

    fn left_alone(&mut self, containers: &[&ObservedContainer], because: &str, flag: &str) {
        if !containers.is_empty() {
            let names: Vec<&str> = containers.iter().map(|c| c.name.as_str()).collect();
            let names = names.join(", ");
            self.plan.warnings.push(format!("left alone, because {because}: {names} (remove them with {flag})"));
        }
    }

    fn members(&self, wanted: impl Fn(&ObservedContainer) -> bool) -> Vec<&'a ObservedContainer> {
        let all = self.observed.containers.iter();
        all.filter(|c| c.state != RunState::Removing && wanted(c)).collect()
    }

    fn remove(
        &mut self,
        container: &ObservedContainer,
        reason: Removal,
        cause: ServiceCause,
        volumes: bool,
        after: Vec<StepId>,
    ) -> StepId {
        let (service, id, name) = (container.service.clone(), container.id.clone(), container.name.clone());
        let stop = Action::StopContainer { service, id, name, hooks: true };
        let stopped = self.push(stop, cause.clone(), after);
        let (service, id, name) = (container.service.clone(), container.id.clone(), container.name.clone());
        let removed = self.push(Action::RemoveContainer { service, id, name, volumes, reason }, cause, vec![stopped]);
        if let Some(step) = self.plan.steps.get_mut(removed) {
            step.part_of = Some(stopped);
        }
        removed
    }

    fn networks(&mut self, gone: &[StepId]) {
        for (key, network) in &self.observed.networks {
            let defined = self.project.map(|p| p.networks.get(key));
            let external = matches!(defined, Some(Some(Some(network))) if network.external);
            if external || defined.is_some_and(|d| d.is_none()) || !self.is_own(&network.labels) {
                continue;
            }
            if self.stays_in_use(|c| c.networks.values().any(|id| *id == network.id)) {
                self.plan.unchanged.push(format!("network {}: still in use", network.name));
                continue;
            }
            let action = Action::RemoveNetwork {
                key: key.clone(),
                name: network.name.clone(),
                id: Some(network.id.clone()),
                reason: NetworkRemoval::Unused,
            };
            self.push(action, ServiceCause::ProjectTakenDown, gone.to_vec());
        }
    }

    fn volumes(&mut self, gone: &[StepId]) {
        for (key, volume) in &self.observed.volumes {
            let defined = self.project.map(|p| p.volumes.get(key));
            let external = matches!(defined, Some(Some(Some(volume))) if volume.external);
            if external || defined.is_some_and(|d| d.is_none()) {
                continue;
            }
            let mounts = |c: &ObservedContainer| c.mounts.iter().any(|m| m.kind == "volume" && m.name == volume.name);
            // Naming services means their data, not that of others which happen to have no container now.
            let spared = !self.options.services.is_empty() && !self.goes(mounts);
            if !self.options.volumes || spared || self.stays_in_use(mounts) {
                self.plan.unchanged.push(format!("volume {}: kept with its data", volume.name));
            } else if self.is_own(&volume.labels) {
                let action = Action::RemoveVolume { key: key.clone(), name: volume.name.clone(), replaced: false };
                self.push(action, VolumeCause::RemovalAsked, gone.to_vec());
            } else {
                self.plan.warnings.push(format!("volume {} was not created for this project; it is kept", volume.name));
            }
        }
    }

    fn images(&mut self, gone: &[StepId]) {
        let Some(mode) = self.options.images else { return };
        let known = Graph::new(self.project, self.observed).with_needs(&self.options.services);
        let wanted = self.observed.own_images.iter().filter(|image| match image.by {
            Belonging::Label => self.options.remove_orphans || known.contains(&image.service),
            Belonging::BuildName => known.contains(&image.service),
            Belonging::Used => mode == RemoveImages::All && known.contains(&image.service),
        });
        let references: BTreeSet<&str> = wanted.map(|image| image.reference.as_str()).collect();
        // One after the other: engines stumble over two names of one image that go at once.
        let mut after = gone.to_vec();
        for image in references {
            let action = Action::RemoveImage { image: image.to_owned() };
            after = vec![self.push(action, ImageCause::RemovalAsked, after)];
        }
    }

    fn is_removed(&self, container: &ObservedContainer) -> bool {
        self.plan.steps.iter().any(|s| matches!(&s.action, Action::RemoveContainer { id, .. } if *id == container.id))
    }

    fn goes(&self, wanted: impl Fn(&ObservedContainer) -> bool) -> bool {
        self.observed.containers.iter().any(|c| wanted(c) && self.is_removed(c))
    }

    /// Whether a container that this plan leaves alone, though the user chose which go, holds something. Without a
    /// choice the engine is asked, and its refusal becomes a warning.
    fn stays_in_use(&self, wanted: impl Fn(&ObservedContainer) -> bool) -> bool {
        let chosen = !self.options.services.is_empty();
        chosen && self.observed.containers.iter().any(|c| wanted(c) && !self.is_removed(c))
    }

    fn is_own(&self, found: &BTreeMap<String, String>) -> bool {
        found.get(labels::PROJECT).is_some_and(|owner| *owner == self.plan.project)
    }
}
