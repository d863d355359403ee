//! What requests are answered after a switch is compared with what they were answered before: a colour that fails a share of them is
//! taken back, with figures; a good one is not; and of too few nothing is said.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, wait_until};
use e2e_support::{all_of, deploy, load::Load, switched::Switched};

/// Clients that ask all the while.
const CLIENTS: usize = 4;
/// A page that is answered by a program of the containers'.
const PAGE: &str = "/cgi-bin/answer";

const APP: &str = "mkdir -p /www/cgi-bin
cp /app/page /www/index.html
cp /app/answer /www/cgi-bin/answer
chmod 755 /www/cgi-bin/answer
exec httpd -f -p 8000 -h /www
";

/// The version; of the version `bad` half of the answers are errors: those of the first half of each second.
const ANSWER: &str = r#"#!/bin/sh
read up rest < /proc/uptime
read page < /app/page
case $page-$up in
bad-*.[0-4]*) printf 'HTTP/1.1 500 Broken\r\nContent-Length: 6\r\nConnection: close\r\n\r\nbroken' ;;
*) printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "${#page}" "$page" ;;
esac
"#;

fn shop() -> Switched {
    Switched::alone("one\n", APP, "    restart: unless-stopped\n    stop_grace_period: 1s\n", &[("answer", ANSWER)])
}

/// Pushes a version.
fn push(shop: &Switched, daemon: &Daemon, version: &str) -> i64 {
    shop.push(daemon, &format!("{version}\n"))
}

#[test]
fn a_colour_that_fails_a_share_of_the_requests_is_taken_back_and_a_good_one_stays() {
    let shop = shop();
    let (_proxy, mut daemon) = shop.serve("{ bake: 1h, analysis: { min_requests: 30 } }", &[]);
    let name = shop.site.name.clone();
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::asking(shop.web, PAGE, CLIENTS);
    load.wait_for("one", 60);

    // A good one: it is said how it does, and that is all.
    daemon.expect_success(push(&shop, &daemon, "two"));
    load.wait_for("two", 200);
    let seen = daemon.turnout_json(&["rollout", &name, "--json"]);
    let live = &seen["colours"][0];
    assert_eq!((seen["state"].as_str(), live["state"].as_str()), (Some("bake"), Some("live")), "{seen:#}");
    assert_eq!(live["clients_percent"], 100, "{seen:#}");
    assert!(live["requests_per_second"].as_f64() > Some(0.0) && live["p99_ms"].is_u64(), "{seen:#}");
    assert_eq!((live["failed_percent"].as_f64(), live["failed"].as_u64()), (Some(0.0), Some(0)), "{seen:#}");
    assert!(seen["waits_for"] == "the end of the bake" && seen["waits_ms"].as_i64() > Some(0), "{seen:#}");
    let figures = seen["analysis"].as_str().unwrap();
    assert!(figures.starts_with("5xx or no answer 0.0 % of ") && figures.ends_with(" before"), "{figures}");
    let status = all_of(&daemon.turnout(&["status", &name]));
    assert!(status.contains("answers: 5xx or no answer 0.0 % of "), "{status}");
    watched(&daemon, &name);
    let said = all_of(&daemon.turnout(&["promote", &name]));
    assert!(said.contains("stays live") && said.contains("its answers: 5xx or no answer 0.0 % of "), "{said}");
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);

    // A bad one passes its gate, which asks for another page. Of no request nothing is said.
    let bad = push(&shop, &daemon, "bad");
    daemon.expect_success(bad);
    let seen = daemon.turnout_json(&["rollout", &name, "--json"]);
    assert_eq!(seen["analysis"], "not judged: 0 of the 30 requests that it takes", "{seen:#}");
    // What it is compared with outlives the daemon.
    daemon.kill();
    daemon.restart();
    let load = Load::asking(shop.web, PAGE, CLIENTS);
    load.wait_for("two", 50);
    let came = load.end();
    assert!(came.bad.iter().all(|bad| bad.contains("status 500: broken")), "{:?}", came.bad);
    let one = taken_back(&daemon, bad);
    let fell = one["falls"][0]["said"].as_str().unwrap_or_default();
    assert!(fell.contains("was taken back (answers of ") && fell.contains(" % of "), "{one:#}");
    let before = fell.split("requests, 0.0 % of ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let before = before.and_then(|number| number.replace(',', "").parse::<u64>().ok());
    assert!(before >= Some(200), "it is compared with what the colour before answered: {fell}");
    wait_until("the colour that was taken back to be at rest", PATIENCE, || {
        let status = all_of(&daemon.turnout(&["status", &name]));
        let told = status.contains("taken back: answers of ") && status.contains("5xx or no answer");
        if told && shop.running(&shop.site.red(), "web") + shop.running(&shop.site.blue(), "web") == 1 {
            return Ok(());
        }
        Err(status)
    });

    // It is not tried again by itself; a newer one is.
    let said = deploy(&daemon, &[&name], 1);
    assert!(said.contains("was taken back") && said.contains("5xx or no answer"), "{said}");
    daemon.expect_success(push(&shop, &daemon, "three"));
}

/// The deployment, once its history says that it was taken back.
fn taken_back(daemon: &Daemon, id: i64) -> Value {
    wait_until("the history to say that it was taken back", PATIENCE, || match daemon.deployment(id) {
        Some(one) if !one["falls"][0].is_null() => Ok(one),
        other => Err(format!("{other:#?}\n{}", daemon.output())),
    })
}

/// A rollout that is watched is told in a line each second, and the reader's end is no error.
fn watched(daemon: &Daemon, name: &str) {
    for (arguments, json) in
        [(&["rollout", name, "--watch", "--json"][..], true), (&["rollout", name, "--watch"], false)]
    {
        let mut command = daemon.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(command.stdout.take().unwrap()).lines();
        for _ in 0..2 {
            let line = lines.next().unwrap().unwrap();
            if json {
                let seen: Value = serde_json::from_str(&line).unwrap();
                assert!(seen["colours"][0]["requests_per_second"].is_f64(), "{line}");
            } else {
                assert!(line.contains("bake; waits for the end of the bake") && line.contains("/s failed"), "{line}");
            }
        }
        kill_process(Pid::from_child(&command), Signal::INT).unwrap();
        assert_eq!(command.wait().unwrap().code(), Some(130));
    }
}
