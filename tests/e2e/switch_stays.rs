//! What stays, with blue/green; and what becomes of a bake whose repository is taken out of the list.

use crate::{common, e2e_support};
use common::{PATIENCE, docker, wait_until};
use e2e_support::{load::Load, switched::Switched};

/// Clients that ask while something is done.
const CLIENTS: usize = 4;

#[test]
fn a_shared_service_that_fails_its_replacement_is_put_back_as_it_was() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let before = of_db(&shop);
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);

    shop.site.remote.replace(
        "docker-compose.prod.yml",
        "command: [sleep, \"1000\"]\n    init: true\n    stop_grace_period: 1s\n    volumes",
        "command: [sh, -c, \"exit 3\"]\n    init: true\n    stop_grace_period: 1s\n    volumes",
    );
    let failed = daemon.expect_failure(shop.push(&daemon, "two"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("what stays was put back as it was"), "{error}");
    let after = of_db(&shop);
    assert_ne!(after.id, before.id, "it was replaced, and made again");
    let body = |one: &bollard::models::ContainerInspectResponse| {
        let (config, host) = (one.config.clone().unwrap(), one.host_config.clone().unwrap());
        let networks = one.network_settings.clone().unwrap().networks.unwrap();
        let mut networks: Vec<String> = networks.into_keys().collect();
        networks.sort();
        (
            config.cmd,
            config.env,
            config.labels,
            host.binds,
            host.mounts,
            host.restart_policy,
            networks,
            one.image.clone(),
        )
    };
    assert_eq!(body(&after), body(&before));
    assert_eq!(after.state.as_ref().unwrap().running, Some(true));
    load.wait_for("one", 20);
    assert_eq!(load.end().bad, Vec::<String>::new());

    // A commit that has it as before has nothing to do about it.
    shop.site.remote.replace("docker-compose.prod.yml", "[sh, -c, \"exit 3\"]", "[sleep, \"1000\"]");
    daemon.expect_success(shop.push(&daemon, "three"));
    assert_eq!(of_db(&shop).id, after.id);
}

#[test]
fn a_bake_ends_although_its_repository_was_taken_out_of_the_list() {
    let shop = Switched::new("one");
    let (_proxy, mut daemon) = shop.serve("{ bake: 4s }", &[]);
    let (red, blue) = (shop.site.red(), shop.site.blue());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    daemon.expect_success(shop.push(&daemon, "two"));
    std::fs::write(daemon.repos_yaml(), "{}\n").unwrap();
    // Whoever starts the daemon anew meanwhile finds no entry either.
    daemon.kill();
    daemon.restart();
    daemon.says("is in the list no more");
    wait_until("the colour before to be stopped", PATIENCE, || {
        match (shop.running(&red, "web"), shop.running(&blue, "web"), shop.workers()) {
            (0, 1, 1) => Ok(()),
            other => Err(format!("{other:?}\n{}", daemon.output())),
        }
    });
    daemon.says("the bake is over");
    load.wait_for("two", 20);
    // And back in the list it is deployed as before.
    std::fs::write(daemon.repos_yaml(), shop.entry("{ bake: 1s }")).unwrap();
    wait_until("the entry to count", PATIENCE, || {
        let status = daemon.turnout_json(&["status", "--json"]);
        if status["repos"].as_array().is_some_and(|repos| repos.len() == 1) { Ok(()) } else { Err(status) }
    });
    daemon.expect_success(shop.push(&daemon, "three"));
    load.wait_for("three", 20);
    assert_eq!(load.end().bad, Vec::<String>::new());
}

fn of_db(shop: &Switched) -> bollard::models::ContainerInspectResponse {
    let id = shop.site.container(&shop.site.name, "db");
    docker::block_on(async {
        let engine = docker::connect().await;
        engine.inspect_container(&id, None::<bollard::query_parameters::InspectContainerOptions>).await.unwrap()
    })
}
