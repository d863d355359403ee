//! The daemon is killed at random instants of fetch, check-out, build, apply and settle, over two repositories of 3,000
//! files each: nothing that was accepted is lost, nothing half done stays.
//!
//! Seven kills and three orderly ends in every run; `TURNOUT_KILLS=200 TURNOUT_TERMS=50 cargo test --test e2e
//! killed:: -- --nocapture` for the long one, which takes a quarter of an hour. `TURNOUT_SEED` repeats a run's choices.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{
    QUICK, Site, built,
    dice::{Dice, number},
    file_in, idle,
};
use serde_json::Value;

const FILES: usize = 3000;
/// What a push takes when nothing disturbs it, roughly: instants are chosen within it.
const LONGEST: u64 = 4000;
/// The state of all is looked at after so many ends.
const ROUND: usize = 10;

/// The next version: every file has it, and so have the labels of one service; the other one stays.
fn version(site: &Site, version: &str) {
    for file in 0..FILES {
        site.remote.write(&format!("f/{}/{file}.txt", file % 30), &format!("{version} of {file}\n"));
    }
    let web = format!("  web:\n{}    labels: {{ version: \"{version}\" }}\n    depends_on: [db]\n", built("."));
    // The one that stays lives longer than a long run.
    let db = idle().replace("1000", "86400");
    site.write("docker-compose.prod.yml", &format!("services:\n  db:\n{db}{web}"));
}

fn site() -> Site {
    let site = Site::not_cloned(&[("Dockerfile", "FROM @BASE\nCOPY f /srv/f\n")]);
    version(&site, "v0");
    site.remote.commit_and_push("v0");
    site
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Files below a folder whose names tell that they are locks or half done.
fn litter(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            found.extend(litter(&entry.path()));
        } else if name.ends_with(".lock") || name.contains("_git2_") || name.starts_with("turnout-") {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

/// Everything is as the last push says, and nothing else is there.
fn expect_whole(site: &Site, expected: &str) {
    assert_eq!(git(&site.path, &["rev-parse", "HEAD"]).trim(), site.remote.head(), "the commit of {}", site.name);
    assert_eq!(git(&site.path, &["status", "--porcelain"]), "", "the work tree of {}", site.name);
    git(&site.path, &["fsck", "--no-dangling"]);
    assert_eq!(litter(&site.path), Vec::<String>::new());
    let mut seen = BTreeMap::new();
    for container in docker::containers(&site.red()) {
        let name = container.names.unwrap_or_default().join(",");
        let state = container.state.map(|state| state.to_string()).unwrap_or_default();
        seen.insert(name, (state, container.labels.unwrap_or_default().remove("version").unwrap_or_default()));
    }
    let running = |version: &str| ("running".to_owned(), version.to_owned());
    let wanted =
        [(format!("/{}-db-1", site.red()), running("")), (format!("/{}-web-1", site.red()), running(expected))];
    assert_eq!(seen, BTreeMap::from(wanted));
    let web = site.container(&site.red(), "web");
    for file in [0, FILES / 2, FILES - 1] {
        let path = format!("/srv/f/{}/{file}.txt", file % 30);
        assert_eq!(file_in(&web, &path), format!("{expected} of {file}\n"));
    }
}

/// Every deployment that began with an accepted push has an end that its history tells.
fn expect_ends(daemon: &Daemon, accepted: &BTreeSet<i64>) -> BTreeMap<String, usize> {
    let history: BTreeMap<i64, Value> = daemon.history().into_iter().map(|d| (d["id"].as_i64().unwrap(), d)).collect();
    let mut ends = BTreeMap::new();
    for first in accepted {
        let mut id = *first;
        let end = loop {
            let deployment = history.get(&id).unwrap_or_else(|| panic!("deployment {id} is gone"));
            let state = deployment["state"].as_str().unwrap();
            let error = deployment["error"].as_str().unwrap_or_default();
            let again = history.values().find(|d| d["retry_of"].as_i64() == Some(id));
            match (state, again) {
                ("succeeded" | "superseded", None) => break state.to_owned(),
                ("interrupted", Some(again)) => id = again["id"].as_i64().unwrap(),
                ("interrupted", None) if error.contains("not tried again") => break "given up".to_owned(),
                // Something newer of the repository waited when the daemon came back.
                ("interrupted", None) if newer(&history, deployment) => break "superseded".to_owned(),
                _ => panic!("the push of deployment {first} is lost: {deployment:#}"),
            }
        };
        *ends.entry(end).or_default() += 1;
    }
    ends
}

fn newer(history: &BTreeMap<i64, Value>, than: &Value) -> bool {
    history.values().any(|d| d["repo"] == than["repo"] && d["id"].as_i64() > than["id"].as_i64())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
fn whenever_it_is_killed_every_accepted_push_ends_and_nothing_is_left_over() {
    let (kills, terms) = (number("TURNOUT_KILLS", 7), number("TURNOUT_TERMS", 3));
    let mut dice = Dice::new();
    let sites = [site(), site()];
    let entries: String =
        sites.iter().map(|site| site.entry(&[&format!("remote: {}", site.remote.url()), "branch: main"])).collect();
    // All that was accepted is asked for at the end, however often it is killed.
    let daemon = [QUICK, &["--history-keep", "10000"]].concat();
    let mut daemon = Daemon::start_with(&entries, &daemon, &[]);
    let (mut accepted, mut phases) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    let (mut pushes, mut interrupted) = (0, BTreeSet::new());
    let (mut left_kills, mut left_terms) = (kills, terms);
    for end in 1..=kills + terms {
        let term = dice.below((left_kills + left_terms) as u64) < left_terms as u64;
        // One of them, the other, or both; sometimes none: what was interrupted before goes on.
        let which = dice.below(7);
        for (number, site) in sites.iter().enumerate().filter(|(number, _)| which & (1 << number) != 0) {
            pushes += 1;
            version(site, &format!("v{pushes}"));
            site.remote.commit_and_push(&format!("{pushes} to {number}"));
            accepted.insert(daemon.deploy_by_push(&site.push()));
        }
        // The instant is what is tried here.
        thread::sleep(Duration::from_millis(dice.below(LONGEST)));
        if term {
            left_terms -= 1;
            assert_eq!(daemon.terminate().code(), Some(0), "{}", daemon.output());
        } else {
            left_kills -= 1;
            daemon.kill();
        }
        daemon.restart();
        let mut amid = Vec::new();
        for deployment in daemon.history() {
            if deployment["state"] == "interrupted" && interrupted.insert(deployment["id"].as_i64().unwrap()) {
                amid.push(deployment["phase"].as_str().unwrap_or("none").to_owned());
            }
        }
        if amid.is_empty() {
            amid.push("idle".to_owned());
        }
        amid.into_iter().for_each(|phase| *phases.entry(phase).or_default() += 1);
        if end % ROUND == 0 || end == kills + terms {
            for site in &sites {
                pushes += 1;
                version(site, &format!("v{pushes}"));
                let id = site.push_to(&daemon, "undisturbed");
                accepted.insert(id);
                daemon.expect_success(id);
                expect_whole(site, &format!("v{pushes}"));
            }
            wait_until("all lanes to be idle", PATIENCE, || {
                let open: Vec<Value> = daemon
                    .history()
                    .into_iter()
                    .filter(|d| matches!(d["state"].as_str(), Some("queued" | "running")))
                    .collect();
                if open.is_empty() { Ok(()) } else { Err(open) }
            });
            println!("after {end} ends: {pushes} pushes, {:?}; ended amid {phases:?}", expect_ends(&daemon, &accepted));
        }
    }
    let database = daemon.state_dir().join("turnout.db");
    daemon.terminate();
    let check: String = rusqlite::Connection::open(&database)
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    assert!(!database.with_extension("db-wal").exists(), "a stopped daemon leaves one file");
    let copies = daemon.state_dir().join("copies");
    let left = fs::read_dir(&copies).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| !name.ends_with(".db")).collect::<Vec<_>>(), Vec::<String>::new());
}
