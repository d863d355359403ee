//! `switch` is taken out of repos.yaml again, under load: ports, volumes and requests go back to a stack in place.

use std::{fs, os::unix::process::ExitStatusExt as _};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{
    all_of,
    dice::some,
    file_in,
    kernel::{self, rules},
    load::{Came, Load},
    run_in,
    switched::{ProxyGuard, Switched},
};

/// Clients that ask all the while.
const CLIENTS: usize = 8;
const SWITCH: &str = "{ bake: 1s, health: { path: /, timeout: 5s } }";
const STAYS: &str = "{ bake: 1s, services: { worker: shared } }";
const APP: &str = "mkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n";

#[test]
fn a_stack_that_was_switched_comes_back_in_place_and_no_request_fails() {
    let shop = Switched::new("one");
    let (red, name) = (shop.site.red(), shop.site.name.clone());
    let (_proxy, daemon) = shop.serve_as(&in_place(&shop), &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    row(&shop, &red, "in place");
    fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
    daemon.expect_success(shop.push(&daemon, "two"));
    assert_eq!(live(&daemon), shop.site.blue());
    row(&shop, &name, "in colours");
    // What has colours can stay from now on by way of the stack in place only.
    fs::write(daemon.repos_yaml(), shop.entry(STAYS)).unwrap();
    let refused = daemon.expect_failure(shop.push(&daemon, "refused"));
    assert!(refused["error"].as_str().unwrap().contains("worker is shared"), "{refused}");

    fs::write(daemon.repos_yaml(), in_place(&shop)).unwrap();
    let (load, lasting) = (Load::on(shop.web, CLIENTS), Load::lasting(shop.web, 2));
    load.wait_for("two", 50);
    let plan = all_of(&daemon.turnout(&["plan", &name]));
    for said in [
        "switch was taken out",
        "requests wait meanwhile",
        "goes back to the engine",
        "are removed; images and volumes stay",
    ] {
        assert!(plan.contains(said), "{said}: {plan}");
    }
    let (list, state) = (daemon.repos_yaml(), daemon.state_dir());
    let settings = ["check", "--repos", list.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    let check = all_of(&daemon.command(&settings).env("WEBHOOK_SECRET", "x").output().unwrap());
    assert!(check.contains("comes back in place with the next deployment"), "{check}");
    assert_eq!(live(&daemon), shop.site.blue(), "nothing is done by that");
    daemon.expect_success(shop.push(&daemon, "three"));
    load.wait_for("three", 50);
    lasting.wait_for("three", 10);
    for came in [load.end(), lasting.end()] {
        println!("{:?}, the longest after {:?}, {:?} without an answer", came.good, came.longest, came.gap);
        none_failed(&daemon, &came);
    }
    came_back(&shop, &daemon);
    assert_eq!(rows(&shop, &red), "in place\nin colours\n");
    assert_eq!(publishes(&red), [shop.web.to_string()], "the engine has the port");

    // From here on it is as any other, and may be switched again.
    let db = shop.site.container(&red, "db");
    daemon.expect_success(shop.push(&daemon, "four"));
    assert_eq!(shop.site.container(&red, "db"), db, "the database stays as it is");
    fs::write(daemon.repos_yaml(), shop.entry(STAYS)).unwrap();
    daemon.expect_success(shop.push(&daemon, "five"));
    assert_eq!(rows(&shop, &name), "in place\nin colours\n");
    assert_eq!((shop.running(&name, "worker"), shop.workers()), (1, 0));
}

#[test]
fn one_that_is_not_ready_in_place_stays_switched_and_no_request_fails() {
    let shop = Switched::new("one");
    let (red, name) = (shop.site.red(), shop.site.name.clone());
    let (_proxy, daemon) = shop.serve(SWITCH, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    // The live colour has the very names that it is to have in place: its containers are replaced, and made again.
    assert_eq!(live(&daemon), red);
    row(&shop, &name, "in colours");
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 50);
    fs::write(daemon.repos_yaml(), in_place(&shop)).unwrap();
    shop.site.write("app.sh", "mkdir -p /www\nexec sleep 1000\n");
    let failed = daemon.expect_failure(shop.site.push_to(&daemon, "Broken"));
    assert!(failed["error"].as_str().unwrap().contains("of the stack in place is not ready"), "{failed}");
    load.wait_for("one", 50);
    assert_eq!(live(&daemon), red);
    assert_eq!(["web", "worker"].map(|service| shop.running(&red, service)), [1, 1]);
    assert_eq!((shop.running(&name, "db"), shop.running(&red, "db")), (1, 0), "never two on one volume");
    assert_eq!(rules(&name), Vec::<String>::new());

    shop.site.write("app.sh", APP);
    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 50);
    let came = load.end();
    println!("{:?}, the longest after {:?}, {:?} without an answer", came.good, came.longest, came.gap);
    none_failed(&daemon, &came);
    came_back(&shop, &daemon);
    assert_eq!(rows(&shop, &red), "in colours\n");
}

#[test]
fn without_the_kernel_it_is_said_what_is_refused() {
    let shop = Switched::new("one");
    let (red, name) = (shop.site.red(), shop.site.name.clone());
    let (_proxy, daemon) = shop.serve(SWITCH, &[]);
    // A helper that answers nobody: as where there is none.
    drop(std::os::unix::net::UnixListener::bind(daemon.socket().with_file_name("turnout-redirect.sock")).unwrap());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    daemon.expect_success(shop.push(&daemon, "two"));
    wait_until("the bake to be over", PATIENCE, || {
        let status = daemon.turnout_json(&["status", "--json"]);
        if status["repos"][0]["bakes_until"].is_null() { Ok(()) } else { Err(status) }
    });
    assert_eq!(live(&daemon), shop.site.blue());
    row(&shop, &name, "in colours");

    // Volumes have the name of the colour with which it began.
    fs::write(daemon.repos_yaml(), in_place(&shop)).unwrap();
    shop.site.env("COLOR=blue\n");
    let refused = daemon.expect_failure(shop.push(&daemon, "refused"));
    assert!(refused["error"].as_str().unwrap().contains("would begin with empty ones"), "{refused}");
    assert_eq!(live(&daemon), shop.site.blue());
    shop.site.env("");

    let plan = all_of(&daemon.turnout(&["plan", &name]));
    assert!(plan.contains("connections are refused or cut from the moment"), "{plan}");
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("two", 50);
    daemon.expect_success(shop.push(&daemon, "three"));
    load.wait_for("three", 50);
    let came = load.end();
    println!(
        "{:?}, {} failed, the longest after {:?}, {:?} without an answer",
        came.good,
        came.bad.len(),
        came.longest,
        came.gap
    );
    came_back(&shop, &daemon);
    assert_eq!(rows(&shop, &red), "in colours\n");
}

/// Where a daemon dies on the way, and whether the live colour is the one whose containers are replaced.
const POINTS: &[(&str, bool)] = &[
    ("before recording the way back in place", false),
    ("after recording the way back in place", true),
    ("after leading connections away", false),
    ("after warm", true),
    ("before recording that the colours end", false),
    ("after recording that the colours end", true),
    ("before ending the colours", false),
    ("after ending the colours", true),
    ("after starting in place", false),
    ("after moving the routes in place", true),
    ("after taking the routes away", false),
    ("before recording that it is in place again", false),
    ("after recording that it is in place again", true),
];

/// Where one dies after whose containers in place are not ready: what ran before is brought back.
const UNDOES: [&str; 3] = [
    "after ending what is in place",
    "before recording that the colours stay",
    "after recording that the colours stay",
];

#[test]
fn wherever_it_dies_as_nothing_comes_of_it_the_stack_stays_switched_and_no_request_fails() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    for dies_at in some("a way back in place of which nothing comes", UNDOES) {
        println!("{dies_at}");
        let shop = Switched::new("one");
        let (red, name) = (shop.site.red(), shop.site.name.clone());
        let (_proxy, mut daemon): (ProxyGuard, Daemon) = shop.serve_as(&in_place(&shop), &variables);
        daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
        fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
        daemon.expect_success(shop.push(&daemon, "one"));
        // Its containers have other names than those in place, and stay.
        assert_eq!(live(&daemon), shop.site.blue());
        row(&shop, &name, "in colours");
        let load = Load::on(shop.web, CLIENTS);
        load.wait_for("one", 20);
        fs::write(daemon.repos_yaml(), in_place(&shop)).unwrap();
        shop.site.write("app.sh", "mkdir -p /www\nexec sleep 1000\n");
        fs::write(&point, dies_at).unwrap();
        shop.site.push_to(&daemon, "Broken");
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        // Whoever starts the daemon has put the entry right.
        fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
        shop.site.write("app.sh", APP);
        shop.site.remote.commit_and_push("Mended");
        daemon.restart();
        load.wait_for("one", 50);
        daemon.expect_success(shop.push(&daemon, "two"));
        load.wait_for("two", 50);
        shop.expect_whole(&daemon, dies_at);
        assert_eq!((shop.running(&name, "db"), shop.running(&red, "db")), (1, 0), "{dies_at}: never two on one volume");
        none_failed(&daemon, &load.end());
        assert_eq!(rows(&shop, &name), "in colours\n", "{dies_at}");
    }
}

#[test]
fn wherever_it_dies_it_comes_back_in_place_and_no_request_fails() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    for (dies_at, replaced) in some("the way back in place", POINTS) {
        println!("{dies_at}");
        if *dies_at == "after leading connections away" && !kernel::leads() {
            continue;
        }
        let shop = Switched::new("one");
        let (red, name) = (shop.site.red(), shop.site.name.clone());
        let first = if *replaced { shop.entry(SWITCH) } else { in_place(&shop) };
        let (_proxy, mut daemon): (ProxyGuard, Daemon) = shop.serve_as(&first, &variables);
        daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
        if !replaced {
            fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
            daemon.expect_success(shop.push(&daemon, "one"));
        }
        assert_eq!(live(&daemon) == red, *replaced);
        row(&shop, &name, "in colours");
        let load = Load::on(shop.web, CLIENTS);
        load.wait_for("one", 20);
        fs::write(daemon.repos_yaml(), in_place(&shop)).unwrap();
        fs::write(&point, dies_at).unwrap();
        shop.push(&daemon, "two");
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        daemon.restart();
        load.wait_for("two", 50);
        came_back(&shop, &daemon);
        let came = load.end();
        println!("{:?}, the longest after {:?}, {:?} without an answer", came.good, came.longest, came.gap);
        none_failed(&daemon, &came);
        assert_eq!(rows(&shop, &red), "in colours\n", "{dies_at}");
    }
}

/// Its entry without `switch`.
fn in_place(shop: &Switched) -> String {
    shop.site.entry(&[])
}

fn live(daemon: &Daemon) -> String {
    let status = daemon.turnout_json(&["status", "--json"]);
    status["repos"][0]["live"]["project"].as_str().unwrap_or_default().to_owned()
}

fn row(shop: &Switched, project: &str, text: &str) {
    run_in(&shop.site.container(project, "db"), &["sh", "-c", &format!("echo {text} >> /data/rows")]);
}

fn rows(shop: &Switched, project: &str) -> String {
    file_in(&shop.site.container(project, "db"), "/data/rows")
}

/// All of it runs in place, and nothing is left of the colours.
fn came_back(shop: &Switched, daemon: &Daemon) {
    let (red, blue, name) = (shop.site.red(), shop.site.blue(), shop.site.name.clone());
    wait_until("the stack to be in place", PATIENCE, || {
        let runs = ["web", "worker", "db"].map(|service| shop.running(&red, service));
        let left = docker::containers(&blue).len() + docker::containers(&name).len();
        let networks = [&blue, &name].map(|project| networks(project)).concat();
        let open = daemon.history().iter().any(|one| matches!(one["state"].as_str(), Some("queued" | "running")));
        let status = daemon.turnout_json(&["status", "--json"]);
        match (runs, left, networks.as_slice(), rules(&name), open, status["repos"][0]["live"].is_null()) {
            ([1, 1, 1], 0, [], rules, false, true) if rules.is_empty() => Ok(()),
            found => Err(format!("{found:?}\n{}", daemon.output())),
        }
    });
    // Each has the restart policy of its file: it comes up again with the machine.
    assert_eq!(policy(&shop.site.container(&red, "web")), "unless-stopped");
}

fn policy(container: &str) -> String {
    docker::block_on(async {
        let found = docker::connect().await.inspect_container(container, None).await.unwrap();
        let policy = found.host_config.and_then(|host| host.restart_policy).and_then(|policy| policy.name);
        policy.map(|name| name.to_string()).unwrap_or_default()
    })
}

fn networks(project: &str) -> Vec<String> {
    docker::block_on(async {
        let label = format!("com.docker.compose.project={project}");
        let filters = std::collections::HashMap::from([("label".to_owned(), vec![label])]);
        let options = bollard::query_parameters::ListNetworksOptionsBuilder::new().filters(&filters).build();
        let found = docker::connect().await.list_networks(Some(options)).await.unwrap();
        found.into_iter().filter_map(|network| network.name).collect()
    })
}

/// Addresses on which the engine listens for a project.
fn publishes(project: &str) -> Vec<String> {
    let all = docker::containers(project).into_iter().flat_map(|one| one.ports.unwrap_or_default());
    all.filter_map(|port| Some(format!("{}:{}", port.ip?, port.public_port?))).collect()
}

fn none_failed(daemon: &Daemon, came: &Came) {
    kernel::none_failed(daemon, came, "cannot be led past the listeners");
}
