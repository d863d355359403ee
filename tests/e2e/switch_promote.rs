//! A next colour that is ready and waits: for a person, or for its time. It gets no request before, and whatever speaks against it
//! ends the wait with the live colour as it was.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::{common, e2e_support};
use common::{daemon::Daemon, docker};
use e2e_support::{all_of, load::Load, log, switched::Switched, waits};

/// Clients that ask all the while.
const CLIENTS: usize = 4;

#[test]
fn a_colour_that_waits_gets_no_request_until_it_is_promoted_and_outlives_the_daemon() {
    let shop = Switched::new("one");
    let (_proxy, mut daemon) = shop.serve("{ bake: 1s }", &[]);
    let (name, red, blue) = (shop.site.name.clone(), shop.site.red(), shop.site.blue());
    // What the Compose file says can be pushed.
    shop.says("promote: manual");
    // The first colour of all waits for nobody.
    daemon.expect_success(shop.site.push_to(&daemon, "It waits"));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);
    let old = shop.site.container(&red, "worker");

    let id = shop.push(&daemon, "two");
    waits(&daemon, id, "wait for promotion");
    let said = all_of(&daemon.turnout(&["preview", &name]));
    assert!(said.contains(&format!("{blue} (")) && said.contains("gets no requests yet"), "{said}");
    let place = said.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect(&said).to_owned();
    assert!(page(&place).ends_with("two"), "the next colour is reached at {place}");
    let status = all_of(&daemon.turnout(&["status", &name]));
    assert!(status.contains("waits to be promoted"), "{status}");

    // Neither a pause nor a crash moves anything, and neither loses it.
    let said = all_of(&daemon.turnout(&["pause", &name]));
    assert!(said.contains(&format!("deployment {id} is paused")), "{said}");
    waits(&daemon, id, "paused");
    let said = all_of(&daemon.turnout(&["pause", &name]));
    assert!(said.contains("waits to be paused: it is paused"), "{said}");
    daemon.kill();
    daemon.restart();
    waits(&daemon, id, "paused");
    assert!(all_of(&daemon.turnout(&["resume", &name])).contains("goes on"));
    waits(&daemon, id, "wait for promotion");
    load.wait_for("one", 50);
    assert_eq!(load.came().good.keys().collect::<Vec<_>>(), ["one"], "no request goes there before");
    assert_eq!((shop.site.container(&red, "worker"), shop.workers()), (old, 1));

    let said = all_of(&daemon.turnout(&["promote", &name]));
    assert!(said.contains(&format!("{blue} is live")) && said.contains("succeeded"), "{said}");
    daemon.expect_success(id);
    load.wait_for("two", 20);
    assert_eq!((shop.workers(), shop.running(&blue, "worker")), (1, 1));
    shop.at_rest(&red);

    // A push takes the place of one that waits.
    let former = shop.push(&daemon, "three");
    waits(&daemon, former, "wait for promotion");
    let newer = shop.push(&daemon, "four");
    waits(&daemon, newer, "wait for promotion");
    assert_eq!(daemon.deployment(former).unwrap()["state"], "superseded");

    // One that falls over is given up.
    let web = shop.site.container(&red, "web");
    docker::block_on(async {
        let engine = bollard::Docker::connect_with_local_defaults().unwrap();
        let kill = bollard::query_parameters::KillContainerOptions { signal: "KILL".to_owned() };
        engine.kill_container(&web, Some(kill)).await.unwrap();
    });
    let failed = daemon.expect_failure(newer);
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("ended with exit code 137 while") && error.contains("given up"), "{error}");
    shop.at_rest(&red);

    // So is one that somebody aborts, and its commit may come again.
    let id = shop.push(&daemon, "five");
    waits(&daemon, id, "wait for promotion");
    assert!(all_of(&daemon.turnout(&["abort", &name])).contains("is called off"));
    shop.at_rest(&red);
    assert_eq!(daemon.wait_for_deployment(id)["state"], "cancelled");
    let said = all_of(&daemon.turnout(&["promote", &name]));
    assert!(said.contains("neither does a next colour wait"), "{said}");

    // Nobody comes in time.
    shop.says("promote: manual, promote_deadline: 1s");
    let failed = daemon.expect_failure(shop.push(&daemon, "six"));
    assert!(failed["error"].as_str().unwrap().contains("nobody promoted it in time"), "{failed}");
    shop.at_rest(&red);

    // Nobody has to.
    shop.says("promote: after 1s");
    let id = shop.push(&daemon, "seven");
    daemon.expect_success(id);
    assert!(log(&daemon, id).contains("gets the requests when its time has come"), "{}", log(&daemon, id));
    load.wait_for("seven", 20);

    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    maintenance(&daemon, &shop);
    assert_eq!(came.good.keys().collect::<Vec<_>>(), ["one", "seven", "two"], "only what was promoted was asked");
    assert_eq!(shop.workers(), 1);
}

/// A page in place of all answers, until somebody ends that.
fn maintenance(daemon: &Daemon, shop: &Switched) {
    let (name, web) = (&shop.site.name, shop.web.to_string());
    let written = shop.site.remote.work_dir().join("maintenance.html");
    std::fs::write(&written, "<p>back at noon</p>").unwrap();
    let said = all_of(&daemon.turnout(&["maintain", name, "on", "--page", written.to_str().unwrap()]));
    assert!(said.contains("are answered with 503"), "{said}");
    let answer = page(&web);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("<p>back at noon</p>"), "{answer}");
    assert!(all_of(&daemon.turnout(&["status", name])).contains("IS MAINTAINED"));
    let said = all_of(&daemon.turnout(&["maintain", name, "off"]));
    assert!(said.contains("go to") && page(&web).ends_with("seven"), "{said}");
    assert!(all_of(&daemon.turnout(&["maintain", name, "off"])).contains("was not being maintained"));
}

fn page(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
