//! What mounted files ask for, beside what else happens to a container.

use super::*;
use crate::Mounted;

/// The plan where the containers of `web` have something mounted that changed.
fn plan(mut stage: Stage, mounted: &Mounted) -> String {
    for container in stage.world.observed.containers.iter().filter(|c| c.service == "web") {
        stage.intent.mounted.insert(container.id.clone(), mounted.clone());
    }
    let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
    check(&plan).unwrap();
    stage.world.apply(&stage.project, &plan);
    render(&plan)
}

fn sharers() -> Stage {
    Stage::of(json!({
        "web": { "image": "a", "scale": 2 },
        "side": { "image": "a", "network_mode": "service:web" },
        "other": { "image": "a" },
    }))
    .up()
}

fn why() -> String {
    "site/page changed".to_owned()
}

#[test]
fn a_restart_takes_along_who_lives_in_its_namespaces() {
    let text = plan(sharers(), &Mounted { restart: Some(why()), ..Mounted::default() });
    for wanted in [
        "stop container shop-side-1: web is stopped",
        "stop container shop-web-1: site/page changed",
        "stop container shop-web-2: site/page changed",
        "start container shop-web-1: stopped before",
        "start container shop-web-2: stopped before",
        "start container shop-side-1: stopped before",
        "other: running, nothing changed",
    ] {
        assert!(text.contains(wanted), "{wanted}:\n{text}");
    }
    assert!(!text.contains("replace"), "{text}");
}

#[test]
fn a_replacement_replaces_them_too() {
    let text = plan(sharers(), &Mounted { recreate: Some(why()), ..Mounted::default() });
    for wanted in
        ["replace container shop-web-1: site/page changed", "replace container shop-side-1: shares the network"]
    {
        assert!(text.contains(wanted), "{wanted}:\n{text}");
    }
}

#[test]
fn a_signal_touches_nothing_else_and_is_not_sent_to_who_is_replaced() {
    let signal = Mounted { signal: Some(("SIGHUP".to_owned(), why())), ..Mounted::default() };
    let text = plan(sharers(), &signal);
    assert!(text.starts_with("shop: 2 steps\n"), "{text}");
    assert!(text.contains("send SIGHUP to container shop-web-2: site/page changed"), "{text}");
    let text = plan(sharers().service("web", |s| set(s, "APP_MODE", "b")), &signal);
    assert!(text.contains("replace container shop-web-2: environment") && !text.contains("SIGHUP"), "{text}");
}

#[test]
fn what_is_replaced_anyway_is_not_stopped_before() {
    let stage = sharers().service("web", |s| set(s, "APP_MODE", "b"));
    let text = plan(stage, &Mounted { restart: Some(why()), ..Mounted::default() });
    assert!(text.contains("replace container shop-web-1") && !text.contains("stop container shop-web"), "{text}");
}

#[test]
fn what_is_left_alone_is_said() {
    let text = plan(sharers(), &Mounted { left: vec![why()], ..Mounted::default() });
    assert!(text.starts_with("shop: nothing to do\n"), "{text}");
    assert!(text.contains("web: running, left alone: site/page changed"), "{text}");
}

#[test]
fn a_signal_goes_to_who_runs() {
    let signal = Mounted { signal: Some(("SIGHUP".to_owned(), why())), ..Mounted::default() };
    for (state, sent) in [
        (RunState::Running, true),
        (RunState::Paused, false),
        (RunState::Restarting, false),
        (RunState::Exited(1), false),
    ] {
        let stage = Stage::of(web()).up().container("shop-web-1", |c| c.state = state);
        let text = plan(stage, &signal);
        assert_eq!(text.contains("send SIGHUP to container shop-web-1"), sent, "{state:?}: {text}");
    }
    // Stopped on account of another one, it reads its files anew at its start.
    let value = json!({"db": {"image": "db"}, "web": {"image": "a", "depends_on": {"db": {"restart": true}}}});
    let text = plan(Stage::of(value).up().service("db", |s| set(s, "A", "1")), &signal);
    assert!(text.contains("stop container shop-web-1") && !text.contains("SIGHUP"), "{text}");
}
