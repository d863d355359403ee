//! Turnout itself is at fault, or its disk is: it panics at points that have a name, and transactions fail (`store/dies.rs`). A
//! panic ends its deployment as a failure does, with its way out; what could not be recorded is, as soon as it can be.

use std::{fs, path::PathBuf};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, wait_until};
use e2e_support::{QUICK, Site, load::Load, log, sleeper, switched::Switched};

/// Clients that ask all the while.
const CLIENTS: usize = 4;

/// The file in which a test says what it wants.
struct Points {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Points {
    fn new() -> Points {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("point");
        Points { _folder: folder, file }
    }

    fn variables(&self) -> [(&str, &str); 1] {
        [("TURNOUT_TEST_DIES_AT", self.file.to_str().unwrap())]
    }

    fn want(&self, points: &str) {
        fs::write(&self.file, points).unwrap();
    }

    fn want_nothing(&self) {
        fs::remove_file(&self.file).unwrap();
    }
}

fn error(failed: &serde_json::Value) -> &str {
    failed["error"].as_str().unwrap()
}

fn says(daemon: &Daemon, words: &str) {
    wait_until(words, PATIENCE, || if daemon.output().contains(words) { Ok(()) } else { Err(daemon.output()) });
}

#[test]
fn a_panic_in_place_fails_its_deployment_and_no_other() {
    let (points, site) = (Points::new(), Site::new(&[("docker-compose.prod.yml", &sleeper("first"))]));
    let daemon = Daemon::start_with(&site.entry(&[]), QUICK, &points.variables());
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    for point in ["before fetch", "after plan", "before apply", "after settle"] {
        points.want(&format!("panics {point}"));
        site.write("docker-compose.prod.yml", &sleeper(point));
        let failed = daemon.expect_failure(site.push_to(&daemon, point));
        let said = format!("a fault in turnout itself: a test wants a panic {point}");
        assert!(error(&failed).contains(&said), "{point}: {failed:#}");
    }
    points.want_nothing();
    site.write("docker-compose.prod.yml", &sleeper("last"));
    daemon.expect_success(site.push_to(&daemon, "last"));
}

#[test]
fn a_panic_on_the_way_to_the_next_colour_has_its_way_out_at_once() {
    let (points, shop) = (Points::new(), Switched::new("first"));
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &points.variables());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    for (wanted, point) in [
        ("panics after warm", "after warm"),
        ("panics after the change-over", "after the change-over"),
        ("panics after the change-over\npanics before the way back", "after the change-over"),
    ] {
        points.want(wanted);
        let id = shop.push(&daemon, &wanted.replace('\n', ", then "));
        let failed = daemon.expect_failure(id);
        assert!(error(&failed).contains(&format!("a test wants a panic {point}")), "{wanted}: {failed:#}");
        // By the deployment itself, before it told its end: no mending came before that.
        let told = log(&daemon, id);
        assert!(told.contains("is stopped and left to be looked at"), "{wanted}: {told}");
        assert_eq!(told.contains("the way back came to nothing"), wanted.contains("the way back"), "{told}");
        shop.expect_whole(&daemon, wanted);
        load.wait_for("first", 20);
    }
    points.want_nothing();
    daemon.expect_success(shop.push(&daemon, "last"));
    load.wait_for("last", 20);
    assert_eq!(load.end().bad, Vec::<String>::new());
}

#[test]
fn after_a_panic_in_the_switch_the_routes_say_who_is_live() {
    let (points, shop) = (Points::new(), Switched::new("first"));
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &points.variables());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    let mut live = "first";
    for (point, version, moved) in [("before the switch", "second", false), ("after the switch", "third", true)] {
        points.want(&format!("panics {point}"));
        let failed = daemon.expect_failure(shop.push(&daemon, version));
        assert!(error(&failed).contains(&format!("a test wants a panic {point}")), "{point}: {failed:#}");
        live = if moved { version } else { live };
        shop.expect_whole(&daemon, point);
        load.wait_for(live, 20);
    }
    points.want_nothing();
    assert_eq!(load.end().bad, Vec::<String>::new());
}

#[test]
fn an_end_that_cannot_be_recorded_is_as_soon_as_it_can_be() {
    let (points, site) = (Points::new(), Site::new(&[("docker-compose.prod.yml", &sleeper("first"))]));
    let daemon = Daemon::start_with(&site.entry(&[]), QUICK, &points.variables());
    points.want("fails recording the deployment's end");
    let id = daemon.deploy_by_push(&site.push());
    says(&daemon, "cannot record the end of a deployment");
    assert_eq!(daemon.deployment(id).unwrap()["state"], "running");
    points.want_nothing();
    daemon.expect_success(id);
}

#[test]
fn a_switch_that_cannot_be_recorded_is_read_from_the_routes() {
    let (points, shop) = (Points::new(), Switched::new("first"));
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &points.variables());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    shop.expect_whole(&daemon, "the first");
    let load = Load::on(shop.web, CLIENTS);
    points.want("fails recording the switch");
    let id = shop.push(&daemon, "second");
    daemon.expect_success(id);
    let told = log(&daemon, id);
    assert!(told.contains("could not be recorded"), "{told}");
    load.wait_for("second", 20);
    points.want_nothing();
    daemon.expect_success(shop.push(&daemon, "third"));
    load.wait_for("third", 20);
    shop.expect_whole(&daemon, "the third");
    assert_eq!(load.end().bad, Vec::<String>::new());
}

#[test]
fn a_wait_that_cannot_be_recorded_is_as_soon_as_it_can_be() {
    let (points, shop) = (Points::new(), Switched::new("first"));
    let (_proxy, daemon) = shop.serve("{ promote: manual }", &points.variables());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    points.want("fails putting the deployment down");
    let id = shop.push(&daemon, "second");
    says(&daemon, "cannot record that a deployment waits");
    points.want_nothing();
    e2e_support::waits(&daemon, id, "wait for promotion");
    daemon.turnout(&["promote", &shop.site.name]);
    daemon.expect_success(id);
}
