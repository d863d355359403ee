//! The daemon ends under its work: orderly, and as in a power cut. What was accepted is done after the next start.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure is the report")]

mod common;
mod e2e_support;

use std::time::{Duration, Instant};

use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{QUICK, Site, built, deploy, idle, wait_for_log};
use serde_json::Value;

/// The repeat of an interrupted deployment.
fn repeat_of(daemon: &Daemon, id: i64) -> i64 {
    let repeat = daemon.history().into_iter().find(|d| d["retry_of"] == id);
    repeat.unwrap_or_else(|| panic!("nothing repeats {id}: {:#?}", daemon.history()))["id"].as_i64().unwrap()
}

/// Three services of one version each; the names sort differently from the order in which they depend.
fn three(version: &str) -> String {
    let mut text = "services:\n".to_owned();
    for (name, needs) in [("api", "db"), ("db", ""), ("web", "api")] {
        text.push_str(&format!("  {name}:\n{}    labels: {{ version: \"{version}\" }}\n", idle()));
        if !needs.is_empty() {
            text.push_str(&format!("    depends_on: [{needs}]\n"));
        }
    }
    text
}

/// Exactly the containers that the file asks for, running, of this version: nothing half done is left.
fn expect_three(site: &Site, version: &str) {
    let containers = docker::containers(&site.red());
    let seen: Vec<(String, String, String)> = containers
        .into_iter()
        .map(|c| {
            let name = c.names.unwrap_or_default().join(",");
            let state = c.state.map(|state| state.to_string()).unwrap_or_default();
            (name, state, c.labels.unwrap_or_default().remove("version").unwrap_or_default())
        })
        .collect();
    let wanted = ["api", "db", "web"]
        .map(|service| (format!("/{}-{service}-1", site.red()), "running".to_owned(), version.to_owned()));
    assert_eq!(seen, wanted);
}

#[test]
fn sigterm_during_a_build_ends_at_once_and_the_build_goes_on_after_the_next_start() {
    let slow = format!("services:\n  web:\n{}", built("."));
    let site = Site::new(&[
        ("docker-compose.prod.yml", &slow),
        ("Dockerfile", "FROM @BASE\nRUN echo kneading the dough; sleep 6\n"),
    ]);
    let mut daemon = site.serve(&[]);
    let id = daemon.deploy_by_push(&site.push());
    wait_for_log(&daemon, id, "build web: #5");
    // A follower is told good-bye rather than left hanging.
    let mut follower = daemon.command(&["logs", "-f"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let status = daemon.terminate();
    assert_eq!(status.code(), Some(0), "{}", daemon.output());
    assert!(began.elapsed() < Duration::from_secs(4), "it took {:?}", began.elapsed());
    let ended = wait_until("the end of logs -f", PATIENCE, || follower.try_wait().unwrap().ok_or("it still runs"));
    assert_eq!(ended.code(), Some(0));

    daemon.restart();
    assert_eq!(daemon.deployment(id).unwrap()["state"], "interrupted");
    daemon.expect_success(repeat_of(&daemon, id));
    assert_eq!(docker::containers(&site.red()).len(), 1);
}

#[test]
fn sigkill_amid_the_steps_is_repeated_and_leaves_nothing_half_done() {
    let site = Site::new(&[("docker-compose.prod.yml", &three("v0"))]);
    let mut daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    // Killed at different points: as soon as the steps begin, after the first container, after the second.
    for (version, seen) in [("v1", "== apply"), ("v2", "done: recreated"), ("v3", "api-1")] {
        site.write("docker-compose.prod.yml", &three(version));
        let id = site.push_to(&daemon, version);
        wait_until(&format!("{seen} in the log"), PATIENCE, || {
            let log = e2e_support::log(&daemon, id);
            if log.contains(seen) || log.contains("succeeded in") { Ok(()) } else { Err(log) }
        });
        daemon.kill();
        daemon.restart();
        let state = daemon.deployment(id).unwrap()["state"].clone();
        if state == "interrupted" {
            let repeat = daemon.expect_success(repeat_of(&daemon, id));
            assert!(repeat["cause"].as_str().unwrap().contains("push of"), "{repeat:#}");
        } else {
            // It was quicker than the kill.
            assert_eq!(state, "succeeded");
        }
        expect_three(&site, version);
    }
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("nothing to do"), "{said}");
}

#[test]
fn what_waited_is_done_after_the_next_start() {
    let sites = [Site::sleeping(), Site::sleeping()];
    let yaml: String = sites.iter().map(|site| site.entry(&[])).collect();
    let mut daemon = Daemon::start_with(&yaml, &["--settle-time", "4s", "--parallel", "1"], &[]);
    let running = daemon.deploy_by_push(&sites[0].push());
    let waiting = daemon.deploy_by_push(&sites[1].push());
    wait_for_log(&daemon, running, "== settle");
    assert_eq!(daemon.deployment(waiting).unwrap()["state"], "queued");
    daemon.kill();
    daemon.restart();
    daemon.expect_success(waiting);
    daemon.expect_success(repeat_of(&daemon, running));
    assert_eq!(docker::containers(&sites[1].red()).len(), 1);
}

#[test]
fn an_engine_that_is_down_fails_with_its_address_and_the_daemon_lives_on() {
    let site = Site::sleeping();
    let nowhere = tempfile::tempdir().unwrap();
    let host = format!("unix://{}", nowhere.path().join("docker.sock").display());
    let arguments = [QUICK, &["--docker-host", &host, "--engine-wait", "1s"]].concat();
    let daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
    let failed: Value = daemon.expect_failure(daemon.deploy_by_push(&site.push()));
    assert!(failed["error"].as_str().unwrap().contains("docker.sock"), "{failed:#}");
    let status = e2e_support::all_of(&daemon.turnout(&["status"]));
    assert!(status.contains("ENGINE DOWN"), "{status}");
}
