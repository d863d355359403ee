//! The daemon dies at points of a switch by a proxy that the user has already, under load: where it was about to tell the program, or
//! had told it and recorded nothing. No request fails, the push comes to its end, and one colour is live and whole.

use std::{fs, os::unix::process::ExitStatusExt as _, path::Path};

use crate::{common, e2e_support};
use common::{
    PATIENCE,
    daemon::{Daemon, free_address},
    wait_until,
};
use e2e_support::{
    fronts::{Nginx, haproxy, haproxy_adapter, not_stale},
    load::{Came, Load},
    switched::Switched,
};

/// On the way there, which has a step of a second: round the share, the switch and the end of the bake.
const POINTS: &[&str] = &[
    "before the step",
    "before recording the routes",
    "before the switch",
    "before recording the switch",
    "before recording the end of a bake",
];

/// On the way back, and whether the routes have moved by then.
const BACK: &[(&str, bool)] = &[
    ("before moving the routes back", false),
    ("after moving the routes back", true),
    ("before stopping what was live", true),
];

/// Clients that ask all the while.
const CLIENTS: usize = 4;

#[test]
fn wherever_it_dies_by_haproxy_no_request_fails() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free_address());
    let Some(_program) = haproxy(folder.path(), at, &str::to_owned) else { return };
    let shop = Switched::new("first");
    let load = || Load::on(at, CLIENTS);
    everywhere(&shop, &haproxy_adapter(folder.path()), folder.path(), load, |came| came.bad.clone(), (POINTS, BACK));
}

#[test]
fn wherever_it_dies_by_nginx_no_request_fails() {
    let (folder, at, answers) = (tempfile::tempdir().unwrap(), free_address(), free_address());
    let shop = Switched::new("first");
    let Some(nginx) = Nginx::start(folder.path(), at, answers, shop.web) else { return };
    let load = || Load::on(at, CLIENTS);
    let bad = |came: &Came| not_stale(came).into_iter().cloned().collect();
    let mut daemon = everywhere(&shop, &nginx.adapter(), folder.path(), load, bad, (&POINTS[1..4], &BACK[1..2]));

    // What turnout itself does at the other points is the same. Between its file and its reload: the file says what the workers do not do.
    let load = Load::on(at, CLIENTS);
    let file = folder.path().join("turnout/shop.conf");
    let before = fs::read_to_string(&file).unwrap();
    shop.says("bake: 1s");
    nginx.break_it();
    shop.push(&daemon, "unread");
    wait_until("the file to change", PATIENCE, || match fs::read_to_string(&file).unwrap() {
        text if text == before => Err(daemon.output()),
        _ => Ok(()),
    });
    daemon.kill();
    nginx.mend_it();
    daemon.restart();
    load.wait_for("unread", 20);
    shop.expect_whole(&daemon, "between file and reload");
    let came = load.end();
    assert_eq!(not_stale(&came), Vec::<&String>::new(), "{:?}", came.good);
}

/// Dies at each point.
fn everywhere(
    shop: &Switched,
    adapter: &str,
    folder: &Path,
    load: impl Fn() -> Load,
    bad: impl Fn(&Came) -> Vec<String>,
    (points, back): (&[&str], &[(&str, bool)]),
) -> Daemon {
    let point = folder.join("point");
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    let (_proxy, mut daemon) = shop.serve(&format!("{{ drain: 5s, {adapter} }}"), &variables);
    shop.says("bake: 1s, steps: [{ weight: 20, for: 1s }]");
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = load();
    for (number, dies_at) in points.iter().enumerate() {
        let version = format!("v{number}");
        println!("{version}: {dies_at}");
        fs::write(&point, dies_at).unwrap();
        shop.push(&daemon, &version);
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        daemon.restart();
        load.wait_for(&version, 20);
        shop.expect_whole(&daemon, dies_at);
        assert_eq!(bad(&load.came()), Vec::<String>::new(), "{dies_at}");
    }
    shop.says("bake: 1h");
    let mut live = format!("v{}", points.len() - 1);
    for (number, (dies_at, moved)) in back.iter().enumerate() {
        let version = format!("b{number}");
        println!("{version}: {dies_at}");
        let id = shop.push(&daemon, &version);
        fs::write(&point, dies_at).unwrap();
        daemon.expect_success(id);
        load.wait_for(&version, 20);
        daemon.turnout(&["rollback", &shop.site.name]);
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        daemon.restart();
        if !moved {
            load.wait_for(&version, 20);
            daemon.turnout(&["promote", &shop.site.name]);
            live = version;
        }
        load.wait_for(&live, 20);
        shop.expect_whole(&daemon, dies_at);
        assert_eq!(bad(&load.came()), Vec::<String>::new(), "{dies_at}");
    }
    let came = load.end();
    println!("{} good answers, the longest after {:?}", came.good.values().sum::<u64>(), came.longest);
    assert_eq!(bad(&came), Vec::<String>::new());
    daemon
}
