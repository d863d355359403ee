//! The daemon dies at each point of a switch that has a name, under load. Wherever it was, no request fails, the push comes to
//! its end, one colour is live and whole, and no two workers run.

use std::{fs, os::unix::process::ExitStatusExt as _, path::Path};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{dice::some, load::Load, switched::Switched, waits};

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
    "after recording what a colour was made as",
    "before recording the switch",
    "after recording the switch",
    "after the switch",
    "before the record",
    "after recording the deployment's end",
    "before recording the end of a bake",
    "after recording the end of a bake",
];

/// What stays has another label each time.
const STAYS: &[&str] = &["before changing what stays", "after changing what stays"];

/// At a push while both colours are taken.
const BAKES: &[&str] = &[
    "before the bake",
    "before what is built meanwhile",
    "before saying for what the deployment waits",
    "after saying for what the deployment waits",
];

/// On the way out, which a fault at one point begins, and on which the daemon dies at another.
const OUT: &[&str] = &[
    "panics after warm\nbefore the abort",
    "panics after the change-over\nbefore the way back",
    "panics after warm\nbefore recording a colour",
    "panics after warm\nafter recording a colour",
];

/// At the first switch of all, when no port is taken yet.
const AT_FIRST: [&str; 2] = ["before taking loopback ports", "after taking loopback ports"];

/// While the next colour has a share of the requests, and waits for a time.
const WAITS: &[&str] = &[
    "before the step",
    "before recording the routes",
    "after recording the routes",
    "after the step",
    "before the looking after",
    "before the wait for the engine",
    "before putting the deployment down",
    "after putting the deployment down",
];

/// As somebody has it go on, and whether it is to be asked for again.
const PROMOTED: [(&str, bool); 2] =
    [("before noting what is asked of a deployment", true), ("after noting what is asked of a deployment", false)];

/// As a colour goes that was kept long enough.
const KEPT: &[&str] = &["before recording a colour", "after recording that a kept colour goes"];

/// On the way back from one colour to the other, while it bakes: those at which the routes have not moved, and the others.
const BACK: (&[&str], &[&str]) = (
    &["before writing the journal", "after writing the journal", "before going back", "before moving the routes back"],
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
    for (number, dies_at) in some("a switch", POINTS).into_iter().enumerate() {
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

/// Pushes a version, and has the daemon die at a point.
fn dies(shop: &Switched, daemon: &mut Daemon, point: &Path, (version, dies_at): (&str, &str)) {
    println!("{version}: {dies_at}");
    fs::write(point, dies_at).unwrap();
    shop.push(daemon, version);
    died(shop, daemon, point, dies_at);
}

/// Waits for its death, and starts it again.
fn died(shop: &Switched, daemon: &mut Daemon, point: &Path, dies_at: &str) {
    assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
    fs::remove_file(point).unwrap();
    assert!(shop.workers() <= 1, "{dies_at}: two workers after the death");
    daemon.restart();
}

#[test]
fn wherever_it_dies_as_what_stays_changes_or_on_the_way_out_no_request_fails() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let shop = Switched::new("first");
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    let (_proxy, mut daemon) = shop.serve("{ bake: 1s }", &variables);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    let file = "docker-compose.prod.yml";
    let text = fs::read_to_string(shop.site.remote.work_dir().join(file)).unwrap();
    for (number, dies_at) in some("what stays and the way out", STAYS.iter().chain(OUT)).into_iter().enumerate() {
        let version = format!("v{number}");
        shop.site.write(file, &text.replace("  db:\n", &format!("  db:\n    labels: {{ version: {version} }}\n")));
        dies(&shop, &mut daemon, &point, (&version, dies_at));
        // Where the fault had ended the deployment already, that is its end.
        let failed = || daemon.history()[0]["state"] == "failed";
        wait_until(&format!("{dies_at}: an end"), PATIENCE, || {
            if failed() || load.came().good.contains_key(&version) { Ok(()) } else { Err(daemon.output()) }
        });
        if failed() {
            daemon.expect_success(shop.push(&daemon, &format!("{version} again")));
        }
        shop.expect_whole(&daemon, dies_at);
        assert_eq!(load.came().bad, Vec::<String>::new(), "{dies_at}");
    }
    fs::write(daemon.repos_yaml(), shop.entry("{ bake: 1h }")).unwrap();
    for (number, dies_at) in some("a bake", BAKES).into_iter().enumerate() {
        let version = format!("b{number}");
        daemon.expect_success(shop.push(&daemon, &format!("{version} bakes")));
        dies(&shop, &mut daemon, &point, (&version, dies_at));
        daemon.turnout(&["promote", &shop.site.name]);
        load.wait_for(&version, 20);
        daemon.turnout(&["promote", &shop.site.name]);
        shop.expect_whole(&daemon, dies_at);
        assert_eq!(load.came().bad, Vec::<String>::new(), "{dies_at}");
    }
    load.end();
}

#[test]
fn wherever_it_dies_at_the_first_switch_one_colour_is_whole() {
    for dies_at in AT_FIRST {
        let folder = tempfile::tempdir().unwrap();
        let point = folder.path().join("point");
        let shop = Switched::new("first");
        let (_proxy, mut daemon) = shop.serve("{ bake: 1s }", &[("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())]);
        dies(&shop, &mut daemon, &point, ("second", dies_at));
        Load::on(shop.web, 1).wait_for("second", 20);
        shop.expect_whole(&daemon, dies_at);
    }
}

#[test]
fn wherever_it_dies_while_the_next_colour_waits_no_request_fails_and_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let shop = Switched::new("first");
    let (_proxy, mut daemon) = shop.serve("{ bake: 1s }", &[("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    shop.says("steps: [{ weight: 20, for: 1s }]");
    for (number, dies_at) in some("a wait", WAITS).into_iter().enumerate() {
        let version = format!("v{number}");
        dies(&shop, &mut daemon, &point, (&version, dies_at));
        load.wait_for(&version, 20);
        shop.expect_whole(&daemon, dies_at);
        assert_eq!(load.came().bad, Vec::<String>::new(), "{dies_at}");
    }
    shop.says("promote: manual");
    for (number, (dies_at, again)) in PROMOTED.into_iter().enumerate() {
        let version = format!("p{number}");
        println!("{version}: {dies_at}");
        let id = shop.push(&daemon, &version);
        waits(&daemon, id, "wait for promotion");
        fs::write(&point, dies_at).unwrap();
        daemon.turnout(&["promote", &shop.site.name]);
        died(&shop, &mut daemon, &point, dies_at);
        if again {
            waits(&daemon, id, "wait for promotion");
            daemon.turnout(&["promote", &shop.site.name]);
        }
        load.wait_for(&version, 20);
        shop.expect_whole(&daemon, dies_at);
        assert_eq!(load.came().bad, Vec::<String>::new(), "{dies_at}");
    }
    load.end();
}

#[test]
fn wherever_it_dies_as_a_kept_colour_goes_that_is_gone_in_the_end_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let shop = Switched::new("first");
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    let (_proxy, mut daemon) = shop.serve("{ bake: 1s, keep: 1s }", &variables);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    let (mut live, mut before) = (shop.site.red(), shop.site.blue());
    for (number, dies_at) in KEPT.iter().enumerate() {
        let version = format!("v{number}");
        dies(&shop, &mut daemon, &point, (&version, dies_at));
        (live, before) = (before, live);
        wait_until(&format!("{dies_at}: the colour before to be gone"), PATIENCE, || {
            match (docker::containers(&before).len(), shop.running(&live, "web"), shop.running(&live, "worker")) {
                (0, 1, 1) => Ok(()),
                found => Err(format!("{found:?}\n{}", daemon.output())),
            }
        });
        assert_eq!(load.came().bad, Vec::<String>::new(), "{dies_at}");
    }
    load.wait_for("v1", 20);
    load.end();
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
    for (number, (dies_at, moved)) in some("the way back", all).into_iter().enumerate() {
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
