//! Blue/green, whole: a push goes to the colour that is not live, requests move there once it is ready, and none fails.

use crate::{common, e2e_support};
use common::{PATIENCE, docker, wait_until};
use e2e_support::{all_of, deploy, load::Load, switched::Switched};
use serde_json::Value;

/// Clients that ask while something is done.
const CLIENTS: usize = 8;

#[test]
fn a_push_switches_the_colour_and_no_request_fails() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 2s }", &[]);
    let (red, blue) = (shop.site.red(), shop.site.blue());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    assert_eq!(colour(&daemon, &shop, "live"), Some((red.clone(), "live".to_owned())));
    let db = shop.site.container(&shop.site.name, "db");

    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 50);
    let id = shop.push(&daemon, "two");
    let done = daemon.expect_success(id);
    assert_eq!(done["project"], blue.as_str());
    load.wait_for("two", 50);
    assert_eq!(shop.workers(), 1, "never two workers");
    assert_eq!(shop.site.container(&shop.site.name, "db"), db, "the database stays as it is");
    over(&daemon, &shop);
    assert_eq!(colour(&daemon, &shop, "live"), Some((blue.clone(), "live".to_owned())));
    assert_eq!(colour(&daemon, &shop, "previous"), Some((red.clone(), "kept".to_owned())));
    assert_eq!((shop.running(&red, "web"), shop.running(&blue, "web")), (0, 1));
    // The `.env` still names red.
    let mut shows = daemon.command(&["compose", "--repo", &shop.site.name, "ps", "--services"]);
    shows.env("TURNOUT_REPOS", daemon.repos_yaml()).env("TURNOUT_STATE_DIR", daemon.state_dir());
    let shown = shows.output().unwrap();
    let said = all_of(&shown);
    assert!(said.contains(&format!("the live colour is blue (project {blue})")), "{said}");
    assert_eq!(String::from_utf8_lossy(&shown.stdout).lines().collect::<Vec<_>>(), ["web", "worker"], "{said}");

    // And back again to the first colour.
    daemon.expect_success(shop.push(&daemon, "three"));
    load.wait_for("three", 50);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    assert_eq!(colour(&daemon, &shop, "live"), Some((red, "live".to_owned())));
    assert_eq!(shop.workers(), 1);
}

#[test]
fn a_colour_that_is_not_ready_gets_no_request_and_the_live_one_is_not_touched() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 2s, health: { path: /, timeout: 3s } }", &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let (red, blue) = (shop.site.red(), shop.site.blue());
    let before = ["web", "worker"].map(|service| shop.site.container(&red, service));

    let load = Load::on(shop.web, CLIENTS);
    // It listens, and answers nothing but 404.
    shop.site.write("app.sh", "mkdir -p /www\nexec sleep 1000\n");
    let failed = daemon.expect_failure(shop.site.push_to(&daemon, "Broken"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("web:8000 of the new colour is not ready"), "{error}");
    load.wait_for("one", 50);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new());
    assert_eq!(["web", "worker"].map(|service| shop.site.container(&red, service)), before);
    assert_eq!((shop.running(&blue, "web"), shop.workers()), (0, 1));
    assert_eq!(colour(&daemon, &shop, "failed"), Some((blue, "failed".to_owned())));

    // What comes next is made anew.
    shop.site.write("app.sh", "mkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n");
    daemon.expect_success(shop.push(&daemon, "two"));
}

#[test]
fn the_way_back_is_one_move_while_it_bakes_and_a_start_afterwards() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1h }", &[]);
    let (red, blue) = (shop.site.red(), shop.site.blue());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    daemon.expect_success(shop.push(&daemon, "two"));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("two", 50);

    // While it bakes.
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains(&format!("{red} (")) && said.contains("is live again"), "{said}");
    load.wait_for("one", 50);
    assert_eq!((shop.running(&blue, "web"), shop.workers()), (0, 1));
    assert_eq!(colour(&daemon, &shop, "live"), Some((red.clone(), "live".to_owned())));
    // The history tells no success of what is not live any more.
    let two = &daemon.history()[0];
    assert!(two["state"] == "succeeded" && two["taken_back"]["why"].is_string(), "{two}");
    let said = all_of(&daemon.turnout(&["history"]));
    assert_eq!(said.matches("TAKEN BACK ").count(), 1, "{said}");

    // What was taken back is not tried again by itself, and is where somebody asks for it.
    let said = deploy(&daemon, &[&shop.site.name], 1);
    assert!(said.contains("was taken back"), "{said}");
    deploy(&daemon, &[&shop.site.name, "--commit", &shop.site.remote.head()], 0);
    load.wait_for("two", 50);

    // A push waits for the bake, `promote` ends it.
    shop.site.write("page", "three");
    let id = shop.site.push_to(&daemon, "three");
    wait_until("the push to wait", PATIENCE, || {
        let status = all_of(&daemon.turnout(&["status"]));
        if status.contains("wait for the bake") { Ok(()) } else { Err(status) }
    });
    let said = all_of(&daemon.turnout(&["promote", &shop.site.name]));
    assert!(said.contains("stays live"), "{said}");
    daemon.expect_success(id);
    load.wait_for("three", 50);
    all_of(&daemon.turnout(&["promote", &shop.site.name]));

    // Afterwards the colour before is started again.
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains("was brought back and is live"), "{said}");
    load.wait_for("two", 50);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    assert_eq!(shop.workers(), 1);
}

#[test]
fn a_kept_colour_whose_network_was_removed_is_brought_back() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    let red = shop.site.red();
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    daemon.expect_success(shop.push(&daemon, "two"));
    shop.at_rest(&red);
    docker::remove_network(&format!("{red}_default"));
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains("was brought back and is live"), "{said}\n{}", daemon.output());
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);
    assert_eq!(load.end().bad, Vec::<String>::new());
    assert_eq!((shop.running(&red, "web"), shop.workers()), (1, 1));
}

#[test]
fn a_colour_that_falls_while_it_bakes_is_taken_back() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1h }", &[]);
    let (red, blue) = (shop.site.red(), shop.site.blue());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    daemon.expect_success(shop.push(&daemon, "two"));
    // The worker ends again and again; requests are answered as before.
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("two", 20);
    let worker = shop.site.container(&blue, "worker");
    docker::block_on(async {
        let engine = bollard::Docker::connect_with_local_defaults().unwrap();
        let update = bollard::models::ContainerUpdateBody {
            restart_policy: Some(bollard::models::RestartPolicy {
                name: Some(bollard::models::RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ..Default::default()
        };
        engine.update_container(&worker, update).await.unwrap();
        let kill = bollard::query_parameters::KillContainerOptions { signal: "KILL".to_owned() };
        engine.kill_container(&worker, Some(kill)).await.unwrap();
    });
    load.wait_for("one", 50);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    wait_until("the colour that fell to be at rest", PATIENCE, || match (shop.running(&blue, "web"), shop.workers()) {
        (0, 1) => Ok(()),
        other => Err(other),
    });
    assert_eq!(colour(&daemon, &shop, "live"), Some((red, "live".to_owned())));
    assert!(daemon.output().contains("going back"), "{}", daemon.output());
}

/// Project and state of a colour, as `turnout status --json` has them.
fn colour(daemon: &common::daemon::Daemon, shop: &Switched, which: &str) -> Option<(String, String)> {
    let status = daemon.turnout_json(&["status", "--json"]);
    let repos = status["repos"].as_array().unwrap();
    let repo: &Value = repos.iter().find(|repo| repo["name"] == shop.site.name.as_str()).unwrap();
    let one = &repo[which];
    Some((one["project"].as_str()?.to_owned(), one["state"].as_str()?.to_owned()))
}

/// Waits until the bake is over.
fn over(daemon: &common::daemon::Daemon, shop: &Switched) {
    wait_until("the bake to be over", PATIENCE, || match colour(daemon, shop, "previous") {
        Some((_, state)) if state == "kept" => Ok(()),
        other => Err(other),
    });
}
