//! The daemon dies at each point of a switch that has a name, under load. Wherever it was, no request fails, the push comes to
//! its end, one colour is live and whole, and no two workers run.

use std::{fs, os::unix::process::ExitStatusExt as _};

use crate::e2e_support;
use e2e_support::{load::Load, switched::Switched};

/// On the way from one colour to the other.
const POINTS: &[&str] = &[
    "before plan",
    "after plan",
    "before warm",
    "before recording the next colour",
    "after recording the next colour",
    "after warm",
    "before the change-over",
    "after the change-over",
    "before the switch",
    "before recording what a colour was made as",
    "before recording the switch",
    "after recording the switch",
    "after the switch",
    "before the record",
    "after recording the deployment's end",
    "before recording the end of a bake",
    "after recording the end of a bake",
];

/// On the way back from one colour to the other, while it bakes: those at which the routes have not moved, and the others.
const BACK: (&[&str], &[&str]) = (
    &["before going back", "before moving the routes back"],
    &[
        "after moving the routes back",
        "before recording the way back",
        "after recording the way back",
        "before taking the workers back",
        "after taking the workers back",
        "before stopping what was live",
        "after stopping what was live",
    ],
);

/// Clients that ask all the while.
const CLIENTS: usize = 4;

#[test]
fn wherever_it_dies_no_request_fails_and_one_colour_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let shop = Switched::new("first");
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    let (_proxy, mut daemon) = shop.serve("{ bake: 1s }", &variables);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    for (number, dies_at) in POINTS.iter().enumerate() {
        let version = format!("v{number}");
        println!("{version}: {dies_at}");
        fs::write(&point, dies_at).unwrap();
        shop.push(&daemon, &version);
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        assert!(shop.workers() <= 1, "{dies_at}: two workers after the death");
        daemon.restart();
        load.wait_for(&version, 20);
        shop.expect_whole(&daemon, dies_at);
        assert_eq!(load.came().bad, Vec::<String>::new(), "{dies_at}");
        let ends: Vec<String> =
            daemon.history().iter().filter_map(|one| one["state"].as_str().map(str::to_owned)).collect();
        assert!(ends.iter().all(|end| end == "succeeded" || end == "interrupted"), "{dies_at}: {ends:?}");
    }
    let came = load.end();
    println!("{} good answers, the longest after {:?}", came.good.values().sum::<u64>(), came.longest);
    assert_eq!(came.bad, Vec::<String>::new());
}

#[test]
fn wherever_it_dies_on_the_way_back_no_request_fails_and_one_colour_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let shop = Switched::new("first");
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    let (_proxy, mut daemon) = shop.serve("{ bake: 1h }", &variables);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    let mut live = "first".to_owned();
    let all = BACK.0.iter().map(|point| (point, false)).chain(BACK.1.iter().map(|point| (point, true)));
    for (number, (dies_at, moved)) in all.enumerate() {
        let version = format!("v{number}");
        println!("{version}: {dies_at}");
        daemon.expect_success(shop.push(&daemon, &version));
        load.wait_for(&version, 20);
        fs::write(&point, dies_at).unwrap();
        daemon.turnout(&["rollback", &shop.site.name]);
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        assert!(shop.workers() <= 1, "{dies_at}: two workers after the death");
        daemon.restart();
        if !moved {
            // Nothing has come of it, and the bake goes on.
            load.wait_for(&version, 20);
            daemon.turnout(&["promote", &shop.site.name]);
            live = version;
        }
        load.wait_for(&live, 20);
        shop.expect_whole(&daemon, dies_at);
        assert_eq!(load.came().bad, Vec::<String>::new(), "{dies_at}");
    }
    load.end();
}
