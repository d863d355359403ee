//! What is started again, after what, and what is not.

use super::*;

/// A new container starts after what it waits for, where that can still come.
#[test]
fn a_wait_that_may_come_is_waited_for() {
    let back = |condition: &str, there: Option<ObservedContainer>| {
        let wait = Action::WaitFor {
            service: "db".to_owned(),
            condition: condition.to_owned(),
            required: true,
            dependents: vec!["web".to_owned()],
        };
        let steps = vec![
            (create("web", "web-1", "old"), Done),
            (stop("db", "owner", "db-1"), Done),
            (start("db", "db-1"), Abandoned),
            (wait, Abandoned),
            (start("web", "web-1"), Abandoned),
        ];
        let now = [Some(named("new", "web", "web-1", Created)), there].into_iter().flatten().collect();
        Ran::of(steps, now).attempt(NEW, Some("new"), true).back().0
    };
    let db = |state| named("db", "db", "db-1", state);
    let oneoff = || ObservedContainer { oneoff: true, ..db(Running) };
    let (healthy, completed) = ("service_healthy", "service_completed_successfully");
    for (condition, there, comes) in [
        (healthy, Some(db(Running)), true),
        (healthy, Some(db(RunState::Paused)), true),
        (healthy, Some(db(Exited(0))), false),
        (healthy, Some(db(Created)), false),
        (healthy, Some(oneoff()), false),
        (healthy, Some(named("db", "cache", "cache-1", Running)), false),
        (healthy, None, false),
        (completed, Some(db(Running)), true),
        (completed, Some(db(Exited(0))), true),
        (completed, Some(db(Exited(1))), false),
        (completed, Some(named("db", "cache", "cache-1", Exited(0))), false),
    ] {
        let case = format!("{condition} {there:?}");
        let told = back(condition, there);
        let wait = if condition == healthy { "wait until db is healthy []" } else { "wait until db has completed []" };
        let wanted = [wait.to_owned(), "start container web-1 [0]".to_owned()];
        assert_eq!(told, if comes { &wanted[..] } else { &[] }, "{case}");
    }
    // What is started again is waited for after its start.
    let told = back(healthy, Some(named("owner", "db", "db-1", Exited(0))));
    assert_eq!(told, ["start container db-1 []", "wait until db is healthy [0]", "start container web-1 [0, 1]"]);
}

/// What did not run before the failure does not run after it either.
#[test]
fn who_did_not_run_is_not_started() {
    let (one, two) = ("0123456789ab_web-1", "0123456789ab_web-2");
    let steps = vec![
        (create("web", "web-1", "old"), Done),
        (create("web", "web-2", "idle"), Done),
        (stop("web", "old", "web-1"), Done),
        (stop("job", "ended", "job-1"), Done),
        (start("web", "web-1"), Abandoned),
        (start("web", "web-2"), Abandoned),
        (start("job", "job-1"), Abandoned),
    ];
    let now = vec![
        named("new", "web", one, Created),
        named("new-2", "web", two, Created),
        named("ended", "job", "job-1", Exited(0)),
    ];
    let ran = Ran::of(steps, now).attempt(one, Some("new"), true).attempt(two, Some("new-2"), true);
    assert_eq!(ran.back().0, [format!("start container {one} []")]);
}

/// Nothing is to be done, or said, for a new container that runs already, or for one that never came to be beside an old
/// one that is gone.
#[test]
fn what_runs_or_is_not_there_is_left() {
    let steps = || vec![(create("web", "web-1", "old"), Done), (start("web", "web-1"), Abandoned)];
    let new = || named("new", "web", NEW, Running);
    for now in [vec![new()], vec![], vec![named("old", "web", "web-1", Running), new()]] {
        let ran = Ran::of(steps(), now).attempt(NEW, Some("new"), true);
        assert_eq!(ran.back(), (vec![], vec![]), "{:?}", ran.now);
    }
}

/// One without a number is found by the name that the plan was to give it, and no other one has.
#[test]
fn who_was_to_be_renamed_is_found_by_its_new_name() {
    let rename = |service: &str, id: &str, from: &str, to: &str| {
        let (service, from, to) = (service.to_owned(), from.to_owned(), to.to_owned());
        Action::RenameContainer { service, id: Some(id.to_owned()), from, to }
    };
    let steps = vec![
        (rename("db", "another", "theirs", "db-1"), Done),
        (stop("web", "old", "mine"), Done),
        (rename("web", "old", "mine", "web-1"), Abandoned),
        (start("web", "web-1"), Abandoned),
    ];
    let now = vec![ObservedContainer { number: None, ..named("old", "web", "mine", Exited(0)) }];
    assert_eq!(Ran::of(steps, now).back().0, ["start container mine []"]);
}

/// What was to be taken away for good stays away, though its name and number are those of what starts; what another one was
/// to replace comes back where that never came to be.
#[test]
fn who_was_to_go_for_good_is_not_started() {
    let remove = |id: &str, reason| Action::RemoveContainer {
        service: "web".to_owned(),
        id: id.to_owned(),
        name: NEW.to_owned(),
        volumes: false,
        reason,
    };
    for (removal, comes_back) in [
        (remove("old", Removal::Leftover), false),
        (remove("old", Removal::ScaleDown), false),
        (remove("old", Removal::Replaced), true),
        (remove("another", Removal::Leftover), true),
    ] {
        let case = format!("{removal:?}");
        let steps = vec![(stop("web", "old", NEW), Done), (removal, Abandoned), (start("web", "web-1"), Abandoned)];
        let told = Ran::of(steps, vec![named("old", "web", NEW, Exited(0))]).back().0;
        let wanted = [format!("start container {NEW} []")];
        assert_eq!(told, if comes_back { &wanted[..] } else { &[] }, "{case}");
    }
}

/// The start of a container is found by its name, by that which it is to have, and otherwise by its number.
#[test]
fn starts_are_found_by_name_and_number() {
    let start =
        |number, name: &str| Action::StartContainer { service: "web".to_owned(), number, name: name.to_owned() };
    for (name, number, starts, found) in [
        ("web-2", None, [start(Some(1), "web-1"), start(Some(2), "web-2")], true),
        ("0123456789ab_web-2", None, [start(Some(1), "web-1"), start(Some(2), "web-2")], true),
        ("mine", Some(2), [start(Some(1), "web-1"), start(Some(2), "web-2")], true),
        ("mine", Some(3), [start(Some(1), "web-1"), start(Some(2), "web-2")], false),
        ("mine", None, [start(Some(1), "web-1"), start(None, "web-2")], false),
    ] {
        let case = format!("{name} {number:?}");
        // Only the second one was missed: the first has been started.
        let [first, second] = starts;
        let steps = vec![(stop("web", "old", name), Done), (first, Done), (second, Abandoned)];
        let now = vec![ObservedContainer { number, ..named("old", "web", name, Exited(0)) }];
        let told = Ran::of(steps, now).back().0;
        assert_eq!(told, if found { vec![format!("start container {name} []")] } else { vec![] }, "{case}");
    }
}

/// A new container starts where all that it was to wait for has come, or can still come.
#[test]
fn what_a_start_was_to_wait_for_has_to_come() {
    let wait = |required, dependent: &str| Action::WaitFor {
        service: "db".to_owned(),
        condition: "service_healthy".to_owned(),
        required,
        dependents: vec![dependent.to_owned()],
    };
    let before = |service: &str| Action::RunPreStart {
        service: service.to_owned(),
        index: 0,
        name: format!("{service}-pre_start-0"),
        number: Some(1),
        beside: format!("{service}-1"),
    };
    let skipped = Outcome::Skipped;
    // How many waits are planned; none at all where it stays stopped.
    for (action, outcome, waits) in [
        (before("web"), Done, Some(0)),
        (before("web"), skipped, Some(0)),
        (before("web"), Refused, None),
        (before("web"), Abandoned, None),
        (before("other"), Refused, Some(0)),
        (wait(true, "web"), Done, Some(0)),
        (wait(true, "web"), skipped, Some(0)),
        (wait(true, "web"), Refused, None),
        (wait(true, "web"), Abandoned, Some(1)),
        (wait(true, "other"), Abandoned, Some(0)),
        (wait(false, "web"), Refused, Some(0)),
    ] {
        let case = format!("{action:?} {outcome:?}");
        let steps = vec![(create("web", "web-1", "old"), Done), (action, outcome), (start("web", "web-1"), Abandoned)];
        let now = vec![named("new", "web", NEW, Created), named("db", "db", "db-1", Running)];
        let (told, warnings) = Ran::of(steps, now).attempt(NEW, Some("new"), true).back();
        let wanted = waits.map_or(vec![], |waits| {
            let first = (waits == 1).then(|| "wait until db is healthy []".to_owned());
            let after: Vec<usize> = (0..waits).collect();
            first.into_iter().chain([format!("start container {NEW} {after:?}")]).collect()
        });
        assert_eq!((told, warnings.len()), (wanted, usize::from(waits.is_none())), "{case}");
    }
}

/// One service's containers go each their own way: none lives in another's namespaces.
#[test]
fn containers_side_by_side_go_back_or_forward_by_themselves() {
    let (one, two) = ("0123456789ab_web-1", "0123456789ab_web-2");
    let steps = vec![
        (create("web", "web-1", "old"), Done),
        (create("web", "web-2", "owner"), Done),
        (stop("web", "old", "web-1"), Done),
        (stop("web", "owner", "web-2"), Done),
        (start("web", "web-1"), Abandoned),
        (start("web", "web-2"), Abandoned),
    ];
    let now = vec![
        named("new", "web", one, Created),
        named("owner", "web", "web-2", Exited(0)),
        named("new-2", "web", two, Created),
    ];
    let ran = Ran::of(steps, now).attempt(one, Some("new"), true).attempt(two, Some("new-2"), true);
    let (told, warnings) = ran.back();
    let forward = [format!("start container {one} []"), "start container web-2 [0]".to_owned()];
    assert_eq!(told, [&forward[..], &[format!("remove container {two} []")]].concat(), "{warnings:?}");
}

/// Once a sharer is gone, all go on with the new namespaces: the owner too, although its old container is there, and
/// although it did not run itself. One-offs own none.
#[test]
fn an_owner_goes_on_with_its_sharers() {
    let service = |value| serde_json::from_value(value).unwrap();
    let services = [
        ("a", serde_json::json!({})),
        ("b", serde_json::json!({ "network_mode": "service:a" })),
        ("c", serde_json::json!({})),
    ];
    let services: std::collections::BTreeMap<_, _> =
        services.map(|(name, value)| (name.to_owned(), service(value))).into();
    let (a, b, c) = ("0123456789ab_a-1", "0123456789ab_b-1", "0123456789ab_c-1");
    let back = |old_a: &str, old_b: &str| {
        let steps = vec![
            (create("a", "a-1", old_a), Done),
            (create("b", "b-1", old_b), Done),
            (create("c", "c-1", "old"), Done),
            (start("a", "a-1"), Abandoned),
            (start("b", "b-1"), Abandoned),
            (start("c", "c-1"), Abandoned),
        ];
        let now = vec![
            ObservedContainer { oneoff: true, ..named("run", "a", "a-0", Exited(0)) },
            named(old_a, "a", "a-1", Exited(0)),
            named("new-a", "a", a, Created),
            named("new-b", "b", b, Created),
            named("new-c", "c", c, Created),
        ];
        let project = Project { services: services.clone().into_iter().collect(), ..Project::default() };
        let ran = Ran { project, ..Ran::of(steps, now) };
        ran.attempt(a, Some("new-a"), true).attempt(b, Some("new-b"), true).attempt(c, Some("new-c"), true).back()
    };
    let all = [a, b, c].map(|name| format!("start container {name}"));
    for owner in ["owner", "idle"] {
        let (told, warnings) = back(owner, "sharer");
        assert_eq!(told, [format!("{} []", all[0]), format!("{} [0]", all[1]), format!("{} [0, 1]", all[2])]);
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    // Nobody ran in these namespaces, whoever else did.
    assert_eq!(back("idle", "idle-too"), (vec![format!("{} []", all[2])], vec![]));
}
