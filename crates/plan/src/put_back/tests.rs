//! What follows from how a run ended and from what is there now.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Replaced, RunState};
use super::*;

fn container(id: &str, name: &str, state: RunState) -> ObservedContainer {
    let text = str::to_owned;
    ObservedContainer {
        id: text(id),
        name: text(name),
        service: text("web"),
        number: Some(1),
        oneoff: false,
        config_hash: String::new(),
        image_label: String::new(),
        image_id: String::new(),
        state,
        started: None,
        labels: BTreeMap::new(),
        networks: BTreeMap::new(),
        mounts: Vec::new(),
    }
}

/// What was to be done, how that ended, what is there now, and what follows.
type Case = (Vec<Action>, Vec<Outcome>, Vec<ObservedContainer>, &'static [&'static str]);

/// Steps that are in doubt: what is seen decides.
#[test]
fn what_a_run_left_is_judged_by_a_new_look() {
    use Outcome::{Abandoned, Done, Failed as Refused};
    use RunState::{Created, Exited, Running};
    let text = str::to_owned;
    let stop = || Action::StopContainer { service: text("web"), id: text("old"), name: text("web-1"), hooks: false };
    let restart = || Action::RestartContainer { service: text("web"), id: text("old"), name: text("web-1") };
    let start = || Action::StartContainer { service: text("web"), number: Some(1), name: text("web-1") };
    let create = || Action::CreateContainer {
        service: text("web"),
        number: 1,
        name: text("web-1"),
        create_as: text("old_web-1"),
        replaces: Some(Replaced { id: text("old"), name: text("web-1"), inherit_volumes: true }),
    };
    let wait = || Action::WaitFor {
        service: text("db"),
        condition: text("service_healthy"),
        required: true,
        dependents: vec![text("web")],
    };
    let old = |state| container("old", "web-1", state);
    let new = || container("new", "old_web-1", Created);
    let table: Vec<Case> = vec![
        (vec![restart()], vec![Refused], vec![old(Exited(1))], &["start container web-1"]),
        (vec![restart()], vec![Refused], vec![old(Running)], &["warning"]),
        (vec![restart()], vec![Done], vec![old(Exited(1))], &[]),
        (vec![stop(), start()], vec![Refused, Abandoned], vec![old(Exited(1))], &["start container web-1"]),
        (vec![stop(), start()], vec![Refused, Abandoned], vec![old(Running)], &["warning"]),
        (vec![stop(), start()], vec![Abandoned, Abandoned], vec![old(Exited(1))], &[]),
        (vec![stop(), start()], vec![Done, Refused], vec![old(Exited(1))], &[]),
        (
            vec![create(), stop(), start()],
            vec![Done, Refused, Abandoned],
            vec![old(Exited(1)), new()],
            &["start container web-1", "remove container old_web-1"],
        ),
        (vec![create(), stop(), start()], vec![Done, Done, Abandoned], vec![new()], &["start container old_web-1"]),
        (vec![create(), stop(), wait(), start()], vec![Done, Done, Abandoned, Abandoned], vec![new()], &[]),
    ];
    for (actions, ended, now, wanted) in table {
        let mut plan = Plan::default();
        for action in actions {
            let after = (0..plan.steps.len()).collect();
            plan.steps.push(Step::new(action, "test", after, Condition::Always));
        }
        let ran = BTreeSet::from([text("old")]);
        let (project, stopping, networks) = Default::default();
        let attempts = BTreeMap::from([(text("old_web-1"), Attempt { id: Some(text("new")), ..Attempt::default() })]);
        let failed = Failed {
            project: &project,
            plan: &plan,
            ended: &ended,
            ran: &ran,
            attempts: &attempts,
            stopping: &stopping,
            now: &now,
            networks: &networks,
        };
        let back = put_back(&failed, Extent::Running);
        let mut told: Vec<String> = back.steps.iter().map(|step| crate::action(&step.action)).collect();
        told.extend(back.warnings.iter().map(|_| text("warning")));
        assert_eq!(told, wanted, "{ended:?}: {:?}", plan.steps);
        let created = put_back(&failed, Extent::Created);
        assert!(created.steps.iter().all(|step| matches!(step.action, Action::RemoveContainer { .. })));
    }
}
