//! The main road, whole: a signed push becomes running containers, and everything that is no such push does not.

use crate::{common, e2e_support};
use common::{
    daemon::{Daemon, SECRET},
    docker, http,
    push::{Push, sign},
};
use e2e_support::{QUICK, Site, built, deploy, files_with, idle, log, sleeper, untouched};

#[test]
fn a_push_becomes_containers_and_the_same_commit_again_changes_nothing() {
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{}  db:\n{}", built("."), idle())),
        ("Dockerfile", "FROM @BASE\nCOPY page /page\n"),
        ("page", "version 1\n"),
    ]);
    let daemon = site.serve(&[]);
    let first = daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert_eq!(first["project"], site.red());
    assert_eq!(first["commit_after"], site.remote.head());
    assert_eq!(e2e_support::file_in(&site.container(&site.red(), "web"), "/page"), "version 1\n");

    // A code push replaces what it changes, and only that.
    let (web, db) = (site.container(&site.red(), "web"), site.container(&site.red(), "db"));
    site.write("page", "version 2\n");
    daemon.expect_success(site.push_to(&daemon, "Second"));
    assert_eq!(e2e_support::file_in(&site.container(&site.red(), "web"), "/page"), "version 2\n");
    assert_ne!(site.container(&site.red(), "web"), web);
    assert_eq!(site.container(&site.red(), "db"), db);

    let before = untouched(&site.red());
    let plan = e2e_support::all_of(&daemon.turnout(&["plan", &site.name]));
    assert!(plan.contains("nothing to do"), "{plan}");
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("nothing to do"), "{said}");
    assert_eq!(untouched(&site.red()), before);
}

#[test]
fn form_bodies_deploy_and_a_repeat_does_not() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    let push = site.push();
    let payload: String = url::form_urlencoded::byte_serialize(push.body().to_string().as_bytes()).collect();
    let body = format!("payload={payload}");
    let signature = sign(SECRET, body.as_bytes());
    let send =
        || push.send_raw(daemon.listen(), "application/x-www-form-urlencoded", body.as_bytes(), Some(&signature));
    let answer = send();
    assert_eq!(answer.status, 202, "{}", answer.body);
    let id = answer.json()["deployment"].as_i64().unwrap();
    daemon.expect_success(id);

    let again = send();
    assert_eq!((again.status, again.json()["deployment"].as_i64()), (200, Some(id)), "{}", again.body);
    assert_eq!(again.json()["status"], "duplicate");
    assert_eq!(daemon.history().len(), 1);
}

#[test]
fn what_asks_for_no_deployment_is_answered_with_its_reason() {
    let site = Site::sleeping();
    let daemon = site.serve(&["branch: main"]);
    let zero = "0".repeat(40);
    let push = site.push();
    let cases = [
        ("a ping", Push { event: "ping".to_owned(), ..push.clone() }, "pong", "ping"),
        ("another branch", Push { git_ref: "refs/heads/draft".to_owned(), ..push.clone() }, "ignored", "draft"),
        ("a tag", Push { git_ref: "refs/tags/v1".to_owned(), ..push.clone() }, "ignored", "tag v1"),
        ("a deleted branch", Push { after: zero, ..push.clone() }, "ignored", "deleted"),
        ("an unknown repository", Push { full_name: "acme/nowhere".to_owned(), ..push.clone() }, "unknown", "nowhere"),
        ("another owner's", Push { full_name: format!("evil/{}", site.name), ..push.clone() }, "unknown", "evil"),
        ("the deployer", Push { full_name: "acme/deployer".to_owned(), ..push.clone() }, "self", "self-update"),
        (
            "the deployer's other name",
            Push { full_name: "x/Turnout".to_owned(), ..push.clone() },
            "self",
            "self-update",
        ),
        ("another event", Push { event: "issues".to_owned(), ..push.clone() }, "ignored", "issues"),
    ];
    for (what, push, status, text) in cases {
        let push = Push { delivery: common::unique("delivery-"), ..push };
        let answer = daemon.push(&push);
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        assert_eq!(answer.json()["status"], status, "{what}: {}", answer.body);
        assert!(answer.body.contains(text), "{what}: {}", answer.body);
    }
    let bad = push.send(daemon.listen(), "another secret");
    assert_eq!(bad.status, 401, "{}", bad.body);
    let unsigned = push.send_raw(daemon.listen(), "application/json", push.body().to_string().as_bytes(), None);
    assert_eq!(unsigned.status, 401, "{}", unsigned.body);
    let truncated = &push.body().to_string().into_bytes()[..100];
    let torn = push.send_raw(daemon.listen(), "application/json", truncated, Some(&sign(SECRET, truncated)));
    assert_eq!(torn.status, 400, "{}", torn.body);

    for (path, text) in [("/", "turnout"), ("/healthz", "ok")] {
        let answer = http::get(daemon.listen(), path).unwrap();
        assert!(answer.status == 200 && answer.body.contains(text), "{path}: {} {}", answer.status, answer.body);
    }
    assert_eq!(http::get(daemon.listen(), "/webhook").unwrap().status, 405);
    assert!(daemon.history().is_empty(), "{:?}", daemon.history());
    assert!(docker::containers(&site.red()).is_empty());

    daemon.says("acme/nowhere is not configured");
    let output = daemon.says("acme/deployer is the deployer itself");
    let line =
        |text: &str| output.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {output}"));
    assert!(line("acme/nowhere is not configured").contains("WARN"));
    assert!(line("acme/deployer is the deployer itself").contains("INFO"));
}

#[test]
fn a_repository_that_is_absent_is_cloned() {
    let site = Site::not_cloned(&[("docker-compose.prod.yml", &sleeper("v1"))]);
    let daemon = site.serve(&[&format!("remote: {}", site.remote.url())]);
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    assert!(log(&daemon, id).contains("cloned main"), "{}", log(&daemon, id));
    assert_eq!(docker::containers(&site.red()).len(), 1);
}

/// The server has a commit that the remote has not, and the other way round.
fn diverged() -> Site {
    let site = Site::sleeping();
    let server = git2::Repository::open(&site.path).unwrap();
    std::fs::write(site.path.join("local.txt"), "made on the server\n").unwrap();
    let mut index = server.index().unwrap();
    index.add_path(std::path::Path::new("local.txt")).unwrap();
    index.write().unwrap();
    let tree = server.find_tree(index.write_tree().unwrap()).unwrap();
    let who = git2::Signature::now("Server", "server@example.org").unwrap();
    let head = server.head().unwrap().peel_to_commit().unwrap();
    server.commit(Some("HEAD"), &who, &who, "Local", &tree, &[&head]).unwrap();
    site.write("README", "made elsewhere\n");
    site.remote.commit_and_push("Elsewhere");
    site
}

#[test]
fn parted_histories_are_refused_reset_or_rebased_as_configured() {
    let sites = [diverged(), diverged(), diverged()];
    let [refused, reset, rebased] = &sites;
    let yaml = [refused.entry(&[]), reset.entry(&["on_divergence: reset"]), rebased.entry(&["on_divergence: rebase"])];
    let daemon = Daemon::start_with(&yaml.concat(), QUICK, &[]);
    let [a, b, c] = [refused, reset, rebased].map(|site| daemon.deploy_by_push(&site.push()));
    let failed = daemon.expect_failure(a);
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("on_divergence"), "{error}");
    assert!(refused.path.join("local.txt").exists() && !refused.path.join("README").exists());
    daemon.expect_success(b);
    assert!(!reset.path.join("local.txt").exists() && reset.path.join("README").exists());
    daemon.expect_success(c);
    assert!(rebased.path.join("local.txt").exists() && rebased.path.join("README").exists());
}

#[test]
fn a_container_that_falls_over_fails_the_deployment_however_often_it_is_tried() {
    let crash = "services:\n  web:\n    image: \"@BASE\"\n    restart: always\n    stop_grace_period: 1s\n    \
                 command: [sh, -c, \"echo the shelf is empty; exit 3\"]\n";
    let site = Site::new(&[("docker-compose.prod.yml", crash)]);
    let daemon = site.serve(&[]);
    let id = daemon.deploy_by_push(&site.push());
    let failed = daemon.expect_failure(id);
    let error = failed["error"].as_str().unwrap();
    // Seen when it has ended, or when the engine has started it once more.
    let ended = error.contains("-web-1 exited (3)") || error.contains("-web-1 ended and was restarted");
    assert!(ended && error.contains("its last words: the shelf is empty"), "{failed:#}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(log(&daemon, id).contains("the shelf is empty"), "{}", log(&daemon, id));
    // Nothing changed since, so nothing is wrong with the configuration: the containers still do not run.
    let said = deploy(&daemon, &[&site.name], 1);
    assert!(said.contains("the shelf is empty"), "{said}");
}

#[test]
fn an_unhealthy_container_fails_the_deployment_however_often_it_is_tried() {
    let sick = format!(
        "services:\n  web:\n{}    healthcheck:\n      test: [CMD, \"false\"]\n      interval: 1s\n      retries: 1\n",
        idle()
    );
    let site = Site::new(&[("docker-compose.prod.yml", &sick)]);
    let daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "4s"], &[]);
    let failed = daemon.expect_failure(daemon.deploy_by_push(&site.push()));
    assert!(failed["error"].as_str().unwrap().contains("unhealthy"), "{failed:#}");
    let said = deploy(&daemon, &[&site.name], 1);
    assert!(said.contains("unhealthy"), "{said}");
}

#[test]
fn a_build_that_fails_leaves_the_old_containers_serving() {
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{}", built("."))),
        ("Dockerfile", "FROM @BASE\nCOPY page /page\n"),
        ("page", "version 1\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let before = untouched(&site.red());
    site.write("Dockerfile", "FROM @BASE\nRUN what=flour; echo no $what today; false\n");
    let id = site.push_to(&daemon, "Break");
    let failed = daemon.expect_failure(id);
    assert!(failed["error"].as_str().unwrap().contains("no container was touched"), "{failed:#}");
    assert!(log(&daemon, id).contains("no flour today"), "{}", log(&daemon, id));
    assert_eq!(untouched(&site.red()), before);
}

#[test]
fn docker_compose_works_on_what_was_deployed() {
    let compose = |arguments: &[&str]| {
        let output = std::process::Command::new("docker").arg("compose").args(arguments).output();
        output.ok().map(|output| (output.status.success(), e2e_support::all_of(&output)))
    };
    if !compose(&["version"]).is_some_and(|(ok, _)| ok) {
        println!("not run: `docker compose` is not installed here");
        return;
    }
    let talking = "services:\n  web:\n    image: \"@BASE\"\n    init: true\n    stop_grace_period: 1s\n    \
                   command: [sh, -c, \"echo good morning; sleep 1000\"]\n";
    let site = Site::new(&[("docker-compose.prod.yml", talking)]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let (_, ps) = compose(&["-p", &site.red(), "ps"]).unwrap();
    assert!(ps.contains(&format!("{}-web-1", site.red())) && ps.contains("Up"), "{ps}");
    let (_, logs) = compose(&["-p", &site.red(), "logs"]).unwrap();
    assert!(logs.contains("good morning"), "{logs}");

    // It sees nothing to change either.
    let before = untouched(&site.red());
    let file = site.path.join("docker-compose.prod.yml");
    let (ok, up) = compose(&["-p", &site.red(), "-f", file.to_str().unwrap(), "up", "-d"]).unwrap();
    assert!(ok, "{up}");
    assert_eq!(untouched(&site.red()), before, "{up}");

    let (ok, down) = compose(&["-p", &site.red(), "down"]).unwrap();
    assert!(ok, "{down}");
    assert!(docker::containers(&site.red()).is_empty());
    deploy(&daemon, &[&site.name], 0);
    assert_eq!(docker::containers(&site.red()).len(), 1);
}

#[test]
fn secrets_are_in_no_log_no_database_and_on_no_terminal() {
    let token = "tokentokentoken42";
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{}", built("."))),
        (
            "Dockerfile",
            &format!("FROM @BASE\nRUN echo fetching https://me:{token}@example.org/x && echo {SECRET} > /x\n"),
        ),
    ]);
    let daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "1s", "--log-level", "debug"], &[]);
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    let shown = log(&daemon, id);
    assert!(shown.contains("fetching"), "{shown}");
    assert!(!files_with(&daemon.log_dir(), "fetching").is_empty());
    for secret in [token, SECRET] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!daemon.output().contains(secret), "{}", daemon.output());
        assert_eq!(files_with(&daemon.state_dir(), secret), Vec::<std::path::PathBuf>::new());
        assert_eq!(files_with(&daemon.log_dir(), secret), Vec::<std::path::PathBuf>::new());
    }
}
