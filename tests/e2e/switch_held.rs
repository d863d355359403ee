//! A single-instance app under blue/green: it takes a lock that everybody shares, and ends where somebody else has it. Requests wait
//! while the old one ends and the new one starts, none is lost, and never do two run.

use std::{fs, net::SocketAddr, os::unix::process::ExitStatusExt as _, path::Path, process::Command};

use crate::e2e_support;
use e2e_support::{all_of, counted::Counted, load::Load, run_in, switched::Switched};

/// While nobody is to be missing: of a change-over, those at which the old one may have ended.
const POINTS: &[&str] = &[
    "before the change-over",
    "after ending what must not run twice",
    "after a start",
    "after the change-over",
    "before the switch",
    "after the switch",
];

/// Clients that ask all the while.
const CLIENTS: usize = 8;

/// `flock` of this machine with the libraries that it is linked with, for containers, which have neither.
fn flock(folder: &Path) {
    let program = "/usr/bin/flock";
    fs::copy(program, folder.join("flock")).unwrap();
    let linked = String::from_utf8(Command::new("ldd").arg(program).output().unwrap().stdout).unwrap();
    for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        let name = Path::new(library).file_name().unwrap().to_str().unwrap();
        fs::copy(library, folder.join(if name.starts_with("ld-") { "ld.so" } else { name })).unwrap();
    }
}

/// The lock lies where the database's data lies, as one in a database would: nobody could tell from the file that the app is alone.
fn compose(web: SocketAddr, program: &Path) -> String {
    let program = program.display();
    format!(
        "services:
  web:
    build: {{ context: ., network: none }}
    ports: [\"{web}:8000\"]
    depends_on: [db]
    volumes: [\"data:/data\", \"{program}:/opt/lock:ro\"]
    restart: unless-stopped
    init: true
    stop_grace_period: 2s
  db:
    image: \"@BASE\"
    command: [sleep, \"1000\"]
    init: true
    stop_grace_period: 1s
    volumes: [\"data:/data\"]
volumes:
  data:
"
    )
}

const DOCKERFILE: &str = "FROM @BASE\nCOPY page slow app.sh /app/\nCMD [\"sh\", \"/app/app.sh\"]\n";

/// It keeps the lock until it ends.
const LOCKS: &str = "exec 9>/data/lock\n/opt/lock/ld.so --library-path /opt/lock /opt/lock/flock -n 9 || { echo another one has the lock; exit 1; }\n";
const SERVES: &str = "mkdir -p /www/cgi-bin
cp /app/page /www/index.html
cp /app/slow /www/cgi-bin/slow
chmod 755 /www/cgi-bin/slow
exec httpd -f -p 8000 -h /www
";
/// A page that takes a second: one such request is always under way when the app is to end.
const SLOW: &str = "/cgi-bin/slow";
const ANSWERS_SLOWLY: &str = r#"#!/bin/sh
sleep 1
read page < /app/page
printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "${#page}" "$page"
"#;

#[test]
fn an_app_with_a_lock_loses_no_request_and_never_runs_twice() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let app = format!("{LOCKS}{SERVES}");
    let program = folder.path().join("lock");
    fs::create_dir(&program).unwrap();
    flock(&program);
    let shop = Switched::of(
        |web| compose(web, &program),
        &[("Dockerfile", DOCKERFILE), ("app.sh", &app), ("slow", ANSWERS_SLOWLY), ("page", "one")],
    );
    let (red, blue) = (shop.site.red(), shop.site.blue());
    let switch = "{ bake: 1h, health: { path: /, timeout: 4s }, services: { web: { order: stop-first } } }";
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    let (_proxy, mut daemon) = shop.serve(switch, &variables);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let plan = all_of(&daemon.turnout(&["plan", &shop.site.name]));
    assert!(plan.contains("old one ends first, requests wait (said in repos.yaml)"), "{plan}");

    let counted = Counted::of(&[&red, &blue], "web");
    let (load, slow) = (Load::on(shop.web, CLIENTS), Load::asking(shop.web, SLOW, 2));
    load.wait_for("one", 50);
    slow.wait_for("one", 1);
    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 50);

    // Back while it bakes, and forth again.
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains("is live again"), "{said}");
    load.wait_for("one", 50);
    daemon.expect_success(shop.push(&daemon, "three"));
    load.wait_for("three", 50);
    all_of(&daemon.turnout(&["promote", &shop.site.name]));

    // One that takes the lock and does not answer: the old one has it again, and whoever waited is answered by that.
    shop.site.write("app.sh", &format!("{LOCKS}exec sleep 1000\n"));
    let failed = daemon.expect_failure(shop.site.push_to(&daemon, "silent"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("web:8000 of the new colour is not ready"), "{error}");
    load.wait_for("three", 50);
    shop.site.write("app.sh", &app);
    daemon.expect_success(shop.push(&daemon, "four"));
    load.wait_for("four", 50);
    all_of(&daemon.turnout(&["promote", &shop.site.name]));

    // Wherever the daemon dies.
    for (number, dies_at) in POINTS.iter().enumerate() {
        let version = format!("v{number}");
        println!("{version}: {dies_at}");
        fs::write(&point, dies_at).unwrap();
        shop.push(&daemon, &version);
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        daemon.restart();
        load.wait_for(&version, 20);
        all_of(&daemon.turnout(&["promote", &shop.site.name]));
        assert_eq!([load.came().bad, slow.came().bad].concat(), Vec::<String>::new(), "{dies_at}");
    }
    assert_eq!(slow.end().bad, Vec::<String>::new());
    let (came, ran) = (load.end(), counted.ran());
    println!("{} good answers, the longest after {:?}", came.good.values().sum::<u64>(), came.longest);
    assert_eq!(came.bad, Vec::<String>::new());
    assert_eq!((ran.most, ran.now), (1, 1), "{ran:?}");
}

/// A version of which this file lies in the volume has the lock and does not answer.
const IS_SILENT: &str = "read page < /app/page || :\n[ ! -e /data/silent-$page ] || exec sleep 1000\n";

#[test]
fn a_way_back_holds_requests_to_its_end_and_one_that_comes_to_nothing_gives_them_to_what_was_live() {
    let folder = tempfile::tempdir().unwrap();
    let app = format!("{LOCKS}{IS_SILENT}{SERVES}");
    let program = folder.path().join("lock");
    fs::create_dir(&program).unwrap();
    flock(&program);
    // Longer than the time between two looks beside the lanes.
    let slower = ANSWERS_SLOWLY.replace("sleep 1", "sleep 5");
    let shop = Switched::of(
        |web| compose(web, &program),
        &[("Dockerfile", DOCKERFILE), ("app.sh", &app), ("slow", &slower), ("page", "one")],
    );
    let switch = "{ bake: 1h, health: { path: /, timeout: 4s }, services: { web: { order: stop-first } } }";
    let (_proxy, daemon) = shop.serve(switch, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let counted = Counted::of(&[&shop.site.red(), &shop.site.blue()], "web");
    let (load, slow) = (Load::on(shop.web, CLIENTS), Load::asking(shop.web, SLOW, 2));
    slow.wait_for("one", 1);
    daemon.expect_success(shop.push(&daemon, "two"));
    load.wait_for("two", 10);

    // The end of a deployment has the colours looked at, which is in the middle of this: requests under way take their time.
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains("is live again"), "{said}");
    load.wait_for("one", 10);
    assert!(!daemon.output().contains("broken off"), "{}", daemon.output());

    daemon.expect_success(shop.push(&daemon, "three"));
    load.wait_for("three", 10);
    run_in(&shop.site.container(&shop.site.name, "db"), &["touch", "/data/silent-one"]);
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains("does not answer"), "{said}");
    load.wait_for("three", 10);
    daemon.says("there was no way back, and");
    let (load, slow) = (load.end(), slow.end());
    println!("{:?}, {:?}, the longest after {:?}", load.good, slow.good, load.longest.max(slow.longest));
    assert_eq!([load.bad, slow.bad].concat(), Vec::<String>::new(), "{}", daemon.output());
    let ran = counted.ran();
    assert_eq!((ran.most, ran.now), (1, 1), "{ran:?}");
}
