//! An earlier commit deployed by hand, held against pushes or not, and the way back to the branch.

use crate::{common, e2e_support};
use common::{daemon::Daemon, docker};
use e2e_support::{Site, all_of, deploy, sleeper};

/// The version of the one service that runs.
fn version(site: &Site) -> String {
    let containers = docker::containers(&site.red());
    assert_eq!(containers.len(), 1, "{containers:?}");
    containers[0].labels.clone().unwrap_or_default().remove("version").unwrap_or_default()
}

fn commit(site: &Site, label: &str) -> String {
    site.write("docker-compose.prod.yml", &sleeper(label)).remote.commit_and_push(label)
}

fn status(daemon: &Daemon) -> String {
    all_of(&daemon.turnout(&["status"]))
}

fn short(commit: &str) -> &str {
    &commit[..7]
}

#[test]
fn a_commit_is_held_against_pushes_until_it_is_released() {
    let site = Site::sleeping();
    let first = site.remote.head();
    let mut daemon = site.serve(&[]);
    let name = site.name.clone();
    deploy(&daemon, &[&name], 0);
    let second = commit(&site, "v2");
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert_eq!(version(&site), "v2");

    let said = deploy(&daemon, &[&name, "--previous", "--hold"], 0);
    assert!(said.contains(&format!("back to {} of deployment 1", short(&first))), "{said}");
    assert!(said.contains("pushes wait until `turnout release"), "{said}");
    assert_eq!(version(&site), "v1");
    let third = commit(&site, "v3");
    let answer = daemon.push(&site.push());
    assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("held")), "{}", answer.body);
    assert!(answer.json()["deployment"].is_null());
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!("held at {}", short(&first))) && message.contains("not deployed"), "{message}");

    // Over a power cut, and asked for without a commit.
    daemon.kill();
    daemon.restart();
    let said = deploy(&daemon, &[&name], 1);
    assert!(said.contains("is held at") && said.contains(&format!("`turnout release {name}`")), "{said}");
    assert_eq!(version(&site), "v1");
    let said = status(&daemon);
    assert!(said.contains(&format!("held at {}", short(&first))), "{said}");
    assert!(said.contains(&format!("newest wanted {}", short(&third))), "{said}");
    assert!(
        said.contains(&format!("deployed by hand: commit {} (main here is at {})", short(&first), short(&second))),
        "{said}"
    );
    let json = daemon.turnout_json(&["status", "--json"]);
    assert_eq!(json["repos"][0]["hold"]["newest"], third.as_str());
    assert_eq!(json["repos"][0]["by_hand"]["commit"], first.as_str());

    // Another commit, by its first digits: the hold stays. One that is nowhere: told, and what runs still runs.
    deploy(&daemon, &[&name, "--commit", short(&second)], 0);
    assert_eq!(version(&site), "v2");
    let said = deploy(&daemon, &[&name, "--commit", "feedbeef"], 1);
    assert!(said.contains("no branch, tag or commit \"feedbeef\"") && said.contains("the hold stays"), "{said}");
    assert!(status(&daemon).contains(&format!("held at {}", short(&second))));

    let said = all_of(&daemon.turnout(&["release", &name]));
    assert!(said.contains(&format!("what waits is the push of {}", short(&third))), "{said}");
    assert_eq!(version(&site), "v3");
    let said = status(&daemon);
    assert!(!said.contains("held") && !said.contains("by hand"), "{said}");
    commit(&site, "v4");
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert_eq!(version(&site), "v4");
}

#[test]
fn without_a_hold_the_next_push_goes_back_to_the_branch() {
    let site = Site::sleeping();
    let first = site.remote.head();
    let daemon = site.serve(&[]);
    let name = site.name.clone();
    // Nothing was deployed: nothing to go back to.
    let said = deploy(&daemon, &[&name, "--previous"], 1);
    assert!(said.contains("no earlier successful deployment"), "{said}");
    deploy(&daemon, &[&name], 0);
    commit(&site, "v2");
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    deploy(&daemon, &[&name, "--commit", &first[..10]], 0);
    assert_eq!(version(&site), "v1");
    assert!(status(&daemon).contains("deployed by hand"));
    // The branch is not configured: it is the one that was left.
    commit(&site, "v3");
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert_eq!(version(&site), "v3");
    assert!(!status(&daemon).contains("deployed by hand"));
    let tree = git2::Repository::open(&site.path).unwrap();
    assert_eq!(tree.head().unwrap().shorthand().unwrap(), "main");
    let refused = deploy(&daemon, &[&name, "--commit", "HEAD~1"], 1);
    assert!(refused.contains("names no commit"), "{refused}");
}

#[test]
fn what_runs_is_held_as_it_is() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    let name = site.name.clone();
    deploy(&daemon, &[&name], 0);
    let before = e2e_support::untouched(&site.red());
    let said = deploy(&daemon, &[&name, "--hold"], 0);
    assert!(said.contains(&format!("held at {}", short(&site.remote.head()))), "{said}");
    assert!(deploy(&daemon, &[&name, "--hold"], 0).contains("held already"));
    commit(&site, "v2");
    assert_eq!(daemon.push(&site.push()).json()["status"], "held");
    assert_eq!(e2e_support::untouched(&site.red()), before);
    assert_eq!(daemon.history().len(), 1);
    deploy(&daemon, &[&name, "--release"], 0);
    assert_eq!(version(&site), "v2");
}

#[test]
fn going_back_from_a_failed_deployment_builds_what_the_commit_says() {
    let compose = format!("services:\n  web:\n{}", e2e_support::built("."));
    let dockerfile = "FROM @BASE\nCOPY word /word\n";
    let site = Site::new(&[("compose.yaml", &compose), ("Dockerfile", dockerfile), ("word", "good\n")]);
    let daemon = site.serve(&[]);
    let name = site.name.clone();
    deploy(&daemon, &[&name], 0);
    let word = || e2e_support::file_in(&site.container(&site.red(), "web"), "/word").trim().to_owned();
    assert_eq!(word(), "good");
    // It is built, started, and falls over: the report says how to go back.
    site.write("word", "bad\n").write("compose.yaml", &compose.replace("[sleep, \"1000\"]", "[\"false\"]"));
    let failed = daemon.expect_failure(site.push_to(&daemon, "Bad"));
    let back = format!("`turnout deploy {name} --previous`");
    assert!(failed["error"].as_str().unwrap().contains(&back), "{failed:#}");
    let said = deploy(&daemon, &[&name, "--previous"], 0);
    assert!(said.contains("the last success before deployment 2 (failed of"), "{said}");
    assert!(said.contains("word differs from what the image was built from"), "{said}");
    assert_eq!(word(), "good");
    // Once more by name: nothing is left to do.
    let before = e2e_support::untouched(&site.red());
    let commit = daemon.history()[0]["commit_after"].as_str().unwrap().to_owned();
    let said = deploy(&daemon, &[&name, "--commit", &commit], 0);
    assert!(said.contains("nothing to do"), "{said}");
    assert_eq!(e2e_support::untouched(&site.red()), before);
}

#[test]
fn what_failed_and_runs_is_what_a_hold_and_the_status_name() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    let name = site.name.clone();
    let first = site.remote.head();
    deploy(&daemon, &[&name, "--commit", &first], 0);
    assert!(status(&daemon).contains(&format!("deployed by hand: commit {}", short(&first))));
    let broken = site
        .write("docker-compose.prod.yml", &sleeper("v2").replace("[sleep, \"1000\"]", "[sh, -c, exit 3]"))
        .remote
        .commit_and_push("broken");
    daemon.expect_failure(daemon.deploy_by_push(&site.push()));
    let said = deploy(&daemon, &[&name, "--hold"], 0);
    assert!(said.contains(&format!("what runs is {}, whose deployment 2 failed", short(&broken))), "{said}");
    assert!(said.contains(&format!("held at {}", short(&broken))), "{said}");
    let said = status(&daemon);
    assert!(said.contains(short(&broken)) && !said.contains("deployed by hand"), "{said}");
    let json = daemon.turnout_json(&["status", "--json"]);
    assert_eq!(json["repos"][0]["left"]["commit"], broken.as_str());
    assert!(json["repos"][0]["by_hand"].is_null(), "{json:#}");
}
