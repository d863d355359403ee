//! What follows from how a run ended and from what is there now.

mod starts;

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Replaced, RunState};
use super::*;
use turnout_compose::model::Project;

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
        (vec![create(), stop(), wait(), start()], vec![Done, Done, Abandoned, Abandoned], vec![new()], &["warning"]),
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

/// What was started beside the one before: it goes where that was not told to stop, and stays where it was.
#[test]
fn what_was_started_first_goes_unless_the_old_one_was_told_to_stop() {
    use Outcome::{Abandoned, Done, Failed as Refused};
    use RunState::{Exited, Restarting, Running};
    let text = str::to_owned;
    let beside = || text("old_web-1");
    let actions = || {
        let replaces = Some(Replaced { id: text("old"), name: text("web-1"), inherit_volumes: true });
        let (service, name) = (text("web"), text("web-1"));
        [
            Action::CreateContainer { service, number: 1, name, create_as: beside(), replaces },
            Action::StartContainer { service: text("web"), number: Some(1), name: beside() },
            Action::AwaitReady { service: text("web"), number: Some(1), name: beside() },
            Action::StopContainer { service: text("web"), id: text("old"), name: text("web-1"), hooks: false },
        ]
    };
    let goes: &[&str] = &["stop container old_web-1", "remove container old_web-1"];
    for (ended, old, new, wanted) in [
        ([Done, Done, Refused, Abandoned], Running, Running, goes),
        ([Done, Done, Refused, Abandoned], Running, Restarting, goes),
        ([Done, Done, Abandoned, Abandoned], Running, Running, goes),
        ([Done, Done, Refused, Abandoned], Running, Exited(3), &goes[1..]),
        ([Done, Refused, Abandoned, Abandoned], Running, RunState::Created, &goes[1..]),
        // Ready, and the old one on its way: two are better than none.
        ([Done, Done, Done, Refused], Running, Running, &[]),
        ([Done, Done, Done, Done], Exited(0), Running, &[]),
        // The old one ended by itself: what came up stays.
        ([Done, Done, Refused, Abandoned], Exited(1), Running, &[]),
    ] {
        let steps = actions().into_iter().zip(ended).collect();
        let now = vec![container("old", "web-1", old), container("new", "old_web-1", new)];
        let mut ran = Ran::of(steps, now);
        ran.attempts.insert(beside(), Attempt { id: Some(text("new")), ..Attempt::default() });
        let plan = ran.plan();
        let told: Vec<String> = plan.steps.iter().map(|step| crate::action(&step.action)).collect();
        assert_eq!(told, wanted, "{ended:?} {old:?} {new:?}");
    }
}

/// A failed run, one step after another, and what there is after it.
#[derive(Default)]
struct Ran {
    project: Project,
    steps: Vec<(Action, Outcome)>,
    attempts: BTreeMap<String, Attempt>,
    stopping: BTreeSet<String>,
    now: Vec<ObservedContainer>,
    networks: BTreeSet<String>,
}

impl Ran {
    fn of(steps: Vec<(Action, Outcome)>, now: Vec<ObservedContainer>) -> Ran {
        Ran { steps, now, ..Ran::default() }
    }

    fn attempt(mut self, create_as: &str, id: Option<&str>, answered: bool) -> Ran {
        let (config_hash, id) = ("hash".to_owned(), id.map(str::to_owned));
        let attempt = Attempt { config_hash, id, answered, adopted: false };
        self.attempts.insert(create_as.to_owned(), attempt);
        self
    }

    fn network(mut self, name: &str) -> Ran {
        self.networks.insert(name.to_owned());
        self
    }

    /// What follows: the steps, each with the numbers of those that it waits for, and the warnings.
    fn back(&self) -> (Vec<String>, Vec<String>) {
        let back = self.plan();
        let told = back.steps.iter().map(|step| format!("{} {:?}", crate::action(&step.action), step.after));
        (told.collect(), back.warnings)
    }

    fn plan(&self) -> Plan {
        let mut plan = Plan { project: "shop".to_owned(), ..Plan::default() };
        let mut ended = Vec::new();
        for (action, outcome) in &self.steps {
            let after = (0..plan.steps.len()).collect();
            plan.steps.push(Step::new(action.clone(), "test", after, Condition::Always));
            ended.push(*outcome);
        }
        let ran: BTreeSet<String> = ["old", "owner", "sharer"].map(str::to_owned).into();
        let Ran { project, attempts, stopping, now, networks, .. } = self;
        let failed = Failed { project, plan: &plan, ended: &ended, ran: &ran, attempts, stopping, now, networks };
        let back = put_back(&failed, Extent::Running);
        assert_eq!(back.project, "shop");
        back
    }
}

fn named(id: &str, service: &str, name: &str, state: RunState) -> ObservedContainer {
    ObservedContainer { service: service.to_owned(), config_hash: "hash".to_owned(), ..container(id, name, state) }
}

fn create(service: &str, name: &str, old: &str) -> Action {
    let replaces = Some(Replaced { id: old.to_owned(), name: name.to_owned(), inherit_volumes: false });
    let (service, create_as) = (service.to_owned(), format!("0123456789ab_{name}"));
    Action::CreateContainer { service, number: 1, name: name.to_owned(), create_as, replaces }
}

fn stop(service: &str, id: &str, name: &str) -> Action {
    let text = str::to_owned;
    Action::StopContainer { service: text(service), id: text(id), name: text(name), hooks: false }
}

fn start(service: &str, name: &str) -> Action {
    Action::StartContainer { service: service.to_owned(), number: Some(1), name: name.to_owned() }
}

fn who(service: &str, id: &str) -> Existing {
    Existing { service: service.to_owned(), id: id.to_owned(), name: format!("{service}-1") }
}

fn take_out(container: Existing) -> Action {
    Action::DisconnectContainer { network: "net".to_owned(), network_id: "n".to_owned(), container }
}

const NEW: &str = "0123456789ab_web-1";
use Outcome::{Abandoned, Done, Failed as Refused};
use RunState::{Created, Exited, Removing, Running};

#[test]
fn what_is_about_to_go_counts_as_gone() {
    for going in [Removing, RunState::Dead] {
        let steps = vec![
            (create("web", "web-1", "old"), Done),
            (stop("web", "old", "web-1"), Done),
            (start("web", "web-1"), Abandoned),
        ];
        let now = vec![named("old", "web", "web-1", going), named("new", "web", NEW, Created)];
        let (told, _) = Ran::of(steps, now).attempt(NEW, Some("new"), true).back();
        assert_eq!(told, [format!("start container {NEW} []")], "{going:?}");
    }
}

#[test]
fn containers_are_known_by_their_ids() {
    // The name goes from one service to the other.
    let steps = vec![
        (create("b", "x", "old"), Done),
        (stop("a", "owner", "x"), Done),
        (stop("b", "old", "y"), Done),
        (start("a", "y"), Abandoned),
        (start("b", "x"), Abandoned),
    ];
    let now = vec![
        named("owner", "a", "x", Exited(0)),
        named("old", "b", "y", Exited(0)),
        named("new", "b", "0123456789ab_x", Created),
    ];
    let (told, _) = Ran::of(steps.clone(), now.clone()).attempt("0123456789ab_x", Some("new"), true).back();
    assert_eq!(told, ["start container x []", "start container y [0]", "remove container 0123456789ab_x []"]);
    // With its predecessor gone it is the new one that starts, not who bears its name.
    let (told, _) =
        Ran::of(steps, vec![now[0].clone(), now[2].clone()]).attempt("0123456789ab_x", Some("new"), true).back();
    assert_eq!(told, ["start container x []", "start container 0123456789ab_x [0]"]);
    // Renamed by hand.
    let steps = vec![(stop("web", "old", "mine"), Done), (start("web", "web-1"), Abandoned)];
    let (told, _) = Ran::of(steps, vec![named("old", "web", "mine", Exited(0))]).back();
    assert_eq!(told, ["start container mine []"]);
}

#[test]
fn who_was_taken_out_of_a_network_gets_back_into_it() {
    let again = |container, as_it_was| Action::ConnectContainer { network: "net".to_owned(), container, as_it_was };
    let steps = |connected| {
        vec![
            (stop("web", "old", "web-1"), Done),
            (take_out(who("web", "old")), Done),
            (take_out(who("elsewhere", "stranger")), Done),
            (take_out(who("elsewhere", "in-it-still")), Refused),
            (again(who("elsewhere", "stranger"), true), connected),
            (start("web", "web-1"), Abandoned),
        ]
    };
    let web = || {
        let service = serde_json::from_value(serde_json::json!({ "networks": { "default": null } })).unwrap();
        let network = turnout_compose::model::Network { name: "net".to_owned(), ..Default::default() };
        Project {
            services: [("web".to_owned(), service)].into(),
            networks: [("default".to_owned(), Some(network))].into(),
            ..Project::default()
        }
    };
    let ran =
        |connected| Ran { project: web(), ..Ran::of(steps(connected), vec![named("old", "web", "web-1", Exited(0))]) };
    let own = "connect container web-1 to network net []";
    let stranger = "connect container elsewhere-1 to network net []";
    assert_eq!(ran(Abandoned).network("net").back().0, [own, stranger, "start container web-1 [0]"]);
    assert_eq!(ran(Done).network("net").back().0, [own, "start container web-1 [0]"]);
    let (told, warnings) = ran(Abandoned).back();
    assert_eq!(told, ["start container web-1 []"]);
    assert!(warnings[0].contains("deploying again"), "{warnings:?}");
    assert!(warnings[1].contains("`docker network connect net elsewhere-1`"), "{warnings:?}");
}

#[test]
fn who_lives_in_the_same_namespaces_goes_the_same_way() {
    let service = |value| serde_json::from_value(value).unwrap();
    let project = Project {
        services: [
            ("a".to_owned(), service(serde_json::json!({}))),
            ("b".to_owned(), service(serde_json::json!({ "network_mode": "service:a" }))),
        ]
        .into(),
        ..Project::default()
    };
    let steps = || {
        vec![
            (create("a", "a-1", "owner"), Done),
            (create("b", "b-1", "sharer"), Done),
            (stop("b", "sharer", "b-1"), Done),
            (stop("a", "owner", "a-1"), Done),
            (start("a", "a-1"), Abandoned),
            (start("b", "b-1"), Abandoned),
        ]
    };
    let (a, b) = ("0123456789ab_a-1", "0123456789ab_b-1");
    let all = [
        named("owner", "a", "a-1", Exited(0)),
        named("sharer", "b", "b-1", Exited(0)),
        named("new-a", "a", a, Created),
        named("new-b", "b", b, Created),
    ];
    let back = |now: &[ObservedContainer]| {
        let ran = Ran { project: project.clone(), ..Ran::of(steps(), now.to_vec()) };
        ran.attempt(a, Some("new-a"), true).attempt(b, Some("new-b"), true).back()
    };
    let removed = [format!("remove container {a} []"), format!("remove container {b} []")];
    assert_eq!(
        back(&all).0,
        [&["start container a-1 []".to_owned(), "start container b-1 [0]".to_owned()], &removed[..]].concat()
    );
    let onward = vec![format!("start container {a} []"), format!("start container {b} [0]")];
    assert_eq!(back(&all[1..]), (onward, vec![]));
    // The one for the new namespaces is not there.
    let (told, warnings) = back(&all[1..3]);
    assert_eq!(told, [format!("start container {a} []")]);
    assert!(warnings[0].starts_with("b-1 stays stopped"), "{warnings:?}");
}

#[test]
fn only_what_the_run_made_is_removed() {
    let back = |outcome, id, answered, hash: &str| {
        let mut new = named("new", "web", NEW, Created);
        hash.clone_into(&mut new.config_hash);
        let now = vec![named("old", "web", "web-1", Running), new];
        Ran::of(vec![(create("web", "web-1", "old"), outcome)], now).attempt(NEW, id, answered).back().0
    };
    let removed = [format!("remove container {NEW} []")];
    assert_eq!(back(Done, Some("new"), true, "hash"), removed);
    // Another run has made it, and the engine has said so.
    assert!(back(Refused, None, true, "hash").is_empty());
    // No answer, or given up.
    assert_eq!(back(Refused, None, false, "hash"), removed);
    assert_eq!(back(Abandoned, None, false, "hash"), removed);
    assert!(back(Abandoned, None, false, "other").is_empty());
    assert!(back(Done, Some("another"), true, "hash").is_empty());
    // Another run has made it, and this one took it over for the same that it would have made.
    let now = vec![named("old", "web", "web-1", Running), named("new", "web", NEW, Created)];
    let mut ran = Ran::of(vec![(create("web", "web-1", "old"), Done)], now).attempt(NEW, Some("new"), true);
    ran.attempts.values_mut().for_each(|attempt| attempt.adopted = true);
    assert!(ran.back().0.is_empty());
    // It starts all the same where its predecessor is gone.
    ran.now.remove(0);
    ran.steps.push((start("web", "web-1"), Abandoned));
    assert_eq!(ran.back().0, [format!("start container {NEW} []")]);
}

#[test]
fn what_was_only_tried_is_removed() {
    let (key, name, trial) = ("default".to_owned(), "net".to_owned(), "net-trial".to_owned());
    let tried = Action::TryNetwork { key: key.clone(), name, trial: trial.clone(), subnets: true };
    let gone = Action::RemoveNetwork { key, name: trial, id: None, reason: NetworkRemoval::Trial };
    let back = |removed| {
        Ran::of(vec![(tried.clone(), Done), (gone.clone(), removed)], Vec::new()).network("net-trial").back().0
    };
    assert_eq!(back(Refused).len(), 1);
    assert_eq!(back(Abandoned).len(), 1);
    assert!(back(Done).is_empty());
}

#[test]
fn who_is_ending_is_waited_for() {
    let steps = vec![(stop("web", "old", "web-1"), Abandoned), (start("web", "web-1"), Abandoned)];
    let mut ran = Ran::of(steps, vec![named("old", "web", "web-1", Running)]);
    let (told, warnings) = ran.back();
    assert!(told.is_empty() && warnings.is_empty(), "the stop was never begun: {warnings:?}");
    ran.stopping.insert("old".to_owned());
    let (told, warnings) = ran.back();
    assert_eq!(told, ["stop container web-1 []", "start container web-1 [0]"]);
    assert!(warnings.is_empty());
    ran.now = vec![named("old", "web", "web-1", Exited(0))];
    assert_eq!(ran.back().0, ["start container web-1 []"]);
}

/// Sharers of one that is not replaced itself can go back alone: its namespaces are those from before.
#[test]
fn sharers_of_an_owner_that_stays_go_each_its_own_way() {
    let service = |value| serde_json::from_value(value).unwrap();
    let shares = || service(serde_json::json!({ "pid": "service:a" }));
    let services = [("a", service(serde_json::json!({}))), ("b", shares()), ("c", shares())];
    let services = services.map(|(name, service)| (name.to_owned(), service)).into();
    let project = Project { services, ..Project::default() };
    let steps = vec![
        (create("b", "b-1", "sharer"), Done),
        (stop("b", "sharer", "b-1"), Done),
        (stop("c", "old", "c-1"), Done),
        (create("c", "c-1", "old"), Refused),
        (start("b", "b-1"), Abandoned),
        (start("c", "c-1"), Abandoned),
    ];
    let b = "0123456789ab_b-1";
    // The owner runs all the time; the predecessor of b is gone already.
    let now =
        vec![named("owner", "a", "a-1", Running), named("new-b", "b", b, Created), named("old", "c", "c-1", Exited(0))];
    let ran = Ran { project, ..Ran::of(steps, now) };
    let (told, warnings) = ran.attempt(b, Some("new-b"), true).back();
    assert_eq!(told, [format!("start container {b} []"), "start container c-1 [0]".to_owned()], "{warnings:?}");
    assert!(warnings.is_empty(), "{warnings:?}");
}

/// A creation that was not needed has renewed nobody.
#[test]
fn an_owner_whose_replacement_was_not_needed_goes_back() {
    let service = |value| serde_json::from_value(value).unwrap();
    let services = [("a", serde_json::json!({})), ("b", serde_json::json!({ "ipc": "service:a" }))];
    let services = services.map(|(name, value)| (name.to_owned(), service(value))).into();
    let steps = vec![
        (create("a", "a-1", "owner"), Outcome::Skipped),
        (create("b", "b-1", "sharer"), Done),
        (stop("b", "sharer", "b-1"), Done),
        (stop("a", "owner", "a-1"), Done),
        (start("a", "a-1"), Abandoned),
        (start("b", "b-1"), Abandoned),
    ];
    let b = "0123456789ab_b-1";
    let now = vec![named("owner", "a", "a-1", Exited(0)), named("new-b", "b", b, Created)];
    let ran = Ran { project: Project { services, ..Project::default() }, ..Ran::of(steps, now) };
    let (told, warnings) = ran.attempt(b, Some("new-b"), true).back();
    assert_eq!(told, ["start container a-1 []".to_owned(), format!("start container {b} [0]")], "{warnings:?}");
}

/// Called off between the two, a network that is made anew is made all the same: nobody could start without.
#[test]
fn a_network_that_was_only_taken_away_is_made() {
    let (key, name) = (|| "default".to_owned(), || "net".to_owned());
    let gone = Action::RemoveNetwork { key: key(), name: name(), id: None, reason: NetworkRemoval::Replaced };
    let made = Action::CreateNetwork { key: key(), name: name() };
    let back = |outcome, there: bool| {
        let steps = vec![
            (stop("web", "old", "web-1"), Done),
            (take_out(who("web", "old")), Done),
            (take_out(who("elsewhere", "stranger")), Done),
            (gone.clone(), Done),
            (made.clone(), outcome),
            (start("web", "web-1"), Abandoned),
        ];
        let ran = Ran::of(steps, vec![named("old", "web", "web-1", Exited(0))]);
        if there { ran.network("net") } else { ran }.back()
    };
    let connected = |after: &str| {
        ["web-1", "elsewhere-1"].map(|who| format!("connect container {who} to network net {after}")).to_vec()
    };
    let (told, warnings) = back(Abandoned, false);
    let start = |after: &str| vec![format!("start container web-1 {after}")];
    assert_eq!(told, [vec!["create network net []".to_owned()], connected("[0]"), start("[1]")].concat());
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(back(Abandoned, true).0, [connected("[]"), start("[0]")].concat());
    // The engine has said that it cannot be.
    let (told, warnings) = back(Refused, false);
    assert_eq!((told, warnings.len()), (start("[]"), 2));
}

#[test]
fn who_waited_in_vain_is_told_of() {
    let wait = Action::WaitFor {
        service: "db".to_owned(),
        condition: "service_healthy".to_owned(),
        required: true,
        dependents: vec!["web".to_owned()],
    };
    let steps = vec![(create("web", "web-1", "old"), Done), (wait, Abandoned), (start("web", "web-1"), Abandoned)];
    let ran = Ran::of(steps, vec![named("new", "web", "web-1", Created)]).attempt(NEW, Some("new"), true);
    let (told, warnings) = ran.back();
    assert!(told.is_empty(), "{told:?}");
    assert!(warnings[0].starts_with("web-1 stays stopped: what it is to wait for"), "{warnings:?}");
}

/// A one-off has the address and names that it was run with, also when it does not run any more.
#[test]
fn who_was_to_be_connected_as_it_was_is() {
    let again = Action::ConnectContainer { network: "net".to_owned(), container: who("web", "run"), as_it_was: true };
    let service = serde_json::from_value(serde_json::json!({ "networks": { "default": null } })).unwrap();
    let network = turnout_compose::model::Network { name: "net".to_owned(), ..Default::default() };
    let project = Project {
        services: [("web".to_owned(), service)].into(),
        networks: [("default".to_owned(), Some(network))].into(),
        ..Project::default()
    };
    let plan = Plan {
        steps: [take_out(who("web", "run")), again.clone()]
            .map(|action| Step::new(action, "test", Vec::new(), Condition::Always))
            .into(),
        ..Plan::default()
    };
    let now = [ObservedContainer { oneoff: true, ..named("run", "web", "web-1", Exited(0)) }];
    let (ran, attempts, stopping) = Default::default();
    let networks = BTreeSet::from(["net".to_owned()]);
    let failed = Failed {
        project: &project,
        plan: &plan,
        ended: &[Done, Abandoned],
        ran: &ran,
        attempts: &attempts,
        stopping: &stopping,
        now: &now,
        networks: &networks,
    };
    let back = put_back(&failed, Extent::Created);
    assert_eq!(back.steps.into_iter().map(|step| step.action).collect::<Vec<_>>(), [again]);
}

/// Whoever is known by its service and seen among the project's containers is connected as the service says; all others,
/// and those that run, as they were. Whoever goes or has been removed is not.
#[test]
fn who_gets_back_into_a_network_gets_there_as_who_it_is() {
    let project = |network: &str| {
        let service = serde_json::from_value(serde_json::json!({ "networks": { "default": null } })).unwrap();
        let network = turnout_compose::model::Network { name: network.to_owned(), ..Default::default() };
        Project {
            services: [("web".to_owned(), service)].into(),
            networks: [("default".to_owned(), Some(network))].into(),
            ..Project::default()
        }
    };
    let removal = || Action::RemoveContainer {
        service: "web".to_owned(),
        id: "it".to_owned(),
        name: "web-1".to_owned(),
        volumes: false,
        reason: Removal::Replaced,
    };
    for (service, seen, network, removed, as_it_was) in [
        ("web", Some(Exited(0)), "net", None, Some(false)),
        ("web", Some(Exited(0)), "net", Some(Refused), Some(false)),
        ("web", Some(Exited(0)), "net", Some(Abandoned), Some(false)),
        // The service says nothing of this network.
        ("web", Some(Exited(0)), "other", None, Some(true)),
        ("web", Some(Running), "net", None, Some(true)),
        ("web", Some(Removing), "net", None, None),
        ("web", Some(Exited(0)), "net", Some(Done), None),
        // Of another project, whose service has the same name.
        ("web", None, "net", None, Some(true)),
        ("web", None, "net", Some(Done), None),
        // An orphan, and somebody else.
        ("gone", Some(Exited(0)), "net", None, Some(true)),
        ("elsewhere", None, "net", None, Some(true)),
    ] {
        let mut steps = vec![(take_out(who(service, "it")), Done)];
        steps.extend(removed.map(|outcome| (removal(), outcome)));
        let now = seen.map(|state| named("it", service, "web-1", state)).into_iter().collect();
        let ran = Ran { project: project(network), ..Ran::of(steps, now) }.network("net");
        let back = ran.plan();
        let connected: Vec<bool> = back
            .steps
            .iter()
            .map(|step| match &step.action {
                Action::ConnectContainer { as_it_was, .. } => *as_it_was,
                other => panic!("{other:?}"),
            })
            .collect();
        let case = format!("{service} {seen:?} {network} {removed:?}");
        assert_eq!(connected, as_it_was.into_iter().collect::<Vec<_>>(), "{case}");
        assert!(back.warnings.is_empty(), "{case}: {:?}", back.warnings);
    }
}
