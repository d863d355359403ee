//! Every wait ends: whatever call the engine does not answer, the deployment ends at a time-out that names it, `turnout
//! cancel` ends it within seconds, SIGTERM ends the daemon, and the lane deploys what comes next.

use std::time::{Duration, Instant};

use crate::{common, e2e_support, waits_support};
use common::{PATIENCE, daemon::Daemon, docker, http, wait_until};
use e2e_support::{Site, idle};
use waits_support::{Call, Door, Hang};

/// What a cancelled deployment may take: the grace of a step (5 s), putting back, which waits for the end of what was
/// told to stop (10 s), and a look at what runs.
const SECONDS: Duration = Duration::from_secs(18);
/// What the end of the daemon may take, with a machine that is busy.
const GRACE: Duration = Duration::from_secs(20);

struct Case {
    call: Call,
    /// So many of them come through: a network that is to be replaced is tried first.
    passing: usize,
    /// Further lines of `web`, indented by four.
    service: &'static str,
    /// Further top-level lines.
    top: &'static str,
    /// Of the repository's entry.
    entry: &'static str,
    /// What the error says.
    said: &'static [&'static str],
}

const PLAIN: Case = Case {
    call: Call { method: "GET", path: &["/containers/json"], hang: Hang::Before },
    passing: 0,
    service: "",
    top: "",
    entry: "rebuild: auto",
    said: &[],
};

/// A stack of one service, of this version, with what the case needs in it.
fn stack(version: &str, case: &Case) -> String {
    let Case { service, top, .. } = case;
    format!("services:\n  web:\n{}    labels: {{ version: \"{version}\" }}\n{service}{top}", idle())
}

fn running(site: &Site) -> Vec<String> {
    let all = docker::containers(&site.red()).into_iter();
    let running = all.filter(|c| c.state.is_some_and(|state| state.to_string() == "running"));
    running.filter_map(|c| c.labels?.remove("version")).collect()
}

fn ended_within(deployment: &serde_json::Value, limit: Duration, since: Instant) {
    assert!(since.elapsed() < limit, "it took {:?}: {deployment:#}", since.elapsed());
}

/// Has the daemon start anew with another time for each call.
fn call_timeout(daemon: &mut Daemon, time: &str) {
    let settings = daemon.repos_yaml().with_file_name(".env");
    std::fs::write(settings, format!("TURNOUT_ENGINE_TIMEOUT={time}\n")).unwrap();
    daemon.terminate();
    daemon.restart();
}

fn check(case: &Case) {
    let door = Door::new();
    let site = Site::new(&[
        ("docker-compose.prod.yml", &stack("v1", &PLAIN)),
        ("Dockerfile", "FROM @BASE\nCOPY docker-compose.prod.yml /\n"),
    ]);
    let url = door.url();
    let mut arguments = vec!["--settle-time", "300ms", "--docker-host", &url, "--engine-wait", "3s"];
    arguments.extend(["--build-timeout", "4s", "--apply-timeout", "4s", "--shutdown-grace", "18s"]);
    let mut daemon = Daemon::start_with(&site.entry(&[case.entry]), &arguments, &[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert_eq!(running(&site), ["v1"]);

    // The time-out.
    call_timeout(&mut daemon, "2s");
    knows_what_runs(&daemon, case.call);
    door.hang_after(case.passing, case.call);
    site.write("docker-compose.prod.yml", &stack("v2", case));
    let id = site.push_to(&daemon, "v2");
    door.wait_caught();
    let since = Instant::now();
    let failed = daemon.expect_failure(id);
    ended_within(&failed, 2 * GRACE, since);
    let error = failed["error"].as_str().unwrap();
    eprintln!("error: {error}");
    for word in case.said {
        assert!(error.contains(word), "{word:?} is not said: {error}");
    }
    assert!(error.contains("now "), "what runs is not told: {error}");
    // What was stopped for it runs again, if that call is not the one that hangs.
    let cannot_start = case.call.path.iter().any(|word| ["/start", "/archive"].contains(word));
    assert!(cannot_start || !running(&site).is_empty(), "nothing runs: {}", e2e_support::log(&daemon, id));

    // A cancellation, long before a time-out.
    door.release();
    call_timeout(&mut daemon, "1h");
    knows_what_runs(&daemon, case.call);
    door.hang_after(case.passing, case.call);
    site.write("docker-compose.prod.yml", &stack("v3", case));
    let id = site.push_to(&daemon, "v3");
    door.wait_caught();
    let since = Instant::now();
    let said = daemon.turnout(&["cancel", &id.to_string()]);
    assert!(said.status.success(), "{said:?}\n{}", e2e_support::log(&daemon, id));
    let ended = daemon.wait_for_deployment(id);
    eprintln!("cancelled in {:?}: {}", since.elapsed(), ended["error"]);
    assert_eq!(ended["state"], "cancelled", "{ended:#}\n{}", e2e_support::log(&daemon, id));
    ended_within(&ended, SECONDS, since);

    // The daemon's end. What was under way goes on at the next start, and is no crash.
    door.release();
    knows_what_runs(&daemon, case.call);
    door.hang_after(case.passing, case.call);
    site.write("docker-compose.prod.yml", &stack("v4", case));
    let id = site.push_to(&daemon, "v4");
    door.wait_caught();
    let since = Instant::now();
    let status = daemon.terminate();
    eprintln!("SIGTERM: {status} in {:?}", since.elapsed());
    assert_eq!(status.code(), Some(0));
    assert!(since.elapsed() < GRACE, "it took {:?}", since.elapsed());
    door.release();
    daemon.restart();
    let ended = daemon.deployment(id).unwrap();
    assert_eq!(ended["state"], "interrupted", "{ended:#}");
    let again = daemon.history().into_iter().find(|d| d["retry_of"] == id).expect("it is repeated");
    assert_eq!(again["attempt"], 1, "{again:#}");
    daemon.wait_for_deployment(again["id"].as_i64().unwrap());

    // The lane is free.
    site.write("docker-compose.prod.yml", &stack("v5", &PLAIN));
    let id = site.push_to(&daemon, "v5");
    daemon.expect_success(id);
    assert_eq!(running(&site), ["v5"]);
    assert_eq!(docker::containers(&site.red()).len(), 1);
}

/// A test for each call that may hang.
macro_rules! hangs {
    ($($name:ident: $method:literal $path:expr, $hang:ident, $said:expr $(, $key:ident: $value:expr)*;)*) => {
        $(#[test]
        fn $name() {
            let call = Call { method: $method, path: &$path, hang: Hang::$hang };
            #[allow(clippy::needless_update, reason = "some name all fields")]
            check(&Case { call, said: &$said, $($key: $value,)* ..PLAIN });
        })*
    };
}

hangs! {
    a_ping: "GET" ["/_ping"], Before, ["cannot reach the Docker daemon"];
    a_list: "GET" ["/containers/json"], Before, ["list containers", "gave no answer in 2 s"];
    a_list_amid_its_answer: "GET" ["/containers/json"], Amid, ["list containers", "gave no answer in 2 s"];
    a_list_of_networks: "GET" ["/networks"], Before, ["list networks", "gave no answer in 2 s"];
    an_inspection: "GET" ["/containers/", "/json"], Before, ["gave no answer in 2 s"];
    an_image: "GET" ["/images/", "/json"], Before, ["inspect image", "gave no answer in 2 s"];
    a_creation: "POST" ["/containers/create"], Before, ["create", "web", "gave no answer in 2 s"];
    a_creation_that_was_done: "POST" ["/containers/create"], After, ["create", "web", "gave no answer in 2 s"];
    a_stop: "POST" ["/containers/", "/stop"], Before, ["stop", "web-1", "gave no answer in 3 s"];
    a_stop_that_was_done: "POST" ["/containers/", "/stop"], After, ["stop", "web-1", "gave no answer in 3 s"];
    a_removal: "DELETE" ["/containers/"], Before, ["remove", "web-1", "gave no answer in 2 s"];
    a_renaming: "POST" ["/containers/", "/rename"], Before, ["rename", "web-1", "gave no answer in 2 s"];
    a_start: "POST" ["/containers/", "/start"], Before, ["start", "web-1", "gave no answer in 2 s"];
    a_start_that_was_done: "POST" ["/containers/", "/start"], After, ["start", "web-1", "gave no answer in 2 s"];
    a_network: "POST" ["/networks/create"], Before, ["create network", "gave no answer in 2 s"],
        service: "    networks: [extra]\n", top: "networks: { extra: {} }\n";
    a_volume: "POST" ["/volumes/create"], Before, ["create volume", "gave no answer in 2 s"],
        service: "    volumes: ['extra:/extra']\n", top: "volumes: { extra: {} }\n";
    a_network_that_is_replaced: "DELETE" ["/networks/"], Before, ["network", "gave no answer in 2 s"],
        top: "networks: { default: { labels: { more: one } } }\n";
    a_network_that_is_replaced_at_last: "DELETE" ["/networks/"], Before, ["network", "gave no answer in 2 s"],
        passing: 1, top: "networks: { default: { labels: { more: one } } }\n";
    a_copied_file: "PUT" ["/archive"], Before, ["copy /note", "gave no answer in 2 s"],
        service: "    configs: [note]\n", top: "configs: { note: { content: hello } }\n";
    a_hook_that_is_made: "POST" ["/containers/", "/exec"], Before, ["post_start hook of", "gave no answer in 2 s"],
        service: "    post_start: [{ command: ['true'] }]\n";
    a_hook_that_begins: "POST" ["/exec/", "/start"], Before, ["post_start hook of", "gave no answer in 2 s"],
        service: "    post_start: [{ command: ['true'] }]\n";
    a_hook_that_does_not_end: "POST" ["/exec/", "/start"], Amid, ["post_start hook of", "did not end within 4 s"],
        service: "    post_start: [{ command: ['true'] }]\n";
    a_pull: "POST" ["/images/create"], Before, ["pull of"],
        service: "  more: { image: '127.0.0.1:9/none/such:1', command: [sleep, '1000'] }\n";
    a_build: "POST" ["/build"], Before, ["build of more", "took longer than 4 s"],
        service: "  more:\n    build: { context: ., network: none }\n    command: [sleep, '1000']\n    init: true\n",
        entry: "builder: classic";
    a_session_of_a_build: "POST" ["/session"], Before, ["opening a build session", "gave no answer in 2 s"],
        service: "  more:\n    build: { context: ., network: none }\n    command: [sleep, '1000']\n    init: true\n",
        entry: "builder: buildkit";
}

/// Waits until what the last deployment changed is known to the daemon, which asks the engine for that by itself: the call that is
/// to hang is the next deployment's.
fn knows_what_runs(daemon: &Daemon, call: Call) {
    if call.method != "GET" {
        return;
    }
    common::wait_until("what runs to be known from events", common::PATIENCE, || {
        let status = daemon.turnout_json(&["status", "--json"]);
        if status["runs"]["from"] == "events" { Ok(()) } else { Err(status["runs"].clone()) }
    });
}

/// The engine goes away in the middle of a call, and comes back.
fn check_dying(case: &Case) {
    let door = Door::new();
    let site = Site::new(&[
        ("docker-compose.prod.yml", &stack("v1", &PLAIN)),
        ("Dockerfile", "FROM @BASE\nCOPY docker-compose.prod.yml /\n"),
    ]);
    let url = door.url();
    let arguments = ["--settle-time", "2s", "--docker-host", &url, "--engine-wait", "1m"];
    let daemon = Daemon::start_with(&site.entry(&[case.entry]), &arguments, &[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    knows_what_runs(&daemon, case.call);
    door.hang_after(case.passing, case.call);
    site.write("docker-compose.prod.yml", &stack("v2", case));
    let id = site.push_to(&daemon, "v2");
    door.wait_caught();
    door.shut();
    e2e_support::wait_for_log(&daemon, id, "waiting up to 60s for ");
    // Under a call of its own, or before its first one, where another of the daemon's calls was the one that was held.
    let log = e2e_support::log(&daemon, id);
    assert!(log.contains("the engine went away") || log.contains("for the engine: cannot reach"), "{log}");
    let status = e2e_support::all_of(&daemon.turnout(&["status"]));
    assert!(status.contains("wait for the engine"), "{status}");
    door.release();
    door.reopen();
    daemon.expect_success(id);
    let log = e2e_support::log(&daemon, id);
    assert!(log.contains("the engine is back"), "{log}");
    let versions = running(&site);
    assert!(versions.contains(&"v2".to_owned()) && !versions.contains(&"v1".to_owned()), "{versions:?}");
    let said = e2e_support::deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("nothing to do"), "{said}");
}

macro_rules! dies {
    ($($name:ident: $method:literal $path:expr, $hang:ident $(, $key:ident: $value:expr)*;)*) => {
        $(#[test]
        fn $name() {
            let call = Call { method: $method, path: &$path, hang: Hang::$hang };
            check_dying(&Case { call, $($key: $value,)* ..PLAIN });
        })*
    };
}

dies! {
    an_engine_that_dies_while_it_is_looked_at: "GET" ["/networks"], Before;
    an_engine_that_dies_amid_an_answer: "GET" ["/containers/json"], Amid;
    an_engine_that_dies_at_a_creation: "POST" ["/containers/create"], Before;
    an_engine_that_dies_after_a_creation: "POST" ["/containers/create"], After;
    an_engine_that_dies_after_a_stop: "POST" ["/containers/", "/stop"], After;
    an_engine_that_dies_after_a_removal: "DELETE" ["/containers/"], After;
    an_engine_that_dies_at_a_start: "POST" ["/containers/", "/start"], Before;
    an_engine_that_dies_while_a_network_is_replaced: "DELETE" ["/networks/"], After,
        passing: 1, top: "networks: { default: { labels: { more: one } } }\n";
    an_engine_that_dies_at_a_build: "POST" ["/build"], Amid,
        service: "  more:\n    build: { context: ., network: none }\n    command: [sleep, '1000']\n    init: true\n",
        entry: "builder: classic";
    an_engine_that_dies_at_a_session: "POST" ["/session"], Before,
        service: "  more:\n    build: { context: ., network: none }\n    command: [sleep, '1000']\n    init: true\n",
        entry: "builder: buildkit";
}

/// One that dies each time is not waited for without end.
#[test]
fn an_engine_that_a_deployment_takes_down_each_time_is_given_up() {
    let door = Door::new();
    let site = Site::sleeping();
    let url = door.url();
    let daemon = Daemon::start_with(&site.entry(&[]), &["--docker-host", &url, "--engine-wait", "1m"], &[]);
    let id = daemon.deploy_by_push(&{
        door.hang(Call { method: "POST", path: &["/containers/create"], hang: Hang::Before });
        site.push()
    });
    for time in 1..=4 {
        door.wait_caught();
        door.shut();
        if time == 4 {
            break;
        }
        wait_until("the engine to be waited for", PATIENCE, || {
            let log = e2e_support::log(&daemon, id);
            if log.matches("waiting up to 60s for it").count() == time { Ok(()) } else { Err(log) }
        });
        door.hang(Call { method: "POST", path: &["/containers/create"], hang: Hang::Before });
        door.reopen();
    }
    let failed = daemon.expect_failure(id);
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("went away 4 times") && error.contains("is not known"), "{error}");
    // What was pushed stays wanted.
    let status = e2e_support::all_of(&daemon.turnout(&["status"]));
    assert!(status.contains("wanted since"), "{status}");
    door.release();
    door.reopen();
    e2e_support::deploy(&daemon, &[&site.name], 0);
}

/// A step that outlives the grace goes on at the next start, which is no crash: three of those are given up.
#[test]
fn a_step_that_outlives_the_shutdown_is_no_crash() {
    let door = Door::new();
    let site = Site::sleeping();
    let url = door.url();
    let arguments = ["--settle-time", "300ms", "--docker-host", &url, "--shutdown-grace", "500ms"];
    let mut daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
    let call = Call { method: "POST", path: &["/containers/create"], hang: Hang::Before };
    door.hang(call);
    daemon.deploy_by_push(&site.push());
    for _ in 0..3 {
        door.wait_caught();
        let since = Instant::now();
        assert_eq!(daemon.terminate().code(), Some(0));
        assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
        daemon.says("a step is still under way after 500ms");
        door.release();
        door.hang(call);
        daemon.restart();
        let newest = daemon.history().into_iter().next().unwrap();
        assert!(newest["attempt"] == 1 && newest["state"] != "interrupted", "{newest:#}");
    }
    door.release();
    let newest = daemon.history().into_iter().next().unwrap();
    // The call that was hung up just now is an engine that went away.
    daemon.expect_success(newest["id"].as_i64().unwrap());
}

/// What a failure is explained with, and what only tidies up, hold nothing up.
#[test]
fn what_is_only_told_or_tidied_up_fails_nothing() {
    let door = Door::new();
    let site = Site::new(&[("docker-compose.prod.yml", &stack("v1", &PLAIN))]);
    let url = door.url();
    let arguments = ["--settle-time", "1s", "--docker-host", &url, "--engine-timeout", "6s", "--apply-timeout", "20s"];
    let daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
    let call = |method, path, hang| door.hang(Call { method, path, hang });
    // Events only shorten waits.
    call("GET", &["/events"], Hang::Before);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert!(door.caught() > 0);
    door.release();
    // Earlier images.
    call("GET", &["/images/json"], Hang::Before);
    site.write("docker-compose.prod.yml", &stack("v2", &PLAIN));
    let id = site.push_to(&daemon, "v2");
    daemon.expect_success(id);
    assert!(e2e_support::log(&daemon, id).contains("earlier images"));
    // The same, called off: it is too late for that.
    door.release();
    call("GET", &["/images/json"], Hang::Before);
    site.write("docker-compose.prod.yml", &stack("v3", &PLAIN));
    let id = site.push_to(&daemon, "v3");
    door.wait_caught();
    daemon.turnout(&["cancel", &id.to_string()]);
    daemon.expect_success(id);
    door.release();
    // The last words of a container.
    call("GET", &["/containers/", "/logs"], Hang::Amid);
    let broken = stack("v4", &PLAIN).replace("[sleep, \"1000\"]", "[sh, -c, \"exit 7\"]");
    site.write("docker-compose.prod.yml", &broken);
    let failed = daemon.expect_failure(site.push_to(&daemon, "v4"));
    assert!(failed["error"].as_str().unwrap().contains("exited (7)"), "{failed:#}");
    assert!(door.caught() > 0);
}

/// A stop has the container's own grace besides, also where the file says another by now.
#[test]
fn a_stop_has_the_containers_own_grace() {
    let deaf = |version: &str, grace: &str| {
        format!(
            "services:\n  web:\n    image: \"@BASE\"\n    stop_grace_period: {grace}\n    labels: {{ version: \"{version}\" }}\n    \
             command: [sh, -c, \"trap '' TERM; while :; do sleep 1; done\"]\n"
        )
    };
    let door = Door::new();
    let site = Site::new(&[("docker-compose.prod.yml", &deaf("v1", "6s"))]);
    let url = door.url();
    let arguments = ["--settle-time", "300ms", "--docker-host", &url, "--engine-timeout", "3s"];
    let daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    site.write("docker-compose.prod.yml", &deaf("v2", "0s"));
    let id = site.push_to(&daemon, "v2");
    let ended = daemon.expect_success(id);
    let took = ended["ended_at"].as_i64().unwrap() - ended["started_at"].as_i64().unwrap();
    assert!(took > 5_000, "the container had no grace: {took} ms");
}

/// Before anything is under way, a signal ends the daemon on the spot; an engine that is silent delays no start.
#[test]
fn a_silent_engine_delays_neither_the_start_nor_the_end() {
    let door = Door::new();
    door.hang(Call { method: "GET", path: &["/_ping"], hang: Hang::Before });
    let url = door.url();
    let began = Instant::now();
    let mut daemon = Daemon::start_with("{}\n", &["--docker-host", &url], &[]);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    assert_eq!(http::get(daemon.listen(), "/healthz").unwrap().status, 200);
    door.wait_caught();
    let began = Instant::now();
    assert_eq!(daemon.terminate().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}

/// The daemon dies three times at the same call: the deployment is not tried again, and what it had stopped is started.
fn check_given_up(case: &Case, version: &str, said: &str, look: impl Fn(&Site)) {
    let door = Door::new();
    let site = Site::new(&[("docker-compose.prod.yml", &stack("v1", &PLAIN))]);
    let url = door.url();
    let arguments = ["--settle-time", "300ms", "--docker-host", &url];
    let mut daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    site.write("docker-compose.prod.yml", &stack("v2", case));
    door.hang_after(case.passing, case.call);
    site.push_to(&daemon, "v2");
    for time in 1..=3 {
        door.wait_caught();
        daemon.kill();
        assert!(running(&site).is_empty(), "{:?}", running(&site));
        door.release();
        if time < 3 {
            door.hang_after(case.passing, case.call);
        }
        daemon.restart();
    }
    let last = wait_until("what became of it", PATIENCE, || {
        let last = daemon.history().into_iter().next().unwrap();
        if last["error"].as_str().is_some_and(|error| error.contains("; now ")) { Ok(last) } else { Err(last) }
    });
    let error = last["error"].as_str().unwrap();
    eprintln!("error: {error}");
    assert!(last["state"] == "interrupted" && last["attempt"] == 3, "{last:#}");
    for word in ["not tried again after 3 attempts", said, "runs again", "running web"] {
        assert!(error.contains(word), "{word:?} is not said: {error}");
    }
    assert_eq!(running(&site), [version]);
    look(&site);
    let status = e2e_support::all_of(&daemon.turnout(&["status"]));
    assert!(status.contains("wanted since"), "{status}");
    // By hand it goes on.
    e2e_support::deploy(&daemon, &[&site.name], 0);
    assert_eq!(running(&site), ["v2"]);
}

#[test]
fn what_a_deployment_that_is_given_up_had_stopped_runs_again() {
    let call = Call { method: "DELETE", path: &["/networks/"], hang: Hang::Before };
    let case = Case { call, passing: 1, top: "networks: { default: { labels: { more: one } } }\n", ..PLAIN };
    check_given_up(&case, "v1", "which it had stopped", |_| ());
}

#[test]
fn what_a_deployment_that_is_given_up_had_replaced_runs() {
    let call = Call { method: "POST", path: &["/containers/", "/start"], hang: Hang::Before };
    let case = Case { call, service: "    configs: [note]\n", top: "configs: { note: { content: hello } }\n", ..PLAIN };
    // Files are copied in before the start.
    check_given_up(&case, "v2", "which it had replaced", |site| {
        assert_eq!(e2e_support::file_in(&site.container(&site.red(), "web"), "/note"), "hello");
    });
}

/// Events that are promised and never come, or whose call is never answered: what fell is told at the end of the watch.
fn check_silent_events(hang: Hang) {
    let door = Door::new();
    let falls = "services:\n  web:\n    image: \"@BASE\"\n    init: true\n    command: [sh, -c, \"while [ ! -e /fall ]; do sleep 0.1; \
                 done; exit 7\"]\n";
    let site = Site::new(&[("docker-compose.prod.yml", falls)]);
    let url = door.url();
    let arguments = ["--settle-time", "1s", "--watch-after", "15s", "--engine-timeout", "3s", "--docker-host", &url];
    let daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
    door.hang(Call { method: "GET", path: &["/events"], hang });
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    door.wait_caught();
    e2e_support::run_in(&site.container(&site.red(), "web"), &["touch", "/fall"]);
    let watched = || daemon.turnout_json(&["status", "--json"])["repos"][0]["watched_until"].clone();
    wait_until("the end of the watch", PATIENCE, || match watched() {
        serde_json::Value::Null => Ok(()),
        other => Err(other),
    });
    let told = daemon.deployment(id).unwrap()["falls"].clone();
    assert!(told[0]["said"].as_str().is_some_and(|said| said.starts_with("exited (7)")), "{told:#}");
    assert!(door.caught() > 0);
}

#[test]
fn a_fall_of_which_no_event_comes_is_found_at_the_end_of_the_watch() {
    check_silent_events(Hang::Amid);
}

#[test]
fn a_fall_is_found_at_the_end_of_the_watch_where_events_are_never_answered() {
    check_silent_events(Hang::Before);
}

/// What was under way before is looked at when the engine answers; the end does not wait for that.
#[test]
fn sigterm_ends_a_start_whose_engine_is_silent_though_work_waits() {
    let door = Door::new();
    let site = Site::sleeping();
    let url = door.url();
    let arguments = ["--settle-time", "300ms", "--docker-host", &url, "--shutdown-grace", "5s"];
    let mut daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
    let create = Call { method: "POST", path: &["/containers/create"], hang: Hang::Before };
    door.hang(create);
    let id = daemon.deploy_by_push(&site.push());
    door.wait_caught();
    daemon.kill();
    door.release();
    // Silent at the first call, and then not there at all.
    for is_there in [true, false] {
        if is_there {
            door.hang(Call { method: "GET", path: &["/_ping"], hang: Hang::Before });
        } else {
            door.shut();
        }
        daemon.launch();
        daemon.says("ready");
        let began = Instant::now();
        assert_eq!(daemon.terminate().code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(9), "it took {:?}", began.elapsed());
        door.release();
    }
    door.reopen();
    daemon.restart();
    let again = daemon.history().into_iter().next().unwrap();
    assert!(again["id"] != id && again["attempt"].as_i64().unwrap() <= 2, "{again:#}");
    daemon.expect_success(again["id"].as_i64().unwrap());
}
