//! The daemon dies at each point that has a name (`store/dies.rs`): before and after every transaction of a push's way, and before
//! and after every action of its deployment. Wherever it was, the push comes to its end, once, and nothing is left over.
//!
//! Random instants (`killed.rs`) find what nobody thought of; these find what is between two lines.

use std::{fs, os::unix::process::ExitStatusExt as _, path::Path};

use crate::{common, e2e_support};
use common::{
    PATIENCE,
    daemon::{Daemon, SECRET},
    docker, http,
    push::{Push, sign},
    wait_until,
};
use e2e_support::{QUICK, Site, sleeper};
use serde_json::Value;

/// On the way of a push that replaces a container while an earlier success is watched.
const POINTS: &[&str] = &[
    "before recording the delivery",
    "after recording the delivery",
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
const AT_THE_START: &[&str] = &["before recovering deployments", "after recovering deployments"];

#[test]
fn wherever_it_dies_the_push_comes_to_its_end_once() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let site = Site::new(&[("docker-compose.prod.yml", &sleeper("first"))]);
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

/// Pushes a version, has the daemon die at the points, one after the other, and sees that the version runs.
fn dies(daemon: &mut Daemon, site: &Site, point: &Path, version: &str, points: &[&str]) {
    println!("{version}: {}", points.join(", then "));
    site.write("docker-compose.prod.yml", &sleeper(version));
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
