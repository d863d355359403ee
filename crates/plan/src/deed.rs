//! Deeds: what takes several steps and one line of a reader's. A replacement is a creation, a stop, a removal and a rename,
//! between which steps of others may come; whoever reads a plan or its report wants to know that a container is replaced.

use super::{Action, NetworkRemoval, Plan, StepId, words};

/// One deed of a plan: a step, and those that go on with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deed {
    /// Its steps in the order of the plan; the first is the one that the others are [`super::Step::part_of`].
    pub steps: Vec<StepId>,
    /// By which words it is told.
    pub kind: Kind,
}

/// What a deed comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A container that is there is replaced by a new one.
    Replacement,
    /// A replacement that was created by another deed starts, and its predecessor goes once it is ready.
    HandOver,
    /// A container goes, and nothing comes in its place by this deed.
    Removal,
    /// A network is made anew, and its members are connected again.
    Network,
    /// A network is tried out and removed again.
    Trial,
    /// A volume is made anew.
    Volume,
    /// As its first step says.
    Plain,
}

/// The deeds of a plan, in the order of their first steps.
pub(super) fn deeds(plan: &Plan) -> Vec<Deed> {
    let mut found: Vec<Deed> = Vec::new();
    let mut places: Vec<usize> = Vec::with_capacity(plan.steps.len());
    for (id, step) in plan.steps.iter().enumerate() {
        let place = step.part_of.and_then(|lead| places.get(lead).copied());
        match place.and_then(|place| found.get_mut(place)) {
            Some(deed) => {
                deed.steps.push(id);
                deed.kind = kind(deed.kind, &step.action);
            }
            None => found.push(Deed { steps: vec![id], kind: kind(Kind::Plain, &step.action) }),
        }
        places.push(place.unwrap_or(found.len().saturating_sub(1)));
    }
    found
}

/// What a deed is that was this so far and goes on with an action.
fn kind(so_far: Kind, action: &Action) -> Kind {
    match (so_far, action) {
        (Kind::Plain, Action::CreateContainer { replaces: Some(_), .. }) => Kind::Replacement,
        (Kind::Plain, Action::AwaitReady { .. }) => Kind::HandOver,
        (Kind::Plain, Action::RemoveContainer { .. }) => Kind::Removal,
        (Kind::Plain, Action::DisconnectContainer { .. }) => Kind::Network,
        (Kind::Plain, Action::RemoveNetwork { reason: NetworkRemoval::Replaced, .. }) => Kind::Network,
        (Kind::Plain, Action::TryNetwork { .. }) => Kind::Trial,
        (Kind::Plain, Action::RemoveVolume { replaced: true, .. }) => Kind::Volume,
        (kind, _) => kind,
    }
}

impl Deed {
    /// The step by which it is known.
    pub fn first(&self) -> StepId {
        self.steps.first().copied().unwrap_or_default()
    }

    /// The deed in words, without its cause: `replace container shop-web-1`.
    pub fn text(&self, plan: &Plan) -> String {
        let actions = || self.steps.iter().filter_map(|id| plan.steps.get(*id)).map(|step| &step.action);
        let Some(first) = actions().next() else { return String::new() };
        match (self.kind, first) {
            (Kind::Replacement, first) if self.steps.len() == 1 => words::action(first),
            (Kind::HandOver, first) => {
                let old = actions().find_map(|action| match action {
                    Action::RemoveContainer { name, .. } => Some(name.as_str()),
                    _ => None,
                });
                match old {
                    Some(old) => format!("start the replacement of container {old}, and stop that once it is ready"),
                    None => words::action(first),
                }
            }
            (Kind::Replacement, Action::CreateContainer { name, replaces: Some(old), .. }) => match old.name == *name {
                true => format!("replace container {name}"),
                false => format!("replace container {} by {name}", old.name),
            },
            (Kind::Plain, Action::CreateContainer { name, .. }) => format!("create container {name}"),
            (Kind::Removal, first) => {
                let removal = actions().find(|action| matches!(action, Action::RemoveContainer { .. }));
                words::action(removal.unwrap_or(first))
            }
            (Kind::Network, _) => {
                let of = actions().find_map(|action| match action {
                    Action::CreateNetwork { name, .. } => Some(name.as_str()),
                    _ => None,
                });
                let members = actions().filter_map(|action| match action {
                    Action::ConnectContainer { container, as_it_was: false, .. } => Some(container.name.as_str()),
                    _ => None,
                });
                let members: Vec<&str> = members.collect();
                let reconnect = match members.is_empty() {
                    true => String::new(),
                    false => format!(" and reconnect {}", members.join(", ")),
                };
                format!("replace network {}{reconnect}", of.unwrap_or_default())
            }
            (Kind::Volume, Action::RemoveVolume { name, .. }) => format!("replace volume {name}"),
            (Kind::Replacement | Kind::Trial | Kind::Volume | Kind::Plain, first) => words::action(first),
        }
    }
}
