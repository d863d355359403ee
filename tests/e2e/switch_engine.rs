//! The engine is stopped and started in the middle of a switch. Where containers live on without it (`live-restore`, and ports that the
//! kernel forwards) requests go on; where they end with it they come back by their restart policies. The daemon goes on by itself
//! either way, and what it says is true.

use crate::{bad_input_support, common, e2e_support};
use bad_input_support::{
    is_root,
    private_engine::{PrivateEngine, in_a_network_of_its_own},
};
use common::{PATIENCE, daemon::Daemon, wait_until};
use e2e_support::{QUICK, all_of, load::Load, switched::Switched};

/// Clients that ask all the while.
const CLIENTS: usize = 4;
/// Containers, and the forwarding of their ports, outlive the engine.
const LIVES: &[&str] = &["--live-restore", "--userland-proxy=false"];
/// A version that takes its time until it answers.
const SLOW: &str = "sleep 6\nmkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n";

#[test]
fn requests_go_on_without_an_engine_whose_containers_live_on() {
    stopped_and_started("requests_go_on_without_an_engine_whose_containers_live_on", LIVES);
}

#[test]
fn a_switch_goes_on_after_an_engine_that_took_its_containers_along() {
    stopped_and_started("a_switch_goes_on_after_an_engine_that_took_its_containers_along", &[]);
}

fn stopped_and_started(test: &str, options: &[&str]) {
    if !is_root("a Docker engine of the test's own, to be stopped,") || !in_a_network_of_its_own(module_path!(), test) {
        return;
    }
    let mut engine = PrivateEngine::networked(options);
    engine.start();
    let shop = Switched::alone("one", SLOW, "    restart: unless-stopped\n    stop_grace_period: 1s\n", &[]);
    let host = engine.url();
    let arguments = [QUICK, &["--engine-wait", "10m", "--docker-host", &host]].concat();
    let daemon = Daemon::start_with(&shop.entry("{ bake: 1h }"), &arguments, &[]);
    let _proxy = shop.proxy_of(&daemon);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);

    // While the next colour is made ready.
    let id = shop.push(&daemon, "two");
    wait_until("the next colour to run", PATIENCE, || {
        let running = engine.running();
        if running.len() == 2 { Ok(()) } else { Err((running, daemon.output())) }
    });
    without(&mut engine, &daemon, &load, "one", !options.is_empty());
    daemon.expect_success(id);
    load.wait_for("two", 20);

    // While both run.
    without(&mut engine, &daemon, &load, "two", !options.is_empty());
    let status = daemon.turnout_json(&["status", "--json"]);
    let repo = &status["repos"][0];
    assert_eq!(repo["live"]["project"], shop.site.blue().as_str(), "{repo:#}");
    assert!(repo["bakes_until"].is_i64(), "{repo:#}");
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains("is live again"), "{said}");
    load.wait_for("one", 20);
    let came = load.end();
    println!("{:?}, {} bad, {:?} without an answer", came.good, came.bad.len(), came.gap);
    if !options.is_empty() {
        assert_eq!(came.bad, Vec::<String>::new());
    }
}

/// Stops the engine and starts it again; what the daemon says meanwhile is true.
fn without(engine: &mut PrivateEngine, daemon: &Daemon, load: &Load, version: &str, lives: bool) {
    engine.stop();
    let status = all_of(&daemon.turnout(&["status"]));
    assert!(status.contains("ENGINE DOWN"), "{status}");
    if lives {
        load.wait_for(version, 200);
        assert_eq!(load.came().bad, Vec::<String>::new());
    }
    engine.start();
    load.wait_for(version, 20);
    load.wait_for_each(2);
    let status = all_of(&daemon.turnout(&["status"]));
    assert!(!status.contains("ENGINE DOWN"), "{status}");
}
