//! What of the live colour, and of what stays beside it, ought to run and does not. Pure.

use super::{
    super::former::Stacks,
    made::{Made, MadeRuns},
    stands::Stands,
};
use crate::{engine::ContainerStatus, rollout::Rollout};

/// A service of which nothing runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// Its key in the Compose file.
    pub service: String,
    /// It is one of those that stay, and not of the live colour.
    pub stays: bool,
    /// What there is of it, in words: `web has no container`, `shop-db-1 is exited`.
    pub said: String,
}

/// What stands still of what is to run, by what the engine holds. `staying`: the project of what stays. `None` while that cannot
/// be told: a deployment stops and makes things, and what comes of it is seen at its end.
pub fn still(stands: &Stands, rollout: &Rollout, staying: &str, stacks: &Stacks) -> Option<Vec<Still>> {
    if stands.leaving().is_some() || rollout.under_way.is_some_and(|under_way| !under_way.phase.waits()) {
        return None;
    }
    // One whose record cannot be read is told of by whoever goes on with it.
    let Ok(Some((live, made))) = stands.live_made() else { return Some(Vec::new()) };
    let one = |runs: MadeRuns| {
        let project = if runs.stays { staying } else { &live.project };
        let there = stacks.get(project).map(|stack| stack.containers.as_slice()).unwrap_or_default();
        let said = stands_still(&runs, there)?;
        Some(Still { service: runs.service, stays: runs.stays, said })
    };
    Some(to_run(made).into_iter().filter_map(one).collect())
}

/// What is to run. An earlier turnout has recorded of that only what gets requests.
fn to_run(made: Made) -> Vec<MadeRuns> {
    if !made.runs.is_empty() {
        return made.runs;
    }
    let mut routed: Vec<String> = made.routes.into_iter().map(|route| route.service).collect();
    routed.sort();
    routed.dedup();
    routed.into_iter().map(|service| MadeRuns { service, stays: false, ends: false }).collect()
}

fn stands_still(runs: &MadeRuns, there: &[ContainerStatus]) -> Option<String> {
    let own: Vec<_> = there.iter().filter(|one| one.service == runs.service && !one.oneoff).collect();
    // One of several is enough to be answered.
    if own.iter().any(|one| one.state == "running") {
        return None;
    }
    let done = own.iter().all(|one| one.state == "exited" && one.exit_code == Some(0));
    match own.first() {
        // Also of none: what has done its work may have been cleared away.
        _ if runs.ends && done => None,
        None => Some(format!("{} has no container", runs.service)),
        Some(one) => Some(format!("{} is {}", one.name, one.state)),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::made::tests::shop, *};
    use crate::{
        engine::Stack,
        rollout::{Phase, UnderWay},
        store::{ColourRecord, ColourStanding},
    };

    fn container(service: &str, state: &str, exit_code: Option<i64>) -> ContainerStatus {
        ContainerStatus {
            id: String::new(),
            name: format!("redshop-{service}-1"),
            service: service.to_owned(),
            number: Some(1),
            oneoff: false,
            image: String::new(),
            state: state.to_owned(),
            health: None,
            exit_code,
            status: String::new(),
            ports: Vec::new(),
            created: 0,
            needs: Vec::new(),
        }
    }

    fn live(runs: Vec<MadeRuns>) -> Stands {
        let record = ColourRecord {
            repo: "shop".to_owned(),
            colour: "red".to_owned(),
            project: "redshop".to_owned(),
            standing: ColourStanding::Live,
            generation: 3,
            deployment: None,
            commit: None,
            since: 0,
            made: Made { runs, ..shop() }.to_text(),
        };
        Stands { all: vec![record], switch: None }
    }

    fn stacks(red: Vec<ContainerStatus>, stays: Vec<ContainerStatus>) -> Stacks {
        let stack = |project: &str, containers| {
            (project.to_owned(), Stack { project: project.to_owned(), containers, ..Stack::default() })
        };
        [stack("redshop", red), stack("shop", stays)].into()
    }

    fn said(runs: &[MadeRuns], red: Vec<ContainerStatus>, stays: Vec<ContainerStatus>) -> Vec<(String, bool)> {
        let found = still(&live(runs.to_vec()), &Rollout::default(), "shop", &stacks(red, stays));
        found.unwrap().into_iter().map(|one| (one.said, one.stays)).collect()
    }

    #[test]
    fn what_ought_to_run_and_does_not_is_named_with_where_it_belongs() {
        let runs = |service: &str, stays, ends| MadeRuns { service: service.to_owned(), stays, ends };
        let all = [runs("db", true, false), runs("seed", true, true), runs("web", false, false)];
        let web = |state| vec![container("web", state, None)];
        let db = |state| vec![container("db", state, None), container("seed", "exited", Some(0))];
        assert_eq!(said(&all, web("running"), db("running")), []);
        let no = |text: &str, stays| (text.to_owned(), stays);
        assert_eq!(
            said(&all, web("restarting"), db("exited")),
            [no("redshop-db-1 is exited", true), no("redshop-web-1 is restarting", false)]
        );
        // A container of that name in the other project is another service's.
        assert_eq!(
            said(&all, db("running"), web("running")),
            [no("db has no container", true), no("web has no container", false)]
        );
        // What may end may be gone as well, and is told where it failed.
        assert_eq!(said(&all[1..2], Vec::new(), Vec::new()), []);
        assert_eq!(
            said(&all[1..2], Vec::new(), vec![container("seed", "exited", Some(1))]),
            [no("redshop-seed-1 is exited", true)]
        );
        // One of two is enough; a container that `run` made is none of the service's.
        assert_eq!(said(&all[2..], [web("exited"), web("running")].concat(), Vec::new()), []);
        let once = vec![ContainerStatus { oneoff: true, ..container("web", "running", None) }];
        assert_eq!(said(&all[2..], once, Vec::new()), [no("web has no container", false)]);
    }

    #[test]
    fn of_a_record_without_a_list_what_gets_requests_is_looked_at() {
        let worker = vec![container("worker", "exited", Some(1))];
        assert_eq!(said(&[], worker, Vec::new()), [("web has no container".to_owned(), false)]);
        assert_eq!(still(&Stands::default(), &Rollout::default(), "shop", &Stacks::new()), Some(Vec::new()));
    }

    #[test]
    fn while_a_deployment_works_on_it_nothing_is_said_and_while_one_waits_it_is() {
        let under_way = |phase| UnderWay { phase, plans: 1, losses: 0, due_at: None, step: 0, steps: 0 };
        let at = |phase| Rollout { under_way: Some(under_way(phase)), ..Rollout::default() };
        let found = |phase| still(&live(Vec::new()), &at(phase), "shop", &Stacks::new()).map(|all| all.len());
        assert_eq!(found(Phase::Warming), None);
        assert_eq!(found(Phase::Paused), Some(1));
        let mut leaving = live(Vec::new());
        leaving.all.push(ColourRecord { standing: ColourStanding::Leaving, ..leaving.all[0].clone() });
        assert_eq!(still(&leaving, &Rollout::default(), "shop", &Stacks::new()), None);
    }
}
