//! Deployments in place whose services say `deploy.update_config.order: start-first`: the replacement runs, and is seen to stay up,
//! before the old container stops. Counted from the engine's own events: never none, never two that stay.

use std::{fs, os::unix::process::ExitStatusExt as _};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{QUICK, Site, all_of, counted::Counted, log};
use serde_json::Value;

/// Between two steps of a plan that replaces one worker; those at which the old one has stopped already, and the others.
const POINTS: (&[&str], &[&str]) = (
    &[
        "before a creation",
        "after a creation",
        "before a start",
        "after a start",
        "before the wait for a replacement",
        "after the wait for a replacement",
        "before a stop",
    ],
    &["after a stop", "before a removal", "after a removal", "before a rename", "after a rename", "before settle"],
);

/// A worker that is built, and others that say the same and must not have it.
fn compose(worker: &str) -> String {
    format!(
        "services:
  worker:
    build: {{ context: ., network: none }}
    restart: unless-stopped
    init: true
    stop_grace_period: 1s
    deploy: {{ replicas: 2, update_config: {{ order: start-first }} }}
    {worker}
  named:
    image: \"@BASE\"
    command: [sleep, \"1000\"]
    container_name: {name}
    environment: {{ VERSION: \"@VERSION\" }}
    init: true
    stop_grace_period: 1s
    deploy: {{ update_config: {{ order: start-first }} }}
  keeper:
    image: \"@BASE\"
    command: [sleep, \"1000\"]
    volumes: [\"kept:/kept\"]
    environment: {{ VERSION: \"@VERSION\" }}
    init: true
    stop_grace_period: 1s
    deploy: {{ update_config: {{ order: start-first }} }}
volumes:
  kept:
",
        name = common::unique("named"),
    )
}

/// A site with that, whose worker runs `work.sh`.
fn site() -> (Site, String) {
    let file = compose("# nothing more");
    let site = Site::new(&[
        ("docker-compose.prod.yml", &file.replace("@VERSION", "one")),
        ("Dockerfile", "FROM @BASE\nCOPY work.sh /work.sh\nCMD [\"sh\", \"/work.sh\"]\n"),
        ("work.sh", "# one\nexec sleep 1000\n"),
    ]);
    (site, file)
}

#[test]
fn workers_that_start_first_are_never_missing_and_one_that_fails_leaves_the_old_ones() {
    let (site, file) = site();
    let project = site.red();
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let counted = |service| Counted::of(&[&project], service);
    let (workers, named, keepers) = (counted("worker"), counted("named"), counted("keeper"));

    // What `check` and `plan` say beforehand.
    let (list, state) = (daemon.repos_yaml(), daemon.state_dir());
    let check = ["check", "--repos", list.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    let check = all_of(&daemon.turnout(&check));
    assert!(
        check.contains("worker is replaced start-first: the old container runs until the new one is ready"),
        "{check}"
    );
    assert!(check.contains("keeper is start-first, and the old container stops before the new one starts"), "{check}");
    site.write("work.sh", "# two\nexec sleep 1000\n");
    site.write("docker-compose.prod.yml", &file.replace("@VERSION", "two"));
    site.remote.commit_and_push("two");
    let plan = all_of(&daemon.turnout(&["plan", &site.name, "--fetch"]));
    for words in [
        &*format!("start the replacement of container {project}-worker-1, and stop that once it is ready: "),
        "deploy.update_config.order is start-first",
        "named: deploy.update_config.order is start-first, but the old one stops before the new one starts: its \
         container_name is",
        "keeper: deploy.update_config.order is start-first, but the old one stops before the new one starts: it writes the \
         volume",
    ] {
        assert!(plan.contains(words), "{words}\n{plan}");
    }

    let old = docker::ids(&project, "worker");
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    let log = log(&daemon, id);
    assert!(log.contains("has stayed up for 1 s"), "{log}");
    let ran = workers.ran();
    assert_eq!((ran.least, ran.now), (2, 2), "{ran:?}\n{log}");
    assert!(ran.most > 2, "{ran:?}: it did not start first\n{log}");
    assert_eq!((named.ran().most, keepers.ran().most), (1, 1), "never two where one writes");
    let new = docker::ids(&project, "worker");
    assert!(new.len() == 2 && new.iter().all(|id| !old.contains(id)), "{old:?} {new:?}");
    names(&project);

    // One that ends, one that is not healthy, and one that ends with 0: each says why, and the old ones were not touched.
    let checked = "healthcheck: { test: [CMD, \"false\"], interval: 1s, retries: 1 }";
    for (work, more, why) in [
        ("echo no database\nexit 3", "", "its last words: no database"),
        ("exec sleep 1000", checked, "unhealthy"),
        ("exit 0", "", "it "),
    ] {
        let workers = counted("worker");
        site.write("work.sh", &format!("# {why}\n{work}\n"));
        let file = file.replace("# nothing more", more).replace("@VERSION", "two");
        site.write("docker-compose.prod.yml", &file);
        let failed = daemon.expect_failure(site.push_to(&daemon, why));
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains(why) && error.contains("was not touched"), "{error}");
        assert!(error.contains("no container was touched"), "{error}");
        assert_eq!(docker::ids(&project, "worker"), new, "{why}: {error}");
        let ran = workers.ran();
        assert_eq!((ran.least, ran.now), (2, 2), "{why}: {ran:?}");
    }
    // And what is right afterwards goes through, healthy at once.
    site.write("work.sh", "# three\nexec sleep 1000\n");
    let healthy = "healthcheck: { test: [CMD, \"true\"], interval: 1s }";
    site.write("docker-compose.prod.yml", &file.replace("# nothing more", healthy).replace("@VERSION", "two"));
    let id = site.push_to(&daemon, "three");
    daemon.expect_success(id);
    let log = e2e_support::log(&daemon, id);
    assert!(log.contains("is healthy"), "{log}");
    let ran = workers.ran();
    assert_eq!((ran.least, ran.now), (2, 2), "{ran:?}");
    names(&project);
}

#[test]
fn wherever_the_daemon_dies_a_worker_runs_and_no_two_stay() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let file = |version: &str| {
        format!(
            "services:\n  worker:\n{}    restart: unless-stopped\n    labels: {{ version: \"{version}\" }}\n    deploy: {{ \
             update_config: {{ order: start-first }} }}\n",
            e2e_support::idle()
        )
    };
    let site = Site::new(&[("docker-compose.prod.yml", &file("first"))]);
    let project = site.red();
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    let mut daemon = Daemon::start_with(&site.entry(&[]), QUICK, &variables);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let whole = Counted::of(&[&project], "worker");
    let all = POINTS.0.iter().map(|point| (point, false)).chain(POINTS.1.iter().map(|point| (point, true)));
    for (number, (dies_at, taken_over)) in all.enumerate() {
        let version = format!("v{number}");
        println!("{version}: {dies_at}");
        let before = docker::ids(&project, "worker");
        site.write("docker-compose.prod.yml", &file(&version));
        fs::write(&point, dies_at).unwrap();
        site.push_to(&daemon, &version);
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        let after = docker::ids(&project, "worker");
        daemon.restart();
        wait_until(&format!("{dies_at}: the end of all deployments"), PATIENCE, || {
            let history = daemon.history();
            let open = history.iter().any(|one| matches!(one["state"].as_str(), Some("queued" | "running")));
            if open { Err(history) } else { Ok(()) }
        });
        let ends: Vec<Value> = daemon.history().into_iter().map(|one| one["state"].clone()).collect();
        assert!(ends.iter().all(|end| end == "succeeded" || end == "interrupted"), "{dies_at}: {ends:?}");
        let now = names(&project);
        assert_eq!(now, [version], "{dies_at}");
        if taken_over {
            let new: Vec<&String> = after.iter().filter(|id| !before.contains(id)).collect();
            assert_eq!(
                docker::ids(&project, "worker").iter().collect::<Vec<_>>(),
                new,
                "{dies_at}: what had taken over stays"
            );
        }
    }
    let ran = whole.ran();
    assert_eq!((ran.least, ran.most, ran.now), (1, 2, 1));
}

/// The versions of all workers, which have the names that they should.
fn names(project: &str) -> Vec<String> {
    let all = docker::containers(project).into_iter().filter(|one| {
        one.labels.as_ref().and_then(|labels| labels.get(docker::SERVICE)).is_some_and(|name| name == "worker")
    });
    let mut versions = Vec::new();
    for (number, one) in all.enumerate() {
        assert_eq!(one.names.clone().unwrap_or_default(), [format!("/{project}-worker-{}", number + 1)]);
        assert_eq!(one.state.map(|state| state.to_string()).as_deref(), Some("running"));
        versions.push(one.labels.unwrap_or_default().get("version").cloned().unwrap_or_default());
    }
    versions
}
