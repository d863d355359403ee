//! Mounted files of the work tree, with blue/green: each colour reads those that it was made with, whatever is pulled.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, wait_until};
use e2e_support::{all_of, deploy, file_in, load::Load, run_in, switched::Switched};

/// Clients that ask while something is done.
const CLIENTS: usize = 4;

/// A folder and a file that git tracks, and a folder of data, which it does not.
fn compose(web: std::net::SocketAddr) -> String {
    format!(
        "services:
  web:
    image: \"@BASE\"
    command: [httpd, -f, -p, \"8000\", -h, /www]
    ports: [\"{web}:8000\"]
    init: true
    stop_grace_period: 1s
    volumes: [\"./site:/www\", \"./site.conf:/etc/site.conf:ro\"]
"
    )
}

#[test]
fn each_colour_reads_the_files_that_it_was_made_with() {
    let shop = Switched::of(compose, &[("site/index.html", "one"), ("site.conf", "conf one")]);
    // Whoever may not read a file in the work tree may not read its copy.
    fs::set_permissions(shop.site.path.join("site.conf"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(shop.site.path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    let (_proxy, daemon) = shop.serve("{ bake: 1h }", &[]);
    let (red, blue) = (shop.site.red(), shop.site.blue());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let first = shop.site.remote.head();
    let copies = copies(&daemon, &shop);
    assert_eq!(copies.len(), 2, "{copies:?}");
    let conf = copies.iter().find(|one| one.ends_with("site.conf")).unwrap();
    assert_eq!(fs::metadata(conf).unwrap().permissions().mode() & 0o777, 0o640);
    let above = fs::metadata(conf.parent().unwrap()).unwrap().permissions().mode() & 0o777;
    assert_eq!(above, 0o700, "nobody else comes into this work tree");

    // The page changes in the work tree while it bakes, and requests that go back find the one of before.
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);
    let plan = all_of(&daemon.turnout(&["plan", &shop.site.name]));
    assert!(plan.contains("./site.conf") && plan.contains("a snapshot"), "{plan}");
    assert!(plan.contains("nothing to do"), "{plan}");
    shop.site.write("site/index.html", "two").write("site.conf", "conf two");
    shop.site.push_to(&daemon, "two");
    load.wait_for("two", 20);
    let of = |project: &str, path: &str| file_in(&shop.site.container(project, "web"), path);
    assert_eq!(fs::read_to_string(shop.site.path.join("site/index.html")).unwrap(), "two");
    assert_eq!((of(&red, "/www/index.html"), of(&red, "/etc/site.conf")), ("one".into(), "conf one".into()));
    assert_eq!((of(&blue, "/www/index.html"), of(&blue, "/etc/site.conf")), ("two".into(), "conf two".into()));
    all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    load.wait_for("one", 20);

    // What is stopped and comes back later does so, too.
    deploy(&daemon, &[&shop.site.name, "--commit", &shop.site.remote.head()], 0);
    all_of(&daemon.turnout(&["promote", &shop.site.name]));
    load.wait_for("two", 20);
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains("was brought back and is live"), "{said}");
    load.wait_for("one", 20);
    all_of(&daemon.turnout(&["promote", &shop.site.name]));
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);

    // Each content lies there once, and goes with the last colour that was made with it.
    shop.site.write("site/index.html", "three");
    let id = shop.site.push_to(&daemon, "three");
    let log = all_of(&daemon.turnout(&["logs", "--deployment", &id.to_string(), "-f"]));
    assert!(log.contains("removed 1 copy of mounted files"), "{log}");
    all_of(&daemon.turnout(&["promote", &shop.site.name]));
    // Of the first page, of its file, of the third page and of the second file.
    assert_eq!(self::copies(&daemon, &shop).len(), 4);
    deploy(&daemon, &[&shop.site.name, "--commit", &first], 0);
    let names: Vec<String> = self::copies(&daemon, &shop).iter().map(|one| one.display().to_string()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn what_a_container_writes_into_its_copy_is_not_lost() {
    let shop = Switched::of(compose, &[("site/index.html", "one"), ("site.conf", "conf one")]);
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let red = shop.site.red();
    run_in(&shop.site.container(&red, "web"), &["sh", "-c", "mkdir /www/__pycache__; echo x > /www/__pycache__/x"]);
    shop.site.write("site/index.html", "two");
    daemon.expect_success(shop.site.push_to(&daemon, "two"));
    let blue = shop.site.blue();
    run_in(&shop.site.container(&blue, "web"), &["sh", "-c", "echo data > /www/upload"]);
    wait_until("the bake to be over", PATIENCE, || {
        let status = daemon.turnout_json(&["status", "--json"]);
        if status["repos"][0]["bakes_until"].is_null() { Ok(()) } else { Err(status) }
    });
    shop.site.write("site/index.html", "three");
    let failed = daemon.expect_failure(shop.site.push_to(&daemon, "three"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("has written into ./site"), "{error}");
    let load = Load::on(shop.web, 1);
    load.wait_for("two", 5);
    assert_eq!(load.end().bad, Vec::<String>::new());

    // As the message says: what lies in the work tree is mounted itself from then on.
    fs::write(shop.site.path.join("site/upload"), "data").unwrap();
    let plan = all_of(&daemon.turnout(&["plan", &shop.site.name]));
    assert!(plan.contains("it holds what git does not track"), "{plan}");
}

/// Copies of mounted files, as they lie there.
fn copies(daemon: &Daemon, shop: &Switched) -> Vec<PathBuf> {
    let folder = daemon.state_dir().join("snapshots").join(&shop.site.name);
    let own = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        own.flat_map(|own| fs::read_dir(own).unwrap().map(|entry| entry.unwrap().path())).collect();
    all.sort();
    all
}
