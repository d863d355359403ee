//! A stack that runs in place is deployed blue/green for the first time, under load: its ports, its volumes and its requests go
//! over.

use std::{
    fs,
    net::{Ipv6Addr, SocketAddr},
    os::unix::process::ExitStatusExt as _,
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{
    dice::some,
    file_in,
    kernel::{self, Outside, Rule, rules},
    load::{Came, Load},
    run_in,
    switched::Switched,
};

/// Clients that ask all the while.
const CLIENTS: usize = 8;
const APP: &str = "mkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n";
const NEVER_READY: &str = "mkdir -p /www\nexec sleep 1000\n";
const SWITCH: &str = "{ bake: 1s, health: { path: /, timeout: 5s } }";

#[test]
fn a_stack_in_place_hands_over_and_no_request_fails() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = in_place(&shop, &[]);
    let db = shop.site.container(&shop.site.red(), "db");
    run_in(&db, &["sh", "-c", "echo before >> /data/rows"]);
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 50);

    fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 50);
    let came = load.end();
    println!("{:?}, the longest after {:?}", came.good, came.longest);
    none_failed(&daemon, &came);
    handed_over(&shop, &daemon);
    let db = shop.site.container(&shop.site.name, "db");
    run_in(&db, &["sh", "-c", "echo after >> /data/rows"]);
    assert_eq!(file_in(&db, "/data/rows"), "before\nafter\n");

    // From here on it is as any other.
    let load = Load::on(shop.web, CLIENTS);
    daemon.expect_success(shop.push(&daemon, "three"));
    load.wait_for("three", 50);
    assert_eq!(load.end().bad, Vec::<String>::new());
    assert_eq!(shop.site.container(&shop.site.name, "db"), db, "the database stays as it is");
}

#[test]
fn without_the_kernel_a_stack_in_place_hands_over_and_one_that_is_not_ready_gives_it_back() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = in_place(&shop, &[]);
    // A helper that answers nobody: as where there is none.
    drop(std::os::unix::net::UnixListener::bind(daemon.socket().with_file_name("turnout-redirect.sock")).unwrap());
    fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
    let said = e2e_support::all_of(&daemon.turnout(&["plan", &shop.site.name]));
    assert!(said.contains("connections are refused or cut"), "{said}");

    shop.site.write("app.sh", "mkdir -p /www\nexec sleep 1000\n");
    daemon.expect_failure(shop.site.push_to(&daemon, "Broken"));
    let red = shop.site.red();
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 50);
    assert_eq!(load.end().bad, Vec::<String>::new());
    assert_eq!(["web", "worker", "db"].map(|service| shop.running(&red, service)), [1, 1, 1]);
    assert_eq!(shop.running(&shop.site.name, "db"), 0, "never two on one volume");
    assert_eq!(shop.workers(), 1);

    shop.site.write("app.sh", "mkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n");
    daemon.expect_success(shop.push(&daemon, "two"));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("two", 50);
    assert_eq!(load.end().bad, Vec::<String>::new());
    handed_over(&shop, &daemon);
}

#[test]
fn a_stack_in_place_whose_network_is_removed_during_the_change_over_comes_back() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = in_place(&shop, &[]);
    let red = shop.site.red();
    fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
    shop.site.write("app.sh", NEVER_READY);
    let id = shop.site.push_to(&daemon, "Broken");
    docker::remove_network(&format!("{red}_default"));
    daemon.expect_failure(id);
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 50);
    assert_eq!(load.end().bad, Vec::<String>::new());
    assert_eq!(["web", "worker", "db"].map(|service| shop.running(&red, service)), [1, 1, 1]);
    assert_eq!(daemon.output().matches("was on its way out").count(), 0, "{}", daemon.output());
}

#[test]
fn a_stack_in_place_that_is_cleared_away_during_the_change_over_is_told_of() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = in_place(&shop, &[]);
    let red = shop.site.red();
    fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
    shop.site.write("app.sh", NEVER_READY);
    let id = shop.site.push_to(&daemon, "Broken");
    docker::remove_network(&format!("{red}_default"));
    docker::remove_stopped(&red);
    daemon.expect_failure(id);
    let log = e2e_support::all_of(&daemon.turnout(&["logs", "--deployment", &id.to_string(), "--tail", "1000"]));
    let remedy = format!("what now: of {red}, ");
    assert!(
        log.contains(&remedy) && log.contains(&format!("`turnout compose --repo {} up -d`", shop.site.name)),
        "{log}"
    );
    assert!(!log.contains("what was live before stays live"), "{log}");

    shop.site.write("app.sh", APP);
    daemon.expect_success(shop.push(&daemon, "two"));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("two", 50);
}

#[test]
fn from_outside_and_over_ipv6_a_stack_hands_over_and_comes_back_and_no_request_fails() {
    let Some(outside) = Outside::new().filter(|_| kernel::leads()) else { return };
    let shop = Switched::everywhere("one");
    let (_proxy, daemon) = in_place(&shop, &[]);
    let port = shop.web.port();
    let [v4, v6] = outside.here.map(|here| outside.load(SocketAddr::new(here, port), 3));
    let own = [Load::on(shop.web, 3), Load::on(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port), 3)];
    let wait = |version: &str| {
        own.iter().for_each(|load| load.wait_for(version, 20));
        [&v4, &v6].iter().for_each(|load| load.wait_for(version, 10));
    };
    wait("one");
    fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
    daemon.expect_success(shop.push(&daemon, "two"));
    wait("two");
    handed_over(&shop, &daemon);
    fs::write(daemon.repos_yaml(), shop.site.entry(&[])).unwrap();
    daemon.expect_success(shop.push(&daemon, "three"));
    wait("three");
    wait_until("the stack to be in place", PATIENCE, || {
        match (shop.running(&shop.site.red(), "web"), rules(&shop.site.name)) {
            (1, rules) if rules.is_empty() => Ok(()),
            found => Err(format!("{found:?}\n{}", daemon.output())),
        }
    });
    let (v4, v6) = (v4.end(), v6.end());
    println!("outside: {v4:?}, {v6:?}");
    for came in [&v4, &v6] {
        assert_eq!(came.keys().collect::<Vec<_>>(), ["one", "three", "two"], "{came:?}\n{}", daemon.output());
    }
    let own = own.map(Load::end);
    for came in &own {
        println!("{:?}, {:?}, the longest after {:?}", came.good, came.bad, came.longest);
    }
    own.iter().for_each(|came| none_failed(&daemon, came));
}

/// Where a daemon dies on the way.
const POINTS: &[&str] = &[
    "after warm",
    "after the change-over",
    "before recording the switch",
    "after recording the switch",
    "before recording the end of an adoption",
    "after recording the end of an adoption",
];

#[test]
fn wherever_it_dies_a_stack_in_place_hands_over_and_no_request_fails() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    for dies_at in some("the first switch", POINTS) {
        println!("{dies_at}");
        let shop = Switched::new("one");
        let (_proxy, mut daemon) = in_place(&shop, &variables);
        let load = Load::on(shop.web, CLIENTS);
        load.wait_for("one", 20);
        fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
        fs::write(&point, dies_at).unwrap();
        shop.push(&daemon, "two");
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        // Another turnout's, on the same machine.
        let stranger = stranger(&format!("other{}", shop.site.name));
        daemon.restart();
        load.wait_for("two", 50);
        assert!(stranger.is_none_or(|one| one.is_there()), "what is not known here is left alone");
        handed_over(&shop, &daemon);
        let came = load.end();
        println!("{:?}, the longest after {:?}", came.good, came.longest);
        none_failed(&daemon, &came);
    }
}

/// Deployed as ever.
fn in_place(shop: &Switched, variables: &[(&str, &str)]) -> (e2e_support::switched::ProxyGuard, Daemon) {
    let (proxy, daemon) = shop.serve_as(&shop.site.entry(&[]), variables);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    assert_eq!(["web", "worker", "db"].map(|service| shop.running(&shop.site.red(), service)), [1, 1, 1]);
    (proxy, daemon)
}

/// The first colour is live, what was in place is stopped, and nothing is left of the way there.
fn handed_over(shop: &Switched, daemon: &Daemon) {
    let (red, blue) = (shop.site.red(), shop.site.blue());
    wait_until("the ports to be the proxy's", PATIENCE, || {
        let runs = ["web", "worker", "db"].map(|service| shop.running(&red, service));
        let colour = (shop.running(&blue, "web"), shop.running(&blue, "worker"), shop.running(&shop.site.name, "db"));
        let open = daemon.history().iter().any(|one| matches!(one["state"].as_str(), Some("queued" | "running")));
        match (runs, colour, rules(&shop.site.name), open) {
            ([0, 0, 0], (1, 1, 1), rules, false) if rules.is_empty() => Ok(()),
            found => Err(format!("{found:?}\n{}", daemon.output())),
        }
    });
}

/// A rule that leads a listener of nobody's elsewhere, for a repository that the daemon does not know. `None` where the kernel takes
/// no rules.
fn stranger(repository: &str) -> Option<Rule> {
    let port = common::daemon::free_address().port();
    Rule::set(&format!(
        "nat OUTPUT -p tcp -d 127.0.0.1 --dport {port} -m comment --comment turnout/{repository}/127.0.0.1:{port}/1 -j DNAT \
         --to-destination 127.0.0.1:1"
    ))
}

fn none_failed(daemon: &Daemon, came: &Came) {
    kernel::none_failed(daemon, came, "cannot be led to turnout-proxy");
}
