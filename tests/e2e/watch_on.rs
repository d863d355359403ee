//! A deployment is judged as soon as its health checks have spoken, and watched on after that beside its lane: what falls
//! over then is a fact of that deployment.

use std::{
    fs::{self, File},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{Site, all_of, deploy, log, run_in};
use serde_json::Value;

/// Watched long enough that no slow machine is at its end before the test is.
const LONG: &[&str] = &["--settle-time", "1s", "--watch-after", "10m"];
const SECRET: &str = "s3cr3t-of-the-project";

/// A service that falls over once when the file `/fall` is there, and whose health check fails while `/ill` is.
fn frail(name: &str, more: &str) -> String {
    let falls = "while :; do if [ -e /fall ]; then rm /fall; echo no database for $$TOKEN; exit 7; fi; sleep 0.1; done";
    format!(
        "  {name}:\n    image: \"@BASE\"\n    init: true\n    stop_grace_period: 1s\n    environment: {{ TOKEN: {SECRET} }}\n    \
         command: [sh, -c, {falls:?}]\n    healthcheck: {{ test: [CMD, test, \"!\", -e, /ill], interval: 1s, retries: 1, \
         timeout: 20s }}\n{more}"
    )
}

fn site(more: &str) -> Site {
    let file = format!("services:\n{}{}", frail("web", more), frail("aside", "    restart: always\n"));
    Site::new(&[("compose.yaml", &file)])
}

/// What is told to have fallen after the verdict of a deployment: container without its project, and what happened.
fn falls(daemon: &Daemon, id: i64) -> Vec<(String, String)> {
    let deployment = daemon.deployment(id).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let falls = deployment["falls"].as_array().unwrap().iter();
    falls.map(|fall| (text(&fall["container"]), text(&fall["said"]))).collect()
}

fn wait_for_fall(daemon: &Daemon, id: i64, container: &str, said: &str) {
    wait_until(&format!("{container} to be told: {said}"), PATIENCE, || {
        let falls = falls(daemon, id);
        if falls.iter().any(|(name, what)| name.ends_with(container) && what == said) { Ok(()) } else { Err(falls) }
    });
}

/// Milliseconds that a deployment took.
fn took(deployment: &Value) -> i64 {
    deployment["ended_at"].as_i64().unwrap() - deployment["started_at"].as_i64().unwrap()
}

#[test]
fn a_health_check_that_has_spoken_ends_the_deployment() {
    let site = site("");
    let daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "100s"], &[]);
    let id = daemon.deploy_by_push(&site.push());
    let done = daemon.expect_success(id);
    assert!(took(&done) < 90_000, "it waited for the settle time: {done:#}");
    let said = log(&daemon, id);
    assert!(!said.contains("no health check"), "{said}");
}

#[test]
fn without_a_health_check_it_is_watched_for_the_settle_time_and_told_so() {
    let site =
        Site::new(&[("compose.yaml", &format!("services:\n{}  calm:\n{}", frail("web", ""), e2e_support::idle()))]);
    let daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "8s"], &[]);
    let id = daemon.deploy_by_push(&site.push());
    let done = daemon.expect_success(id);
    assert!(took(&done) >= 8_000, "{done:#}");
    let said = log(&daemon, id);
    assert!(said.contains(&format!("{}-calm-1 has no health check: watched for 8 s", site.red())), "{said}");
}

#[test]
fn what_is_healthy_and_falls_while_another_is_watched_has_failed() {
    let file = format!(
        "services:\n  web:\n    image: \"@BASE\"\n    command: [sh, -c, \"sleep 4; exit 3\"]\n    healthcheck: {{ test: [CMD, \
         \"true\"], interval: 1s, timeout: 20s }}\n  calm:\n{}",
        e2e_support::idle()
    );
    let site = Site::new(&[("compose.yaml", &file)]);
    let daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "30s"], &[]);
    let failed = daemon.expect_failure(daemon.deploy_by_push(&site.push()));
    assert!(failed["error"].as_str().unwrap().contains("-web-1 exited (3)"), "{failed:#}");
}

#[test]
fn a_crash_after_the_verdict_is_told_as_such_and_that_it_is_over_too() {
    let site = site("    restart: always\n");
    let daemon = Daemon::start_with(&site.entry(&[]), LONG, &[]);
    deploy(&daemon, &[&site.name], 0);
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");

    let home = tempfile::tempdir().unwrap();
    let (file, path) = (File::create(home.path().join("log")).unwrap(), home.path().join("log"));
    let arguments = ["logs", "--follow", "--tail", "1"];
    let mut follower = daemon.command(&arguments).stdout(file).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the log to be followed", PATIENCE, || match fs::read_to_string(&path).unwrap() {
        text if text.is_empty() => Err(text),
        text => Ok(text),
    });

    let web = site.container(&site.red(), "web");
    run_in(&web, &["touch", "/fall"]);
    wait_for_fall(&daemon, 2, "-web-1", "exited (7) and was restarted");
    daemon.says("its last words: no database");
    let container = format!("{}-web-1", site.red());
    wait_until("the status to tell that it is well again", PATIENCE, || {
        let status = all_of(&daemon.turnout(&["status"]));
        assert!(!status.contains("everything runs as configured"), "{status}");
        let words = format!("; {container} exited (7) and was restarted ");
        if status.contains(&words) && status.contains("well again after") { Ok(()) } else { Err(status) }
    });
    let history = all_of(&daemon.turnout(&["history"]));
    // On a busy machine it may fall twice before its file is gone.
    for told in ["succeeded", "s after the verdict", "well again after"] {
        assert!(history.contains(told), "{history}");
    }
    assert_eq!(daemon.deployment(1).unwrap()["falls"], serde_json::json!([]));

    // What was said while it was followed, and the past, whose log ends at the outcome.
    let followed = wait_until("the followed log to tell it", PATIENCE, || {
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("well again") { Ok(text) } else { Err(text) }
    });
    follower.kill().unwrap();
    follower.wait().unwrap();
    let past = log(&daemon, 2);
    let whole = all_of(&daemon.turnout(&["logs", "--deployment", "2", "--follow"]));
    for text in [&followed, &past, &whole, &daemon.output()] {
        assert!(text.contains("exited (7)") && text.contains("no database for"), "{text}");
        assert!(!text.contains(SECRET), "{text}");
    }
    assert!(past.lines().last().unwrap().contains(&format!("; {container} exited (7)")), "{past}");
    let warned = daemon.output();
    let line = warned.lines().find(|line| line.contains("exited (7)")).unwrap();
    assert!(line.contains("WARN"), "{line}");
}

#[test]
fn a_daemon_that_was_killed_or_stopped_goes_on_watching() {
    let site = site("    restart: always\n");
    let mut daemon = Daemon::start_with(&site.entry(&[]), LONG, &[]);
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    let (web, aside) = (site.container(&site.red(), "web"), site.container(&site.red(), "aside"));
    run_in(&web, &["touch", "/fall"]);
    wait_for_fall(&daemon, id, "-web-1", "exited (7) and was restarted");
    daemon.kill();
    // Nobody is there to see it.
    run_in(&aside, &["touch", "/fall"]);
    wait_until("the container to be restarted", PATIENCE, || {
        let engine = docker::block_on(async { docker::connect().await.inspect_container(&aside, None).await.unwrap() });
        if engine.restart_count == Some(1) { Ok(()) } else { Err(engine.restart_count) }
    });
    daemon.restart();
    wait_for_fall(&daemon, id, "-aside-1", "exited (7) and was restarted");
    // What was told before is not told twice.
    let times = |daemon: &Daemon| -> Vec<i64> {
        let deployment = daemon.deployment(id).unwrap();
        deployment["falls"].as_array().unwrap().iter().map(|fall| fall["times"].as_i64().unwrap()).collect()
    };
    assert_eq!(times(&daemon), [1, 1]);

    // It ends at once, and the next one watches on; what is secret in what containers say is known to it.
    let began = Instant::now();
    assert!(daemon.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    daemon.restart();
    run_in(&web, &["touch", "/fall"]);
    wait_until("another fall to be counted", PATIENCE, || match times(&daemon) {
        // On a busy machine its health check may have failed in between, which counts as well.
        all if all.iter().sum::<i64>() >= 3 => Ok(()),
        all => Err(all),
    });
    daemon.says(" times in all");
    assert!(!daemon.output().contains(SECRET) && !log(&daemon, id).contains(SECRET), "{}", log(&daemon, id));
}

#[test]
fn the_last_words_are_searched_for_the_secrets_that_the_container_was_made_with() {
    let file = format!("services:\n{}", frail("web", "    restart: always\n").replace(SECRET, "\"${TOKEN}\""));
    let site = Site::new(&[("compose.yaml", &file)]);
    site.env("TOKEN=former-s3cr3t-value\n");
    let mut daemon = Daemon::start_with(&site.entry(&[]), LONG, &[]);
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    daemon.kill();
    site.env("TOKEN=another-s3cr3t-value\n");
    daemon.restart();
    run_in(&site.container(&site.red(), "web"), &["touch", "/fall"]);
    wait_for_fall(&daemon, id, "-web-1", "exited (7) and was restarted");
    daemon.says("its last words: no database for [redacted]");
    let told = daemon.output() + &log(&daemon, id);
    assert!(!told.contains("former-s3cr3t"), "{told}");
}

#[test]
fn a_clock_that_was_set_back_hides_no_fall_and_makes_no_watch_longer() {
    let site = site("");
    let mut daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "1s", "--watch-after", "2m"], &[]);
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    let (web, aside) = (site.container(&site.red(), "web"), site.container(&site.red(), "aside"));
    daemon.kill();
    // As if the verdict had been spoken four days from now, and the clock been set back since.
    let database = rusqlite::Connection::open(daemon.state_dir().join("turnout.db")).unwrap();
    let days = 4 * 24 * 3_600_000_i64;
    database
        .execute("UPDATE rollouts SET watch_since = watch_since + ?1, watch_until = watch_until + ?1", [days])
        .unwrap();
    drop(database);
    run_in(&web, &["touch", "/fall"]);
    wait_until("the container to end", PATIENCE, || {
        let found = docker::block_on(async { docker::connect().await.inspect_container(&web, None).await.unwrap() });
        if found.state.unwrap().exit_code == Some(7) { Ok(()) } else { Err("runs") }
    });
    daemon.restart();
    wait_for_fall(&daemon, id, "-web-1", "exited (7)");
    run_in(&aside, &["touch", "/fall"]);
    wait_for_fall(&daemon, id, "-aside-1", "exited (7) and was restarted");
    for fall in daemon.deployment(id).unwrap()["falls"].as_array().unwrap() {
        assert!(fall["after"].as_i64().unwrap() <= 240_000, "{fall}");
    }
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let until = daemon.turnout_json(&["status", "--json"])["repos"][0]["watched_until"].as_i64().unwrap();
    assert!(until < now + 120_000, "{} s from now", (until - now) / 1000);
}

#[test]
fn what_somebody_stops_or_restarts_is_no_crash() {
    let site = site("    restart: unless-stopped\n");
    let daemon = Daemon::start_with(&site.entry(&[]), LONG, &[]);
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    let (web, aside) = (site.container(&site.red(), "web"), site.container(&site.red(), "aside"));
    docker::block_on(async {
        let engine = docker::connect().await;
        engine.restart_container(&web, None).await.unwrap();
        engine.stop_container(&web, None).await.unwrap();
        engine.start_container(&web, None).await.unwrap();
        engine.kill_container(&web, None).await.unwrap();
    });
    // Told later than those would have been.
    run_in(&aside, &["touch", "/fall"]);
    wait_for_fall(&daemon, id, "-aside-1", "exited (7) and was restarted");
    assert_eq!(falls(&daemon, id).len(), 1, "{:?}", falls(&daemon, id));
}

#[test]
fn a_push_during_the_watch_is_deployed_at_once_and_what_it_replaces_is_no_crash() {
    let site = site("    restart: always\n");
    let daemon = Daemon::start_with(&site.entry(&[]), LONG, &[]);
    let first = daemon.deploy_by_push(&site.push());
    daemon.expect_success(first);
    let watched = |daemon: &Daemon| daemon.turnout_json(&["status", "--json"])["repos"][0]["watched_until"].is_i64();
    assert!(watched(&daemon));
    let old = site.container(&site.red(), "web");
    let file = format!(
        "services:\n{}{}",
        frail("web", "    restart: always\n    labels: { version: two }\n"),
        frail("aside", "    restart: always\n")
    );
    site.write("compose.yaml", &file);
    let second = site.push_to(&daemon, "Two");
    let done = daemon.expect_success(second);
    // The watch is ten minutes long; nobody has waited for its end.
    assert!(done["started_at"].as_i64().unwrap() - done["created_at"].as_i64().unwrap() < 60_000, "{done:#}");
    let new = site.container(&site.red(), "web");
    assert_ne!(new, old);
    run_in(&new, &["touch", "/fall"]);
    wait_for_fall(&daemon, second, "-web-1", "exited (7) and was restarted");
    assert_eq!(falls(&daemon, second).len(), 1);
    assert_eq!(falls(&daemon, first), []);
    assert!(watched(&daemon));
}

#[test]
fn what_turns_unhealthy_after_the_verdict_is_told_and_that_it_is_healthy_again() {
    let site = site("");
    let daemon = Daemon::start_with(&site.entry(&[]), LONG, &[]);
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    let web = site.container(&site.red(), "web");
    run_in(&web, &["touch", "/ill"]);
    wait_for_fall(&daemon, id, "-web-1", "became unhealthy");
    run_in(&web, &["rm", "/ill"]);
    wait_until("it to be told as healthy again", PATIENCE, || {
        let deployment = daemon.deployment(id).unwrap();
        if deployment["falls"][0]["mended"].is_i64() { Ok(()) } else { Err(deployment) }
    });
}

#[test]
fn the_watch_ends_with_its_time_and_where_it_is_not_wanted_there_is_none() {
    let site = site("");
    let daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "1s", "--watch-after", "3s"], &[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let until = |daemon: &Daemon| daemon.turnout_json(&["status", "--json"])["repos"][0]["watched_until"].clone();
    wait_until("the end of the watch", PATIENCE, || match until(&daemon) {
        Value::Null => Ok(()),
        other => Err(other),
    });
    fs::write(daemon.repos_yaml(), site.entry(&["timeouts: { watch: 0s }"])).unwrap();
    deploy(&daemon, &[&site.name], 0);
    assert_eq!(until(&daemon), Value::Null);
    let all_ended = rusqlite::Connection::open(daemon.state_dir().join("turnout.db")).unwrap();
    let left: i64 = all_ended
        .query_row("SELECT count(*) FROM rollouts WHERE watch_until IS NOT NULL", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}
