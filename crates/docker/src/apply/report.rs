//! What a run did, step by step.

use std::{collections::BTreeSet, time::Duration};

use turnout_report::Outcome;

use super::world::Left;

/// A container, for those who look after it later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    /// Its ID, all 64 digits.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// The service that it is of.
    pub service: String,
}

/// How one step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// How it ended.
    pub outcome: Outcome,
    /// What it did, or why not.
    pub text: String,
    /// From its beginning to its end.
    pub elapsed: Duration,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// One entry for each step of the plan, in its order.
    pub steps: Vec<StepReport>,
    /// Containers that were started, in the order of their starts.
    pub started: Vec<ContainerRef>,
    /// IDs of the containers that ran when it began.
    pub ran: BTreeSet<String>,
    /// What it left that only it knows; for [`crate::Engine::put_back`].
    pub left: Left,
}

impl Report {
    /// Whether anything was changed.
    pub fn changed(&self) -> bool {
        self.steps.iter().any(|s| s.outcome == Outcome::Done)
    }
}
