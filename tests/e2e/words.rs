//! What is said after a deployment is looked up and not assumed: what runs, what was touched, what is not as configured.

use std::{fs, net::TcpListener};

use crate::{common, e2e_support};
use bollard::query_parameters::StopContainerOptionsBuilder;
use common::{PATIENCE, docker, push::Push, wait_until};
use e2e_support::{Site, all_of, deploy, idle, log};

/// A service that serves nothing, with more lines.
fn service(name: &str, more: &str) -> String {
    format!("  {name}:\n{}{more}", idle())
}

#[test]
fn what_runs_after_a_failure_is_looked_up() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let file = |port: u16| {
        let ports = format!("    ports: [\"127.0.0.1:{port}:80\"]\n");
        format!("services:\n{}{}", service("web", &ports), service("other", ""))
    };
    let site = Site::new(&[("compose.yaml", &file(port))]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    site.write("compose.yaml", &file(taken.local_addr().unwrap().port()));
    let id = site.push_to(&daemon, "A port that is taken");
    daemon.expect_failure(id);
    for said in [log(&daemon, id), deploy(&daemon, &[&site.name], 1)] {
        let words = format!("what runs now: {}: running other; web does not run", site.red());
        assert!(said.contains(&words) && !said.contains("still runs"), "{said}");
    }
}

#[test]
fn what_restarts_again_and_again_is_not_told_as_running() {
    let falls = "  web:\n    image: \"@BASE\"\n    command: [sh, -c, \"sleep 0.2; exit 1\"]\n    restart: always\n";
    let site = Site::new(&[("compose.yaml", &format!("services:\n{}{falls}", service("other", "")))]);
    let daemon = site.serve(&[]);
    let said = deploy(&daemon, &[&site.name], 1);
    let words = format!("what runs now: {}: running other; web restarts again and again", site.red());
    assert!(said.contains(&words), "{said}");
}

#[test]
fn who_fell_ill_by_itself_was_not_replaced() {
    let ill = "    healthcheck: { test: [CMD, test, \"!\", -e, /ill], interval: 1s, retries: 1, timeout: 5s }\n";
    let site = Site::new(&[("compose.yaml", &format!("services:\n{}", service("web", ill)))]);
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let id = site.container(&site.red(), "web");
    common::docker::block_on(async {
        let engine = docker::connect().await;
        let touch = bollard::models::ExecConfig {
            cmd: Some(vec!["touch".to_owned(), "/ill".to_owned()]),
            ..Default::default()
        };
        let exec = engine.create_exec(&id, touch).await.unwrap().id;
        engine.start_exec(&exec, None::<bollard::exec::StartExecOptions>).await.unwrap();
    });
    wait_until("the container to be unhealthy", PATIENCE, || {
        let status = docker::containers(&site.red())[0].status.clone().unwrap_or_default();
        if status.contains("unhealthy") { Ok(()) } else { Err(status) }
    });
    let said = deploy(&daemon, &[&site.name], 1);
    assert!(said.contains("is unhealthy") && said.contains("this deployment did not touch it"), "{said}");
    assert!(said.contains(&format!("{}: web is unhealthy", site.red())), "{said}");
    assert_eq!(site.container(&site.red(), "web"), id);
}

#[test]
fn a_loop_of_restarts_is_named_however_long_its_round() {
    // Longer than it is watched.
    let falls =
        "services:\n  web:\n    image: \"@BASE\"\n    restart: always\n    command: [sh, -c, \"sleep 4; exit 1\"]\n";
    let site = Site::new(&[("compose.yaml", falls)]);
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let id = site.container(&site.red(), "web");
    wait_until("a restart that is older than the settle time", PATIENCE, || {
        let state = docker::block_on(async {
            let found = docker::connect().await.inspect_container(&id, None).await.unwrap();
            (found.restart_count.unwrap(), found.state.unwrap())
        });
        let (count, state) = state;
        let started = state.started_at.clone().unwrap();
        let started = time::OffsetDateTime::parse(&started, &time::format_description::well_known::Rfc3339).unwrap();
        let age = (time::OffsetDateTime::now_utc() - started).as_seconds_f64();
        if count > 0 && state.running == Some(true) && (1.2..2.0).contains(&age) { Ok(()) } else { Err((count, age)) }
    });
    let said = all_of(&daemon.turnout(&["deploy", &site.name]));
    assert!(said.contains("ended by itself and was started again"), "{said}");
    assert!(!said.contains("everything runs as configured"), "{said}");
}

/// A volume that is kept with its data is not as configured; each deployment says so, not the first alone.
#[test]
fn what_is_kept_in_another_form_is_said_in_the_summary() {
    let file = |label: &str| {
        format!(
            "services:\n{}volumes: {{ data: {{ labels: {{ v: \"{label}\" }} }} }}\n",
            service("web", "    volumes: [\"data:/data\"]\n")
        )
    };
    let site = Site::new(&[("compose.yaml", &file("1"))]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    site.write("compose.yaml", &file("2"));
    let id = site.push_to(&daemon, "Another volume");
    let record = daemon.expect_success(id);
    let decision = record["decision"].as_str().unwrap();
    assert!(decision.contains("it is kept with its data"), "{decision}");
    assert!(!decision.contains("everything runs as configured"), "{decision}");
}

#[test]
fn a_push_that_the_remote_does_not_have_yet_is_waited_for() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    // Committed by the developer, and told of, before the remote has it.
    site.write("docker-compose.prod.yml", &e2e_support::sleeper("v2"));
    let (before, late) = (site.remote.head(), site.remote.commit("Late"));
    let id = daemon.deploy_by_push(&Push::new(&format!("acme/{}", site.name), &before, &late));
    e2e_support::wait_for_log(&daemon, id, "the remote does not have");
    site.remote.push();
    daemon.expect_success(id);
    let record = daemon.deployment(id).unwrap();
    assert_eq!(record["commit_after"].as_str(), Some(late.as_str()));
}

/// A `.env` that is gone makes no second stack.
#[test]
fn a_colour_is_not_lost_with_its_file() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    site.env("COLOR=blue\n");
    deploy(&daemon, &[&site.name], 0);
    fs::remove_file(site.path.join(".env")).unwrap();
    let said = deploy(&daemon, &[&site.name], 1);
    assert!(said.contains(".env is not there") && said.contains("COLOR=blue"), "{said}");
    let plan = all_of(&daemon.turnout(&["plan", &site.name]));
    assert!(plan.contains(".env is not there"), "{plan}");
    assert_eq!(docker::containers(&site.red()).len(), 0);
    let said = deploy(&daemon, &[&site.name, "--new-stack"], 0);
    assert!(said.contains("1 created"), "{said}");
}

/// Networks that others still need stay, also while those do not run; those of a former name go.
#[test]
fn networks_of_stopped_strangers_stay_and_former_names_go() {
    let name = common::unique("words-net");
    let owner = |more: &str| format!("services:\n{}{more}", service("web", "    networks: [default, shared]\n"));
    let shared = |name: &str| format!("networks: {{ shared: {{ name: {name} }} }}\n");
    let site = Site::new(&[("compose.yaml", &owner(&shared(&name)))]);
    let guest = Site::new(&[(
        "compose.yaml",
        &format!(
            "services:\n{}networks: {{ shared: {{ name: {name}, external: true }} }}\n",
            service("guest", "    networks: [shared]\n    restart: \"no\"\n")
        ),
    )]);
    let yaml = [site.entry(&[]), guest.entry(&[])].concat();
    let daemon = common::daemon::Daemon::start_with(&yaml, e2e_support::QUICK, &[]);
    deploy(&daemon, &[&site.name], 0);
    deploy(&daemon, &[&guest.name], 0);
    let stranger = guest.container(&guest.red(), "guest");
    docker::block_on(async {
        let options = StopContainerOptionsBuilder::default().t(1).build();
        docker::connect().await.stop_container(&stranger, Some(options)).await.unwrap();
    });
    let networks = || -> Vec<String> {
        let all = docker::block_on(async {
            docker::connect().await.list_networks(None::<bollard::query_parameters::ListNetworksOptions>).await.unwrap()
        });
        all.into_iter().filter_map(|network| network.name).filter(|found| found.starts_with(&name)).collect()
    };
    let other = format!("{name}b");
    site.write("compose.yaml", &owner(&shared(&other)));
    let id = site.push_to(&daemon, "Another name");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    assert!(
        said.contains(&format!(
            "network {name} is still in use and was kept: {}-guest-1 is attached to it",
            guest.red()
        )),
        "{said}"
    );
    deploy(&daemon, &[&guest.name], 0);
    docker::block_on(async {
        let options = StopContainerOptionsBuilder::default().t(1).build();
        let engine = docker::connect().await;
        engine.stop_container(&stranger, Some(options)).await.unwrap();
        engine.remove_container(&stranger, None::<bollard::query_parameters::RemoveContainerOptions>).await.unwrap();
    });
    let said = deploy(&daemon, &[&site.name], 0);
    assert_eq!(networks(), [other], "{said}");
}

/// The server's `.env` is nobody's to overwrite or to take away, whatever git says of ignored files.
#[test]
fn no_push_takes_the_servers_env_away() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    fs::write(site.path.join(".git/info/exclude"), ".env\n").unwrap();
    site.env("SECRET=of-the-server\n");
    let read = || fs::read_to_string(site.path.join(".env")).unwrap();

    site.write(".env", "SECRET=of-the-commit\n");
    let id = site.push_to(&daemon, "Track it");
    daemon.expect_failure(id);
    let said = log(&daemon, id);
    assert!(said.contains("the commit brings .env") && said.contains("git rm --cached"), "{said}");
    assert_eq!(read(), "SECRET=of-the-server\n");
    site.remote.remove(".env");
    daemon.expect_success(site.push_to(&daemon, "Do not"));
    assert_eq!(read(), "SECRET=of-the-server\n");

    // Tracked from the beginning, and taken out: the server goes on with what it has.
    fs::remove_file(site.path.join(".env")).unwrap();
    site.write(".env", "COLOR=red\nDEBUG=false\n");
    daemon.expect_success(site.push_to(&daemon, "Track it again"));
    site.remote.remove(".env");
    let id = site.push_to(&daemon, "Not any more");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    assert!(said.contains(".env is not tracked any more; it stays here"), "{said}");
    assert_eq!(read(), "COLOR=red\nDEBUG=false\n");
}

/// What a push brought, and nothing was ever deployed with, another push takes away.
#[test]
fn a_push_puts_right_the_env_of_the_push_before() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    site.write(".env", &format!("COLOR={}\n", "x".repeat(100)));
    daemon.expect_failure(site.push_to(&daemon, "A colour that is none"));
    assert!(site.path.join(".env").exists());
    site.remote.remove(".env");
    daemon.expect_success(site.push_to(&daemon, "Take it back"));
    assert!(!site.path.join(".env").exists());
}

/// What was edited on the server runs too, and the commit alone would not say so.
#[test]
fn edits_by_hand_are_named_with_the_commit() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    fs::write(
        site.path.join("docker-compose.prod.yml"),
        e2e_support::sleeper("edited").replace("@BASE", &docker::base_image()),
    )
    .unwrap();
    site.write("README", "other words\n");
    let id = site.push_to(&daemon, "Words");
    let record = daemon.expect_success(id);
    let decision = record["decision"].as_str().unwrap();
    assert!(
        decision.contains("changed by hand, not as in") && decision.contains("docker-compose.prod.yml"),
        "{decision}"
    );
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("nothing was done; changed by hand"), "{said}");
}

/// After a failure the work tree is further than what runs; the status tells both.
#[test]
fn the_status_tells_what_was_deployed_last() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let good = site.remote.head();
    site.write("docker-compose.prod.yml", "services: [\n");
    daemon.expect_failure(site.push_to(&daemon, "Broken"));
    let said = all_of(&daemon.turnout(&["status"]));
    let words = format!("deployed last with success: {} by deployment 1", &good[..7]);
    assert!(said.contains(&words), "{said}");
}
