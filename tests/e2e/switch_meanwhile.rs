//! While a colour bakes, the images of the deployment that waits for it are built, and nothing else is changed.

use std::collections::HashMap;

use bollard::query_parameters::ListImagesOptionsBuilder;

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{all_of, kneading, load::Load, log, switched::Switched, wait_for_log, waits};

/// Clients that ask while something is done.
const CLIENTS: usize = 2;
/// What the log has when the bake is over and the deployment begins.
const BEGINS: &str = "the bake is over: this begins now";

/// A stack whose version two bakes, with a daemon. Answers the deployment of that, too.
fn baking(switch: &str) -> (Switched, e2e_support::switched::ProxyGuard, Daemon, i64) {
    let shop = Switched::new("one");
    let (proxy, daemon) = shop.serve(switch, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let two = shop.push(&daemon, "two");
    daemon.expect_success(two);
    (shop, proxy, daemon, two)
}

/// Images that turnout has built for a project and that have no name.
fn nameless(project: &str) -> usize {
    let wanted = [format!("dev.turnout.project={project}")];
    let filters = HashMap::from([("dangling", vec!["true".to_owned()]), ("label", wanted.to_vec())]);
    docker::block_on(async {
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        docker::connect().await.list_images(Some(options)).await.unwrap().len()
    })
}

/// Pushes a version whose build takes so many seconds, and waits until it is built.
fn kneads(shop: &Switched, daemon: &Daemon, version: &str, seconds: u32) -> i64 {
    let copies = "COPY page app.sh /app/\nCMD [\"sh\", \"/app/app.sh\"]\n";
    shop.site.write("Dockerfile", &format!("{}{copies}", kneading(seconds)));
    let id = shop.push(daemon, version);
    wait_for_log(daemon, id, "kneading the dough");
    id
}

#[test]
fn a_push_during_a_bake_is_built_at_once_and_begins_when_that_is_over() {
    let (shop, _proxy, daemon, two) = baking("{ bake: 1h }");
    let (name, red) = (shop.site.name.clone(), shop.site.red());
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("two", 20);
    let before = nameless(&red);
    let three = shop.push(&daemon, "three");
    let said = format!("deployment {three} has built 2 images and waits for the end of the bake of deployment {two}");
    wait_for_log(&daemon, three, &said);
    waits(&daemon, three, "wait for the bake");
    for command in [&["status"][..], &["status", "--json"], &["plan", &name]] {
        let text = all_of(&daemon.turnout(command));
        assert!(text.contains(&format!("{said}, another ")), "{command:?}: {text}");
    }
    // They are there, and have taken no name from what may be brought back; files are those of the live colour.
    assert!(nameless(&red) > before, "{before} before");
    assert_eq!((shop.running(&red, "web"), shop.workers()), (1, 1));
    assert_eq!(std::fs::read_to_string(shop.site.path.join("page")).unwrap(), "two");

    all_of(&daemon.turnout(&["promote", &name]));
    daemon.expect_success(three);
    load.wait_for("three", 20);
    no_build_after_the_bake(&daemon, three);

    // A newer one takes the place of one that waits, and finds what was built for that.
    let four = shop.push(&daemon, "four");
    wait_for_log(&daemon, four, "has built 2 images and waits");
    let said = all_of(&daemon.turnout(&["deploy", &name, "--now"]));
    assert!(said.contains("was built during the bake: no build") && !said.contains("done: built"), "{said}");
    load.wait_for("four", 20);
    assert_eq!(load.end().bad, Vec::<String>::new());
}

/// Of what a deployment has said since the bake was over, nothing is a build.
fn no_build_after_the_bake(daemon: &Daemon, id: i64) {
    let log = log(daemon, id);
    let (_, after) = log.split_once(BEGINS).unwrap_or_else(|| panic!("it has not waited: {log}"));
    assert!(after.contains("was built during the bake: no build") && !after.contains("done: built"), "{log}");
}

#[test]
fn whoever_takes_the_place_of_one_that_is_being_built_or_calls_it_off_ends_its_build() {
    let (shop, _proxy, daemon, _) = baking("{ bake: 1h }");
    let slow = kneads(&shop, &daemon, "slow", 600);
    // The same without the dough: its turn comes when the other one's build has ended.
    shop.site.write("Dockerfile", "FROM @BASE\nCOPY page app.sh /app/\nCMD [\"sh\", \"/app/app.sh\"]\n");
    let four = shop.push(&daemon, "four");
    daemon.says(&format!("what was built for deployment {slow} during the bake was called off"));
    wait_for_log(&daemon, four, "has built 2 images and waits");
    assert_eq!(daemon.wait_for_deployment(slow)["state"], "superseded");

    let slow = kneads(&shop, &daemon, "slower", 600);
    assert_eq!(daemon.wait_for_deployment(four)["state"], "superseded");
    let said = all_of(&daemon.turnout(&["cancel", &slow.to_string()]));
    daemon.says(&format!("what was built for deployment {slow} during the bake was called off"));
    assert_eq!(daemon.wait_for_deployment(slow)["state"], "cancelled", "{said}");
    // Nothing is left of it that holds anybody up.
    all_of(&daemon.turnout(&["promote", &shop.site.name]));
    shop.site.write("Dockerfile", "FROM @BASE\nCOPY page app.sh /app/\nCMD [\"sh\", \"/app/app.sh\"]\n");
    daemon.expect_success(shop.push(&daemon, "five"));
}

#[test]
fn a_rollback_does_not_wait_for_what_is_being_built() {
    let (shop, _proxy, daemon, _) = baking("{ bake: 1h }");
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("two", 20);
    let slow = kneads(&shop, &daemon, "slow", 600);
    let said = all_of(&daemon.turnout(&["rollback", &shop.site.name]));
    assert!(said.contains("is live again"), "{said}");
    load.wait_for("one", 20);
    // What waited goes on with its build, which whoever does not want it calls off.
    wait_for_log(&daemon, slow, "the bake is over: what is being built is brought to its end first");
    assert_eq!(daemon.deployment(slow).unwrap()["state"], "running");
    daemon.turnout(&["cancel", &slow.to_string()]);
    assert_eq!(daemon.wait_for_deployment(slow)["state"], "cancelled", "{}", daemon.output());
    assert_eq!(load.end().bad, Vec::<String>::new());
}

#[test]
fn what_is_being_built_when_the_daemon_dies_is_built_by_the_next_one() {
    let (shop, _proxy, mut daemon, two) = baking("{ bake: 1h }");
    let three = kneads(&shop, &daemon, "three", 5);
    daemon.kill();
    daemon.restart();
    let said = format!("deployment {three} has built 2 images and waits for the end of the bake of deployment {two}");
    wait_for_log(&daemon, three, &said);
    waits(&daemon, three, "wait for the bake");
    all_of(&daemon.turnout(&["promote", &shop.site.name]));
    daemon.expect_success(three);
    no_build_after_the_bake(&daemon, three);
    wait_until("the version that was pushed", PATIENCE, || {
        let live = daemon.turnout_json(&["status", "--json"])["repos"][0]["live"]["project"].clone();
        if live == shop.site.red().as_str() { Ok(()) } else { Err(live) }
    });
}
