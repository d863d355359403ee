//! A plan in the making, and what the phases tell each other.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Action, Condition, Intent, Observed, ObservedContainer, Plan, Step, StepId, step_set::StepSet};
use super::select::namespace_owners;
use turnout_compose::model::{Project, Service};

/// A plan in the making.
#[derive(Clone)]
pub(crate) struct Draft<'a> {
    pub project: &'a Project,
    pub observed: &'a Observed,
    pub intent: &'a Intent,
    /// Services that take part, dependencies first.
    pub services: Vec<&'a str>,
    /// The same, to be asked for by name.
    chosen: BTreeSet<&'a str>,
    /// Service -> the containers that bear its name.
    borne: BTreeMap<&'a str, Vec<&'a ObservedContainer>>,
    /// Service -> those that take part and live in its namespaces, in their order.
    residents: BTreeMap<&'a str, Vec<&'a str>>,
    /// Service -> those that take part and want to be restarted with it, or live in its namespaces, in their order.
    restarted: BTreeMap<&'a str, Vec<&'a str>>,
    pub plan: Plan,
    /// Image reference -> why a step builds or pulls it.
    pub changing: BTreeMap<String, String>,
    /// Every pull and build.
    pub image_steps: Vec<StepId>,
    /// Every network and volume that is created because it was not there.
    pub made: Vec<StepId>,
    /// Network key -> what becomes of it.
    pub networks: BTreeMap<String, NetworkFate>,
    /// Volume key -> the step that creates it.
    pub volume_steps: BTreeMap<String, StepId>,
    /// Container ID -> steps that stop it, to be started again.
    pub stops: BTreeMap<String, Vec<StepId>>,
    /// Container ID -> the step that removes it because its volume is recreated, and why.
    pub removed: BTreeMap<String, (StepId, String)>,
    /// Names that become free: by a removal, a replacement under another name, or a rename.
    pub freed: BTreeMap<String, StepId>,
    /// Container ID -> the step that takes its name off because another container gets that, and the name it has then.
    pub renamed: BTreeMap<String, (StepId, String)>,
    /// Removals of orphans: what they hold (ports, above all) is free after these.
    pub orphan_steps: Vec<StepId>,
    /// Service -> its containers as they are once everything is created, by number.
    pub slots: BTreeMap<String, Vec<Slot<'a>>>,
}

/// What becomes of a network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NetworkFate {
    /// It stays, with this ID.
    Stays(String),
    /// It is created by this step.
    New(StepId),
    /// This step replaces it and connects its members again.
    Replaced { step: StepId, old_id: String },
}

/// A container as it is once everything is created.
#[derive(Debug, Clone)]
pub(crate) struct Slot<'a> {
    pub number: Option<u32>,
    pub name: String,
    pub existing: Option<&'a ObservedContainer>,
    pub fate: Fate,
}

/// Whether a slot's container stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The existing container stays.
    Stays,
    /// This step creates or replaces it, for certain.
    New(StepId),
    /// This step replaces it if its condition holds.
    Perhaps(StepId),
}

impl<'a> Draft<'a> {
    pub fn new(project: &'a Project, observed: &'a Observed, intent: &'a Intent, services: Vec<&'a str>) -> Self {
        let mut borne: BTreeMap<&str, Vec<&ObservedContainer>> = BTreeMap::new();
        observed.containers.iter().for_each(|c| borne.entry(c.service.as_str()).or_default().push(c));
        let (mut residents, mut restarted) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for (name, service) in services.iter().filter_map(|name| Some((*name, project.services.get(*name)?))) {
            let owners: BTreeSet<&str> = namespace_owners(service).collect();
            let with = service.depends_on.iter().filter(|(_, edge)| edge.restart).map(|(other, _)| other.as_str());
            let with: BTreeSet<&str> = with.chain(owners.iter().copied()).filter(|other| *other != name).collect();
            owners.into_iter().for_each(|owner| residents.entry(owner).or_default().push(name));
            with.into_iter().for_each(|other| restarted.entry(other).or_default().push(name));
        }
        Draft {
            project,
            observed,
            intent,
            chosen: services.iter().copied().collect(),
            borne,
            residents,
            restarted,
            services,
            plan: Plan { project: project.name.clone(), ..Plan::default() },
            changing: BTreeMap::new(),
            image_steps: Vec::new(),
            made: Vec::new(),
            networks: BTreeMap::new(),
            volume_steps: BTreeMap::new(),
            stops: BTreeMap::new(),
            removed: BTreeMap::new(),
            freed: BTreeMap::new(),
            renamed: BTreeMap::new(),
            orphan_steps: Vec::new(),
            slots: BTreeMap::new(),
        }
    }

    pub fn push(&mut self, action: Action, cause: impl Into<String>, after: Vec<StepId>, only_if: Condition) -> StepId {
        self.plan.steps.push(Step { action, cause: cause.into(), after, only_if });
        self.plan.steps.len() - 1
    }

    /// What must be there before any container is touched: images, networks and volumes. One that cannot be had leaves
    /// everything running as it is.
    pub fn foundation(&self) -> Vec<StepId> {
        self.image_steps.iter().chain(&self.made).copied().collect()
    }

    pub fn warn(&mut self, warning: impl Into<String>) {
        self.plan.warnings.push(warning.into());
    }

    /// The services that take part, with their definitions.
    pub fn selected(&self) -> Vec<(&'a str, &'a Service)> {
        let project = self.project;
        self.services.iter().filter_map(|name| Some((*name, project.services.get(*name)?))).collect()
    }

    pub fn is_selected(&self, name: &str) -> bool {
        self.chosen.contains(name)
    }

    /// The containers that bear the name of a service.
    pub fn borne(&self, name: &str) -> &[&'a ObservedContainer] {
        self.borne.get(name).map_or(&[], Vec::as_slice)
    }

    /// Services that live in the namespaces of this one.
    pub fn residents(&self, owner: &str) -> Vec<&'a str> {
        self.residents.get(owner).cloned().unwrap_or_default()
    }

    /// Services that want to be restarted with this one, or live in its namespaces.
    pub fn restarted_with(&self, name: &str) -> Vec<&'a str> {
        self.restarted.get(name).cloned().unwrap_or_default()
    }

    /// The name of a service that takes part, as the project has it.
    pub fn selected_name(&self, name: &str) -> Option<&'a str> {
        self.chosen.get(name).copied()
    }

    /// Steps that no later step up to now waits for: waiting for these is waiting for all.
    pub fn ends(&self) -> Vec<StepId> {
        let inner: BTreeSet<StepId> = self.plan.steps.iter().flat_map(|step| step.after.iter().copied()).collect();
        (0..self.plan.steps.len()).filter(|id| !inner.contains(id)).collect()
    }

    /// The plan, its edges without those that others imply.
    pub fn finish(mut self) -> Plan {
        reduce(&mut self.plan.steps);
        self.plan
    }
}

/// Drops edges that follow from others, so that a plan reads and serialises small.
pub(crate) fn reduce(steps: &mut [Step]) {
    let mut reach: Vec<StepSet> = Vec::with_capacity(steps.len());
    for step in steps.iter_mut() {
        let mut reached = StepSet::default();
        step.after.iter().filter_map(|id| reach.get(*id)).for_each(|theirs| reached.extend(theirs));
        step.after.sort_unstable();
        step.after.dedup();
        step.after.retain(|id| !reached.contains(*id));
        step.after.iter().for_each(|id| reached.insert(*id));
        reach.push(reached);
    }
}

/// Joins conditions; `Always` swallows the rest. No condition at all never holds, and is `None`.
pub(crate) fn any_of(parts: impl IntoIterator<Item = Condition>) -> Option<Condition> {
    let mut did: BTreeSet<StepId> = BTreeSet::new();
    let mut others: Vec<Condition> = Vec::new();
    let mut open: Vec<Condition> = parts.into_iter().collect();
    open.reverse();
    while let Some(part) = open.pop() {
        match part {
            Condition::Always => return Some(Condition::Always),
            Condition::AnyDid(steps) => did.extend(steps),
            Condition::AnyOf(nested) => open.extend(nested.into_iter().rev()),
            other if others.contains(&other) => {}
            other => others.push(other),
        }
    }
    if !did.is_empty() {
        others.push(Condition::AnyDid(did.into_iter().collect()));
    }
    match others.len() {
        0 => None,
        1 => others.pop(),
        _ => Some(Condition::AnyOf(others)),
    }
}
