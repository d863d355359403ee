//! A daemon that starts in the middle of a change-over is ready before what takes long: a container that does not end is stopped
//! beside everything else.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    time::{Duration, Instant},
};

use bollard::query_parameters::KillContainerOptions;

use crate::{
    common::{PATIENCE, docker, wait_until},
    e2e_support::{load::Load, manager, switched::Switched, wait_for_log},
};

/// How long a container may take to end, by its Compose file: longer than systemd waits for a start.
const GRACE: Duration = Duration::from_secs(90);
/// A start that takes this long has waited for something.
const SOON: Duration = Duration::from_secs(30);

const SERVES: &str = "mkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n";

#[test]
fn a_start_is_ready_while_a_colour_that_does_not_end_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (systemd, address) = manager::in_folder(folder.path());
    let point = folder.path().join("point");
    let grace = format!("    restart: unless-stopped\n    stop_grace_period: {}s\n", GRACE.as_secs());
    let shop = Switched::alone("one", SERVES, &grace, &[]);
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap()), ("NOTIFY_SOCKET", address.to_str().unwrap())];
    let (_proxy, mut daemon) = shop.serve("{ bake: 1s }", &variables);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, 2);
    load.wait_for("one", 20);

    // It runs beside the live one, and does not end when it is told to.
    shop.site.write("app.sh", &format!("trap '' TERM\n{SERVES}"));
    fs::write(&point, "before the switch").unwrap();
    shop.push(&daemon, "two");
    assert_eq!(daemon.ended().signal(), Some(9), "{}", daemon.output());
    fs::remove_file(&point).unwrap();
    let _before = manager::told(&systemd);
    let running = |project: &str| docker::ids(project, "web").len() == 1 && shop.running(project, "web") == 1;
    let (red, blue) = (shop.site.red(), shop.site.blue());
    assert!(running(&red) && running(&blue));

    let began = Instant::now();
    daemon.restart();
    let mut told = String::new();
    wait_until("the service manager to be told that it is ready", PATIENCE, || {
        told.push_str(&manager::told(&systemd));
        if told.contains("READY=1") { Ok(()) } else { Err(told.clone()) }
    });
    let took = began.elapsed();
    println!("ready after {took:?}");
    assert!(took < SOON, "ready after {took:?}: {}", daemon.output());
    let output = daemon.says("is not live and ran all the same: it is stopped");
    let next = if output.contains(&format!("{blue} is not live and ran")) { &blue } else { &red };
    assert!(running(next), "it is being stopped still: {output}");

    // What was broken off goes on once that is done, and can be called off before; a push is taken all the while.
    let again = daemon.history()[0]["id"].as_i64().unwrap();
    wait_for_log(&daemon, again, "waiting until what was left in part is put right");
    shop.site.write("app.sh", SERVES);
    let third = shop.push(&daemon, "three");
    assert!(daemon.turnout(&["cancel", &again.to_string()]).status.success());
    assert!(running(next), "it is being stopped still: {}", daemon.output());
    let stubborn = docker::ids(next, "web").remove(0);
    docker::block_on(async {
        docker::connect().await.kill_container(&stubborn, None::<KillContainerOptions>).await.unwrap();
    });
    daemon.expect_success(third);
    load.wait_for("three", 20);
    assert_eq!(load.end().bad, Vec::<String>::new());
}
