//! Who waits and who stops for others, and what is said of who does neither.

use super::*;
use crate::Mounted;

/// A wait that is sure to fail is refused before anything is done; what is still to come may bring a check along.
#[test]
fn health_is_waited_for_where_something_tells_it() {
    let test = |words: Value| json!({"test": words});
    let none = || Value::Null;
    let required = json!({"condition": "service_healthy"});
    let optional = json!({"condition": "service_healthy", "required": false});
    for (check, of_image, edge, unchecked, fails) in [
        (none(), Some(true), &required, false, false),
        (none(), Some(false), &required, false, true),
        (none(), None, &required, false, false),
        (none(), Some(false), &optional, false, false),
        (none(), Some(false), &required, true, false),
        (test(json!(["CMD", "true"])), Some(false), &required, false, false),
        (test(json!(["NONE"])), Some(true), &required, false, true),
        (json!({"disable": true, "test": ["CMD", "true"]}), Some(true), &required, false, true),
        // Only the intervals are said: the check is the image's.
        (json!({"retries": 3}), Some(true), &required, false, false),
        (json!({"retries": 3}), Some(false), &required, false, true),
    ] {
        let case = format!("{check} {of_image:?} {edge} {unchecked}");
        let mut db = json!({"image": "db"});
        if !check.is_null() {
            db["healthcheck"] = check;
        }
        let stage = Stage::of(json!({"db": db, "web": {"image": "web", "depends_on": {"db": edge}}}))
            .world(|w| {
                if let Some(healthcheck) = of_image {
                    let state = ImageState { id: Some("sha256:1".to_owned()), healthcheck, ..ImageState::default() };
                    w.observed.images.insert("db".to_owned(), state);
                }
            })
            .want(|i| i.start_unchecked = unchecked);
        let planned = converge(&stage.project, &stage.world.observed, &stage.intent);
        assert_eq!(matches!(planned, Err(PlanError::NoHealthcheck { .. })), fails, "{case}");
        assert_eq!(planned.is_err(), fails, "{case}");
    }
    // An image that is pulled again may have got one.
    let pulled = Stage::of(json!({
        "db": {"image": "db", "pull_policy": "always"},
        "web": {"image": "web", "depends_on": {"db": {"condition": "service_healthy"}}},
    }));
    let pulled = pulled.world(|w| {
        let state = ImageState { id: Some("sha256:1".to_owned()), ..ImageState::default() };
        w.observed.images.insert("db".to_owned(), state);
    });
    assert!(converge(&pulled.project, &pulled.world.observed, &pulled.intent).is_ok());
}

/// Whoever starts waits for a job that is still at it, and for none that is done.
#[test]
fn a_job_that_runs_is_waited_for() {
    for (state, waits) in [(RunState::Running, true), (RunState::Exited(0), false), (RunState::Exited(1), true)] {
        let stage = Stage::of(job()).up().container("shop-migrate-1", |c| c.state = state);
        let text = stage.service("web", |s| set(s, "A", "1")).plan();
        assert_eq!(text.contains("wait until migrate has completed"), waits, "{state:?}: {text}");
    }
}

#[test]
fn waits_are_for_who_starts() {
    let on = json!({"db": {"condition": "service_healthy"}});
    let text = Stage::of(json!({
        "db": {"image": "db", "healthcheck": {"test": ["CMD", "true"]}},
        "web": {"image": "web", "depends_on": on},
        "worker": {"image": "worker", "depends_on": on},
    }))
    .up()
    .service("web", |s| set(s, "A", "1"))
    .plan();
    assert!(text.contains("wait until db is healthy: web depends on it"), "{text}");
}

/// Who is to be restarted with several others, or by several ways, is stopped once; who does not run, not at all.
#[test]
fn each_is_stopped_once_for_others() {
    let stops = |stage: Stage| -> Vec<String> {
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        check(&plan).unwrap_or_else(|fault| panic!("{fault}\n{}", render(&plan)));
        let stops = plan.steps.iter().filter_map(|step| match &step.action {
            Action::StopContainer { name, .. } => Some(name.clone()),
            _ => None,
        });
        stops.collect()
    };
    let changed = |stage: Stage, name: &str| stage.service(name, |s| set(s, "A", "1"));
    let built = |stage: Stage, name: &str| stage.build(name, "Dockerfile changed");
    let build = || json!({"context": "/src"});
    let both = || {
        Stage::of(json!({
            "a": {"build": build()},
            "b": {"build": build()},
            "web": {"image": "web", "depends_on": {"a": {"restart": true}, "b": {"restart": true}}},
        }))
        .up()
    };
    let of_web = |stage: Stage| stops(stage).iter().filter(|name| *name == "shop-web-1").count();
    assert_eq!(of_web(changed(changed(both(), "a"), "b")), 1);
    assert_eq!(of_web(built(changed(both(), "a"), "b")), 1);
    // On two conditions, each has its own.
    assert_eq!(of_web(built(built(both(), "a"), "b")), 2);
    let ended = |stage: Stage| stage.container("shop-web-1", |c| c.state = RunState::Exited(1));
    assert_eq!(of_web(changed(ended(both()), "a")), 0);
    // One that is replaced and does not run has nothing to stop.
    assert_eq!(of_web(changed(ended(both()), "web")), 0);

    // In the namespaces of one that lives in those of another one, and in those of that.
    let nested = || {
        Stage::of(json!({
            "inner": {"image": "a", "network_mode": "service:outer", "pid": "service:middle"},
            "middle": {"image": "a", "network_mode": "service:outer"},
            "outer": {"image": "a"},
        }))
        .up()
    };
    let restarted = |stage: Stage| {
        let outer = stage.world.observed.containers.iter().find(|c| c.service == "outer").unwrap().id.clone();
        let mounted = Mounted { restart: Some("site changed".to_owned()), ..Mounted::default() };
        stage.want(|i| i.mounted.insert(outer, mounted))
    };
    assert_eq!(stops(restarted(nested())), ["shop-inner-1", "shop-middle-1", "shop-outer-1"]);
}

#[test]
fn what_is_paused_is_resumed_once() {
    let stage = Stage::of(json!({
        "db": {"build": {"context": "/src"}},
        "web": {"build": {"context": "/src"}, "depends_on": {"db": {"restart": true}}},
    }))
    .up()
    .container("shop-web-1", |c| c.state = RunState::Paused)
    .build("db", "Dockerfile changed")
    .build("web", "Dockerfile changed");
    let text = stage.plan();
    assert_eq!(text.matches("resume container shop-web-1").count(), 1, "{text}");
}

/// What is not done, and is not started either, is said of each service as it is.
#[test]
fn what_stays_is_told_as_it_is() {
    let only = || Stage::of(json!({"web": {"image": "shop"}})).up();
    let unchanged = |stage: Stage| {
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        assert!(plan.steps.is_empty(), "{}", render(&plan));
        (plan.unchanged.join("; "), plan.doubts.join("; "))
    };
    let with = |state| only().container("shop-web-1", |c| c.state = state);
    for (stage, line, doubt) in [
        (only(), "web: running, nothing changed", ""),
        (with(RunState::Restarting), "web: nothing changed, but it keeps restarting", ""),
        (with(RunState::Created).want(|i| i.no_start = true), "web: not running, nothing changed", ""),
        (with(RunState::Exited(1)).want(|i| i.no_start = true), "web: not running, nothing changed", ""),
        (
            with(RunState::Exited(0)),
            "web: ended with exit code 0, counts as a job that is done, not run again (restart: unless-stopped tells a \
             service)",
            "web ended with exit code 0 and counts as a job that is done",
        ),
        (
            with(RunState::Exited(0))
                .service("web", |s| s.labels = labels_of(&[("dev.turnout.job", "true")]).into_iter().collect())
                .world(|w| {
                    w.observed.containers[0].config_hash = String::new();
                })
                .want(|i| i.no_recreate = true),
            "web: completed with exit code 0, nothing changed, not run again",
            "",
        ),
        (only().world(|w| w.observed.containers.clear()).service("web", |s| s.scale = Some(0)), "web: scaled to 0", ""),
        (
            Stage::of(json!({"web": {"image": "shop", "scale": 2}})).up(),
            "web: 2 containers running, nothing changed",
            "",
        ),
    ] {
        assert_eq!(unchanged(stage), (line.to_owned(), doubt.to_owned()));
    }
}
