//! The daemon dies at each point that has a name (`store/dies.rs`): before and after every transaction of a push's way, and before
//! and after every action of its deployment. Wherever it was, the push comes to its end, once, and nothing is left over.
//!
//! Random instants (`killed.rs`) find what nobody thought of; these find what is between two lines.

use std::{fs, os::unix::process::ExitStatusExt as _, path::Path, process::Stdio};

use crate::{common, e2e_support};
use common::{
    PATIENCE,
    daemon::{Daemon, SECRET},
    docker, http,
    push::{Push, sign},
    wait_until,
};
use e2e_support::{QUICK, Site, all_of, built, deploy, kneading, run_in, sleeper, wait_for_log};
use serde_json::Value;

/// On the way of a push that replaces a container while an earlier success is watched.
const POINTS: &[&str] = &[
    "before recording the delivery",
    "after recording the delivery",
    "before keeping payloads",
    "after keeping payloads",
    "before starting the deployment",
    "after starting the deployment",
    "before fetch",
    "after fetch",
    "before recording the deployment's progress",
    "after recording the deployment's progress",
    "before writing the deployment's log",
    "after writing the deployment's log",
    "before plan",
    "after plan",
    "before the end of the watch",
    "before ending the watch",
    "after ending the watch",
    "before apply",
    "before another step",
    "after another step",
    "before recording what containers read",
    "after recording what containers read",
    "after apply",
    "before settle",
    "after settle",
    "before the record",
    "before recording the deployment's end",
    "after recording the deployment's end",
    "before recording what runs",
    "after recording what runs",
];

/// At the start after a death amid a deployment.
const AT_THE_START: &[&str] = &[
    "before recovering deployments",
    "after recovering deployments",
    "before tidying the outbox",
    "after tidying the outbox",
];

/// Of a repository that was never deployed.
const AT_FIRST: [&str; 2] = ["before recording where the project lies", "after recording where the project lies"];

/// A service with a volume of its own for each version, so that every plan has a step that touches no container, and with a file that it
/// reads.
fn stack(version: &str) -> String {
    let sleeper = sleeper(version);
    format!("{sleeper}    volumes: [\"{version}:/data\", \"./read:/read:ro\"]\nvolumes: {{ {version}: {{}} }}\n")
}

#[test]
fn wherever_it_dies_the_push_comes_to_its_end_once() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let site = Site::new(&[("docker-compose.prod.yml", &stack("first")), ("read", "first")]);
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    // The watch of the success before goes on while the next push comes.
    let mut daemon = Daemon::start_with(&site.entry(&[]), QUICK, &variables);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    for (number, dies_at) in POINTS.iter().enumerate() {
        dies(&mut daemon, &site, &point, &format!("v{number}"), &[dies_at]);
    }
    for (number, dies_at) in AT_THE_START.iter().enumerate() {
        dies(&mut daemon, &site, &point, &format!("w{number}"), &["before apply", dies_at]);
    }
}

#[test]
fn wherever_it_dies_at_the_first_deployment_of_all_that_comes_to_its_end_once() {
    for dies_at in AT_FIRST {
        let folder = tempfile::tempdir().unwrap();
        let point = folder.path().join("point");
        let site = Site::new(&[("docker-compose.prod.yml", &stack("first")), ("read", "first")]);
        let mut daemon =
            Daemon::start_with(&site.entry(&[]), QUICK, &[("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())]);
        dies(&mut daemon, &site, &point, "second", &[dies_at]);
    }
}

#[test]
fn whoever_asks_again_after_a_death_gets_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let site = Site::new(&[("docker-compose.prod.yml", &sleeper("first"))]);
    let mut daemon = Daemon::start_with(&site.entry(&[]), QUICK, &[("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    for dies_at in ["before queueing the deployment", "after queueing the deployment"] {
        site.write("docker-compose.prod.yml", &sleeper(dies_at));
        site.remote.commit_and_push(dies_at);
        asked(&mut daemon, &point, dies_at, &["deploy", &site.name]);
        daemon.restart();
        deploy(&daemon, &[&site.name], 0);
        assert_eq!(versions(&site), [dies_at]);
    }
    for dies_at in ["before holding the repository", "after holding the repository"] {
        asked(&mut daemon, &point, dies_at, &["deploy", &site.name, "--hold"]);
        daemon.restart();
        deploy(&daemon, &[&site.name, "--hold"], 0);
        let status = daemon.turnout_json(&["status", "--json"]);
        assert!(status["repos"][0]["hold"].is_object(), "{dies_at}: {status:#}");
        let said = all_of(&daemon.turnout(&["release", &site.name]));
        let status = daemon.turnout_json(&["status", "--json"]);
        assert!(status["repos"][0]["hold"].is_null(), "{dies_at}: {said}\n{status:#}");
    }
    for dies_at in ["before sending letters again", "after sending letters again"] {
        asked(&mut daemon, &point, dies_at, &["letters", "--again", "all"]);
        daemon.restart();
        let said = daemon.turnout(&["letters", "--again", "all"]);
        assert!(said.status.success(), "{dies_at}: {said:?}");
    }
}

#[test]
fn a_deployment_that_was_called_off_or_broken_off_as_the_daemon_died_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let built = |version: &str| format!("services:\n  web:\n{}    labels: {{ version: \"{version}\" }}\n", built("."));
    let site = Site::new(&[("docker-compose.prod.yml", &built("first")), ("Dockerfile", &kneading(600))]);
    let mut daemon = Daemon::start_with(&site.entry(&[]), QUICK, &[("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())]);
    let first = daemon.deploy_by_push(&site.push());
    wait_for_log(&daemon, first, "kneading the dough");
    for dies_at in ["before cancelling the deployment", "after cancelling the deployment"] {
        site.write("docker-compose.prod.yml", &built(dies_at));
        let queued = site.push_to(&daemon, dies_at);
        asked(&mut daemon, &point, dies_at, &["cancel", &queued.to_string()]);
        daemon.restart();
        // What was queued, or what it waited for, builds; and the next push is queued behind that.
        under_way(&daemon);
    }
    for dies_at in ["before interrupting the deployment", "after interrupting the deployment"] {
        let id = under_way(&daemon);
        fs::write(&point, dies_at).unwrap();
        assert_eq!(daemon.terminate().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        daemon.restart();
        assert_eq!(daemon.deployment(id).unwrap()["state"], "interrupted", "{dies_at}");
        under_way(&daemon);
    }
    // What is newer takes the place of what builds, once that is called off.
    site.write("docker-compose.prod.yml", &sleeper("last"));
    let id = under_way(&daemon);
    let last = site.push_to(&daemon, "last");
    daemon.turnout(&["cancel", &id.to_string()]);
    daemon.expect_success(last);
    assert_eq!(versions(&site), ["last"]);
}

/// Whoever kills the daemon each time is given up, and what became of it is told.
#[test]
fn one_that_is_given_up_is_told_of_although_the_daemon_dies_once_more() {
    for dies_at in [
        "after recovering deployments",
        "before recording what became of the deployment",
        "after recording what became of the deployment",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let point = folder.path().join("point");
        let site = Site::new(&[("docker-compose.prod.yml", &sleeper("first"))]);
        let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
        let mut daemon = Daemon::start_with(&site.entry(&[]), QUICK, &variables);
        daemon.expect_success(daemon.deploy_by_push(&site.push()));
        site.write("docker-compose.prod.yml", &sleeper("second"));
        site.remote.commit_and_push("second");
        fs::write(&point, "after a stop").unwrap();
        drop(sent(&daemon, &site.push()));
        for _ in 1..ATTEMPTS {
            assert_eq!(daemon.ended().signal(), Some(9), "{}", daemon.output());
            // All that became known of it before is recorded by then.
            fs::write(&point, "before a start").unwrap();
            daemon.launch();
        }
        assert_eq!(daemon.ended().signal(), Some(9), "{}", daemon.output());
        fs::write(&point, dies_at).unwrap();
        daemon.launch();
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        daemon.restart();
        // What had stopped runs again, or what has its name by now, and nothing is begun by itself.
        wait_until("the container to run", PATIENCE, || match &versions(&site)[..] {
            [one] if ["first", "second"].contains(&one.as_str()) => Ok(()),
            _ => Err(daemon.output()),
        });
        let newest = daemon.history().remove(0);
        assert_eq!(newest["state"], "interrupted", "{dies_at}: {newest:#}");
        let id = newest["id"].as_i64().unwrap();
        wait_until("what became of it to be told", PATIENCE, || {
            let error = daemon.deployment(id).unwrap()["error"].as_str().unwrap_or_default().to_owned();
            let told = error.split_once("deploy it by hand; ").is_some_and(|(_, told)| told.contains(&site.red()));
            if told { Ok(()) } else { Err(error) }
        });
        daemon.expect_success(site.push_to(&daemon, "third"));
    }
}

/// How often a deployment is begun, as `rollout::ATTEMPTS` has it.
const ATTEMPTS: u32 = 3;

/// A container ends after the verdict, and the daemon dies over the record of that: whoever starts next sees it.
#[test]
fn what_fell_after_the_verdict_is_told_although_the_daemon_died_over_it() {
    for dies_at in
        ["before recording what happened after the verdict", "after recording what happened after the verdict"]
    {
        let folder = tempfile::tempdir().unwrap();
        let point = folder.path().join("point");
        let frail = "[sh, -c, \"while ! [ -e /fall ]; do sleep 0.2; done; exit 7\"]";
        let site = Site::new(&[("docker-compose.prod.yml", &sleeper("first").replace("[sleep, \"1000\"]", frail))]);
        let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
        let mut daemon =
            Daemon::start_with(&site.entry(&[]), &["--settle-time", "1s", "--watch-after", "10m"], &variables);
        let id = daemon.deploy_by_push(&site.push());
        daemon.expect_success(id);
        fs::write(&point, dies_at).unwrap();
        run_in(&site.container(&site.red(), "web"), &["touch", "/fall"]);
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        daemon.restart();
        wait_until("the fall to be told", PATIENCE, || {
            let deployment = daemon.deployment(id).unwrap();
            let falls = deployment["falls"].as_array().cloned().unwrap_or_default();
            match &falls[..] {
                [fall] if fall["container"] == format!("{}-web-1", site.red()) => Ok(()),
                _ => Err(deployment),
            }
        });
    }
}

/// Asks for something, over which the daemon dies.
fn asked(daemon: &mut Daemon, point: &Path, dies_at: &str, arguments: &[&str]) {
    println!("{dies_at}");
    fs::write(point, dies_at).unwrap();
    let mut asks = daemon.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
    fs::remove_file(point).unwrap();
    // It may follow into the next life of the daemon, and is of no interest there.
    asks.kill().ok();
    asks.wait().unwrap();
}

/// The deployment that is under way, as soon as it builds.
fn under_way(daemon: &Daemon) -> i64 {
    let id = wait_until("a deployment to be under way", PATIENCE, || {
        let history = daemon.history();
        let running = history.iter().find(|one| one["state"] == "running").and_then(|one| one["id"].as_i64());
        running.ok_or(history)
    });
    wait_for_log(daemon, id, "kneading the dough");
    id
}

/// The label of each container that runs.
fn versions(site: &Site) -> Vec<String> {
    let all = docker::containers(&site.red()).into_iter();
    let running = all.filter(|one| one.state.as_ref().map(ToString::to_string).as_deref() == Some("running"));
    running.filter_map(|one| one.labels?.get("version").cloned()).collect()
}

/// Pushes a version, has the daemon die at the points, one after the other, and sees that the version runs.
fn dies(daemon: &mut Daemon, site: &Site, point: &Path, version: &str, points: &[&str]) {
    println!("{version}: {}", points.join(", then "));
    site.write("docker-compose.prod.yml", &stack(version)).write("read", version);
    site.remote.commit_and_push(version);
    let push = site.push();
    for (number, dies_at) in points.iter().enumerate() {
        fs::write(point, dies_at).unwrap();
        match number {
            // Whether that is answered depends on where it dies.
            0 => drop(sent(daemon, &push)),
            _ => daemon.launch(),
        }
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
    }
    fs::remove_file(point).unwrap();
    daemon.restart();
    // As the forge does it, or a person, where no answer came. It must not be deployed twice.
    let again = sent(daemon, &push).unwrap();
    assert!(matches!(again.status, 200 | 202), "{points:?}: {} {}", again.status, again.body);
    let history = wait_until("the end of all deployments", PATIENCE, || {
        let history = daemon.history();
        let open = history.iter().any(|one| matches!(one["state"].as_str(), Some("queued" | "running")));
        if open { Err(history) } else { Ok(history) }
    });
    let of_this: Vec<&Value> =
        history.iter().filter(|one| one["wanted_commit"] == site.remote.head().as_str()).collect();
    let ends: Vec<&str> = of_this.iter().filter_map(|one| one["state"].as_str()).collect();
    let good = ends.iter().filter(|end| **end == "succeeded").count();
    let other = ends.iter().filter(|end| !matches!(**end, "succeeded" | "interrupted")).count();
    assert!(good == 1 && other == 0, "{points:?}: {ends:?}\n{of_this:#?}");
    let containers: Vec<(Vec<String>, String, String)> = docker::containers(&site.red())
        .into_iter()
        .map(|one| {
            let labels = one.labels.unwrap_or_default();
            let state = one.state.map(|state| state.to_string()).unwrap_or_default();
            (one.names.unwrap_or_default(), state, labels.get("version").cloned().unwrap_or_default())
        })
        .collect();
    let name = format!("/{}-web-1", site.red());
    assert_eq!(containers, [(vec![name], "running".to_owned(), version.to_owned())], "{points:?}");
}

/// Sends the push; an error where the daemon goes before it has answered.
fn sent(daemon: &Daemon, push: &Push) -> std::io::Result<http::Response> {
    let body = push.body().to_string();
    let signature = sign(SECRET, body.as_bytes());
    let headers = [
        ("Content-Type", "application/json"),
        ("X-GitHub-Event", &*push.event),
        ("X-GitHub-Delivery", &*push.delivery),
        ("X-Hub-Signature-256", &*signature),
    ];
    http::request(daemon.listen(), "POST", "/webhook", &headers, body.as_bytes())
}
