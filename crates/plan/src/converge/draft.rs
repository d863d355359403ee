//! A plan in the making, and what the phases tell each other.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Action, Cause, Condition, Intent, Observed, ObservedContainer, Plan, Step, StepId, order};
use super::sharing::namespace_owners;
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
    pub changing: BTreeMap<String, Cause>,
    /// Every pull and build.
    pub image_steps: Vec<StepId>,
    /// Every network and volume that is created because it was not there; every trial of one that is to be replaced.
    pub made: Vec<StepId>,
    /// Network key -> what becomes of it.
    pub networks: BTreeMap<String, NetworkFate>,
    /// Volume key -> the step that creates it.
    pub volume_steps: BTreeMap<String, StepId>,
    /// Container ID -> steps that stop it, to be started again.
    pub stops: BTreeMap<String, Vec<StepId>>,
    /// Container ID -> the step that stops it because another one takes its place.
    pub halts: BTreeMap<String, StepId>,
    /// Container ID -> the step that removes it because its volume is recreated, and why.
    pub removed: BTreeMap<String, (StepId, Cause)>,
    /// Container ID -> the replacement that starts before it stops.
    pub overlaps: BTreeMap<String, Swap<'a>>,
    /// Names that become free: by a removal or a rename.
    pub freed: BTreeMap<String, StepId>,
    /// Container ID -> steps that connect it to networks made anew, for which it must be there.
    pub connects: BTreeMap<String, Vec<StepId>>,
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
    /// It is replaced: these steps make the new one and connect the members again.
    Replaced { steps: Vec<StepId>, old_id: String },
}

/// A container as it is once everything is created.
#[derive(Debug, Clone)]
pub(crate) struct Slot<'a> {
    pub number: Option<u32>,
    pub name: String,
    pub existing: Option<&'a ObservedContainer>,
    pub fate: Fate,
}

/// A replacement that is created, perhaps, and has to be put in the place of its predecessor.
#[derive(Debug, Clone)]
pub(crate) struct Swap<'a> {
    /// The predecessor, with the name that it has by then.
    pub old: &'a ObservedContainer,
    pub old_name: String,
    /// The step that creates it.
    pub created: StepId,
    pub create_as: String,
    pub name: String,
    pub cause: Cause,
    /// What the predecessor's stop waits for besides.
    pub before: Vec<StepId>,
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
            halts: BTreeMap::new(),
            removed: BTreeMap::new(),
            overlaps: BTreeMap::new(),
            freed: BTreeMap::new(),
            connects: BTreeMap::new(),
            slots: BTreeMap::new(),
        }
    }

    /// Adds a step. Its edges may point at later ones too: they are put in order at the end.
    pub fn push(&mut self, action: Action, cause: impl Into<Cause>, after: Vec<StepId>, only_if: Condition) -> StepId {
        self.plan.steps.push(Step::new(action, cause, after, only_if));
        self.plan.steps.len() - 1
    }

    /// Adds a step that goes on with the deed of another, and has its cause; `None` as a lead makes it the first.
    pub fn push_part(
        &mut self,
        lead: Option<StepId>,
        action: Action,
        cause: &Cause,
        after: Vec<StepId>,
        only_if: Condition,
    ) -> StepId {
        let step = self.push(action, cause.clone(), after, only_if);
        if let Some(added) = self.plan.steps.get_mut(step) {
            added.part_of = lead;
        }
        step
    }

    /// Lets a step wait for another one, too.
    pub fn wait(&mut self, step: StepId, before: StepId) {
        if let Some(step) = self.plan.steps.get_mut(step) {
            step.after.push(before);
        }
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

    /// Steps that no other step up to now waits for: waiting for these is waiting for all.
    pub fn ends(&self) -> Vec<StepId> {
        let inner: BTreeSet<StepId> = self.plan.steps.iter().flat_map(|step| step.after.iter().copied()).collect();
        (0..self.plan.steps.len()).filter(|id| !inner.contains(id)).collect()
    }

    /// The plan in its order, its edges without those that others imply.
    pub fn finish(mut self) -> Plan {
        self.plan.steps = order::arrange(self.plan.steps);
        order::reduce(&mut self.plan.steps);
        self.plan
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

/// Steps that a condition speaks of; whoever has the condition waits for them.
pub(super) fn steps_of(condition: &Condition) -> Vec<StepId> {
    match condition {
        Condition::Always | Condition::ImageChanged { .. } => Vec::new(),
        Condition::AnyDid(steps) => steps.clone(),
        Condition::DidNot(step) => vec![*step],
        Condition::AnyOf(parts) => parts.iter().flat_map(steps_of).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> Condition {
        Condition::ImageChanged { service: "web".to_owned(), image: name.to_owned(), running: "sha256:1".to_owned() }
    }

    #[test]
    fn conditions_are_joined_to_the_plainest() {
        let did = |steps: &[StepId]| Condition::AnyDid(steps.to_vec());
        let any = |parts: &[Condition]| Condition::AnyOf(parts.to_vec());
        for (parts, expected) in [
            (vec![], None),
            (vec![did(&[1])], Some(did(&[1]))),
            (vec![did(&[2]), did(&[1, 2])], Some(did(&[1, 2]))),
            (vec![image("a")], Some(image("a"))),
            (vec![image("a"), image("a")], Some(image("a"))),
            (vec![image("a"), image("b"), image("a")], Some(any(&[image("a"), image("b")]))),
            (vec![any(&[image("a"), did(&[1])]), did(&[2])], Some(any(&[image("a"), did(&[1, 2])]))),
            (vec![image("a"), Condition::Always], Some(Condition::Always)),
        ] {
            assert_eq!(any_of(parts.clone()), expected, "{parts:?}");
        }
    }

    #[test]
    fn whoever_has_a_condition_waits_for_its_steps() {
        let nested = Condition::AnyOf(vec![image("a"), Condition::AnyDid(vec![1, 3]), Condition::DidNot(2)]);
        for (condition, steps) in [
            (Condition::Always, vec![]),
            (image("a"), vec![]),
            (Condition::AnyDid(vec![1, 3]), vec![1, 3]),
            (Condition::DidNot(2), vec![2]),
            (nested, vec![1, 3, 2]),
        ] {
            assert_eq!(steps_of(&condition), steps, "{condition:?}");
        }
    }
}
