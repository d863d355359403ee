//! The daemon's database: copied while it works, restored while it does not, put aside where it is damaged.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{common, e2e_support};
use common::{
    PATIENCE,
    daemon::{Daemon, free_address},
    wait_until,
};
use e2e_support::{Site, all_of, deploy};

fn in_state(daemon: &Daemon) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(daemon.state_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("turnout.db"))
        .collect();
    names.sort();
    names
}

fn copies(daemon: &Daemon) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(daemon.state_dir().join("copies")) else { return Vec::new() };
    let copies = entries.map(|entry| entry.unwrap().path());
    copies.filter(|path| path.extension().is_some_and(|ending| ending == "db")).collect()
}

/// Runs `backup` or `restore` for this daemon's state directory.
fn run(daemon: &Daemon, arguments: &[&str], code: i32) -> String {
    let state = daemon.state_dir();
    let all = [arguments, &["--state-dir", state.to_str().unwrap()]].concat();
    let output = daemon.turnout(&all);
    assert_eq!(output.status.code(), Some(code), "{all:?}: {}", all_of(&output));
    all_of(&output)
}

/// Starts another daemon on the same state, which is not to get far, and returns what it said.
fn refused_start(daemon: &Daemon) -> String {
    let mut serve = std::process::Command::new(env!("CARGO_BIN_EXE_turnout"));
    serve.arg("serve").args(["--listen", &free_address().to_string()]);
    serve.arg("--repos").arg(daemon.repos_yaml()).arg("--state-dir").arg(daemon.state_dir());
    serve.arg("--log-dir").arg(daemon.log_dir()).arg("--socket").arg(daemon.socket());
    serve.current_dir(daemon.state_dir()).env("WEBHOOK_SECRET", common::daemon::SECRET);
    let output = serve.stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", all_of(&output));
    all_of(&output)
}

/// Spoils all pages but the first.
fn spoil(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes.chunks_mut(4096).skip(1).for_each(|page| page[8..200].fill(0xa5));
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_copy_is_made_at_any_time_and_is_the_way_back_from_a_damaged_database() {
    let site = Site::sleeping();
    let mut daemon = site.serve(&[]);
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join("turnout-copy.db");
    let first = daemon.deploy_by_push(&site.push());
    daemon.expect_success(first);
    assert!(run(&daemon, &["backup", copy.to_str().unwrap()], 0).contains("1 deployment, checked"));
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "one file and nothing beside it");
    // Nothing but an earlier copy is written over, and nobody restores under a daemon that works.
    let other = home.path().join("notes.txt");
    fs::write(&other, "notes").unwrap();
    assert!(run(&daemon, &["backup", other.to_str().unwrap()], 1).contains("no copy of a database"));
    assert_eq!(fs::read_to_string(&other).unwrap(), "notes");
    run(&daemon, &["backup", copy.to_str().unwrap()], 0);
    assert!(run(&daemon, &["restore", copy.to_str().unwrap()], 1).contains("is in use by another turnout"));
    deploy(&daemon, &[&site.name], 0);

    daemon.terminate();
    assert_eq!(in_state(&daemon), ["turnout.db"], "one file after a clean stop");
    spoil(&daemon.state_dir().join("turnout.db"));
    let kept = copies(&daemon);
    assert_eq!(kept.len(), 1, "the one of the first start: {kept:?}");
    for _ in 0..2 {
        let said = refused_start(&daemon);
        assert!(said.contains("turnout.db is damaged") && said.contains("turnout.db.damaged-2"), "{said}");
        assert!(said.contains(&format!("turnout restore {}", kept[0].display())), "{said}");
    }
    assert!(!daemon.state_dir().join("turnout.db").exists(), "no empty one is begun in its place");
    // A damaged copy, and something else, are no way back.
    let bad = home.path().join("bad.db");
    fs::copy(&copy, &bad).unwrap();
    spoil(&bad);
    run(&daemon, &["restore", bad.to_str().unwrap()], 1);
    run(&daemon, &["restore", other.to_str().unwrap()], 1);
    assert!(!daemon.state_dir().join("turnout.db").exists());

    assert!(run(&daemon, &["restore", copy.to_str().unwrap()], 0).contains("with 1 deployment"));
    daemon.restart();
    let numbers: Vec<_> = daemon.history().iter().map(|d| d["id"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [first]);
    deploy(&daemon, &[&site.name], 0);
    daemon.terminate();
    // What was there is kept; and one can begin anew.
    let said = run(&daemon, &["restore", "--empty"], 0);
    assert!(said.contains("turnout.db.before-restore-2"), "{said}");
    daemon.restart();
    assert!(daemon.history().is_empty());
}

#[test]
fn a_copy_is_kept_every_day_and_only_so_many() {
    let mut daemon = Daemon::start_with("{}\n", &["--backup-keep", "2"], &[]);
    let number = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap()[..14].to_owned();
    let broken_off = daemon.state_dir().join("copies/turnout-000001-2020-01-01.db.new");
    for round in 1..=3 {
        wait_until("a copy", PATIENCE, || {
            let all = copies(&daemon);
            if all.iter().any(|copy| number(copy) == format!("turnout-{round:06}")) { Ok(()) } else { Err(all) }
        });
        assert!(copies(&daemon).len() <= 2, "{:?}", copies(&daemon));
        assert!(!broken_off.exists(), "what a killed daemon had begun goes with the next copy");
        daemon.terminate();
        // A start within the day makes none; a day later it does, and where the clock had been ahead.
        daemon.restart();
        daemon.terminate();
        let day = std::time::Duration::from_secs(25 * 3600);
        let now = std::time::SystemTime::now();
        let then = if round == 1 { now - day } else { now + day };
        for copy in copies(&daemon) {
            assert!(number(&copy) <= format!("turnout-{round:06}"), "{copy:?} was made within a day");
            fs::File::options().write(true).open(&copy).unwrap().set_modified(then).unwrap();
        }
        fs::write(&broken_off, "half a copy").unwrap();
        daemon.restart();
    }
}
