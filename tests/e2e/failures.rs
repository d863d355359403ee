//! A deployment that fails amid its steps: what ran before runs on.

use crate::{common, e2e_support};
use common::docker;
use e2e_support::{Site, idle, log};

/// `web` is restarted with `db`; that and `more` get these lines.
fn file(version: &str, db: &str, more: &str) -> String {
    format!(
        "services:\n  db:\n{idle}    labels: {{ version: {version} }}\n{db}  web:\n{idle}    depends_on: {{ db: {{ condition: \
         service_started, restart: true }} }}\n  more:\n{idle}{more}",
        idle = idle()
    )
}

#[test]
fn a_step_that_fails_before_a_start_fails_the_deployment_and_is_quoted() {
    let file = |script: &str| {
        format!(
            "services:\n  web:\n{idle}    environment: {{ TOKEN: {script:?} }}\n    pre_start:\n      - command: [sh, -c, {script:?}]\n",
            idle = idle()
        )
    };
    let site = Site::new(&[("docker-compose.prod.yml", &file("echo prepared"))]);
    let daemon = site.serve(&[]);
    let first = daemon.deploy_by_push(&site.push());
    daemon.expect_success(first);
    assert!(log(&daemon, first).contains("prepared"), "{}", log(&daemon, first));
    site.write("docker-compose.prod.yml", &file("echo migrating; echo no such table >&2; exit 5"));
    let id = site.push_to(&daemon, "breaks");
    let failed = daemon.expect_failure(id);
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("\"web\" pre_start[0] exited with code 5: no such table"), "{failed:#}");
    assert!(log(&daemon, id).contains("migrating"), "{}", log(&daemon, id));
    let state = |name: &str| {
        let all = docker::containers(&site.red());
        all.into_iter().find(|c| c.names.iter().flatten().any(|n| n.contains(name))).and_then(|c| c.state)
    };
    // What its step did not prepare is not started, not even after the failure.
    assert_eq!(state("-web-1").map(|state| state.to_string()).as_deref(), Some("created"));
    site.write("docker-compose.prod.yml", &file("echo mended"));
    let mended = site.push_to(&daemon, "mends");
    daemon.expect_success(mended);
    assert_eq!(state("-web-1").map(|state| state.to_string()).as_deref(), Some("running"));
    assert!(state("pre_start").is_none(), "{}", log(&daemon, mended));
}

#[test]
fn a_creation_that_is_refused_leaves_everything_running() {
    let site = Site::new(&[("docker-compose.prod.yml", &file("v1", "", ""))]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let before = ["db", "web", "more"].map(|service| site.container(&site.red(), service));
    // All three are to be replaced or restarted; the engine refuses the creation of one.
    site.write("docker-compose.prod.yml", &file("v2", "", "    cap_add: [NOSUCH]\n"));
    let id = site.push_to(&daemon, "v2");
    let failed = daemon.expect_failure(id);
    assert!(failed["error"].as_str().unwrap().contains("NOSUCH"), "{failed:#}");
    let log = log(&daemon, id);
    assert_eq!(["db", "web", "more"].map(|service| site.container(&site.red(), service)), before, "{log}");
    let containers = docker::containers(&site.red());
    assert_eq!(containers.len(), 3, "{log}");
    assert!(containers.iter().all(|c| c.state.as_ref().is_some_and(|s| s.to_string() == "running")), "{log}");
    assert!(!log.contains("stopped"), "{log}");
}

#[test]
fn what_was_stopped_for_steps_that_never_came_runs_again() {
    let site = Site::new(&[("docker-compose.prod.yml", &file("v1", "", ""))]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let web = site.container(&site.red(), "web");
    // The engine cannot start the replacement of db, for which web has been stopped.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("    ports: [\"{}:80\"]\n", taken.local_addr().unwrap());
    site.write("docker-compose.prod.yml", &file("v2", &port, ""));
    let id = site.push_to(&daemon, "v2");
    let failed = daemon.expect_failure(id);
    assert!(failed["error"].as_str().unwrap().contains("already"), "{failed:#}");
    let log = log(&daemon, id);
    for service in ["web", "more"] {
        let found = docker::containers(&site.red());
        let own = found.into_iter().find(|c| c.id.as_deref() == Some(&site.container(&site.red(), service)));
        let state = own.and_then(|container| container.state).map(|state| state.to_string());
        assert_eq!(state.as_deref(), Some("running"), "{service}:\n{log}");
    }
    assert_eq!(site.container(&site.red(), "web"), web);
    assert!(log.contains(&format!("{}-web-1 was stopped before the failure and runs again", site.red())), "{log}");
}

/// Another service's failure cuts a wait for health short: it is waited for while all is put back, and then what waited starts.
#[test]
fn who_was_to_wait_for_health_runs_again_after_a_failure_elsewhere() {
    let stack = |version: &str, other: &str| {
        let labels = format!("    labels: {{ version: \"{version}\" }}\n");
        let healthy = "    healthcheck: { test: [\"CMD\", \"true\"], interval: 2s }\n";
        format!(
            "services:\n  db:\n{idle}{labels}{healthy}  web:\n{idle}{labels}    depends_on: {{ db: {{ condition: \
             service_healthy }} }}\n  other:\n{idle}{labels}{other}",
            idle = idle()
        )
    };
    let site = Site::new(&[("docker-compose.prod.yml", &stack("v1", ""))]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("    ports: [\"{}:80\"]\n", taken.local_addr().unwrap());
    site.write("docker-compose.prod.yml", &stack("v2", &port));
    let id = site.push_to(&daemon, "v2");
    let failed = daemon.expect_failure(id);
    assert!(failed["error"].as_str().unwrap().contains("already"), "{failed:#}");
    let log = log(&daemon, id);
    // Of `other` there is nothing any more that could run.
    for service in ["db", "web"] {
        let own = site.container(&site.red(), service);
        let found = docker::containers(&site.red()).into_iter().find(|c| c.id.as_deref() == Some(&own));
        let state = found.and_then(|container| container.state).map(|state| state.to_string());
        assert_eq!(state.as_deref(), Some("running"), "{service}:\n{log}");
    }
    assert!(!log.contains("stays stopped"), "{log}");
}
