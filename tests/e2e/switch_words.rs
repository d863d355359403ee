//! What is told of colours: that turnout has stopped one is no fault of its containers, a way back that lacks something is refused
//! with what to do, and each step has one cause.

use crate::{common, e2e_support};
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use common::docker;
use e2e_support::{all_of, log, switched::Switched};

#[test]
fn what_turnout_has_stopped_is_told_so_and_a_way_back_that_lacks_something_says_what_to_do() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1h }", &[]);
    let (name, red) = (shop.site.name.clone(), shop.site.red());
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let first = shop.site.remote.head()[..7].to_owned();
    let id = shop.push(&daemon, "two");
    daemon.expect_success(id);
    // The question whether there is anything to do has an answer that is true of the live colour alone.
    let said = log(&daemon, id);
    assert!(said.contains("rebuild") && !said.contains("no rebuild"), "{said}");
    assert!(said.contains("runs on for") && said.contains("stopped, for 24 h"), "{said}");

    // Somebody removes a container of the colour that is there to go back to.
    let worker = shop.site.container(&red, "worker");
    docker::block_on(async {
        let engine = bollard::Docker::connect_with_local_defaults().unwrap();
        let force = RemoveContainerOptionsBuilder::default().force(true).build();
        engine.remove_container(&worker, Some(force)).await.unwrap();
    });
    let said = all_of(&daemon.turnout(&["rollback", &name]));
    assert!(said.contains("the container of worker was removed"), "{said}");
    assert!(said.contains(&format!("`turnout deploy {name} --commit {first} --now`")), "{said}");

    // Kept, it is stopped by turnout, whatever its exit codes are, and cannot be brought back either.
    let said = all_of(&daemon.turnout(&["promote", &name]));
    assert!(said.contains("stays live"), "{said}");
    let status = all_of(&daemon.turnout(&["status"]));
    let web = status.lines().find(|line| line.contains(&format!("{red}-web-1"))).unwrap_or_default();
    assert!(web.contains("stopped by turnout") && !web.contains("Exited"), "{status}");
    let said = all_of(&daemon.turnout(&["rollback", &name]));
    assert!(said.contains("the container of worker was removed"), "{said}");
    assert!(said.contains(&format!("`turnout deploy {name} --commit {first}`")), "{said}");
    let now = format!("{red}: web stopped by turnout");
    assert!(said.contains(&now) && !said.contains("ended with an error"), "{said}");
}
