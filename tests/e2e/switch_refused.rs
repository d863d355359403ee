//! What is refused before anything is changed, with blue/green.

use std::fs;

use crate::{common, e2e_support};
use common::daemon::Daemon;
use e2e_support::{QUICK, all_of, switched::Switched};

#[test]
fn a_second_colour_for_which_there_is_no_memory_is_refused_with_figures() {
    let folder = tempfile::tempdir().unwrap();
    let meminfo = folder.path().join("meminfo");
    let there = |available: u64| {
        fs::write(&meminfo, format!("MemTotal: 4194304 kB\nMemAvailable: {available} kB\n")).unwrap();
    };
    there(2 << 20);
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[("TURNOUT_TEST_MEMINFO", meminfo.to_str().unwrap())]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    there(419_430);
    let failed = daemon.expect_failure(shop.push(&daemon, "two"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("too little memory for a second colour: web uses"), "{error}");
    assert!(error.contains("429 MB of 4.2 GB are available"), "{error}");
    assert_eq!(shop.running(&shop.site.blue(), "web"), 0);
    let plan = all_of(&daemon.turnout(&["plan", &shop.site.name]));
    assert!(plan.contains("too little memory") && plan.contains("order: stop-first"), "{plan}");
    there(2 << 20);
    daemon.expect_success(shop.push(&daemon, "three"));
}

#[test]
fn two_repositories_on_one_listener_are_seen_in_the_plan_of_each() {
    let one = Switched::new("one");
    let two = Switched::of(
        |_| {
            format!(
                "services:\n  app:\n    image: \"@BASE\"\n    command: [sleep, \"100\"]\n    ports: [\"{}:9000\"]\n",
                one.web
            )
        },
        &[],
    );
    let daemon = Daemon::start_with(&[one.entry("auto"), two.entry("auto")].concat(), QUICK, &[]);
    for (own, other) in [(&one, &two), (&two, &one)] {
        let plan = all_of(&daemon.turnout(&["plan", &own.site.name]));
        assert!(plan.contains("refused: ") && plan.contains(&other.site.name), "{plan}");
        assert!(plan.contains(&one.web.port().to_string()) && plan.contains("write: "), "{plan}");
        assert!(plan.contains("nothing is planned until that is written"), "{plan}");
    }
}

#[test]
fn a_service_that_changes_its_class_is_refused_with_the_line_that_keeps_it() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let (red, name) = (shop.site.red(), &shop.site.name);
    let before =
        [(&red, "web"), (&red, "worker"), (name, "db")].map(|(project, one)| shop.site.container(project, one));
    // By its port it is taken for a Redis, which stays.
    shop.site.remote.replace(
        "docker-compose.prod.yml",
        "command: [sleep, \"1000\"]\n    restart",
        "command: [sleep, \"1000\"]\n    expose: [\"6379\"]\n    restart",
    );
    let failed = daemon.expect_failure(shop.push(&daemon, "two"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("worker is shared") && error.contains("and was worker when"), "{error}");
    let plan = all_of(&daemon.turnout(&["plan", name]));
    assert!(plan.contains("services: { worker: worker }"), "{plan}");
    let after = [(&red, "web"), (&red, "worker"), (name, "db")].map(|(project, one)| shop.site.container(project, one));
    assert_eq!(after, before);
    fs::write(daemon.repos_yaml(), shop.entry("{ bake: 1s, services: { worker: worker } }")).unwrap();
    shop.site.write("page", "three");
    daemon.expect_success(shop.site.push_to(&daemon, "three"));
    assert_eq!(shop.workers(), 1);
}
