//! Lanes: one deployment of a repository at a time, repositories side by side, newest wins, nothing lost.

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{Site, all_of, built, deploy, kneading, sleeper, wait_for_log};
use serde_json::Value;

/// Long enough that pushes arrive meanwhile.
const SLOW: &[&str] = &["--settle-time", "3s"];

fn times(deployment: &Value) -> (i64, i64) {
    (deployment["started_at"].as_i64().unwrap(), deployment["ended_at"].as_i64().unwrap())
}

fn overlap(one: &Value, other: &Value) -> bool {
    let ((a, b), (c, d)) = (times(one), times(other));
    a < d && c < b
}

#[test]
fn repositories_run_side_by_side_up_to_the_limit() {
    let sites = [Site::sleeping(), Site::sleeping(), Site::sleeping()];
    let yaml: String = sites.iter().map(|site| site.entry(&[])).collect();
    let daemon = Daemon::start_with(&yaml, &["--settle-time", "2s", "--parallel", "2"], &[]);
    let ids: Vec<i64> = sites.iter().map(|site| daemon.deploy_by_push(&site.push())).collect();
    let ended: Vec<Value> = ids.into_iter().map(|id| daemon.expect_success(id)).collect();
    let pairs = [(0, 1), (0, 2), (1, 2)];
    let together = pairs.iter().filter(|(a, b)| overlap(&ended[*a], &ended[*b])).count();
    // Two begin together; the third meets at most the one that is still under way.
    assert!((1..=2).contains(&together), "{ended:#?}");
    assert!(overlap(&ended[0], &ended[1]), "{ended:#?}");
}

#[test]
fn pushes_during_a_deployment_come_together_to_the_newest() {
    let site = Site::sleeping();
    let daemon = Daemon::start_with(&site.entry(&[]), SLOW, &[]);
    let first = daemon.deploy_by_push(&site.push());
    wait_for_log(&daemon, first, "== apply");
    let later: Vec<i64> = ["v2", "v3", "v4"]
        .iter()
        .map(|label| {
            site.write("docker-compose.prod.yml", &sleeper(label));
            site.push_to(&daemon, label)
        })
        .collect();
    let one = daemon.expect_success(first);
    let newest = daemon.expect_success(later[2]);
    assert!(!overlap(&one, &newest), "{one:#} {newest:#}");
    assert_eq!(newest["commit_after"], site.remote.head());
    for (id, by) in [(later[0], later[1]), (later[1], later[2])] {
        let superseded = daemon.deployment(id).unwrap();
        assert_eq!((&superseded["state"], &superseded["superseded_by"]), (&"superseded".into(), &by.into()));
    }
    let shown = all_of(&daemon.turnout(&["history"]));
    assert!(shown.contains(&format!("superseded by {}", later[2])), "{shown}");
    let labels = docker::containers(&site.red()).remove(0).labels.unwrap();
    assert_eq!(labels["version"], "v4");
}

#[test]
fn what_runs_and_what_waits_can_be_cancelled() {
    let site = Site::sleeping();
    let daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "60s"], &[]);
    let running = daemon.command(&["deploy", &site.name]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let id = wait_until("a deployment that settles", PATIENCE, || match daemon.history().first() {
        Some(d) if d["phase"] == "settle" => Ok(d["id"].as_i64().unwrap()),
        other => Err(other.cloned()),
    });
    let waiting = daemon.deploy_by_push(&site.push());
    for id in [waiting, id] {
        let output = daemon.turnout(&["cancel", &id.to_string()]);
        assert!(output.status.success(), "{}", all_of(&output));
    }
    let ended = running.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", all_of(&ended));
    for id in [waiting, id] {
        assert_eq!(daemon.wait_for_deployment(id)["state"], "cancelled");
    }
    let over = daemon.turnout(&["cancel", &id.to_string()]);
    assert!(!over.status.success() && all_of(&over).contains("is over"), "{}", all_of(&over));
}

#[test]
fn a_push_is_wanted_until_it_is_deployed() {
    let site = Site::sleeping();
    let daemon = Daemon::start_with(&site.entry(&[]), SLOW, &[]);
    let first = daemon.deploy_by_push(&site.push());
    wait_for_log(&daemon, first, "== apply");
    // Superseded by one that is then cancelled.
    site.write("docker-compose.prod.yml", &sleeper("v2"));
    let pushed = site.push_to(&daemon, "v2");
    deploy(&daemon, &[&site.name, "--detach"], 0);
    let asked = daemon.history()[0]["id"].as_i64().unwrap();
    assert_eq!(daemon.deployment(pushed).unwrap()["superseded_by"], asked);
    assert!(daemon.turnout(&["cancel", &asked.to_string()]).status.success());
    daemon.expect_success(first);
    let head = site.remote.head();
    let status = all_of(&daemon.turnout(&["status"]));
    assert!(status.contains(&format!("behind: {} wanted since 20", &head[..7])), "{status}");
    let behind = &daemon.turnout_json(&["status", "--json"])["repos"][0]["behind"];
    assert_eq!(behind["commit"], head, "{behind:#}");
    // The forge's button "Redeliver" sends the same push again.
    let redelivered = daemon.deploy_by_push(&site.push());
    assert_eq!(daemon.expect_success(redelivered)["commit_after"], head);
    let status = all_of(&daemon.turnout(&["status"]));
    assert!(!status.contains("behind:"), "{status}");
    let answer = daemon.push(&site.push());
    assert_eq!((answer.status, answer.json()["deployment"].as_i64()), (200, Some(redelivered)), "{}", answer.body);
}

#[test]
fn a_fetch_that_fails_leaves_the_push_wanted() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    let head = site.push();
    let (bare, away) = (site.remote.bare_dir(), site.remote.bare_dir().with_extension("away"));
    std::fs::rename(&bare, &away).unwrap();
    let id = daemon.deploy_by_push(&head);
    daemon.expect_failure(id);
    let shown = e2e_support::log(&daemon, id);
    assert!(shown.contains("stays wanted"), "{shown}");
    assert!(all_of(&daemon.turnout(&["status"])).contains("behind: "));
    std::fs::rename(&away, &bare).unwrap();
    let id = daemon.deploy_by_push(&head);
    daemon.expect_success(id);
    assert!(!all_of(&daemon.turnout(&["status"])).contains("behind: "));
}

#[test]
fn a_superseded_deployment_ends_its_command_with_3() {
    let site = Site::sleeping();
    let daemon = Daemon::start_with(&site.entry(&[]), SLOW, &[]);
    let first = daemon.deploy_by_push(&site.push());
    wait_for_log(&daemon, first, "== apply");
    let waiting = daemon.command(&["deploy", &site.name]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    wait_until("the queued one", PATIENCE, || if daemon.history().len() == 2 { Ok(()) } else { Err("not yet") });
    let said = deploy(&daemon, &[&site.name, "--detach"], 0);
    assert!(said.contains("is queued"), "{said}");
    let ended = waiting.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", all_of(&ended));
    assert!(all_of(&ended).contains("superseded by"), "{}", all_of(&ended));
    daemon.expect_success(daemon.history()[0]["id"].as_i64().unwrap());
}

#[test]
fn a_build_under_way_ends_when_it_is_cancelled() {
    for builder in ["buildkit", "classic"] {
        let site = Site::new(&[
            ("docker-compose.prod.yml", &format!("services:\n  web:\n{}", built("."))),
            ("Dockerfile", &kneading(100)),
        ]);
        let daemon = site.serve(&[&format!("builder: {builder}")]);
        let id = daemon.deploy_by_push(&site.push());
        wait_for_log(&daemon, id, "kneading the dough");
        let began = std::time::Instant::now();
        assert!(daemon.turnout(&["cancel", &id.to_string()]).status.success());
        assert_eq!(daemon.wait_for_deployment(id)["state"], "cancelled");
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "it took {:?}", began.elapsed());
    }
}
