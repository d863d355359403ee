//! No command waits silently, and none is lost over a restart of the daemon.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::net::UnixListener,
    process::{Child, ChildStderr, Stdio},
    time::{Duration, Instant},
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, wait_until};
use e2e_support::{QUICK, Site, all_of, built, deploy, kneading, wait_for_log};

/// Waits until a command says this on standard error. On a busy machine it may have to wait for more before.
fn says(child: &mut Child, wanted: &str) -> BufReader<ChildStderr> {
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with(wanted) {
        line.clear();
        let read = reader.read_line(&mut line).unwrap();
        assert!(read > 0 && line.starts_with("waiting for "), "{wanted} is not said: {line:?}");
    }
    reader
}

#[test]
fn an_engine_that_hangs_is_told_of() {
    let site = Site::sleeping();
    let home = tempfile::tempdir().unwrap();
    let engine = home.path().join("engine");
    // Connections are taken by the kernel, and nobody answers.
    let _listener = UnixListener::bind(&engine).unwrap();
    let host = format!("unix://{}", engine.display());
    let daemon = Daemon::start_with(&site.entry(&[]), QUICK, &[("DOCKER_HOST", &host)]);
    for (arguments, what) in [
        (&["plan", &site.name][..], "waiting for the Docker engine (1 s of "),
        (&["status"], "waiting for the daemon's answer (1 s)"),
    ] {
        let mut command = daemon.command(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let _reader = says(&mut child, what);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // One that is not there is not waited for where nothing is lost: not for TURNOUT_ENGINE_WAIT, two minutes.
    let nowhere = format!("unix://{}", home.path().join("nowhere").display());
    let other = Daemon::start_with(&site.entry(&[]), &["--engine-wait", "120s"], &[("DOCKER_HOST", &nowhere)]);
    let began = Instant::now();
    let plan = other.turnout(&["plan", &site.name]);
    assert!(!plan.status.success() && all_of(&plan).contains("ask again when the engine is back"), "{plan:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    // How things stand is said all the same.
    let status = all_of(&daemon.turnout(&["status"]));
    assert!(status.contains("ENGINE DOWN") && status.contains(&site.name), "{status}");
}

#[test]
fn a_lane_that_is_busy_is_told_of() {
    let slow = format!("services:\n  web:\n{}", built("."));
    let site = Site::new(&[("docker-compose.prod.yml", &slow), ("Dockerfile", &kneading(6))]);
    let daemon = site.serve(&[]);
    let first = daemon.deploy_by_push(&site.push());
    wait_for_log(&daemon, first, "kneading the dough");
    let mut child =
        daemon.command(&["deploy", &site.name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let wanted = format!("waiting for the end of deployment {first} of {} (apply) (", site.name);
    let mut reader = says(&mut child, &wanted);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", all_of(&output));
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(rest.lines().all(|line| line.starts_with("waiting for the end of")), "{rest}");
}

#[test]
fn who_stops_waiting_is_told_that_the_deployment_goes_on() {
    let slow = format!("services:\n  web:\n{}", built("."));
    let site = Site::new(&[("docker-compose.prod.yml", &slow), ("Dockerfile", &kneading(600))]);
    let daemon = site.serve(&[]);
    let child = daemon.command(&["deploy", &site.name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the deployment", PATIENCE, || daemon.deployment(1).ok_or("none"));
    wait_for_log(&daemon, 1, "kneading the dough");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = all_of(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("deployment 1 goes on; `turnout cancel 1` ends it"), "{said}");
    assert_eq!(daemon.deployment(1).unwrap()["state"], "running");
    let cancelled = daemon.turnout(&["cancel", "1"]);
    assert!(all_of(&cancelled).contains("deployment 1: is being ended"), "{cancelled:?}");
    assert_eq!(daemon.wait_for_deployment(1)["state"], "cancelled");
}

#[test]
fn followers_survive_a_restart_and_end_with_the_outcome() {
    let slow = format!("services:\n  web:\n{}", built("."));
    let site = Site::new(&[("docker-compose.prod.yml", &slow), ("Dockerfile", &kneading(6))]);
    let mut daemon = site.serve(&[]);
    let spawn = |daemon: &Daemon, arguments: &[&str]| {
        daemon.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let command = spawn(&daemon, &["deploy", &site.name]);
    wait_until("the deployment", PATIENCE, || daemon.deployment(1).ok_or("none"));
    wait_for_log(&daemon, 1, "kneading the dough");
    let one = spawn(&daemon, &["logs", "-f", "--deployment", "1"]);
    let mut all = spawn(&daemon, &["logs", "-f"]);
    let mut lines = BufReader::new(all.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut shown = vec![lines.next().unwrap()];
    assert_eq!(daemon.terminate().code(), Some(0), "{}", daemon.output());
    daemon.restart();
    for (child, what) in [(command, "deploy"), (one, "logs -f --deployment")] {
        let output = child.wait_with_output().unwrap();
        let said = all_of(&output);
        assert_eq!(output.status.code(), Some(0), "{what}: {said}");
        assert!(said.contains("deployment 1 was interrupted by the end of the daemon; 2 repeats it"), "{what}: {said}");
        let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
        assert!(last.contains("deployment 2 succeeded in"), "{what}: {said}");
    }
    // Of all deployments, each line once and in order.
    while !shown.last().unwrap().contains("deployment 2 succeeded in") {
        shown.push(lines.next().expect("the log goes on"));
    }
    all.kill().unwrap();
    all.wait().unwrap();
    let of = |id: i64| {
        let log = daemon.turnout(&["logs", "--deployment", &id.to_string()]);
        String::from_utf8_lossy(&log.stdout)
            .lines()
            .filter(|line| line.contains('#'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let kept = [of(1), of(2)].concat();
    let lines: Vec<String> = shown.iter().filter(|line| line.contains(&format!("{}#", site.name))).cloned().collect();
    assert_eq!(lines, kept, "a line twice, or none");
    assert!(shown.iter().any(|line| line.contains(" deployment 1 interrupted")), "{shown:#?}");
    // A failure is one in the exit code too, and what is shown of the past has none.
    site.write("docker-compose.prod.yml", "services: { web: { imagee: x } }\n");
    daemon.expect_failure(site.push_to(&daemon, "Break"));
    for (arguments, code) in [(&["logs", "-f", "--deployment", "3"][..], 1), (&["logs", "--deployment", "3"], 0)] {
        let output = daemon.turnout(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", all_of(&output));
    }
    deploy(&daemon, &[&site.name], 1);
}
