//! Replacements that start before their predecessor stops, and what keeps them from it.

use super::*;

/// A worker that waits for a database, and asks for it.
fn worker() -> Stage {
    Stage::of(json!({
        "db": {"image": "postgres"},
        "worker": {"build": {"context": "/src"}, "depends_on": {"db": {}}, "environment": {"MODE": "a"}},
    }))
    .up()
    .want(|intent| intent.start_first.insert("worker".to_owned(), Ok(())))
}

#[test]
fn the_new_one_starts_and_is_ready_before_the_old_one_stops() {
    let stage = worker().service("worker", |s| set(s, "MODE", "b"));
    let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
    let acts: Vec<String> = plan.steps.iter().map(|step| action(&step.action).replace("shop-worker-1", "W")).collect();
    let beside = acts[1].strip_prefix("start container ").unwrap().to_owned();
    assert!(beside.ends_with("_W"), "{acts:?}");
    assert_eq!(
        acts,
        [
            "create the replacement of container W",
            &format!("start container {beside}"),
            &format!("wait until container {beside} is ready"),
            "stop container W",
            "remove container W",
            &format!("rename container {beside} to W"),
        ]
    );
    insta::assert_snapshot!(stage.plan(), @r"
    shop: 2 steps
      1. create the replacement of container shop-worker-1: environment MODE changed
      2. start the replacement of container shop-worker-1, and stop that once it is ready: deploy.update_config.order is start-first
         after 1
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn where_a_build_decides_it_is_not_told_twice() {
    insta::assert_snapshot!(worker().build("worker", "main.py changed").plan(), @r"
    shop: 3 steps
      1. build shop-worker for worker: main.py changed
      2. create the replacement of container shop-worker-1: image shop-worker is built: main.py changed
         only if image shop-worker is no longer shop-worker-; after 1
      3. start the replacement of container shop-worker-1, and stop that once it is ready: deploy.update_config.order is start-first
         only if step 2 was needed; after 2
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn it_waits_for_what_it_depends_on_and_those_who_depend_on_it_wait_for_it() {
    let stage = worker()
        .edit(|p| {
            let app = json!({"app": {"image": "app", "depends_on": {"worker": {}}}});
            p.services.extend(services(app));
        })
        .service("db", |s| set(s, "A", "b"))
        .service("worker", |s| set(s, "MODE", "b"));
    insta::assert_snapshot!(stage.plan(), @r"
    shop: 7 steps
      1. pull app: image app is not there yet
      2. replace container shop-db-1: environment A added
         after 1
      3. create the replacement of container shop-worker-1: environment MODE changed
         after 1
      4. create container shop-app-1: no container yet
         after 1
      5. start container shop-db-1: replaced
         after 2
      6. start the replacement of container shop-worker-1, and stop that once it is ready: deploy.update_config.order is start-first
         after 5
      7. start container shop-app-1: created
         after 6
    ");
}

/// What speaks against it, by what the plan is made of; the old one stops first then, and the reason is told.
#[test]
fn what_keeps_it_from_starting_first_is_told() {
    type Edit = fn(Stage) -> Stage;
    let bars: &[(Edit, &str)] = &[
        (
            |s| s.want(|i| i.start_first.insert("worker".to_owned(), Err("it publishes 80".to_owned()))),
            "it publishes 80",
        ),
        (
            |s| s.service("worker", |s| s.network_mode = "service:db".to_owned()),
            "it shares the network namespace of db",
        ),
        (|s| s.service("worker", |s| s.volumes_from = vec!["db".to_owned()]), "it shares volumes of db"),
        (
            |s| s.service("worker", |s| drop(s.labels.insert(labels::TURNOUT_JOB.to_owned(), "true".to_owned()))),
            "it is a job, which comes to an end",
        ),
        (
            |s| {
                let with = json!({"web": {"image": "shop", "depends_on": {"worker": {"restart": true}}}});
                s.edit(|p| p.services.extend(services(with)))
            },
            "web is restarted with it (depends_on: restart)",
        ),
        (
            |s| {
                let with = json!({"web": {"image": "shop", "volumes_from": ["worker:ro"]}});
                s.edit(|p| p.services.extend(services(with)))
            },
            "web has namespaces or volumes of it",
        ),
        (
            |s| {
                let with = json!({"web": {"image": "shop", "pid": "container:shop-worker-1"}});
                s.edit(|p| p.services.extend(services(with)))
            },
            "web refers to the name shop-worker-1, which only one can have",
        ),
        (
            |s| {
                let restarted = json!({"worker": {
                    "build": {"context": "/src"}, "depends_on": {"db": {"restart": true}},
                }});
                s.edit(|p| p.services.extend(services(restarted))).service("db", |s| set(s, "A", "b"))
            },
            "it is stopped with what it depends on",
        ),
        (
            |s| s.edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true),
            "network default is made anew, and it is taken out of that",
        ),
    ];
    for (edit, why) in bars {
        let stage = edit(worker()).service("worker", |s| set(s, "MODE", "b"));
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        check(&plan).unwrap();
        let told = format!(
            "worker: deploy.update_config.order is start-first, but the old one stops before the new one starts: {why}"
        );
        assert!(plan.warnings.contains(&told), "{why}: {:?}", plan.warnings);
        let waits = plan.steps.iter().any(|step| matches!(step.action, Action::AwaitReady { .. }));
        assert!(!waits, "{why}:\n{}", render(&plan));
    }
    // Of one that does not run nothing is lost, and nothing is said; nor is anything where nothing changes.
    let ended = worker().service("worker", |s| set(s, "MODE", "b")).container("shop-worker-1", |c| {
        c.state = RunState::Exited(1);
    });
    let text = ended.plan();
    assert!(!text.contains("start-first") && text.contains("replace container shop-worker-1"), "{text}");
    let barred = worker().want(|i| i.start_first.insert("worker".to_owned(), Err("it publishes 80".to_owned())));
    insta::assert_snapshot!(barred.plan(), @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
      worker: running, nothing changed
    ");
}

/// A daemon that was killed in between: the one that has taken over stays, one that has not goes, and never the last one that runs.
#[test]
fn what_a_death_has_left_is_finished_or_removed() {
    // By the number of steps that were done: creation, start, wait, stop, removal, rename.
    for (done, left) in [
        (1, "3 steps\n  1. remove container W: left over from a replacement that was interrupted"),
        (2, "create the replacement of container shop-worker-1"),
        (3, "create the replacement of container shop-worker-1"),
        (
            4,
            "2 steps\n  1. remove container shop-worker-1: left over from a replacement that was interrupted\n  2. rename",
        ),
        (5, "1 step\n  1. rename"),
        (6, "nothing to do"),
    ] {
        let stage = worker().service("worker", |s| set(s, "MODE", "b"));
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        let Stage { project, mut world, intent } = stage;
        world.apply_first(&project, &plan, done);
        let beside = world.observed.containers.iter().find(|c| c.name.ends_with("_shop-worker-1"));
        let beside = beside.map_or_else(String::new, |c| c.name.clone());
        let text = Stage { project, world, intent }.plan();
        assert!(text.contains(&left.replace('W', &beside)), "after {done}:\n{text}");
        let stops = text.contains("start the replacement of container shop-worker-1, and stop that once it is ready");
        assert_eq!(stops, done < 4, "after {done}:\n{text}");
    }
}
