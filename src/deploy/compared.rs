//! What containers have mounted, compared with what they read before.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    decide::mounted::Reads,
    engine::Report,
    plan::{Action, Mounted, Plan},
    report::Outcome,
};

/// What containers have mounted, compared and decided upon.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    /// What each service reads now.
    pub reads: BTreeMap<String, Reads>,
    /// By container ID: what is to be done.
    pub mounted: BTreeMap<String, Mounted>,
    /// What changed, or may have, and is left alone; and what could not be looked at. In words, for the summary.
    pub remarks: Vec<String>,
    /// Why containers are restarted or signalled, for the log; why they are replaced, the plan says.
    pub reasons: Vec<String>,
    /// Containers without a record that are as they should be: ID and service.
    pub unrecorded: Vec<(String, String)>,
    /// Containers that were there.
    pub present: BTreeSet<String>,
}

impl Compared {
    /// By service: the label of what it reads.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.reads.iter().map(|(service, reads)| (service.clone(), reads.label())).collect()
    }

    /// What to record after a run, by container ID: of all that it started or signalled, and of those taken over.
    pub fn to_record(&self, plan: &Plan, report: &Report) -> BTreeMap<String, String> {
        let started = report.started.iter().map(|started| (&started.id, &started.service));
        let signalled = plan.steps.iter().zip(&report.steps).filter_map(|(step, ended)| match &step.action {
            Action::SignalContainer { id, service, .. } if ended.outcome == Outcome::Done => Some((id, service)),
            _ => None,
        });
        let taken_over = self.unrecorded.iter().map(|(id, service)| (id, service));
        let text = |service: &String| serde_json::to_string(self.reads.get(service)?).ok();
        started
            .chain(signalled)
            .chain(taken_over)
            .filter_map(|(id, service)| Some((id.clone(), text(service)?)))
            .collect()
    }
}
