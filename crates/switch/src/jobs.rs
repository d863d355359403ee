//! Jobs: whose they are, and their order (ADR 23, rule 1).

use std::collections::BTreeMap;

use crate::{class::Class, classify::Classes, derived::Job, view::View};

pub(crate) fn jobs(view: &View<'_>, classes: &Classes<'_>) -> Vec<Job> {
    // The loader refuses circles; without an order, names are one.
    let order = view.project.dependency_order().unwrap_or_else(|_| view.names().collect());
    let is_job = |name: &&str| classes.class(name) == Some(Class::Job);
    let mut stays: BTreeMap<&str, bool> = BTreeMap::new();
    // From those that wait to those that are waited for.
    for name in order.iter().rev().copied().filter(is_job) {
        let by = view.awaited.get(name).map(Vec::as_slice).unwrap_or_default();
        let staying =
            |other: &&str| stays.get(other).copied().unwrap_or_else(|| classes.class(other).is_some_and(Class::stays));
        let found = !by.is_empty() && by.iter().all(staying);
        stays.insert(name, found);
    }
    let job = |name: &str| Job {
        service: name.to_owned(),
        stays: stays.get(name).copied().unwrap_or_default(),
        before: view.awaited.get(name).into_iter().flatten().map(|by| (*by).to_owned()).collect(),
    };
    let mut jobs: Vec<Job> = order.iter().copied().filter(is_job).map(job).collect();
    // What stays is changed before the new colour starts.
    jobs.sort_by_key(|job| !job.stays);
    jobs
}
