//! A deployment that fails amid its steps: what ran before runs on.

use crate::{common, e2e_support};
use common::docker;
use e2e_support::{Site, idle, log};

/// `web` is restarted with `db`; `more` gets these lines.
fn file(version: &str, more: &str) -> String {
    format!(
        "services:\n  db:\n{idle}    labels: {{ version: {version} }}\n  web:\n{idle}    depends_on: {{ db: {{ condition: \
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
fn what_was_stopped_for_steps_that_never_came_runs_again() {
    let site = Site::new(&[("docker-compose.prod.yml", &file("v1", ""))]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let web = site.container(&site.red(), "web");
    // The engine refuses it at the creation, when web has been stopped for the replacement of db.
    site.write("docker-compose.prod.yml", &file("v2", "    cap_add: [NOSUCH]\n"));
    let id = site.push_to(&daemon, "v2");
    let failed = daemon.expect_failure(id);
    assert!(failed["error"].as_str().unwrap().contains("NOSUCH"), "{failed:#}");
    let log = log(&daemon, id);
    for container in docker::containers(&site.red()) {
        let state = container.state.map(|state| state.to_string());
        assert_eq!(state.as_deref(), Some("running"), "{:?}:\n{log}", container.names);
    }
    assert_eq!(site.container(&site.red(), "web"), web);
    assert!(log.contains(&format!("{}-web-1 was stopped before the failure and runs again", site.red())), "{log}");
}
