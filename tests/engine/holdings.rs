//! What `turnout status` says of containers comes from the engine's events; where those do not come it is asked, and where it
//! does not answer, what was known last is told as that.

use serde_json::Value;

use crate::{common, e2e_support, waits_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{Site, all_of};
use waits_support::{Call, Door, Hang};

const LIST: Call = Call { method: "GET", path: &["/containers/json"], hang: Hang::Before };

fn status(daemon: &Daemon) -> Value {
    daemon.turnout_json(&["status", "--json"])
}

/// Waits until what runs is known from events, and it is so.
fn known(daemon: &Daemon, says: &str) -> Value {
    wait_until("what runs, from events", PATIENCE, || {
        let status = status(daemon);
        let shown = status["repos"][0]["containers"][0]["status"].as_str().unwrap_or_default().to_owned();
        match status["runs"]["from"] == "events" && shown.starts_with(says) {
            true => Ok(status),
            false => Err(format!("{status:#}")),
        }
    })
}

#[test]
fn the_status_knows_what_runs_from_events_and_says_so_where_it_does_not() {
    let door = Door::new();
    let site = Site::sleeping();
    let url = door.url();
    let daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "300ms", "--docker-host", &url], &[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    known(&daemon, "Up");

    // Nobody lists containers for it any more. Where others' tests have just changed something, the engine is asked.
    let told = wait_until("what runs, without a list", PATIENCE, || {
        door.hang(LIST);
        let told = status(&daemon);
        if (&told["runs"]["from"], door.caught()) == (&"events".into(), 0) {
            return Ok(told);
        }
        door.release();
        known(&daemon, "Up");
        Err(format!("{told:#}"))
    });
    assert_eq!(told["repos"][0]["containers"][0]["service"], "web");
    assert!(!all_of(&daemon.turnout(&["status"])).contains("events"), "nothing is wrong, so nothing is said");

    // A broken stream is taken up again, and what happens behind turnout's back is seen.
    door.release();
    known(&daemon, "Up");
    let id = docker::ids(&site.red(), "web").remove(0);
    let options = bollard::query_parameters::StopContainerOptionsBuilder::default().t(0).build();
    docker::block_on(async { docker::connect().await.stop_container(&id, Some(options)).await }).unwrap();
    let stopped = known(&daemon, "Exited");

    // Of an engine that is away, what was known last is told, as that.
    door.shut();
    let away = status(&daemon);
    assert_eq!((&away["engine"]["ok"], &away["runs"]["from"]), (&false.into(), &"before".into()), "{away:#}");
    let repo = &away["repos"][0];
    assert!(repo["runs_unknown"].is_string() && repo["containers"].as_array().unwrap().is_empty(), "{away:#}");
    let (then, before) = (&stopped["repos"][0]["containers"][0], &repo["ran"][0]);
    assert_eq!((&before["name"], &before["image"]), (&then["name"], &then["image"]));
    // When the engine was heard last, not when that was noticed.
    let as_of = |status: &Value| status["runs"]["as_of"].as_i64().unwrap();
    assert!((1..=as_of(&stopped)).contains(&as_of(&away)), "{away:#}");
    let shown = all_of(&daemon.turnout(&["status"]));
    assert!(shown.contains("what runs is not known") && shown.contains(" ago:\n"), "{shown}");
    door.reopen();
    known(&daemon, "Exited");
}

/// The engine tells of an end some 100 ms before its list shows it, while it takes down what a published port needs.
#[test]
fn a_container_that_was_killed_is_not_shown_as_running() {
    let site = Site::new(&[(
        "docker-compose.prod.yml",
        &format!("services:\n  web:\n{}    ports: [\"127.0.0.1::80\"]\n", e2e_support::idle()),
    )]);
    let daemon = Daemon::start_with(&site.entry(&[]), &["--settle-time", "300ms", "--watch-after", "0"], &[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    for _ in 0..4 {
        known(&daemon, "Up");
        let id = docker::ids(&site.red(), "web").remove(0);
        docker::block_on(async {
            let engine = docker::connect().await;
            engine.kill_container(&id, None::<bollard::query_parameters::KillContainerOptions>).await.unwrap();
        });
        // Within the time that is believed without an event, by which it would be found out anyway.
        let shown = wait_until("the end, from events", std::time::Duration::from_secs(15), || {
            let status = status(&daemon);
            let words = status["repos"][0]["containers"][0]["status"].as_str().unwrap_or_default().to_owned();
            match status["runs"]["from"] == "events" && words.starts_with("Exited (137)") {
                true => Ok(words),
                false => Err(format!("{status:#}")),
            }
        });
        assert!(shown.ends_with(" ago"), "{shown}");
        docker::block_on(async {
            let engine = docker::connect().await;
            engine.start_container(&id, None::<bollard::query_parameters::StartContainerOptions>).await.unwrap();
        });
    }
}
