//! What of a stack that runs in place has to end before the first colour starts, while requests wait. Pure.

use std::collections::BTreeSet;

use super::made::Made;
use crate::engine::{ContainerStatus, Needs, with_dependents};

/// Its services that end: all that must not run beside the colour, and whatever depends on one of those. The others of which the
/// colour has its own run on until requests have gone over, as at every later switch, and nobody waits for their ends.
pub fn must_end(made: &Made, runs: &[ContainerStatus]) -> Vec<String> {
    let mut needs = Needs::new();
    for one in runs {
        needs.entry(one.service.clone()).or_default().extend(one.needs.iter().cloned());
    }
    let overlaps = |name: &str| made.services.iter().any(|one| one.name == name && !one.alone && !one.job);
    let has_ended = |one: &ContainerStatus| matches!(one.state.as_str(), "exited" | "created" | "dead");
    let all: BTreeSet<String> =
        runs.iter().filter(|one| !one.oneoff && !has_ended(one)).map(|one| one.service.clone()).collect();
    let must = all.iter().filter(|name| !overlaps(name)).cloned().collect();
    with_dependents(&must, &needs).intersection(&all).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{super::made::MadeService, *};

    fn runs(service: &str, needs: &[&str]) -> ContainerStatus {
        ContainerStatus {
            id: String::new(),
            name: String::new(),
            service: service.to_owned(),
            number: Some(1),
            oneoff: false,
            image: String::new(),
            state: "running".to_owned(),
            health: None,
            exit_code: None,
            status: String::new(),
            ports: Vec::new(),
            created: 0,
            needs: needs.iter().map(|on| (*on).to_owned()).collect(),
        }
    }

    #[test]
    fn what_may_overlap_runs_on_unless_it_depends_on_what_ends() {
        let service = |name: &str, alone| MadeService {
            name: name.to_owned(),
            restart: String::new(),
            alone,
            held: false,
            job: false,
            patience: None,
        };
        let made = Made { services: vec![service("web", false), service("worker", true)], ..Made::default() };
        let ends = |web: &[&str]| must_end(&made, &[runs("db", &[]), runs("web", web), runs("worker", &["db"])]);
        assert_eq!(ends(&[]), ["db", "worker"]);
        assert_eq!(ends(&["db"]), ["db", "web", "worker"]);
        assert_eq!(ends(&["worker"]), ["db", "web", "worker"], "over what it depends on");
        let ended = ContainerStatus { state: "exited".to_owned(), ..runs("worker", &[]) };
        assert_eq!(must_end(&made, &[runs("db", &[]), runs("web", &["worker"]), ended]), ["db"], "it has ended before");
        // What the files do not name any more may have the volume of what takes its place.
        assert_eq!(must_end(&made, &[runs("olddb", &[]), runs("web", &[])]), ["olddb"]);
    }
}
