//! The daemon ends under its work: orderly, and as in a power cut. What was accepted is done after the next start.

use std::{
    io,
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{QUICK, Site, built, deploy, idle, kneading, run_in, wait_for_log};
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
    let site = Site::new(&[("docker-compose.prod.yml", &slow), ("Dockerfile", &kneading(6))]);
    let mut daemon = site.serve(&[]);
    let command = daemon.command(&["deploy", &site.name]).stdout(Stdio::piped()).spawn().unwrap();
    let id = wait_until("the deployment", PATIENCE, || {
        daemon.history().first().and_then(|d| d["id"].as_i64()).ok_or("none")
    });
    wait_for_log(&daemon, id, "kneading the dough");
    let began = Instant::now();
    let status = daemon.terminate();
    assert_eq!(status.code(), Some(0), "{}", daemon.output());
    assert!(began.elapsed() < Duration::from_secs(4), "it took {:?}", began.elapsed());
    daemon.restart();
    assert_eq!(daemon.deployment(id).unwrap()["state"], "interrupted");
    daemon.expect_success(repeat_of(&daemon, id));
    assert_eq!(docker::containers(&site.red()).len(), 1);
    // Whoever followed it has gone on with its repeat (tests/e2e/waiting.rs).
    assert_eq!(command.wait_with_output().unwrap().status.code(), Some(0));
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
fn what_an_interrupted_deployment_had_started_is_judged_by_the_one_that_repeats_it() {
    let falls =
        "services:\n  web:\n    image: \"@BASE\"\n    command: [sh, -c, \"sleep 12; exit 3\"]\n    init: true\n";
    let site = Site::new(&[("docker-compose.prod.yml", falls)]);
    let mut daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "30s"], &[]);
    let id = daemon.deploy_by_push(&site.push());
    wait_for_log(&daemon, id, "== settle");
    daemon.kill();
    daemon.restart();
    let again = daemon.expect_failure(repeat_of(&daemon, id));
    let error = again["error"].as_str().unwrap();
    assert!(error.contains("exited (3)"), "{error}");
    let whose = format!("deployment {id} may have started it, which was interrupted");
    assert!(error.contains(&whose), "{error}");
}

#[test]
fn sigkill_between_the_new_container_and_the_old_one_leaves_one() {
    // Deaf to SIGTERM, so that its replacement waits for the end of the grace period.
    let deaf = |version: &str| {
        format!(
            "services:\n  web:\n    image: \"@BASE\"\n    stop_grace_period: 4s\n    labels: {{ version: \"{version}\" }}\n    \
             command: [sh, -c, \"trap '' TERM; while :; do sleep 1; done\"]\n"
        )
    };
    let site = Site::new(&[("docker-compose.prod.yml", &deaf("v1"))]);
    let mut daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    site.write("docker-compose.prod.yml", &deaf("v2"));
    let id = site.push_to(&daemon, "v2");
    wait_until("the new container beside the old one", PATIENCE, || match docker::containers(&site.red()) {
        both if both.len() == 2 => Ok(()),
        other => Err(other.len()),
    });
    daemon.kill();
    daemon.restart();
    daemon.expect_success(repeat_of(&daemon, id));
    let containers = docker::containers(&site.red());
    let names: Vec<_> = containers.iter().flat_map(|c| c.names.iter().flatten()).collect();
    assert_eq!(names, [&format!("/{}-web-1", site.red())]);
    assert_eq!(containers[0].labels.as_ref().unwrap()["version"], "v2");
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

/// Passes the engine's socket on until it is cut, as an engine that dies.
struct Passage {
    socket: PathBuf,
    open: Arc<Mutex<Vec<UnixStream>>>,
    _home: tempfile::TempDir,
}

impl Passage {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("docker.sock");
        let open = Arc::<Mutex<Vec<UnixStream>>>::default();
        let passage = Self { socket, open, _home: home };
        passage.mend();
        passage
    }

    /// Opens it, as an engine that is back.
    fn mend(&self) {
        let engine = std::env::var("DOCKER_HOST").ok();
        let engine = engine.and_then(|host| host.strip_prefix("unix://").map(str::to_owned));
        let engine = engine.unwrap_or_else(|| "/var/run/docker.sock".to_owned());
        let listener = UnixListener::bind(&self.socket).unwrap();
        let open = Arc::clone(&self.open);
        thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, UnixStream::connect(&engine)) else { return };
                for (mut from, mut to) in [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far.try_clone().unwrap(), near.try_clone().unwrap()),
                ] {
                    thread::spawn(move || {
                        io::copy(&mut from, &mut to).ok();
                        to.shutdown(Shutdown::Write).ok();
                    });
                }
                open.lock().unwrap().extend([near, far]);
            }
        });
    }

    fn cut(&self) {
        std::fs::remove_file(&self.socket).unwrap();
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

#[test]
fn an_engine_that_dies_under_a_deployment_fails_it_and_the_next_one_converges() {
    let site = Site::new(&[("docker-compose.prod.yml", &three("v1"))]);
    let passage = Passage::new();
    let host = format!("unix://{}", passage.socket.display());
    let arguments = ["--settle-time", "60s", "--docker-host", &host, "--engine-wait", "1s"];
    let daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
    let id = daemon.deploy_by_push(&site.push());
    wait_for_log(&daemon, id, "== settle");
    passage.cut();
    let failed = daemon.expect_failure(id);
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("the engine did not come back within 1s") && error.contains("is not known"), "{error}");
    deploy(&daemon, &[&site.name], 1);
    passage.mend();
    deploy(&daemon, &[&site.name], 0);
    expect_three(&site, "v1");
}

#[test]
fn what_falls_while_the_engine_cannot_be_reached_is_told_afterwards() {
    let falls = "while :; do if [ -e /fall ]; then rm /fall; exit 7; fi; sleep 0.1; done";
    let file = format!(
        "services:\n  web:\n    image: \"@BASE\"\n    init: true\n    restart: always\n    stop_grace_period: 1s\n    \
         command: [sh, -c, {falls:?}]\n"
    );
    let site = Site::new(&[("docker-compose.prod.yml", &file)]);
    let passage = Passage::new();
    let host = format!("unix://{}", passage.socket.display());
    let arguments = [QUICK, &["--docker-host", &host, "--engine-wait", "1s", "--watch-after", "10m"]].concat();
    let daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    let web = site.container(&site.red(), "web");
    passage.cut();
    run_in(&web, &["touch", "/fall"]);
    wait_until("the container to be restarted", PATIENCE, || {
        let found = docker::block_on(async { docker::connect().await.inspect_container(&web, None).await.unwrap() });
        if found.restart_count == Some(1) { Ok(()) } else { Err(found.restart_count) }
    });
    assert_eq!(daemon.deployment(id).unwrap()["falls"], serde_json::json!([]));
    passage.mend();
    wait_until("the fall to be told", PATIENCE, || {
        let deployment = daemon.deployment(id).unwrap();
        match deployment["falls"][0]["said"].as_str() {
            Some("exited (7) and was restarted") => Ok(()),
            _ => Err(deployment),
        }
    });
}

#[test]
fn an_engine_that_dies_under_a_build_fails_it() {
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{}", built("."))),
        ("Dockerfile", &kneading(20)),
    ]);
    let passage = Passage::new();
    let host = format!("unix://{}", passage.socket.display());
    for builder in ["buildkit", "classic"] {
        let arguments = [QUICK, &["--docker-host", &host, "--engine-wait", "1s"]].concat();
        let daemon = Daemon::start_with(&site.entry(&[&format!("builder: {builder}")]), &arguments, &[]);
        let id = daemon.deploy_by_push(&site.push());
        wait_for_log(&daemon, id, "kneading the dough");
        passage.cut();
        let began = Instant::now();
        let failed = daemon.expect_failure(id);
        assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
        assert!(failed["error"].as_str().unwrap().contains("no container was touched"), "{failed:#}");
        passage.mend();
    }
}
