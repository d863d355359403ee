//! Files of the server that are no files, or lie on a disk that hangs: settings, secrets, work trees. The daemon goes on
//! answering everybody else, says what it cannot read, takes it when it is a file again, and ends when it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "test code: a failure is the report")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{common, e2e_support};
use common::{
    PATIENCE,
    daemon::{Daemon, SECRET, free_address},
    hanging::{Hanging, pipe},
    http, wait_until,
};
use e2e_support::{QUICK, Site, all_of, deploy, log, sleeper};

/// Within what the daemon answers, on a machine that is busy.
const AT_ONCE: Duration = Duration::from_secs(4);
/// Within what it has given up a disk.
const GIVEN_UP: Duration = Duration::from_secs(25);
const OWN: &str = "the-secret-of-one-repository";

/// What lies in the place of a file.
enum Instead<'h> {
    Pipe,
    Hangs(&'h Hanging),
}

/// Puts something else into the place of a file; gives the file.
fn replace(file: &Path, how: &Instead<'_>) -> PathBuf {
    let aside = file.with_extension("aside");
    fs::rename(file, &aside).unwrap();
    match how {
        Instead::Pipe => pipe(file),
        Instead::Hangs(hanging) => symlink(hanging.folder().join("file"), file).unwrap(),
    }
    aside
}

/// Puts the file back, as whoever repairs it would: whole.
fn put_back(file: &Path, aside: &Path) {
    fs::rename(aside, file).unwrap();
}

/// Does something that must not take long.
fn at_once<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    assert!(began.elapsed() < AT_ONCE, "{what} took {:?}", began.elapsed());
    done
}

/// Port and control socket answer, and another repository is deployed.
fn goes_on(daemon: &Daemon, other: &Site, version: &str) {
    for path in ["/", "/healthz", "/readyz"] {
        at_once(path, || http::get(daemon.listen(), path).unwrap());
    }
    at_once("history", || daemon.turnout_json(&["history", "--json"]));
    other.write("docker-compose.prod.yml", &sleeper(version));
    other.remote.commit_and_push(version);
    let id = at_once("the hook", || daemon.deploy_by_push(&other.push()));
    daemon.expect_success(id);
}

/// Sends a push of a new commit, signed with this.
fn pushed(site: &Site, daemon: &Daemon, secret: &str) -> http::Response {
    site.write("count", &common::unique("n"));
    site.remote.commit_and_push("Counts");
    site.push().send(daemon.listen(), secret)
}

/// What `turnout status` says, once it is this.
fn status_says(daemon: &Daemon, words: &[&str]) -> String {
    wait_until(&format!("the status to say {words:?}"), GIVEN_UP, || {
        let said = all_of(&daemon.turnout(&["status"]));
        if words.iter().all(|word| said.contains(word)) { Ok(said) } else { Err(said) }
    })
}

fn status_is_well(daemon: &Daemon) {
    wait_until("the mistake to be gone", GIVEN_UP, || {
        let said = all_of(&daemon.turnout(&["status"]));
        let health = http::get(daemon.listen(), "/healthz").unwrap();
        if said.contains("cannot be read") || !health.body.contains(r#""config":"ok""#) { Err(said) } else { Ok(()) }
    });
}

/// While it runs, in the place of each file that the daemon reads for itself.
fn while_it_runs(how: &Instead<'_>, said: &str) {
    let (shop, other) = (Site::sleeping(), Site::sleeping());
    let place = tempfile::tempdir().unwrap();
    let [secret, token, own] = ["secret", "token", "own"].map(|name| place.path().join(name));
    fs::write(&secret, OWN).unwrap();
    fs::write(&token, "a-token").unwrap();
    fs::write(&own, SECRET).unwrap();
    let lines = [format!("secret_file: {}", secret.display()), format!("token_file: {}", token.display())];
    let entries = [shop.entry(&[&lines[0], &lines[1]]), other.entry(&[])].concat();
    let arguments = [QUICK, &["--webhook-secret-file", own.to_str().unwrap()]].concat();
    let daemon = Daemon::start_with(&entries, &arguments, &[]);
    let by = |secret: &str| pushed(&shop, &daemon, secret);
    let first = by(OWN);
    assert_eq!(first.status, 202, "{first:?}");
    daemon.expect_success(first.json()["deployment"].as_i64().unwrap());

    // The list itself.
    let list = daemon.repos_yaml();
    let aside = replace(&list, how);
    status_says(&daemon, &["cannot be read", said, "last good list"]);
    goes_on(&daemon, &other, "two");
    let broken = http::get(daemon.listen(), "/healthz").unwrap();
    assert_eq!((broken.status, broken.body.contains(r#""config":"broken""#)), (200, true), "{broken:?}");
    daemon.says("has a mistake; the last good list counts");
    put_back(&list, &aside);
    status_is_well(&daemon);

    // One repository's secret: nothing is signed with it, or with the former one.
    let aside = replace(&secret, how);
    status_says(&daemon, &["secret", "cannot be read", said]);
    goes_on(&daemon, &other, "three");
    let refused = at_once("the hook", || by(OWN));
    assert_eq!(refused.status, 401, "{refused:?}");
    put_back(&secret, &aside);
    status_is_well(&daemon);
    let taken = by(OWN);
    assert_eq!(taken.status, 202, "{taken:?}");
    daemon.wait_for_deployment(taken.json()["deployment"].as_i64().unwrap());

    // Its token: the deployment says so, and no other is held up.
    let aside = replace(&token, how);
    let id = by(OWN).json()["deployment"].as_i64().unwrap();
    let failed = daemon.expect_failure(id).to_string();
    assert!(failed.contains("the token of") && failed.contains(said), "{failed}");
    goes_on(&daemon, &other, "four");
    put_back(&token, &aside);
    wait_until("the token to be read", GIVEN_UP, || {
        let output = daemon.turnout(&["deploy", &shop.name]);
        if output.status.success() { Ok(()) } else { Err(all_of(&output)) }
    });

    // The daemon's own secret: nothing is taken, which readiness says, and all else goes on.
    let aside = replace(&own, how);
    wait_until("it to be missed", GIVEN_UP, || {
        let ready = at_once("/readyz", || http::get(daemon.listen(), "/readyz").unwrap());
        if ready.body.contains("webhook-secret") { Ok(()) } else { Err(ready) }
    });
    daemon.says("the webhook secret is gone");
    let refused = at_once("the hook", || pushed(&other, &daemon, SECRET));
    assert_eq!(refused.status, 401, "{refused:?}");
    deploy(&daemon, &[&other.name], 0);
    assert_eq!(http::get(daemon.listen(), "/healthz").unwrap().status, 200);
    put_back(&own, &aside);
    wait_until("the secret to count again", GIVEN_UP, || match pushed(&other, &daemon, SECRET) {
        taken if taken.status == 202 => Ok(()),
        other => Err(other),
    });
    wait_until("it to be ready", GIVEN_UP, || match http::get(daemon.listen(), "/readyz").unwrap() {
        ready if ready.status == 200 => Ok(()),
        other => Err(other),
    });
}

#[test]
fn a_pipe_in_the_place_of_a_setting_stops_nothing() {
    while_it_runs(&Instead::Pipe, "is a named pipe");
}

#[test]
fn a_setting_on_a_disk_that_hangs_stops_nothing() {
    let Some(hanging) = Hanging::new() else { return };
    // The files are put back while the disk still hangs: the threads that wait for it never come back.
    while_it_runs(&Instead::Hangs(&hanging), "its file system hangs");
}

/// At the start: the list that counted goes on, and a secret that cannot be read costs its repository alone.
fn at_the_start(how: &Instead<'_>, said: &str) {
    let (shop, other) = (Site::sleeping(), Site::sleeping());
    let place = tempfile::tempdir().unwrap();
    let secret = place.path().join("secret");
    fs::write(&secret, OWN).unwrap();
    let line = format!("secret_file: {}", secret.display());
    let mut daemon = Daemon::start_with(&[shop.entry(&[&line]), other.entry(&[])].concat(), QUICK, &[]);
    let list = daemon.repos_yaml();
    for file in [&list, &secret] {
        assert!(daemon.terminate().success());
        let aside = replace(file, how);
        daemon.restart();
        status_says(&daemon, &["cannot be read", said]);
        goes_on(&daemon, &other, &file.file_name().unwrap().to_string_lossy());
        put_back(file, &aside);
        status_is_well(&daemon);
        let taken = pushed(&shop, &daemon, OWN);
        assert_eq!(taken.status, 202, "{taken:?}");
    }
}

#[test]
fn a_pipe_in_the_place_of_a_setting_stops_no_start() {
    at_the_start(&Instead::Pipe, "is a named pipe");
}

#[test]
fn a_setting_on_a_disk_that_hangs_stops_no_start() {
    let Some(hanging) = Hanging::new() else { return };
    at_the_start(&Instead::Hangs(&hanging), "its file system hangs");
}

/// Without its settings there is no daemon; it ends with what is wrong, and does not wait for ever.
#[test]
fn settings_without_which_nothing_starts_end_the_start() {
    let hanging = Hanging::new();
    let mut ways = vec![(Instead::Pipe, "is a named pipe")];
    ways.extend(hanging.iter().map(|hanging| (Instead::Hangs(hanging), "its file system hangs")));
    for (how, said) in &ways {
        for file in [".env", "secret"] {
            let home = tempfile::tempdir().unwrap();
            fs::write(home.path().join("repos.yaml"), "{}\n").unwrap();
            fs::write(home.path().join(file), "").unwrap();
            replace(&home.path().join(file), how);
            let mut command = Command::new(env!("CARGO_BIN_EXE_turnout"));
            command.args(["serve", "--state-dir", "state", "--log-dir", "log", "--socket", "s", "--listen"]);
            command.arg(free_address().to_string()).current_dir(home.path()).env_remove("WEBHOOK_SECRET");
            if file == "secret" {
                command.args(["--webhook-secret-file", "secret"]);
            }
            let output = fs::File::create(home.path().join("output")).unwrap();
            let errors = output.try_clone().unwrap();
            let mut child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap();
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                wait_until("it to end", GIVEN_UP, || child.try_wait().unwrap().ok_or("it runs"))
            }));
            child.kill().ok();
            child.wait().unwrap();
            let told = fs::read_to_string(home.path().join("output")).unwrap();
            let code = ended.unwrap_or_else(|_| panic!("{file}: it did not end: {told}")).code();
            assert!(code == Some(2) && told.contains(file) && told.contains(said), "{file}: {code:?}: {told}");
        }
    }
}

/// A work tree on a disk that hangs costs its own repository, and no other.
#[test]
fn a_work_tree_on_a_disk_that_hangs_holds_up_no_other() {
    let Some(hanging) = Hanging::new() else { return };
    let (shop, other) = (Site::sleeping(), Site::sleeping());
    let mut daemon = Daemon::start_with(&[shop.entry(&[]), other.entry(&[])].concat(), QUICK, &[]);
    deploy(&daemon, &[&shop.name], 0);
    let aside = shop.path.with_extension("aside");
    fs::rename(&shop.path, &aside).unwrap();
    symlink(hanging.folder(), &shop.path).unwrap();

    // The first that looks at it waits, and nobody else.
    let looker = daemon.command(&["status"]).stdout(Stdio::piped()).spawn().unwrap();
    goes_on(&daemon, &other, "two");
    let said = all_of(&looker.wait_with_output().unwrap());
    let words = [&*shop.path.to_string_lossy(), "did not answer for", "its file system hangs"];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    let began = Instant::now();
    for _ in 0..3 {
        let said = status_says(&daemon, &words);
        assert!(said.contains(&other.name), "{said}");
    }
    assert!(began.elapsed() < GIVEN_UP, "{:?}", began.elapsed());
    // Which branch it is on is not known: to guess would be to lose the push.
    let refused = daemon.push(&shop.push());
    assert!(refused.status == 503 && refused.header("retry-after").is_some(), "{refused:?}");
    for version in ["three", "four", "five"] {
        goes_on(&daemon, &other, version);
    }
    // By hand it is tried, ends, and says why.
    let began = Instant::now();
    let said = deploy(&daemon, &[&shop.name], 1);
    assert!(said.contains("did not answer for") && said.contains("findmnt"), "{said}");
    assert!(began.elapsed() < GIVEN_UP, "{:?}", began.elapsed());
    // An edit of the list counts; it is the tree that hangs, not the list.
    fs::write(daemon.repos_yaml(), [shop.entry(&["branch: main"]), other.entry(&[])].concat()).unwrap();
    let id = wait_until("the edit to count", GIVEN_UP, || match daemon.push(&shop.push()) {
        taken if taken.status == 202 => Ok(taken.json()["deployment"].as_i64().unwrap()),
        other => Err(other),
    });
    daemon.expect_failure(id);
    assert!(http::get(daemon.listen(), "/healthz").unwrap().body.contains(r#""config":"ok""#));

    // A start, too.
    assert!(daemon.terminate().success());
    daemon.restart();
    goes_on(&daemon, &other, "six");
    status_says(&daemon, &words);

    // The link is turned back while the old disk still hangs.
    fs::remove_file(&shop.path).unwrap();
    fs::rename(&aside, &shop.path).unwrap();
    wait_until("the tree to be found again", PATIENCE, || {
        let output = daemon.turnout(&["deploy", &shop.name]);
        if output.status.success() { Ok(()) } else { Err(all_of(&output)) }
    });
    eprintln!("{}", log(&daemon, id));
}

/// While it starts nothing is under way: a signal ends it, whatever it waits for.
#[test]
fn sigterm_ends_a_start_that_waits_for_a_disk_or_for_the_database() {
    let Some(hanging) = Hanging::new() else { return };
    let site = Site::sleeping();
    let mut daemon = Daemon::start_with(&site.entry(&[]), &[QUICK, &["--shutdown-grace", "2s"]].concat(), &[]);
    let list = daemon.repos_yaml();
    assert!(daemon.terminate().success());
    let aside = replace(&list, &Instead::Hangs(&hanging));
    daemon.launch();
    daemon.says("turnout begins");
    assert_eq!(at_once("the end", || daemon.terminate()).code(), Some(0));
    put_back(&list, &aside);

    let database = rusqlite::Connection::open(daemon.state_dir().join("turnout.db")).unwrap();
    database.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    daemon.launch();
    daemon.says("turnout begins");
    assert_eq!(at_once("the end", || daemon.terminate()).code(), Some(0));
    drop(database);
    daemon.restart();
    deploy(&daemon, &[&site.name], 0);
}

/// While it works, a thread that waits for a dead disk for ever does not hold up the end.
#[test]
fn sigterm_ends_a_daemon_whose_threads_hang() {
    let Some(hanging) = Hanging::new() else { return };
    let site = Site::sleeping();
    let arguments = [QUICK, &["--shutdown-grace", "3s"]].concat();
    let mut daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
    deploy(&daemon, &[&site.name], 0);
    // Git has no eye on it: what it opens hangs until the fetch's time is over.
    let git = site.path.join(".git");
    fs::rename(&git, site.path.join("aside")).unwrap();
    symlink(hanging.folder(), &git).unwrap();
    let mut asked = daemon.command(&["deploy", &site.name]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the fetch", PATIENCE, || match &daemon.history()[0] {
        d if d["state"] == "running" && d["phase"] == "fetch" => Ok(()),
        other => Err(other.clone()),
    });
    let began = Instant::now();
    let ended = daemon.terminate();
    eprintln!("ended after {:?} with {ended}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(3 + 15 + 4), "{:?}", began.elapsed());
    assert_eq!(ended.code(), Some(0));
    asked.kill().unwrap();
    asked.wait().unwrap();
    fs::remove_file(&git).unwrap();
    fs::rename(site.path.join("aside"), &git).unwrap();
    daemon.restart();
    let newest = daemon.history()[0]["id"].as_i64().unwrap();
    daemon.expect_success(newest);
}
