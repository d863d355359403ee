//! Routes that change: alone, with a new version, and with a stack that comes from its place. What turnout-proxy alone is told
//! takes no new colour, and a port that closes is announced.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::ExitStatusExt as _,
};

use crate::{common, e2e_support};
use common::daemon::{Daemon, free_address};
use e2e_support::{all_of, deploy, load::Load, switched::Switched};

/// What is said of `switch`, with one route to the web service.
fn led(listen: SocketAddr, more: &str) -> String {
    format!("{{ bake: 1s, routes: [{{ listen: \"{listen}\", to: \"web:8000\"{more} }}] }}")
}

fn write(daemon: &Daemon, shop: &Switched, switch: &str) {
    fs::write(daemon.repos_yaml(), shop.entry(switch)).unwrap();
}

fn plan(daemon: &Daemon, shop: &Switched) -> String {
    all_of(&daemon.turnout(&["plan", &shop.site.name]))
}

fn check(daemon: &Daemon) -> String {
    let (list, state) = (daemon.repos_yaml(), daemon.state_dir());
    let mut command =
        daemon.command(&["check", "--repos", list.to_str().unwrap(), "--state-dir", state.to_str().unwrap()]);
    command.env("WEBHOOK_SECRET", "x");
    command.env("TURNOUT_PROXY_SOCKET", daemon.socket().with_file_name("turnout-proxy.sock"));
    all_of(&command.output().unwrap())
}

fn expect_all(text: &str, wanted: &[String]) {
    for one in wanted {
        assert!(text.contains(one), "{one}: {text}");
    }
}

#[test]
fn routes_that_change_alone_are_set_anew_and_no_colour_is_made() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let (red, name, moved) = (shop.site.red(), &shop.site.name, free_address());
    let containers = || ["web", "worker"].map(|service| shop.site.container(&red, service));
    let before = containers();

    write(&daemon, &shop, &led(moved, ", hosts: [shop.test, localhost]"));
    let opened = format!("{moved} leads to web:8000 (hosts shop.test, localhost; protocol http): said in repos.yaml");
    let closed = format!("{} is closed: no route leads there any more", shop.web);
    let planned = plan(&daemon, &shop);
    expect_all(
        &planned,
        &[opened.clone(), closed.clone(), "no new colour is made; its routes are set anew".to_owned()],
    );
    assert!(!planned.contains("nothing to do"), "{planned}");
    let said = deploy(&daemon, &[name], 0);
    expect_all(
        &said,
        &[opened, closed, format!("{red} at "), "no container was touched; the routes were set anew".to_owned()],
    );
    assert_eq!(containers(), before);
    assert!(TcpStream::connect(shop.web).is_err(), "the former port is closed");

    // One key of it, and back to what answers any host.
    write(&daemon, &shop, &led(moved, ""));
    expect_all(&plan(&daemon, &shop), &[format!("{moved}: hosts is nothing, until now shop.test, localhost")]);
    let load = Load::on(moved, 2);
    deploy(&daemon, &[name], 0);
    load.wait_for("one", 50);
    assert_eq!(containers(), before);
    expect_all(&plan(&daemon, &shop), &[format!("{red} is live and as it should be: nothing to do")]);
    expect_all(&deploy(&daemon, &[name], 0), &["nothing to do".to_owned()]);

    // What counts when the next colour is made is no reason for one.
    write(&daemon, &shop, &led(moved, "").replace("1s", "2s"));
    let later = format!("said otherwise than when {red} was made, and counts from the next colour on: bake");
    expect_all(&plan(&daemon, &shop), &[later.clone(), "nothing to do".to_owned()]);
    expect_all(&deploy(&daemon, &[name], 0), &[later]);

    // With a new version they come with its colour, and are announced as well.
    write(&daemon, &shop, &led(shop.web, ""));
    let id = shop.push(&daemon, "two");
    daemon.expect_success(id);
    let said = all_of(&daemon.turnout(&["logs", "--deployment", &id.to_string()]));
    expect_all(&said, &[format!("with the switch {moved} is closed: no route leads there any more")]);
    assert!(TcpStream::connect(moved).is_err(), "{said}");
    let load = Load::on(shop.web, 1);
    load.wait_for("two", 5);
}

#[test]
fn a_port_that_no_route_takes_over_is_announced_before_the_first_switch() {
    let shop = Switched::new("one");
    let daemon = Daemon::start_with(&shop.site.entry(&[]), e2e_support::QUICK, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    write(&daemon, &shop, &led(free_address(), ""));
    let planned = plan(&daemon, &shop);
    expect_all(
        &planned,
        &[
            format!("nobody listens on {}, where web publishes 8000: a route to web:8000 is said", shop.web),
            format!("with the switch {} is closed: no route leads there any more", shop.web),
        ],
    );
}

#[test]
fn whoever_dies_while_routes_are_set_anew_sets_them_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let shop = Switched::new("one");
    let (_proxy, mut daemon) = shop.serve("{ bake: 1s }", &[("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    for dies_at in ["before setting the routes anew", "after setting the routes anew"] {
        let moved = free_address();
        write(&daemon, &shop, &led(moved, ""));
        fs::write(&point, dies_at).unwrap();
        daemon.turnout(&["deploy", &shop.site.name, "--detach"]);
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        daemon.restart();
        let load = Load::on(moved, 1);
        load.wait_for("one", 5);
        drop(load);
        shop.expect_whole(&daemon, dies_at);
        let planned = plan(&daemon, &shop);
        assert!(planned.contains("nothing to do"), "{dies_at}: {planned}");
    }
}

#[test]
fn what_a_deployment_refuses_the_plan_and_check_refuse() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let name = &shop.site.name;
    let before = shop.site.container(&shop.site.red(), "web");
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    let tls =
        format!(", protocol: http, tls: {{ certificate: \"{}\", key: \"{}\" }}", certificate.display(), key.display());
    let stranger = format!("cannot listen on {}: Address already in use", taken.local_addr().unwrap());
    let unreadable = format!("{} cannot be read by turnout-proxy's user", certificate.display());
    for (switch, why) in [(led(taken.local_addr().unwrap(), ""), stranger), (led(free_address(), &tls), unreadable)] {
        write(&daemon, &shop, &switch);
        let planned = plan(&daemon, &shop);
        expect_all(
            &planned,
            &[format!("refused: {name} cannot be switched: {why}"), "nothing is planned until".to_owned()],
        );
        expect_all(&check(&daemon), &[format!("PROBLEM {name}: {why}")]);
        let said = deploy(&daemon, &[name], 1);
        expect_all(&said, &[why.clone(), "nothing was changed, and nothing built".to_owned()]);
        // With a new version it is told before the build.
        let id = shop.push(&daemon, "two");
        let failed = daemon.expect_failure(id);
        assert!(failed["error"].as_str().unwrap().contains(&why), "{failed:#}");
        let log = all_of(&daemon.turnout(&["logs", "--deployment", &id.to_string()]));
        assert!(!log.contains("done: built") && !log.contains("done: created"), "{log}");
        // So that there is nothing to be built for the next one.
        shop.push(&daemon, "one");
    }
    assert_eq!(shop.site.container(&shop.site.red(), "web"), before);
}

#[test]
fn a_commit_that_was_taken_back_has_one_way_on_and_it_is_told_everywhere() {
    let shop = Switched::new("one");
    let turned_down = "{ bake: 1s, promote: manual, analysis: { command: { run: [/bin/false], every: 1s } } }";
    let (_proxy, daemon) = shop.serve(turned_down, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let name = &shop.site.name;
    daemon.expect_failure(shop.push(&daemon, "two"));
    // Somebody has the push sent again: then the commit is wanted, too.
    let id = daemon.deploy_by_push(&shop.site.push());
    daemon.expect_failure(id);
    let commit = shop.site.remote.head();
    let way = format!(
        "push a newer commit, or deploy this one all the same: turnout deploy {name} --commit {}",
        &commit[..7]
    );
    for text in [
        all_of(&daemon.turnout(&["logs", "--deployment", &id.to_string()])),
        deploy(&daemon, &[name], 1),
        all_of(&daemon.turnout(&["status", name])),
        plan(&daemon, &shop),
        all_of(&daemon.turnout(&["plan", name, "--fetch"])),
        check(&daemon),
    ] {
        assert!(text.contains(&way), "{way}: {text}");
        assert!(!text.contains("tries it again"), "{text}");
    }
    assert!(plan(&daemon, &shop).contains("nothing is planned until that is put right"));
    deploy(&daemon, &[name, "--commit", &commit[..7], "--detach"], 0);
}

#[test]
fn a_mistake_in_the_list_is_told_by_whoever_goes_by_an_older_one() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let (name, list) = (&shop.site.name, daemon.repos_yaml());
    // A value that does not fit has its place.
    write(&daemon, &shop, "{ bake: soon }");
    let line_of =
        |word: &str| 1 + fs::read_to_string(&list).unwrap().lines().position(|line| line.contains(word)).unwrap();
    let line = line_of("soon");
    let wrong = format!("does not fit: {}:{line}:", list.display());
    for text in [plan(&daemon, &shop), deploy(&daemon, &[name], 1)] {
        expect_all(
            &text,
            &[wrong.clone(), format!("{name}.switch.bake: is `soon`; a duration such as 90s or 24h is wanted")],
        );
        assert!(!text.contains(&format!("{name}: what is said")), "{text}");
    }
    // And the mistake of now is told where an older list counts.
    write(&daemon, &shop, "{ bake: 1s }");
    assert!(!plan(&daemon, &shop).contains("mistake"));
    let good = fs::read_to_string(&list).unwrap();
    fs::write(&list, good.replace("switch:", "swich: 1\n  switch:")).unwrap();
    let line = line_of("swich");
    let told = format!("repos.yaml has a mistake ({}:{line}:", list.display());
    for text in [plan(&daemon, &shop), deploy(&daemon, &[name], 0)] {
        expect_all(
            &text,
            &[told.clone(), format!("`{name}` counts as it was before the mistake"), "as read at 20".to_owned()],
        );
    }
}
