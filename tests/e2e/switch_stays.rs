//! What stays, with blue/green.

use crate::{common, e2e_support};
use common::docker;
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

fn of_db(shop: &Switched) -> bollard::models::ContainerInspectResponse {
    let id = shop.site.container(&shop.site.name, "db");
    docker::block_on(async {
        let engine = docker::connect().await;
        engine.inspect_container(&id, None::<bollard::query_parameters::InspectContainerOptions>).await.unwrap()
    })
}
