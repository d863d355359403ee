//! Full disks under the whole program: nothing that was acknowledged is lost, nothing else is promised.

use std::{collections::BTreeSet, fs, time::Duration};

use crate::{bad_input_support, common};
use bad_input_support::{QUICK, Site, is_root, mount::SmallDisk, web};
use common::{daemon::Daemon, http, push::Push, wait_until};

#[test]
fn a_full_state_disk_promises_nothing_and_loses_nothing() {
    if !is_root("mounting a small disk for the state") {
        return;
    }
    let site = Site::web();
    // Deployments of the second repository wait behind the first: what was accepted stays to be seen.
    let mut daemon = Daemon::start_with(&site.short(), QUICK, &[]);
    assert!(daemon.terminate().success());
    let disk = SmallDisk::over(&daemon.state_dir(), 4096);
    daemon.restart();
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();

    disk.fill();
    // What has room left in files that are there already is still taken; then it is full. Commits that are not on the
    // remote make no difference to the record.
    let mut accepted = BTreeSet::new();
    let refused = (0_u32..3000).find_map(|number| {
        let push = Push::new(&format!("acme/{}", site.name), &"1".repeat(40), &format!("{:040x}", number + 1));
        let answer = daemon.push(&push);
        if answer.status == 202 {
            accepted.insert(answer.json()["deployment"].as_i64().unwrap());
            return None;
        }
        Some((push, answer))
    });
    let (push, answer) = refused.expect("the disk never filled");
    assert_eq!(answer.status, 507, "{answer:?}");
    assert!(answer.body.contains("full") && answer.body.contains("nothing was queued"), "{answer:?}");
    assert!(answer.header("retry-after").is_some() && answer.json()["deployment"].is_null(), "{answer:?}");
    daemon.says("turnout.db is full");
    // Who was refused a moment ago is not told that all is ready.
    let ready = http::get(daemon.listen(), "/readyz").unwrap();
    assert_eq!((ready.status, ready.body.contains(r#""disk""#)), (503, true), "{ready:?}");
    let status = daemon.turnout(&["status"]);
    let status = String::from_utf8_lossy(&status.stdout);
    assert!(status.contains("NOT READY") && status.contains("disk"), "{status}");
    // It goes on answering what promises nothing.
    assert_eq!(http::get(daemon.listen(), "/healthz").unwrap().status, 200);
    let stranger = daemon.push(&Push::new("acme/nobody-knows-it", &"1".repeat(40), &"2".repeat(40)));
    assert_eq!(stranger.status, 200, "{stranger:?}");
    let by_hand = daemon.turnout(&["deploy", &site.name]);
    let text = String::from_utf8_lossy(&by_hand.stderr);
    assert!(!by_hand.status.success() && text.contains("full"), "{by_hand:?}");
    // The answer of a refused push is not held against its redelivery.
    disk.free();
    let again = wait_until("the redelivery to be taken", Duration::from_secs(20), || {
        let answer = daemon.push(&push);
        if answer.status == 202 { Ok(answer) } else { Err(answer) }
    });
    accepted.insert(again.json()["deployment"].as_i64().unwrap());
    site.remote.write("compose.yaml", &web("version 2")).commit_and_push("Second");
    site.deploy(&daemon);
    site.wait_for_page("version 2");
    assert_ne!(site.running(), before);
    // After a power cut, too.
    daemon.kill();
    daemon.restart();
    let kept: BTreeSet<_> = daemon.history().iter().filter_map(|d| d["id"].as_i64()).collect();
    assert!(accepted.is_subset(&kept), "lost: {:?}", accepted.difference(&kept).collect::<Vec<_>>());
    for id in accepted {
        let ended = daemon.wait_for_deployment(id);
        assert!(matches!(ended["state"].as_str(), Some("succeeded" | "failed" | "superseded")), "{ended:#}");
    }
}

/// Readiness knows before a delivery is refused: who balances by it sends none here.
#[test]
fn readiness_names_a_full_disk_until_it_has_room() {
    if !is_root("mounting a small disk for the state") {
        return;
    }
    let site = Site::web();
    let mut daemon = Daemon::start_with(&site.short(), QUICK, &[]);
    assert!(daemon.terminate().success());
    let disk = SmallDisk::over(&daemon.state_dir(), 6144);
    daemon.restart();
    let ready = |code: u16| {
        wait_until(&format!("readiness to be {code}"), Duration::from_secs(60), || {
            match http::get(daemon.listen(), "/readyz").unwrap() {
                answer if answer.status == code => Ok(answer),
                other => Err(other),
            }
        })
    };
    ready(200);
    disk.fill();
    assert_eq!(ready(503).body, r#"{"status":"waiting","waiting_for":["disk"]}"#);
    // A restart makes no room: the daemon is alive.
    let health = http::get(daemon.listen(), "/healthz").unwrap();
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"status":"ok","config":"ok"}"#));
    daemon.says("the disk of the state directory is full: no push can be taken");
    disk.free();
    ready(200);
    daemon.says("the disk of the state directory has room again");
    site.deploy(&daemon);
}

/// A daemon that ended for it would be started again and again, and nobody would hear why.
#[test]
fn a_start_on_a_full_disk_waits_for_room() {
    if !is_root("mounting a small disk for the state") {
        return;
    }
    let site = Site::web();
    let mut daemon = Daemon::start_with(&site.short(), QUICK, &[]);
    assert!(daemon.terminate().success());
    let disk = SmallDisk::over(&daemon.state_dir(), 4096);
    daemon.restart();
    site.deploy(&daemon);
    daemon.kill();
    disk.fill();
    daemon.launch();
    let until = |path: &str, code: u16| {
        wait_until(&format!("{path} to be {code}"), Duration::from_secs(60), || {
            match http::get(daemon.listen(), path) {
                Ok(answer) if answer.status == code => Ok(answer),
                other => Err(other),
            }
        })
    };
    assert_eq!(until("/readyz", 503).body, r#"{"status":"waiting","waiting_for":["disk"]}"#);
    assert_eq!(until("/healthz", 200).body, r#"{"status":"ok","config":"ok"}"#);
    let refused = daemon.push(&site.push());
    assert_eq!(refused.status, 507, "{refused:?}");
    assert!(refused.body.contains("nothing was queued") && refused.header("retry-after").is_some(), "{refused:?}");
    daemon.says("the disk of the state directory is full: no push can be taken");
    let status = daemon.turnout(&["status"]);
    let said = String::from_utf8_lossy(&status.stderr);
    assert!(!status.status.success(), "{said}");
    assert!(said.contains("the disk of its state directory is full") && said.contains("df -h"), "{said}");
    disk.free();
    until("/readyz", 200);
    assert!(daemon.turnout(&["status"]).status.success());
    site.remote.write("compose.yaml", &web("version 2")).commit_and_push("Second");
    site.deploy(&daemon);
    site.wait_for_page("version 2");
    // An end meanwhile is an end at once.
    daemon.kill();
    disk.fill();
    daemon.launch();
    daemon.says("the disk of the state directory is full");
    assert!(daemon.terminate().success());
    // With its last words, in both places.
    daemon.says("turnout ends before it has begun its work");
    let log = fs::read_to_string(daemon.log_dir().join("turnout.log")).unwrap();
    assert!(log.contains("turnout ends before it has begun its work"), "{log}");
}

/// A disk is full as well when no file can be made on it any more.
#[test]
fn a_start_without_inodes_waits_for_some() {
    if !is_root("mounting a small disk for the state") {
        return;
    }
    let site = Site::web();
    let mut daemon = Daemon::start_with(&site.short(), QUICK, &[]);
    assert!(daemon.terminate().success());
    let _disk = SmallDisk::of_inodes(&daemon.state_dir(), 64);
    daemon.restart();
    assert!(daemon.terminate().success());
    let state = daemon.state_dir();
    let blank = |number: usize| state.join(format!("blank{number}"));
    let taken = (0..100).take_while(|number| fs::write(blank(*number), "").is_ok()).count();
    assert!(taken < 100, "there are always more");
    daemon.launch();
    daemon.says("the disk of the state directory is full: no push can be taken");
    (0..taken).for_each(|number| fs::remove_file(blank(number)).unwrap());
    daemon.says("the disk of the state directory has room again");
    site.deploy(&daemon);
}

#[test]
fn a_disk_that_fills_during_a_deployment_does_not_lose_its_end() {
    if !is_root("mounting a small disk for the state") {
        return;
    }
    let site = Site::web();
    let mut daemon = Daemon::start_with(&site.short(), &["--settle-time", "3s"], &[]);
    assert!(daemon.terminate().success());
    let disk = SmallDisk::over(&daemon.state_dir(), 4096);
    daemon.restart();
    let id = daemon.deploy_by_push(&site.push());
    site.address();
    disk.fill();
    site.wait_for_page("version 1");
    // Push until it is full, so that the end cannot be recorded either.
    let full = (0_u32..3000).any(|number| {
        let push = Push::new(&format!("acme/{}", site.name), &"1".repeat(40), &format!("{:040x}", number + 1));
        daemon.push(&push).status == 507
    });
    assert!(full, "the disk never filled");
    wait_until("the end that cannot be recorded", Duration::from_secs(30), || {
        let text = daemon.output();
        if text.contains("cannot record the end") { Ok(()) } else { Err(text) }
    });
    disk.free();
    daemon.expect_success(id);
}

#[test]
fn a_full_log_disk_does_not_stop_deployments() {
    if !is_root("mounting a small disk for the log files") {
        return;
    }
    let site = Site::web();
    let mut daemon = Daemon::start_with(&site.short(), QUICK, &[]);
    assert!(daemon.terminate().success());
    let disk = SmallDisk::over(&daemon.log_dir(), 256);
    daemon.restart();
    disk.fill();
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    // More lines than the log's buffer holds, so that a writer that gave up would be noticed.
    for number in 0..300_u32 {
        let answer = daemon.push(&Push::new("acme/nobody-knows-it", &"1".repeat(40), &format!("{:040x}", number + 1)));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    disk.free();
    site.remote.write("compose.yaml", &web("version 2")).commit_and_push("Second");
    site.deploy(&daemon);
    site.wait_for_page("version 2");
    wait_until("the log file to go on", Duration::from_secs(10), || {
        let text = std::fs::read_to_string(daemon.log_dir().join("turnout.log")).unwrap_or_default();
        let commit = &site.remote.head()[..7];
        if text.contains(commit) { Ok(()) } else { Err(text) }
    });
    // One that is full at the start.
    assert!(daemon.terminate().success());
    disk.fill();
    daemon.restart();
    assert_eq!(http::get(daemon.listen(), "/healthz").unwrap().status, 200);
}
