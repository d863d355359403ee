//! Containers that somebody changed with the engine's own commands: their labels say that all is as before.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use crate::{common, e2e_support};
use bollard::{
    models::{
        ContainerUpdateBody, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest, RestartPolicy,
        RestartPolicyNameEnum,
    },
    query_parameters::StopContainerOptionsBuilder,
};
use common::{PATIENCE, docker, unique, wait_until};
use e2e_support::{Site, all_of, deploy, idle, log};

/// Three bytes of an address range that no other test, in this run or another, is likely to have.
fn net() -> String {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(unique("net"));
    let [first, second, ..] = hash.to_be_bytes();
    format!("10.{}.{second}", 128 | first)
}

/// All that can be changed on a container, asked for in a file; and a service that asks for nothing.
fn bounded() -> Site {
    let (idle, net) = (idle(), net());
    Site::new(&[(
        "compose.yaml",
        &format!(
            "services:\n  \
             bounded:\n{idle}    restart: unless-stopped\n    mem_limit: 64m\n    mem_reservation: 32m\n    cpus: 0.5\n    \
             cpu_shares: 512\n    cpuset: \"0\"\n    pids_limit: 100\n    blkio_config: {{ weight: 300 }}\n    \
             networks: {{ back: {{ aliases: [inner] }}, front: {{ ipv4_address: {net}.9 }} }}\n  \
             quota:\n{idle}    restart: on-failure:3\n    cpu_period: 50000\n    cpu_quota: 25000\n    \
             networks: [back]\n  \
             swapping:\n{idle}    mem_limit: 64m\n    memswap_limit: 96m\n    pids_limit: -1\n    networks: [back]\n  \
             deployed:\n{idle}    deploy: {{ resources: {{ limits: {{ memory: 50M, cpus: '0.25', pids: 50 }} }}, \
             restart_policy: {{ condition: on-failure, max_attempts: 2 }} }}\n    networks: [back]\n  \
             free:\n{idle}    networks: [back]\n  \
             hosted:\n{idle}    network_mode: none\n    restart: \"no\"\n\
             networks:\n  back: {{}}\n  front: {{ ipam: {{ config: [{{ subnet: {net}.0/24 }}] }} }}\n"
        ),
    )])
}

fn update(id: &str, body: ContainerUpdateBody) {
    docker::block_on(async {
        docker::connect().await.update_container(id, body).await.unwrap();
    });
}

fn restart(name: RestartPolicyNameEnum) -> ContainerUpdateBody {
    let policy = RestartPolicy { name: Some(name), maximum_retry_count: None };
    ContainerUpdateBody { restart_policy: Some(policy), ..Default::default() }
}

#[test]
fn what_was_just_made_is_as_configured() {
    let site = bounded();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");
}

#[test]
fn what_was_changed_on_a_container_is_told_and_undone() {
    let site = bounded();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let id = |service: &str| site.container(&site.red(), service);
    let (memory, cpus) = (
        ContainerUpdateBody { memory: Some(80 << 20), memory_swap: Some(160 << 20), ..Default::default() },
        250_000_000,
    );
    let changes = [
        ("bounded", memory, "memory limit is 80 MiB on the container, configured is 64 MiB"),
        (
            "quota",
            restart(RestartPolicyNameEnum::NO),
            "restart policy is no on the container, configured is on-failure:3",
        ),
        (
            "free",
            ContainerUpdateBody { nano_cpus: Some(cpus), ..Default::default() },
            "CPU limit is 0.25 on the container, configured is none",
        ),
        (
            "hosted",
            restart(RestartPolicyNameEnum::ALWAYS),
            "restart policy is always on the container, configured is no",
        ),
    ];
    for (service, change, words) in changes {
        let others: Vec<String> =
            ["bounded", "quota", "free", "hosted"].into_iter().filter(|s| *s != service).map(id).collect();
        let before = id(service);
        update(&before, change);
        let plan = all_of(&daemon.turnout(&["plan", &site.name]));
        assert!(plan.contains(words), "{plan}");
        let said = deploy(&daemon, &[&site.name], 0);
        assert!(said.contains(words) && said.contains("1 recreated"), "{said}");
        assert_ne!(id(service), before);
        let after: Vec<String> =
            ["bounded", "quota", "free", "hosted"].into_iter().filter(|s| *s != service).map(id).collect();
        assert_eq!(others, after, "{said}");
        let said = deploy(&daemon, &[&site.name], 0);
        assert!(said.contains("everything runs as configured"), "{said}");
    }
}

#[test]
fn a_network_that_was_attached_by_hand_has_the_names_again() {
    let site = bounded();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    for (network, words) in [("back", "without the name"), ("front", "without the address 10.")] {
        let id = site.container(&site.red(), "bounded");
        let name = format!("{}_{network}", site.red());
        // With the names, where the address alone is to be missed.
        let aliases = (network == "front").then(|| vec!["bounded".to_owned(), format!("{}-bounded-1", site.red())]);
        docker::block_on(async {
            let engine = docker::connect().await;
            let off = NetworkDisconnectRequest { container: id.clone(), force: None };
            engine.disconnect_network(&name, off).await.unwrap();
            let settings = EndpointSettings { aliases, ..Default::default() };
            let on = NetworkConnectRequest { container: id.clone(), endpoint_config: Some(settings) };
            engine.connect_network(&name, on).await.unwrap();
        });
        let said = deploy(&daemon, &[&site.name], 0);
        assert!(said.contains(words) && said.contains("1 recreated"), "{said}");
        assert_ne!(site.container(&site.red(), "bounded"), id);
        let said = deploy(&daemon, &[&site.name], 0);
        assert!(said.contains("everything runs as configured"), "{said}");
    }
}

/// A worker whose stop looks like the end of a job is not counted as running without a word.
#[test]
fn a_worker_that_was_stopped_is_mentioned() {
    let worker = "services:\n  worker:\n    image: \"@BASE\"\n    command: [sh, -c, \"trap 'exit 0' TERM; while :; do sleep \
                  0.1; done\"]\n  job:\n    image: \"@BASE\"\n    restart: \"no\"\n    command: [\"true\"]\n";
    let site = Site::new(&[("compose.yaml", worker)]);
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");
    let id = site.container(&site.red(), "worker");
    docker::block_on(async {
        let options = StopContainerOptionsBuilder::default().t(60).build();
        docker::connect().await.stop_container(&id, Some(options)).await.unwrap();
    });
    wait_until("the worker to have ended", PATIENCE, || {
        let containers = docker::containers(&site.red());
        let state = containers.iter().find(|c| c.id.as_ref() == Some(&id)).and_then(|c| c.status.clone());
        if state.as_deref().is_some_and(|s| s.starts_with("Exited (0)")) { Ok(()) } else { Err(format!("{state:?}")) }
    });
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("worker ended with exit code 0 and counts as a job that is done"), "{said}");
    assert!(!said.contains("everything runs as configured"), "{said}");
}

/// What a new image has where an anonymous volume goes on is not seen; that is said.
#[test]
fn anonymous_volumes_that_go_on_are_named() {
    let file = |label: &str| {
        format!("services:\n  web:\n{}    volumes: [/modules]\n    labels: {{ version: \"{label}\" }}\n", idle())
    };
    let site = Site::new(&[("compose.yaml", &file("1"))]);
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    site.write("compose.yaml", &file("2"));
    let id = site.push_to(&daemon, "Two");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    assert!(said.contains("what its anonymous volumes hold goes on: /modules"), "{said}");
    assert!(said.contains(&format!("{}-web-1 is replaced: labels changed", site.red())), "{said}");
}

/// Who lives in the namespaces of another stack's container follows it to the next one.
#[test]
fn namespaces_of_another_projects_container_are_followed() {
    let name = unique("altered-owner");
    let owner = |label: &str| {
        format!(
            "services:\n  vpn:\n{}    container_name: {name}\n    labels: {{ version: \"{label}\" }}\n    volumes: [/shared]\n",
            idle()
        )
    };
    let site = Site::new(&[("compose.yaml", &owner("1"))]);
    let guests = format!(
        "services:\n  net:\n{idle}    network_mode: \"container:{name}\"\n  pid:\n{idle}    pid: \"container:{name}\"\n  \
         vol:\n{idle}    volumes_from: [\"container:{name}\"]\n",
        idle = idle().replace("    init: true\n", "")
    );
    let guest = Site::new(&[("compose.yaml", &guests)]);
    let yaml = [site.entry(&[]), guest.entry(&[])].concat();
    let daemon = common::daemon::Daemon::start_with(&yaml, e2e_support::QUICK, &[]);
    deploy(&daemon, &[&site.name], 0);
    deploy(&daemon, &[&guest.name], 0);
    let said = deploy(&daemon, &[&guest.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");

    site.write("compose.yaml", &owner("2"));
    let id = site.push_to(&daemon, "Two");
    daemon.expect_success(id);
    let said = deploy(&daemon, &[&guest.name], 0);
    for (service, words) in [("net", "lives in the network of"), ("pid", "lives in the PID namespace of")] {
        assert!(said.contains(&format!("{}-{service}-1 is replaced: {words} container {name}", guest.red())), "{said}");
    }
    // Its anonymous volume went on with it.
    assert!(!said.contains("whose volumes it uses"), "{said}");
    let said = deploy(&daemon, &[&guest.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");

    // The same container, started again: its namespaces are others.
    let vpn = site.container(&site.red(), "vpn");
    docker::block_on(async {
        docker::connect().await.restart_container(&vpn, None).await.unwrap();
    });
    let said = deploy(&daemon, &[&guest.name], 0);
    assert!(said.contains("which was started again after it"), "{said}");
    let said = deploy(&daemon, &[&guest.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");
}

#[test]
fn a_container_that_was_renamed_gets_its_name_again() {
    let name = unique("altered-name");
    let file = format!("services:\n  own:\n{}    container_name: {name}\n  web:\n{}", idle(), idle());
    let site = Site::new(&[("compose.yaml", &file)]);
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    for service in ["own", "web"] {
        let id = site.container(&site.red(), service);
        let other = unique("altered-other");
        docker::block_on(async {
            let options = bollard::query_parameters::RenameContainerOptionsBuilder::default().name(&other).build();
            docker::connect().await.rename_container(&id, options).await.unwrap();
        });
        let said = deploy(&daemon, &[&site.name], 0);
        assert!(said.contains("1 renamed"), "{said}");
        assert_eq!(site.container(&site.red(), service), id);
    }
    let names: Vec<String> = docker::containers(&site.red()).into_iter().flat_map(|c| c.names.unwrap()).collect();
    assert!(names.contains(&format!("/{name}")) && names.contains(&format!("/{}-web-1", site.red())), "{names:?}");
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");
}
