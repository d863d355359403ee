//! What ran of a project before the first step of a deployment, as it is kept. Pure.

use serde::{Deserialize, Serialize};

use crate::plan::{ObservedContainer, RunState};

/// A container that ran before the first step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ran {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) service: String,
    pub(super) number: Option<u32>,
}

/// What runs now, as it is kept; nothing where nothing does.
pub(super) fn running(containers: &[ObservedContainer]) -> Option<String> {
    let runs = containers.iter().filter(|container| !container.oneoff && active(container.state));
    let all: Vec<Ran> = runs
        .map(|container| Ran {
            id: container.id.clone(),
            name: container.name.clone(),
            service: container.service.clone(),
            number: container.number,
        })
        .collect();
    if all.is_empty() { None } else { serde_json::to_string(&all).ok() }
}

/// Whether it is at work.
pub(super) fn active(state: RunState) -> bool {
    matches!(state, RunState::Running | RunState::Paused | RunState::Restarting)
}
