//! What the daemon says of itself: health, readiness, the watchdog, the priorities of its log.

use std::{
    fs::{self, File},
    os::unix::{fs::MetadataExt as _, net::UnixDatagram},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{common, e2e_support};
use common::{
    daemon::{Daemon, free_address},
    http, wait_until,
};
use e2e_support::{
    Site,
    manager::{self, status, told},
    run_in,
};

const SOON: Duration = Duration::from_secs(60);

fn one_repo(folder: &tempfile::TempDir) -> String {
    format!("shop: {{ path: {}, branch: main, full_name: acme/shop }}\n", folder.path().display())
}

#[test]
fn a_store_that_does_not_answer_fails_health_and_watchdog_until_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, address) = manager::in_folder(folder.path());
    let variables = [("NOTIFY_SOCKET", address.to_str().unwrap()), ("WATCHDOG_USEC", "2000000")];
    let daemon = Daemon::start_with(&one_repo(&folder), &[], &variables);
    let health = || http::get(daemon.listen(), "/healthz").unwrap();
    let alive = || match told(&manager) {
        text if text.contains("WATCHDOG=1") => Ok(()),
        text => Err(text),
    };
    wait_until("the watchdog to be told", SOON, alive);
    // The first look may have been too short for an engine that is busy.
    let ready = || http::get(daemon.listen(), "/readyz").unwrap();
    wait_until("health and readiness", SOON, || match (health().status, ready().status) {
        (200, 200) => Ok(()),
        other => Err(other),
    });

    let database = rusqlite::Connection::open(daemon.state_dir().join("turnout.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    // On a busy machine a look may miss another part besides, for once.
    let store = serde_json::json!(["store"]);
    wait_until("the store to be missed, and nothing else", SOON, || match (health(), ready()) {
        (health, ready) if (health.status, ready.status) != (503, 503) => Err((health.status, health.json())),
        (health, ready) if health.json()["failing"] == store && ready.json()["waiting_for"] == store => Ok(()),
        (health, _) => Err((health.status, health.json())),
    });
    let _before = told(&manager);
    manager.set_nonblocking(false).unwrap();
    // Twice the time in which systemd must hear of it.
    manager.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
    let mut room = [0; 512];
    let silent_from = Instant::now();
    while let Ok(length) = manager.recv(&mut room) {
        let text = String::from_utf8_lossy(&room[..length]);
        assert!(!text.contains("WATCHDOG=1"), "the watchdog is told that all is well: {text}");
        if silent_from.elapsed() > Duration::from_secs(4) {
            break;
        }
    }
    manager.set_nonblocking(true).unwrap();

    database.execute_batch("ROLLBACK").unwrap();
    wait_until("the watchdog to be told again", SOON, alive);
    wait_until("health", SOON, || if health().status == 200 { Ok(()) } else { Err(health().json()) });
    daemon.says("the store answers again");
}

#[test]
fn the_status_text_follows_what_happens() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, address) = manager::in_folder(folder.path());
    let falls = "while :; do if [ -e /fall ]; then exit 7; fi; sleep 0.1; done";
    let file = |version: &str, settle: &str| {
        format!(
            "services:\n  web:\n    image: \"@BASE\"\n    init: true\n    stop_grace_period: 1s\n    labels: {{ version: \
             {version} }}\n    command: [sh, -c, {falls:?}]\n{settle}"
        )
    };
    let site = Site::new(&[("compose.yaml", &file("one", ""))]);
    // Long enough to be seen under way.
    let arguments = ["--settle-time", "8s", "--watch-after", "10m"];
    let variables = [("NOTIFY_SOCKET", address.to_str().unwrap())];
    let mut daemon = Daemon::start_with(&site.entry(&[]), &arguments, &variables);
    let listening = format!("1 repository, listening on {}", daemon.listen());
    status(&manager, &["STATUS=idle; ", &listening]);

    let id = daemon.deploy_by_push(&site.push());
    status(&manager, &[&format!("STATUS=deploying {} (settle) since ", site.name), &listening]);
    site.write("compose.yaml", &file("two", "broken: [\n"));
    let broken = site.push_to(&daemon, "Broken");
    status(&manager, &["STATUS=deploying ", ", 1 waiting; "]);
    daemon.expect_success(id);
    daemon.expect_failure(broken);
    let behind = format!("behind: {} ({} wanted since ", site.name, &site.remote.head()[..7]);
    status(&manager, &["STATUS=idle; ", &behind]);

    run_in(&site.container(&site.red(), "web"), &["touch", "/fall"]);
    // The one that failed has changed nothing: what runs is what was deployed before.
    let fell = format!("{}-web-1 exited (7) ", site.red());
    status(&manager, &["; after a success: ", &fell]);
    let shown = e2e_support::all_of(&daemon.turnout(&["status"]));
    assert!(shown.contains(&format!("  after deployment {id}: {fell}")), "{shown}");

    fs::write(daemon.repos_yaml(), format!("{}  no_such_key: 1\n", site.entry(&[]))).unwrap();
    status(&manager, &["STATUS=idle; MISTAKE in repos.yaml, ", "no_such_key"]);
    assert!(daemon.terminate().success());
    status(&manager, &["STATUS=ends: "]);
}

#[test]
fn without_an_engine_it_is_healthy_but_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("unix://{}/none.sock", folder.path().display());
    let (manager, address) = manager::in_folder(folder.path());
    let variables = [("NOTIFY_SOCKET", address.to_str().unwrap())];
    let daemon = Daemon::start_with(&one_repo(&folder), &["--docker-host", &nowhere], &variables);
    status(&manager, &["STATUS=idle; NO ANSWER from: engine; 1 repository"]);
    let waiting =
        wait_until("the engine to be missed", SOON, || match http::get(daemon.listen(), "/readyz").unwrap() {
            answer if answer.status == 503 => Ok(answer),
            answer => Err(answer),
        });
    assert_eq!(waiting.json()["waiting_for"], serde_json::json!(["engine"]));
    assert_eq!(http::get(daemon.listen(), "/healthz").unwrap().body, r#"{"status":"ok","config":"ok"}"#);
}

#[test]
fn lines_for_the_journal_begin_with_their_priority_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("repos.yaml"), one_repo(&folder)).unwrap();
    for is_journal in [true, false] {
        let home = tempfile::tempdir().unwrap();
        let output = File::options().create(true).append(true).open(home.path().join("output")).unwrap();
        let here = output.metadata().unwrap();
        let stream = format!("{}:{}", here.dev(), here.ino() + u64::from(!is_journal));
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_turnout"))
            .args(["--socket", "s", "serve", "--insecure-no-secret", "--state-dir", "state", "--log-dir", "log"])
            .args(["--listen", &free_address().to_string(), "--repos"])
            .arg(folder.path().join("repos.yaml"))
            .env("JOURNAL_STREAM", stream)
            .env_remove("WEBHOOK_SECRET")
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .unwrap();
        let text = || fs::read_to_string(home.path().join("output")).unwrap();
        let ready = wait_until("the daemon to begin", SOON, || match text() {
            text if text.contains("can deploy") => Ok(text),
            text => Err(text),
        });
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        let line = |word: &str| ready.lines().find(|line| line.contains(word)).unwrap().to_owned();
        let (warning, note) = (line("without a signature"), line("turnout begins"));
        assert_eq!(warning.starts_with("<4>"), is_journal, "{warning}");
        assert_eq!(note.starts_with("<6>"), is_journal, "{note}");
        // What journald stamps is not stamped twice; what it does not see is.
        assert_eq!(warning.contains("T") && warning.contains("Z "), !is_journal, "{warning}");
        let file = fs::read_to_string(home.path().join("log/turnout.log")).unwrap();
        assert!(!file.contains("<4>"), "{file}");
    }
}

#[test]
fn why_it_does_not_start_is_an_error_in_the_journal_and_in_the_units_status() {
    let home = tempfile::tempdir().unwrap();
    let address = home.path().join("notify");
    let systemd = UnixDatagram::bind(&address).unwrap();
    systemd.set_nonblocking(true).unwrap();
    let journal = File::create(home.path().join("journal")).unwrap();
    let here = journal.metadata().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_turnout"))
        .args(["serve", "--parallel", "many", "--docker-host", "nowhere", "--state-dir", "state", "--log-dir", "log"])
        .current_dir(&home)
        .env("WEBHOOK_SECRET", "x")
        .env("NOTIFY_SOCKET", &address)
        .env("JOURNAL_STREAM", format!("{}:{}", here.dev(), here.ino()))
        .stderr(journal)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
    let said = fs::read_to_string(home.path().join("journal")).unwrap();
    assert!(said.lines().count() > 1 && said.lines().all(|line| line.starts_with("<3>")), "{said}");
    let mut told = [0; 4096];
    let length = systemd.recv(&mut told).unwrap();
    let told = String::from_utf8_lossy(&told[..length]).into_owned();
    assert!(told.starts_with("STATUS=does not run: ") && told.trim_end().lines().count() == 1, "{told}");
    assert!(told.contains("`many` is not a whole number") && told.contains("; "), "{told}");
}
