//! A next colour gets its share of the requests, step by step, before it gets all of them. The share is about what was said, status
//! says it as the proxy has it, and whatever ends it (a person, a newer push, a fall, a crash) costs no request.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{all_of, load::Load, log, switched::Switched, waits};

/// Clients that ask all the while. They keep no cookie, so each request of theirs is drawn anew.
const CLIENTS: usize = 4;
/// Answers that are counted, and how far in hundredths the share may lie from what was said: ten times what chance does.
const COUNTED: u64 = 600;
const TOLERANCE: u64 = 12;

const STEPS: &str = "steps: [{ weight: 20, for: 1h }, { weight: 50, for: 1h }]";

#[test]
fn a_colour_gets_its_share_step_by_step_and_whatever_ends_it_costs_no_request() {
    let shop = Switched::new("one");
    let (proxy, mut daemon) = shop.serve("{ bake: 1s }", &[]);
    let (name, red, blue) = (shop.site.name.clone(), shop.site.red(), shop.site.blue());
    shop.says(STEPS);
    // The first colour of all has nobody to share with.
    daemon.expect_success(shop.site.push_to(&daemon, "Steps"));
    let plan = all_of(&daemon.turnout(&["plan", &name]));
    assert!(plan.contains("step 2 of 2 before it gets all requests") && plan.contains("50 % of the clients"), "{plan}");
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);
    let old = shop.site.container(&red, "worker");

    let id = shop.push(&daemon, "two");
    waits(&daemon, id, "canary");
    status_says(&daemon, &name, "gets 20 % of the clients, step 1 of 2 until");
    share(&load, "two", 20);
    assert_eq!((shop.site.container(&red, "worker"), shop.workers()), (old, 1), "what must not run twice does not");
    stays_with(shop.web);
    let said = all_of(&daemon.turnout(&["preview", &name]));
    assert!(said.contains("is ready and gets 20 % of the clients"), "{said}");

    // The daemon dies in the middle of it.
    daemon.kill();
    share(&load, "two", 20);
    daemon.restart();
    waits(&daemon, id, "canary");
    status_says(&daemon, &name, "gets 20 % of the clients, step 1 of 2 until");

    // A pause keeps what it has; the next step is somebody's, or its time's.
    assert!(all_of(&daemon.turnout(&["pause", &name])).contains("is paused"));
    waits(&daemon, id, "paused");
    share(&load, "two", 20);
    assert!(all_of(&daemon.turnout(&["resume", &name])).contains("goes on"));
    waits(&daemon, id, "canary");
    let said = all_of(&daemon.turnout(&["promote", &name]));
    assert!(said.contains(&format!("deployment {id} goes on with step 2 of 2")), "{said}");
    status_says(&daemon, &name, "gets 50 % of the clients, step 2 of 2 until");
    share(&load, "two", 50);

    // After the last step come all of them.
    let said = all_of(&daemon.turnout(&["promote", &name]));
    assert!(said.contains(&format!("{blue} is live")) && said.contains("succeeded"), "{said}");
    // What it had said before somebody asked is not said again.
    assert!(!said.contains("fetch"), "{said}");
    shop.at_rest(&red);
    gone(&load, "one", "two");
    assert_eq!((shop.workers(), shop.running(&blue, "worker")), (1, 1));

    // A push in the middle of a canary takes its place.
    let former = shop.push(&daemon, "three");
    waits(&daemon, former, "canary");
    share(&load, "three", 20);
    let newer = shop.push(&daemon, "four");
    waits(&daemon, newer, "canary");
    assert_eq!(daemon.deployment(former).unwrap()["state"], "superseded");
    gone(&load, "three", "two");
    share(&load, "four", 20);

    // Somebody calls it off.
    assert!(all_of(&daemon.turnout(&["abort", &name])).contains("is called off"));
    shop.at_rest(&red);
    gone(&load, "four", "two");
    assert_eq!(daemon.wait_for_deployment(newer)["state"], "cancelled");

    // All at once, whatever steps are left.
    let id = shop.push(&daemon, "five");
    waits(&daemon, id, "canary");
    assert!(all_of(&daemon.turnout(&["promote", &name, "--full"])).contains(&format!("{red} is live")));
    shop.at_rest(&blue);

    // Nobody has to do anything.
    shop.says("steps: [{ weight: 10, for: 1s }, { weight: 50, for: 1s }]");
    let id = shop.push(&daemon, "six");
    daemon.expect_success(id);
    let log = log(&daemon, id);
    let has = |percent: u64| log.contains(&format!("{blue} has {percent} % of the clients"));
    assert!(has(10) && has(50) && log.contains("all requests go to the next colour now"), "{log}");
    gone(&load, "five", "six");
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    shop.at_rest(&red);

    dies(&shop, &mut daemon, &proxy);
}

/// The proxy dies in the middle of a canary, without and with its file, and then the colour does.
fn dies(shop: &Switched, daemon: &mut Daemon, proxy: &e2e_support::switched::ProxyGuard) {
    let (name, red) = (&shop.site.name, shop.site.red());
    shop.says(STEPS);
    let id = shop.push(daemon, "seven");
    waits(daemon, id, "canary");
    proxy.kill();
    status_says(daemon, name, "gets 20 % of the clients");
    // While nobody is there to start it again, its files are lost.
    daemon.kill();
    proxy.kill();
    for file in std::fs::read_dir(daemon.state_dir().join("proxy")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }
    daemon.restart();
    status_says(daemon, name, "gets 20 % of the clients, step 1 of 2 until");
    let load = Load::on(shop.web, CLIENTS);
    share(&load, "seven", 20);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    waits(daemon, id, "canary");

    let web = shop.site.container(&red, "web");
    docker::block_on(async {
        let engine = bollard::Docker::connect_with_local_defaults().unwrap();
        let kill = bollard::query_parameters::KillContainerOptions { signal: "KILL".to_owned() };
        engine.kill_container(&web, Some(kill)).await.unwrap();
    });
    let failed = daemon.expect_failure(id);
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("had 20 % of the clients") && error.contains("given up"), "{error}");
    shop.at_rest(&red);
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("six", 100);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new());
    assert_eq!(came.good.keys().collect::<Vec<_>>(), ["six"]);
}

/// Of the requests from now on about so many of a hundred are answered by this version.
pub fn share(load: &Load, version: &str, percent: u64) {
    let of = |good: &std::collections::BTreeMap<String, u64>| {
        (good.get(version).copied().unwrap_or_default(), good.values().sum::<u64>())
    };
    let before = of(&load.came().good);
    wait_until(&format!("{COUNTED} answers"), PATIENCE, || match of(&load.came().good).1 {
        all if all >= before.1 + COUNTED => Ok(()),
        all => Err(all),
    });
    let came = load.came();
    let after = of(&came.good);
    let found = (after.0 - before.0) * 100 / (after.1 - before.1);
    println!("{version}: {found} % of {}, where {percent} % were said", after.1 - before.1);
    assert!(found.abs_diff(percent) <= TOLERANCE, "{version} had {found} %, not about {percent} %: {came:?}");
}

/// Nobody is answered by a version any more, while another one answers.
pub fn gone(load: &Load, version: &str, by: &str) {
    // What was under way is over.
    load.wait_for(by, 20);
    let before = load.came().good.get(version).copied();
    load.wait_for(by, 50);
    assert_eq!(load.came().good.get(version).copied(), before, "{version} still answers");
}

/// Who keeps the cookie that the proxy gives stays with its colour, be it the one or the other.
fn stays_with(to: SocketAddr) {
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let (cookie, version) = ask(to, "");
        let cookie = cookie.expect("a client without a cookie is given one");
        for _ in 0..10 {
            assert_eq!(ask(to, &format!("Cookie: {cookie}\r\n")), (None, version.clone()));
        }
        if met.insert(version) && met.len() == 2 {
            return;
        }
    }
    panic!("only one of two colours was met: {met:?}");
}

/// The cookie that is given, and the body.
fn ask(to: SocketAddr, lines: &str) -> (Option<String>, String) {
    let mut stream = TcpStream::connect(to).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n{lines}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let set = answer
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let cookie = set.and_then(|(_, value)| value.split(';').next()).map(str::to_owned);
    (cookie, answer.trim_end().lines().last().unwrap_or_default().to_owned())
}

pub fn status_says(daemon: &Daemon, name: &str, what: &str) {
    wait_until(&format!("status to say {what}"), PATIENCE, || {
        let status = all_of(&daemon.turnout(&["status", name]));
        if status.contains(what) { Ok(()) } else { Err(status) }
    });
}
