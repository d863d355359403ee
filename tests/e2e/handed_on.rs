//! Services that take from each other what there is once: a container's name; and such as live in another's network.

use std::collections::BTreeMap;

use crate::{common, e2e_support};
use common::docker;
use e2e_support::{Site, all_of, deploy, idle};

/// Running containers of the site: name by service.
fn running(site: &Site) -> BTreeMap<String, String> {
    let containers =
        docker::containers(&site.red()).into_iter().filter(|c| c.state.as_ref().unwrap().to_string() == "running");
    containers
        .map(|c| {
            let service = c.labels.unwrap()["com.docker.compose.service"].clone();
            (service, c.names.unwrap()[0].trim_start_matches('/').to_owned())
        })
        .collect()
}

#[test]
fn container_names_are_handed_on_within_one_commit() {
    let site = Site::new(&[("README", "to come\n")]);
    let (x, y) = (format!("x{}", site.name), format!("y{}", site.name));
    let commit = |names: &[(&str, &str)]| {
        let services =
            names.iter().map(|(service, name)| format!("  {service}:\n{}    container_name: {name}\n", idle()));
        site.write("compose.yaml", &format!("services:\n{}", services.collect::<String>()));
    };
    commit(&[("b", &x)]);
    site.remote.commit_and_push("One");
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let steps: [&[(&str, &str)]; 4] = [
        // To a later service, back and round in a circle, to an earlier one, and from one that is gone.
        &[("b", &y), ("c", &x)],
        &[("b", &x), ("c", &y)],
        &[("a", &x), ("b", &y)],
        &[("b", &x), ("d", &y)],
    ];
    for (number, names) in steps.into_iter().enumerate() {
        commit(names);
        let id = site.push_to(&daemon, &format!("Step {number}"));
        daemon.expect_success(id);
        let wanted: BTreeMap<String, String> = names.iter().map(|(s, n)| ((*s).to_owned(), (*n).to_owned())).collect();
        assert_eq!(running(&site), wanted);
    }
}

/// When a container was started, and its network namespace.
fn life(id: &str) -> (String, std::path::PathBuf) {
    let state =
        docker::block_on(async { docker::connect().await.inspect_container(id, None).await.unwrap().state.unwrap() });
    let space = std::fs::read_link(format!("/proc/{}/ns/net", state.pid.unwrap())).unwrap();
    (state.started_at.unwrap(), space)
}

#[test]
fn a_sharer_left_in_the_network_of_an_owner_that_was_restarted_is_restarted() {
    let compose = format!("services:\n  a:\n{0}  b:\n{0}    network_mode: service:a\n  c:\n{0}", idle());
    let site = Site::new(&[("compose.yaml", &compose)]);
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let [a, b, c] = ["a", "b", "c"].map(|service| site.container(&site.red(), service));
    let bystander = life(&c);
    docker::block_on(async { docker::connect().await.restart_container(&a, None).await.unwrap() });
    assert_ne!(life(&a).1, life(&b).1, "the fault is not there");

    let said = all_of(&daemon.turnout(&["plan", &site.name]));
    assert!(said.contains("lives in namespaces of a that are gone: a was started again after it"), "{said}");
    deploy(&daemon, &[&site.name], 0);
    assert_eq!(life(&a).1, life(&b).1);
    assert_eq!(life(&c), bystander);
    assert_eq!(site.container(&site.red(), "b"), b);

    let before = life(&b);
    deploy(&daemon, &[&site.name], 0);
    assert_eq!(life(&b), before);
}
