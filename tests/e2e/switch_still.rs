//! What is live and does not run is told wherever an operator looks: by `status`, in the status text of the unit, by `/readyz` and in
//! the log; and so is its end.

use bollard::query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptions};

use crate::{
    common::{
        PATIENCE,
        daemon::Daemon,
        docker::{self, ids},
        http, wait_until,
    },
    e2e_support::{all_of, manager, switched::Switched},
};

/// How many repositories have something that stands still, as everybody may read. It is ready all the while.
fn standing_still(daemon: &Daemon) -> u64 {
    let answer = http::get(daemon.listen(), "/readyz").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["standing_still"].as_u64().unwrap_or_default()
}

#[test]
fn what_is_live_and_does_not_run_is_told_everywhere_and_so_is_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (systemd, address) = manager::in_folder(folder.path());
    let shop = Switched::new("first");
    let (name, variables) = (&shop.site.name, [("NOTIFY_SOCKET", address.to_str().unwrap())]);
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &variables);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    shop.expect_whole(&daemon, "the first deployment");
    let live = daemon.turnout_json(&["status", "--json"])["repos"][0]["live"]["project"].as_str().unwrap().to_owned();
    assert_eq!(standing_still(&daemon), 0);

    let (web, db) = (ids(&live, "web"), ids(name, "db"));
    docker::block_on(async {
        let engine = docker::connect().await;
        let force = RemoveContainerOptionsBuilder::new().force(true).build();
        engine.remove_container(&web[0], Some(force)).await.unwrap();
        engine.stop_container(&db[0], None::<StopContainerOptions>).await.unwrap();
    });
    let db = format!("{name}-db-1 is exited");
    manager::status(&systemd, &[&format!("STANDS STILL IN PART: {name} (web has no container, {db});")]);
    assert_eq!(standing_still(&daemon), 1);
    let remedy = format!("; `turnout deploy {name}` has it run again");
    let warnings = [
        format!("{live} is live and stands still in part: web has no container{remedy}"),
        format!("what stays beside {live} stands still in part: {db}{remedy}"),
    ];
    warnings.iter().for_each(|warning| drop(daemon.says(warning)));
    let status = all_of(&daemon.turnout(&["status"]));
    for told in ["STANDS STILL IN PART: web has no container", &format!("STANDS STILL IN PART: {db}{remedy}")] {
        assert!(status.contains(told), "{status}");
    }

    // What is said of it is true.
    let output = daemon.turnout(&["deploy", name]);
    assert!(output.status.success(), "{}", all_of(&output));
    wait_until("nothing to stand still", PATIENCE, || match standing_still(&daemon) {
        0 => Ok(()),
        more => Err((more, daemon.output())),
    });
    manager::status_is(&systemd, "have nothing that stands still", |line| {
        line.starts_with("STATUS=idle") && !line.contains("STANDS STILL")
    });
    let output = daemon.says(&format!("of {name}, web, db run again"));
    for warning in &warnings {
        assert_eq!(output.matches(warning.as_str()).count(), 1, "{output}");
    }
    shop.expect_whole(&daemon, "the deployment that had it run again");
    assert!(!all_of(&daemon.turnout(&["status"])).contains("STANDS STILL"));
}
