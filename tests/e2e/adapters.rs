//! A proxy that the user has already leads the requests: HAProxy and nginx of Debian, told by the deployer. turnout-proxy is not
//! started for it.

use crate::{common, e2e_support};
use common::daemon::free_address;
use e2e_support::{
    all_of,
    fronts::{Nginx, haproxy, haproxy_adapter, not_stale},
    load::Load,
    switched::Switched,
};

/// Clients that ask while something is done.
const CLIENTS: usize = 8;

#[test]
fn haproxy_leads_and_no_request_fails() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free_address());
    let Some(program) = haproxy(folder.path(), at, &str::to_owned) else { return };
    let shop = Switched::new("one");
    let switch = format!("{{ bake: 1h, drain: 5s, {} }}", haproxy_adapter(folder.path()));
    let (proxy, daemon) = shop.serve(&switch, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(at, CLIENTS);
    load.wait_for("one", 50);

    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 50);
    // There and back while it bakes.
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains("is live again"), "{said}");
    load.wait_for("one", 50);
    daemon.expect_success(shop.push(&daemon, "three"));
    load.wait_for("three", 50);
    let said = all_of(&daemon.turnout(&["promote", &shop.site.name]));
    assert!(said.contains("stays live"), "{said}");
    load.wait_for("three", 50);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    assert_eq!(proxy.pid(), None, "nobody needs turnout-proxy");
    let plan = all_of(&daemon.turnout(&["plan", &shop.site.name]));
    assert!(plan.contains("led by HAProxy on") && plan.contains("cannot hold requests"), "{plan}");

    // It comes back knowing nothing, and is told again; and where it lacks something, nothing is built for it.
    drop(program);
    let other = if shop.running(&shop.site.red(), "web") == 1 { "blue" } else { "red" };
    let line = format!("    server {other} 127.0.0.1:1 disabled\n");
    let Some(_program) = haproxy(folder.path(), at, &|text| text.replace(&line, "")) else { return };
    let load = Load::on(at, 1);
    load.wait_for("three", 10);
    let failed = daemon.expect_failure(shop.push(&daemon, "four"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains(&format!("has no server {other} in its backend shop; write there")), "{error}");
    load.wait_for("three", 10);
}

#[test]
fn nginx_leads_and_a_configuration_that_it_does_not_take_moves_nothing() {
    let (folder, at, answers) = (tempfile::tempdir().unwrap(), free_address(), free_address());
    let shop = Switched::new("one");
    let Some(nginx) = Nginx::start(folder.path(), at, answers, shop.web) else { return };
    let switch = format!("{{ bake: 1h, drain: 5s, {} }}", nginx.adapter());
    let (proxy, daemon) = shop.serve(&switch, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(at, CLIENTS);
    load.wait_for("one", 50);
    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 50);
    all_of(&daemon.turnout(&["promote", &shop.site.name]));

    // Somebody broke its configuration meanwhile.
    nginx.break_it();
    let failed = daemon.expect_failure(shop.push(&daemon, "three"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("`nginx -t`"), "{error}");
    load.wait_for("two", 50);
    nginx.mend_it();
    daemon.expect_success(shop.push(&daemon, "four"));
    load.wait_for("four", 50);

    let came = load.end();
    assert_eq!(not_stale(&came), Vec::<&String>::new(), "{:?}", came.good);
    assert_eq!(proxy.pid(), None, "nobody needs turnout-proxy");
}
