//! What else is on the machine while colours change: several replicas, and strangers that have the name of a network or a colour's port.

use std::{collections::BTreeSet, net::TcpListener};

use bollard::models::NetworkCreateRequest;

use crate::{common, e2e_support};
use common::{PATIENCE, docker, wait_until};
use e2e_support::{all_of, load::Load, switched::Switched};

/// Clients that ask all the while.
const CLIENTS: usize = 6;
/// Which container answers, and of which version.
const WHO: &str = "/cgi-bin/who";
const APP: &str = "mkdir -p /www/cgi-bin
cp /app/page /www/index.html
echo \"$HOSTNAME\" > /www/host
cp /app/who /www/cgi-bin/who
chmod 755 /www/cgi-bin/who
exec httpd -f -p 8000 -h /www
";
const TELLS: &str = r#"#!/bin/sh
read page < /app/page
read host < /www/host
said="$page $host"
printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "${#said}" "$said"
"#;

/// Waits until each of so many containers of a version has answered.
fn all_answer(load: &Load, version: &str, replicas: usize) {
    wait_until(&format!("answers of {replicas} containers of {version:?}"), PATIENCE, || {
        let came = load.came();
        let who: BTreeSet<&String> = came.good.keys().filter(|said| said.starts_with(version)).collect();
        if who.len() == replicas { Ok(()) } else { Err((who.len(), came.good.clone(), came.bad.clone())) }
    });
}

#[test]
fn three_replicas_get_requests_a_switch_loses_none_and_all_three_go() {
    let more = "    stop_grace_period: 1s\n    deploy: { replicas: 3 }\n";
    let shop = Switched::alone("one\n", APP, more, &[("who", TELLS)]);
    let (_proxy, daemon) = shop.serve("{ bake: 1s, keep: 1s }", &[]);
    let (red, blue) = (shop.site.red(), shop.site.blue());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::asking(shop.web, WHO, CLIENTS);
    all_answer(&load, "one ", 3);
    daemon.expect_success(shop.push(&daemon, "two\n"));
    all_answer(&load, "two ", 3);
    assert_eq!(shop.running(&blue, "web"), 3);
    wait_until("all of the colour before to be gone", PATIENCE, || match docker::containers(&red).len() {
        0 => Ok(()),
        left => Err(format!("{left}\n{}", daemon.output())),
    });
    // And one of them less, which is another colour as well.
    shop.site.remote.replace("docker-compose.prod.yml", "replicas: 3", "replicas: 2");
    daemon.expect_success(shop.push(&daemon, "three\n"));
    all_answer(&load, "three ", 2);
    let came = load.end();
    println!("{:?}, the longest after {:?}", came.good, came.longest);
    assert_eq!(came.bad, Vec::<String>::new());
}

#[test]
fn a_network_that_cannot_be_made_is_named_and_the_live_colour_answers() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);

    // Somebody else's, of the very name that the next colour's would have.
    let taken = format!("{}_default", shop.site.blue());
    let of_other =
        [(docker::PROJECT.to_owned(), shop.site.blue()), ("com.docker.compose.network".to_owned(), "other".to_owned())];
    make_network(NetworkCreateRequest { name: taken.clone(), labels: Some(of_other.into()), ..Default::default() });
    let failed = daemon.expect_failure(shop.push(&daemon, "two"));
    let error = failed["error"].as_str().unwrap();
    println!("{error}");
    assert!(error.contains(&taken) && error.contains("incorrect label"), "{error}");
    shop.expect_whole(&daemon, "a network whose name is taken");
    docker::block_on(async { docker::connect().await.remove_network(&taken).await.unwrap() });

    // No addresses are left: both colours would have the same.
    let file = "docker-compose.prod.yml";
    let text = std::fs::read_to_string(shop.site.remote.work_dir().join(file)).unwrap();
    shop.site
        .write(file, &format!("{text}networks: {{ default: {{ ipam: {{ config: [{{ subnet: {SUBNET} }}] }} }} }}\n"));
    let other = format!("other{}", shop.site.name);
    make_network(NetworkCreateRequest {
        name: other.clone(),
        labels: Some([(docker::PROJECT.to_owned(), shop.site.blue())].into()),
        ipam: Some(bollard::models::Ipam {
            config: Some(vec![bollard::models::IpamConfig { subnet: Some(SUBNET.to_owned()), ..Default::default() }]),
            ..Default::default()
        }),
        ..Default::default()
    });
    let ended = daemon.wait_for_deployment(shop.push(&daemon, "three"));
    println!("{}: {}", ended["state"], ended["error"]);
    shop.expect_whole(&daemon, "a network whose addresses are taken");
    load.wait_for(if ended["state"] == "succeeded" { "three" } else { "one" }, 20);
    assert_eq!(load.end().bad, Vec::<String>::new());
    docker::block_on(async { docker::connect().await.remove_network(&other).await.unwrap() });
}

/// Private, and of nobody here.
const SUBNET: &str = "10.213.77.0/29";

fn make_network(wanted: NetworkCreateRequest) {
    docker::block_on(async { docker::connect().await.create_network(wanted).await.unwrap() });
}

#[test]
fn a_kept_colour_whose_port_a_stranger_has_is_not_brought_back_and_the_live_one_answers() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    let (red, name) = (shop.site.red(), shop.site.name.clone());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 20);
    shop.expect_whole(&daemon, "the switch");
    let port = published(&shop.site.container(&red, "web"));
    let stranger = wait_until("the port to be free", PATIENCE, || TcpListener::bind(("127.0.0.1", port)));

    let said = daemon.turnout(&["rollback", &name]);
    let text = all_of(&said);
    println!("{text}");
    assert_ne!(said.status.code(), Some(0), "{text}");
    assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("free the port"), "{text}");
    shop.expect_whole(&daemon, "a way back that came to nothing");
    load.wait_for("two", 20);

    drop(stranger);
    let said = daemon.turnout(&["rollback", &name]);
    assert_eq!(said.status.code(), Some(0), "{}", all_of(&said));
    load.wait_for("one", 20);
    assert_eq!(load.end().bad, Vec::<String>::new());
}

/// The port of this machine on which a container that stands still is published.
fn published(container: &str) -> u16 {
    let found = docker::block_on(async { docker::connect().await.inspect_container(container, None).await.unwrap() });
    let ports = found.host_config.and_then(|host| host.port_bindings).unwrap();
    let all = ports.into_values().flatten().flatten();
    all.filter_map(|one| one.host_port).find_map(|port| port.parse().ok()).expect("it is published")
}
