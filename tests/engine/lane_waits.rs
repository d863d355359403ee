//! A deployment that waits for the engine holds nothing: its lane is free for what is newer, its place for others; it can be
//! called off at once, and lies on the disk over any end of the daemon.

use std::{
    os::unix::process::ExitStatusExt as _,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{common, e2e_support, waits_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{Site, all_of, idle, log, wait_for_log};
use waits_support::{Call, Door, Hang};

const CREATE: Call = Call { method: "POST", path: &["/containers/create"], hang: Hang::Before };

fn stack(version: &str) -> String {
    format!("services:\n  web:\n{}    labels: {{ version: \"{version}\" }}\n", idle())
}

fn running(site: &Site) -> Vec<String> {
    let all = docker::containers(&site.red()).into_iter();
    let running = all.filter(|c| c.state.is_some_and(|state| state.to_string() == "running"));
    running.filter_map(|c| c.labels?.remove("version")).collect()
}

fn site() -> Site {
    Site::new(&[("docker-compose.prod.yml", &stack("v1"))])
}

/// A daemon of these sites behind the door.
fn serve(sites: &[&Site], door: &Door, more: &[&str]) -> Daemon {
    let url = door.url();
    let entries: String = sites.iter().map(|site| site.entry(&[])).collect();
    Daemon::start_with(&entries, &[&["--settle-time", "300ms", "--docker-host", &url], more].concat(), &[])
}

/// Pushes a version, and has the engine die while it is carried out.
fn dies_under(door: &Door, daemon: &Daemon, site: &Site, version: &str) -> i64 {
    door.hang(CREATE);
    site.write("docker-compose.prod.yml", &stack(version));
    let id = site.push_to(daemon, version);
    door.wait_caught();
    door.shut();
    waits(daemon, id);
    id
}

/// Waits until it waits; answers what `status` has of that.
fn waits(daemon: &Daemon, id: i64) -> Value {
    wait_until("the deployment to wait for the engine", PATIENCE, || {
        let status = daemon.turnout_json(&["status", "--json"]);
        let repos = status["repos"].as_array().unwrap().clone();
        let found = repos.into_iter().map(|repo| repo["waits"].clone()).find(|waits| waits["deployment"] == id);
        found.ok_or(status)
    })
}

fn back(door: &Door) {
    door.release();
    door.reopen();
}

fn of_the_daemon(daemon: &Daemon, id: i64) -> (String, Value) {
    let deployment = daemon.deployment(id).unwrap();
    (deployment["state"].as_str().unwrap().to_owned(), deployment)
}

#[test]
fn a_newer_push_takes_the_place_of_one_that_waits_at_once() {
    let (door, site) = (Door::new(), site());
    let daemon = serve(&[&site], &door, &["--engine-wait", "1h"]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let second = dies_under(&door, &daemon, &site, "v2");
    let status = all_of(&daemon.turnout(&["status"]));
    assert!(
        status.contains("wait for the engine") && status.contains("it waits for the engine to come back until "),
        "{status}"
    );
    site.write("docker-compose.prod.yml", &stack("v3"));
    let third = site.push_to(&daemon, "v3");
    // With the answer to the push, and the engine is still away.
    let (state, deployment) = of_the_daemon(&daemon, second);
    assert!(state == "superseded" && deployment["superseded_by"] == third, "{deployment:#}");
    let error = deployment["error"].as_str().unwrap();
    assert!(error.starts_with("a newer one took its place while it waited: "), "{error}");
    waits(&daemon, third);
    back(&door);
    daemon.expect_success(third);
    assert_eq!(running(&site), ["v3"]);
    assert_eq!(docker::containers(&site.red()).len(), 1, "what the second had begun is not tidied up");
    assert_eq!(of_the_daemon(&daemon, second).0, "superseded");
}

/// The push was there before the engine went away.
#[test]
fn one_that_comes_to_wait_gives_way_to_what_is_queued() {
    let (door, site) = (Door::new(), site());
    let daemon = serve(&[&site], &door, &["--engine-wait", "1h"]);
    door.hang(CREATE);
    let first = daemon.deploy_by_push(&site.push());
    door.wait_caught();
    site.write("docker-compose.prod.yml", &stack("v2"));
    let second = site.push_to(&daemon, "v2");
    assert_eq!(of_the_daemon(&daemon, second).0, "queued");
    door.shut();
    waits(&daemon, second);
    assert_eq!(of_the_daemon(&daemon, first).0, "superseded");
    wait_for_log(&daemon, first, &format!("deployment {second} takes its place at once"));
    back(&door);
    daemon.expect_success(second);
    assert_eq!(running(&site), ["v2"]);
}

#[test]
fn those_that_wait_hold_no_place_and_go_on_when_the_engine_is_back() {
    let (door, one, other) = (Door::new(), site(), site());
    let daemon = serve(&[&one, &other], &door, &["--engine-wait", "1h", "--parallel", "1"]);
    let first = {
        door.hang(CREATE);
        let first = daemon.deploy_by_push(&one.push());
        door.wait_caught();
        door.shut();
        waits(&daemon, first);
        first
    };
    // There is one place.
    let second = daemon.deploy_by_push(&other.push());
    let told = waits(&daemon, second);
    assert!(told["why"].as_str().unwrap().contains("docker.sock"), "{told:#}");
    assert!(log(&daemon, second).contains("waiting up to 3600s for the engine"), "{}", log(&daemon, second));
    back(&door);
    for (id, site) in [(first, &one), (second, &other)] {
        daemon.expect_success(id);
        assert_eq!(running(site), ["v1"]);
        let log = log(&daemon, id);
        assert_eq!(log.matches("the engine is back").count(), 1, "{log}");
        let phases = ["== fetch", "== plan", "== wait for the engine", "== plan", "== apply"];
        let mut rest = log.as_str();
        for phase in phases {
            rest = rest.split_once(phase).unwrap_or_else(|| panic!("{phase} is not told in its turn: {log}")).1;
        }
    }
}

#[test]
fn one_that_waits_is_called_off_at_once() {
    let (door, site) = (Door::new(), site());
    let daemon = serve(&[&site], &door, &["--engine-wait", "1h"]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let second = dies_under(&door, &daemon, &site, "v2");
    let said = daemon.turnout(&["cancel", &second.to_string()]);
    assert!(said.status.success(), "{said:?}");
    let (state, deployment) = of_the_daemon(&daemon, second);
    assert_eq!(state, "cancelled", "{deployment:#}");
    assert_eq!(deployment["error"], "cancelled while waiting for the engine to come back");
    assert!(!daemon.turnout(&["cancel", &second.to_string()]).status.success(), "it is over");
    // Nothing of it comes back with the engine, and the next one goes on from what there is.
    back(&door);
    site.write("docker-compose.prod.yml", &stack("v3"));
    daemon.expect_success(site.push_to(&daemon, "v3"));
    assert_eq!((running(&site), of_the_daemon(&daemon, second).0), (vec!["v3".to_owned()], "cancelled".to_owned()));
}

#[test]
fn it_waits_on_over_any_end_of_the_daemon() {
    let (door, site) = (Door::new(), site());
    let mut daemon = serve(&[&site], &door, &["--engine-wait", "1h"]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let second = dies_under(&door, &daemon, &site, "v2");
    let told = waits(&daemon, second);
    for orderly in [true, false, false, false] {
        if orderly {
            let began = Instant::now();
            assert_eq!(daemon.terminate().code(), Some(0));
            assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
        } else {
            daemon.kill();
        }
        daemon.restart();
        assert_eq!(waits(&daemon, second), told, "its time is another");
    }
    back(&door);
    let done = daemon.expect_success(second);
    assert!(done["attempt"] == 1 && daemon.history().len() == 2, "it is repeated: {:#?}", daemon.history());
    assert_eq!(running(&site), ["v2"]);
    // Its log is one, in order.
    let log = log(&daemon, second);
    let (before, after) = log.split_once("the engine is back").expect("it is not told");
    assert!(before.contains("the engine went away") && after.contains("== apply"), "{log}");
}

#[test]
fn its_time_goes_on_without_a_daemon_and_the_engine_is_asked_first() {
    for is_back in [true, false] {
        let (door, site) = (Door::new(), site());
        let mut daemon = serve(&[&site], &door, &["--engine-wait", "8s"]);
        daemon.expect_success(daemon.deploy_by_push(&site.push()));
        let second = dies_under(&door, &daemon, &site, "v2");
        let until = waits(&daemon, second)["until"].as_i64().unwrap();
        daemon.kill();
        wait_until("its time to be over", PATIENCE, || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
            if now as i64 > until { Ok(()) } else { Err(now) }
        });
        if is_back {
            back(&door);
        }
        daemon.restart();
        if is_back {
            daemon.expect_success(second);
            assert_eq!(running(&site), ["v2"]);
        } else {
            let failed = daemon.expect_failure(second);
            let error = failed["error"].as_str().unwrap();
            assert!(error.contains("create"), "{error}");
            assert!(
                error.contains("the engine did not come back within 8s") && error.contains("is not known"),
                "{error}"
            );
            let status = all_of(&daemon.turnout(&["status"]));
            assert!(status.contains("wanted since"), "{status}");
        }
    }
}

/// Where the daemon may die round a wait: as it is put down, and as it is taken up.
#[test]
fn wherever_the_daemon_dies_round_a_wait_the_push_comes_to_its_end_once() {
    const DOWN: [&str; 3] =
        ["before the wait for the engine", "before putting the deployment down", "after putting the deployment down"];
    const UP: [&str; 2] = ["before starting the deployment", "after starting the deployment"];
    let (door, site) = (Door::new(), site());
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let (url, variables) = (door.url(), [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())]);
    let arguments = ["--settle-time", "300ms", "--engine-wait", "1h", "--docker-host", &url];
    let mut daemon = Daemon::start_with(&site.entry(&[]), &arguments, &variables);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    for (number, dies_at) in DOWN.into_iter().chain(UP).enumerate() {
        let version = format!("d{number}");
        door.hang(CREATE);
        site.write("docker-compose.prod.yml", &stack(&version));
        let id = site.push_to(&daemon, &version);
        door.wait_caught();
        if DOWN.contains(&dies_at) {
            std::fs::write(&point, dies_at).unwrap();
            door.shut();
        } else {
            door.shut();
            waits(&daemon, id);
            std::fs::write(&point, dies_at).unwrap();
            back(&door);
        }
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        std::fs::remove_file(&point).unwrap();
        daemon.restart();
        if DOWN.contains(&dies_at) {
            back(&door);
        }
        let history = wait_until("the end of all deployments", PATIENCE, || {
            let history = daemon.history();
            let open = history.iter().any(|one| matches!(one["state"].as_str(), Some("queued" | "running")));
            if open { Err(history) } else { Ok(history) }
        });
        let of_this = history.iter().filter(|one| one["wanted_commit"] == site.remote.head().as_str());
        let ends: Vec<&str> = of_this.filter_map(|one| one["state"].as_str()).collect();
        // What waits is nobody's work: only where it is worked on the death is one of its attempts.
        let waited = ["after putting the deployment down", "before starting the deployment"].contains(&dies_at);
        let wanted = if waited { vec!["succeeded"] } else { vec!["succeeded", "interrupted"] };
        assert_eq!(ends, wanted, "{dies_at}: {history:#?}");
        assert_eq!(running(&site), [version], "{dies_at}");
    }
}
