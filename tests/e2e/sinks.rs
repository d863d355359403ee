//! Where the daemon's words go: bounded, never waited for, and never other than they are.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::Stdio,
};

use crate::{common, e2e_support};
use common::{
    PATIENCE,
    daemon::{Daemon, SECRET, free_address},
    http, wait_until,
};
use e2e_support::{QUICK, Site, all_of, built, deploy};

/// All log files of a daemon, by name.
fn log_files(daemon: &Daemon) -> Vec<(String, String)> {
    let entries = fs::read_dir(daemon.log_dir()).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())).collect()
}

#[test]
fn log_files_are_bounded_and_a_deployment_that_says_much_is_cut_in_them() {
    let dockerfile = format!("FROM @BASE\nRUN seq 1 25000 # {}\n", common::unique("no-cache"));
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{}", built("."))),
        ("Dockerfile", &dockerfile),
    ]);
    let limits = ["--log-file-limit", "256KiB", "--log-limit", "1MiB"];
    let daemon = Daemon::start_with(&site.entry(&["builder: classic"]), &[QUICK, &limits].concat(), &[]);
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    // The last words of all have come when this has.
    let said = wait_until("the end in the log", PATIENCE, || {
        let all: String = log_files(&daemon).into_iter().map(|(_, text)| text).collect();
        if all.contains("lines of this deployment") { Ok(all) } else { Err(all.len()) }
    });
    assert!(said.contains("from here on only its warnings are logged here"));
    assert!(!said.contains(" 24999 "), "cut after the first 20,000 lines");
    let files = log_files(&daemon);
    assert!(files.len() > 2, "{:?}", files.iter().map(|(name, text)| (name, text.len())).collect::<Vec<_>>());
    assert!(files.iter().all(|(_, text)| text.len() <= 256 << 10));
    assert!(files.iter().map(|(_, text)| text.len()).sum::<usize>() <= 1 << 20);
    // The database has the end.
    assert!(e2e_support::log(&daemon, id).contains("24999"));
}

#[test]
fn a_reader_of_standard_output_that_stops_holds_nothing_up() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("repos.yaml"), "{}\n").unwrap();
    let address = free_address();
    let mut serve = std::process::Command::new(env!("CARGO_BIN_EXE_turnout"));
    serve.args(["serve", "--state-dir", "state", "--log-dir", "log", "--socket", "s"]);
    serve.args(["--listen", &address.to_string()]).current_dir(&home).env("WEBHOOK_SECRET", SECRET);
    let mut serve = Ended(serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let healthy = || match http::get(address, "/healthz") {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(other),
    };
    wait_until("an answer", PATIENCE, healthy);
    // One line each, and all together many times what the pipe holds, which nobody reads.
    let push = common::push::Push::new("acme/nobody", &"1".repeat(40), &"2".repeat(40));
    let mut body = push.body();
    body["ref"] = format!("refs/heads/{}", "long".repeat(70)).into();
    let body = body.to_string();
    let signature = common::push::sign(SECRET, body.as_bytes());
    for _ in 0..600 {
        let answer = push.send_raw(address, "application/json", body.as_bytes(), Some(&signature));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let size = || match fs::metadata(home.path().join("log/turnout.log")).map(|meta| meta.len()) {
        Ok(size) if size > 200_000 => Ok(()),
        other => Err(other),
    };
    wait_until("all lines in the file", PATIENCE, size);
    let pid = rustix::process::Pid::from_raw(serve.0.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = wait_until("its end", PATIENCE, || serve.0.try_wait().unwrap().ok_or("runs"));
    assert!(status.success(), "{status}");
}

/// Ends with the test, whichever way that goes.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn marks_that_turn_the_direction_of_writing_are_shown_and_do_not_count() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    let mut body = site.push().body();
    body["pusher"]["name"] = "ann\u{202e}gpj.exe\u{2066}".into();
    body["ref"] = "refs/heads/other\u{202e}".into();
    let body = body.to_string();
    let signature = common::push::sign(SECRET, body.as_bytes());
    let answer = site.push().send_raw(daemon.listen(), "application/json", body.as_bytes(), Some(&signature));
    assert!(answer.status < 500, "{}", answer.body);
    deploy(&daemon, &[&site.name], 0);
    let shown = all_of(&daemon.turnout(&["history"])) + &all_of(&daemon.turnout(&["status"])) + &daemon.output();
    let all: String = log_files(&daemon).into_iter().map(|(_, text)| text).collect::<String>() + &shown + &answer.body;
    assert!(!all.contains(['\u{202e}', '\u{2066}']), "{all}");
}

#[test]
fn the_control_socket_answers_beside_silent_ones_and_many_followers() {
    let daemon = Daemon::start("{}\n");
    let connect = || UnixStream::connect(daemon.socket()).unwrap();
    // As many as there are places, and none of them ever says anything.
    let silent: Vec<UnixStream> = (0..128).map(|_| connect()).collect();
    assert!(daemon.turnout(&["status"]).status.success());
    drop(silent);
    let follow = || {
        let mut stream = connect();
        stream.write_all(b"GET /v1/log?follow=true HTTP/1.1\r\nhost: turnout\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        (stream, String::from_utf8_lossy(&answer).into_owned())
    };
    let mut followers: Vec<_> = (0..64).map(|_| follow()).collect();
    assert!(followers.iter().all(|(_, answer)| answer == "HTTP/1.1 200"), "{:?}", followers.last());
    assert_eq!(follow().1, "HTTP/1.1 503");
    let refused = daemon.turnout(&["logs", "-f"]);
    assert!(!refused.status.success() && all_of(&refused).contains("64 logs are being shown"), "{}", all_of(&refused));
    assert!(daemon.turnout(&["status"]).status.success());
    followers.clear();
    wait_until("a place", PATIENCE, || if follow().1 == "HTTP/1.1 200" { Ok(()) } else { Err("none") });
    // Half a body holds a connection no longer than half a head does.
    let mut half = connect();
    half.write_all(
        b"POST /v1/hold HTTP/1.1\r\nhost: turnout\r\ncontent-length: 9\r\ncontent-type: application/json\r\n\r\n{",
    )
    .unwrap();
    let mut answer = String::new();
    half.set_read_timeout(Some(PATIENCE)).unwrap();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}
