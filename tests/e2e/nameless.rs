//! A held service with a volume that nobody named, for its image alone declares it: what was written there is there in place, in each
//! colour, and in place again.

use std::fs;

use crate::{common, e2e_support};
use common::{PATIENCE, wait_until};
use e2e_support::{file_in, programs::Nameless, run_in, switched::Switched};

const APP: &str = "mkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n";
const SWITCH: &str = "{ bake: 1s }";

#[test]
fn what_lies_in_a_volume_of_its_image_goes_along_with_a_held_service() {
    let compose = |web| {
        format!(
            "services:\n  web:\n    build: {{ context: ., network: none }}\n    ports: [\"{web}:8000\"]\n    init: true\n    \
             stop_grace_period: 1s\n"
        )
    };
    let dockerfile = "FROM @BASE\nCOPY page app.sh /app/\nVOLUME /data\nCMD [\"sh\", \"/app/app.sh\"]\n";
    let mut left = Nameless::default();
    let shop = Switched::of(compose, &[("Dockerfile", dockerfile), ("app.sh", APP), ("page", "one")]);
    let red = shop.site.red();
    let (_proxy, daemon) = shop.serve_as(&shop.site.entry(&[]), &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let write = |project: &str, row: &str| {
        run_in(&shop.site.container(project, "web"), &["sh", "-c", &format!("echo {row} >> /data/rows")]);
    };
    let rows = |project: &str| file_in(&shop.site.container(project, "web"), "/data/rows");
    write(&red, "before");
    left.note(&shop.site.container(&red, "web"));

    fs::write(daemon.repos_yaml(), shop.entry(SWITCH)).unwrap();
    for version in ["two", "three", "four"] {
        daemon.expect_success(shop.push(&daemon, version));
        let live =
            daemon.turnout_json(&["status", "--json"])["repos"][0]["live"]["project"].as_str().unwrap().to_owned();
        assert_eq!(shop.running(&live, "web"), 1);
        write(&live, version);
        assert_eq!(rows(&live).lines().last(), Some(version), "{}", rows(&live));
    }
    wait_until("the bake to be over", PATIENCE, || {
        let status = daemon.turnout_json(&["status", "--json"]);
        if status["repos"][0]["bakes_until"].is_null() { Ok(()) } else { Err(status) }
    });
    fs::write(daemon.repos_yaml(), shop.site.entry(&[])).unwrap();
    daemon.expect_success(shop.push(&daemon, "five"));
    assert_eq!(rows(&red), "before\ntwo\nthree\nfour\n");
}
