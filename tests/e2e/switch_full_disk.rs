//! The disk of turnout-proxy's route file is full: nothing moves, and that is said.

use crate::{bad_input_support, common, e2e_support};
use bad_input_support::{is_root, mount::SmallDisk};
use common::{PATIENCE, wait_until};
use e2e_support::{load::Load, switched::Switched};

#[test]
fn a_full_disk_of_the_proxy_moves_no_route_and_says_so() {
    if !is_root("mounting a small disk for the route file") {
        return;
    }
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    // The proxy begins at the first deployment.
    let disk = SmallDisk::over(&daemon.state_dir().join("proxy"), 64);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let (red, blue) = (shop.site.red(), shop.site.blue());
    let load = Load::on(shop.web, 4);
    load.wait_for("one", 50);
    let kept = std::fs::read(daemon.state_dir().join("proxy/routes.json")).unwrap();

    disk.fill();
    let failed = daemon.expect_failure(shop.push(&daemon, "two"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("the route file") && error.contains("No space left on device"), "{error}");
    assert!(error.contains("its disk may be full"), "{error}");
    load.wait_for("one", 50);
    assert_eq!(std::fs::read(daemon.state_dir().join("proxy/routes.json")).unwrap(), kept, "the file is what it was");
    wait_until("the next colour is put away", PATIENCE, || {
        match (shop.running(&red, "web"), shop.running(&blue, "web")) {
            (1, 0) => Ok(()),
            other => Err(other),
        }
    });

    disk.free();
    daemon.expect_success(shop.push(&daemon, "three"));
    load.wait_for("three", 50);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    assert!(!came.good.contains_key("two"), "{:?}", came.good);
    shop.expect_whole(&daemon, "after room was made");
}
