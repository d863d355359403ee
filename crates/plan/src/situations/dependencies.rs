//! Order, conditions, restarts and shared namespaces.

use super::*;

#[test]
fn no_deps_leaves_dependencies_alone() {
    let text = Stage::of(web_and_db())
        .up()
        .world(|w| w.observed.containers.clear())
        .want(|i| {
            i.no_deps = true;
            i.services = vec!["web".to_owned()];
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. create container shop-web-1: no container yet
      2. start container shop-web-1: created
         after 1
    ");
}

#[test]
fn restart_dependents_are_stopped_and_started() {
    let text = Stage::of(json!({
        "db": {"image": "postgres"},
        "web": {"image": "shop", "depends_on": {"db": {"restart": true}}},
        "worker": {"image": "shop", "depends_on": {"db": {}}},
        "zcache": {"image": "redis", "depends_on": {"web": {"restart": true}}},
    }))
    .up()
    .service("db", |s| set(s, "TUNE", "1"))
    .plan();
    // zcache depends on what is restarted, not on what is replaced: Compose leaves it running.
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. replace container shop-db-1: environment TUNE added
      2. stop container shop-web-1: db is replaced
         after 1
      3. start container shop-db-1: replaced
         after 1
      4. start container shop-web-1: stopped before
         after 3
    unchanged:
      worker: running, nothing changed
      zcache: running, nothing changed
    ");
}

#[test]
fn restart_dependents_of_a_rebuild_are_stopped_only_if_needed() {
    let text = Stage::of(json!({
        "db": {"build": {"context": "/db"}},
        "web": {"image": "shop", "depends_on": {"db": {"restart": true}}},
    }))
    .up()
    .build("db", "Dockerfile changed")
    .world(|w| w.yields.insert("shop-db".to_owned(), "sha256:2".to_owned()))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. build shop-db for db: Dockerfile changed
      2. replace container shop-db-1: image shop-db is built: Dockerfile changed
         only if image shop-db is no longer shop-db-1; after 1
      3. stop container shop-web-1: db is replaced
         only if step 2 was needed; after 2
      4. start container shop-db-1: replaced
         only if step 2 was needed; after 2
      5. start container shop-web-1: stopped before
         only if step 3 was needed; after 4
    ");
}

#[test]
fn namespace_sharers_are_replaced_with_the_owner() {
    let text = Stage::of(vpn()).up().service("vpn", |s| set(s, "TUNE", "1")).plan();
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. replace container shop-vpn-1: environment TUNE added
      2. replace container shop-client-1: shares the network namespace of vpn, which is replaced
         after 1
      3. stop container shop-client-1: vpn is replaced
         after 2
      4. start container shop-vpn-1: replaced
         after 1, 2
      5. start container shop-client-1: replaced
         after 4
    ");
}

#[test]
fn namespace_sharers_of_a_rebuild_are_replaced_perhaps() {
    let text = Stage::of(vpn())
        .up()
        .service("vpn", |s| s.pull_policy = "always".to_owned())
        .world(|w| w.yields.insert("vpn".to_owned(), "sha256:2".to_owned()))
        .plan_that_repeats();
    insta::assert_snapshot!(text, @r"
    shop: 6 steps
      1. pull vpn: pull_policy is always
      2. replace container shop-vpn-1: image vpn is pulled: pull_policy is always
         only if image vpn is no longer vpn-1; after 1
      3. replace container shop-client-1: shares the network namespace of vpn, if that is replaced
         only if step 2 was needed; after 2
      4. stop container shop-client-1: vpn is replaced
         only if step 2 was needed; after 3
      5. start container shop-vpn-1: replaced
         only if step 2 was needed; after 2, 3
      6. start container shop-client-1: replaced or stopped before
         only if one of steps 3, 4 was needed; after 5
    ");
}

#[test]
fn namespace_owner_replaced_by_somebody_else() {
    let text = Stage::of(vpn()).up().container("shop-vpn-1", |c| c.id = "f".repeat(64)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-client-1: shares with vpn, which has another container now
      2. start container shop-client-1: replaced
         after 1
    unchanged:
      vpn: running, nothing changed
    ");
}

#[test]
fn shared_namespace_without_owner() {
    let text = Stage::of(vpn()).want(|i| i.scale.insert("vpn".to_owned(), 0)).plan();
    insta::assert_snapshot!(text, @r"error: service client: cannot share network namespace with service vpn: container missing (start vpn too, or set its scale to 1)");
}

#[test]
fn volumes_from_follow_their_source() {
    let text = Stage::of(json!({
        "backup": {"image": "backup", "volumes_from": ["db:ro"], "depends_on": {"db": {}}},
        "db": {"image": "postgres"},
    }))
    .up()
    .service("db", |s| set(s, "TUNE", "1"))
    .plan();
    // zcache depends on what is restarted, not on what is replaced: Compose leaves it running.
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. replace container shop-db-1: environment TUNE added
      2. replace container shop-backup-1: shares volumes of db, which is replaced
         after 1
      3. start container shop-db-1: replaced
         after 1, 2
      4. start container shop-backup-1: replaced
         after 3
    ");
}

#[test]
fn unhealthy_dependency_holds_up_dependents() {
    let text = Stage::of(json!({
        "db": {"image": "postgres", "healthcheck": {"test": ["CMD", "true"]}},
        "web": {"image": "shop", "depends_on": {"db": {"condition": "service_healthy"}}},
    }))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 8 steps
      1. pull postgres: image postgres is not there yet
      2. pull shop: image shop is not there yet
      3. create network shop_default: network shop_default does not exist yet
      4. create container shop-db-1: no container yet
         after 1, 2, 3
      5. create container shop-web-1: no container yet
         after 1, 2, 3
      6. start container shop-db-1: created
         after 4, 5
      7. wait until db is healthy: web depends on it
         after 6
      8. start container shop-web-1: created
         after 7
    ");
}

#[test]
fn health_without_healthcheck() {
    let text = Stage::of(json!({
        "db": {"image": "postgres"},
        "web": {"image": "shop", "depends_on": {"db": {"condition": "service_healthy"}}},
    }))
    .world(|w| {
        for name in ["postgres", "shop"] {
            let state = ImageState { id: Some(format!("sha256:{name}")), ..ImageState::default() };
            w.observed.images.insert(name.to_owned(), state);
        }
    })
    .plan();
    insta::assert_snapshot!(text, @r"error: dependency failed to start: web waits for db to be healthy, but db has no healthcheck configured (add one to services.db, or depend with condition: service_started)");
}

#[test]
fn job_runs_before_its_dependents() {
    let text = Stage::of(job()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 7 steps
      1. pull shop: image shop is not there yet
      2. create network shop_default: network shop_default does not exist yet
      3. create container shop-migrate-1: no container yet
         after 1, 2
      4. create container shop-web-1: no container yet
         after 1, 2
      5. start container shop-migrate-1: created
         after 3, 4
      6. wait until migrate has completed: web depends on it
         after 5
      7. start container shop-web-1: created
         after 6
    ");
}

#[test]
fn completed_job_is_not_run_again_by_a_deployment() {
    let text = Stage::of(job()).up().plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      migrate: completed with exit code 0, nothing changed, not run again
      web: running, nothing changed
    ");
}

#[test]
fn completed_job_is_run_again_by_up() {
    let text = Stage::of(job()).up().want(|i| i.rerun_completed_jobs = true).plan_that_repeats();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. start container shop-migrate-1: stopped with exit code 0
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn completed_job_runs_again_when_it_changed() {
    let text = Stage::of(job()).up().service("migrate", |s| set(s, "STEP", "2")).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-migrate-1: environment STEP added
      2. start container shop-migrate-1: replaced
         after 1
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn failed_job_is_tried_again() {
    let text = Stage::of(job())
        .up()
        .container("shop-migrate-1", |c| c.state = RunState::Exited(3))
        .container("shop-web-1", |c| c.state = RunState::Created)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. start container shop-migrate-1: stopped with exit code 3
      2. wait until migrate has completed: web depends on it
         after 1
      3. start container shop-web-1: created, but never started
         after 2
    ");
}

#[test]
fn stopped_server_is_no_job() {
    let text = Stage::of(json!({"web": {"image": "shop", "ports": [{"target": 80, "protocol": "tcp"}]}}))
        .up()
        .container("shop-web-1", |c| c.state = RunState::Exited(0))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. start container shop-web-1: stopped with exit code 0
    ");
}

#[test]
fn optional_dependencies_do_not_hold_up() {
    let text = Stage::of(json!({
        "cache": {"image": "redis"},
        "seed": {"image": "seed"},
        "web": {"image": "shop", "depends_on": {
            "cache": {"required": false},
            "gone": {"required": false},
            "seed": {"required": false, "condition": "service_completed_successfully"},
        }},
    }))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 12 steps
       1. pull redis: image redis is not there yet
       2. pull seed: image seed is not there yet
       3. pull shop: image shop is not there yet
       4. create network shop_default: network shop_default does not exist yet
       5. create container shop-cache-1: no container yet
          after 1, 2, 3, 4
       6. create container shop-seed-1: no container yet
          after 1, 2, 3, 4
       7. create container shop-web-1: no container yet
          after 1, 2, 3, 4
       8. start container shop-cache-1: created
          after 5, 6, 7
       9. start container shop-seed-1: created
          after 5, 6, 7
      10. wait until cache is started, and go on if it fails: web depends on it
          after 8
      11. wait until seed has completed, and go on if it fails: web depends on it
          after 9
      12. start container shop-web-1: created
          after 10, 11
    ");
}

#[test]
fn links_are_created_first() {
    let text = Stage::of(json!({
        "db": {"image": "postgres"},
        "web": {"image": "shop", "links": ["db:database"], "depends_on": {"db": {"restart": true}}},
    }))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 7 steps
      1. pull postgres: image postgres is not there yet
      2. pull shop: image shop is not there yet
      3. create network shop_default: network shop_default does not exist yet
      4. create container shop-db-1: no container yet
         after 1, 2, 3
      5. create container shop-web-1: no container yet
         after 4
      6. start container shop-db-1: created
         after 5
      7. start container shop-web-1: created
         after 6
    ");
}

#[test]
fn sharers_of_a_crashed_owner_are_started_again_after_it() {
    let text = Stage::of(vpn()).up().container("shop-vpn-1", |c| c.state = RunState::Exited(137)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. stop container shop-client-1: lives in namespaces of vpn, which are gone since that stopped
      2. start container shop-vpn-1: stopped with exit code 137
         after 1
      3. start container shop-client-1: stopped before
         after 2
    ");
}

#[test]
fn sharers_of_an_owner_that_was_started_again_are_started_again() {
    // After the sharer's start, before whatever is to come.
    let again = |name: &'static str| {
        move |world: &mut World| {
            let id = world.named(name).unwrap().id.clone();
            world.restart(&id);
        }
    };
    let text = Stage::of(vpn()).up().world(again("shop-vpn-1")).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. stop container shop-client-1: lives in namespaces of vpn that are gone: vpn was started again after it
      2. start container shop-client-1: stopped before
         after 1
    unchanged:
      vpn: running, nothing changed
    ");

    let ipc = json!({"a": {"image": "i", "ipc": "shareable"}, "b": {"image": "i", "ipc": "service:a"}});
    let text = Stage::of(ipc).up().world(again("shop-a-1")).plan();
    assert!(text.contains("stop container shop-b-1: lives in namespaces of a that are gone"), "{text}");

    // Who shares volumes only, or tells no date, or was started later, runs on.
    let volumes = json!({"a": {"image": "i"}, "b": {"image": "i", "volumes_from": ["a"]}});
    assert!(Stage::of(volumes).up().world(again("shop-a-1")).plan().contains("nothing to do"));
    assert!(Stage::of(vpn()).up().container("shop-vpn-1", |c| c.started = None).plan().contains("nothing to do"));
    assert!(Stage::of(vpn()).up().plan().contains("nothing to do"));
}

#[test]
fn deployment_of_one_service_takes_its_dependencies_along() {
    let text = Stage::of(web_and_db()).want(|i| i.services = vec!["web".to_owned()]).plan();
    insta::assert_snapshot!(text, @r"
    shop: 8 steps
      1. pull postgres: image postgres is not there yet
      2. build shop-web for web: image shop-web is not there yet
      3. create network shop_default: network shop_default does not exist yet
      4. create volume shop_data: volume shop_data does not exist yet
      5. create container shop-db-1: no container yet
         after 1, 2, 3, 4
      6. create container shop-web-1: no container yet
         after 1, 2, 3, 4
      7. start container shop-db-1: created
         after 5, 6
      8. start container shop-web-1: created
         after 7
    ");
}

#[test]
fn wishes_for_services_that_take_no_part_are_mentioned() {
    let text = Stage::of(web_and_db()).up().want(|i| i.services = vec!["db".to_owned()]).build("web", "asked").plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
    warnings:
      web: asked to build it, but it takes no part in this plan
    ");
    let text = Stage::of(web_and_db())
        .up()
        .want(|i| {
            i.no_build = true;
            i.scale = [("db".to_owned(), 1), ("web".to_owned(), 1)].into();
        })
        .build("web", "asked");
    insta::assert_snapshot!(text.plan_that_repeats(), @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
      web: running, nothing changed
    warnings:
      web: asked to build it, but building was refused (--no-build)
    ");
}

/// Whose namespaces they are is looked up among the containers of that service, whatever else there is.
#[test]
fn the_owner_of_namespaces_is_found_where_it_takes_no_part() {
    let stage = Stage::of(vpn()).up().world(|world| {
        let mut run = world.named("shop-vpn-1").unwrap().clone();
        (run.id, run.name, run.oneoff) = (world.fresh_id(), "a".to_owned(), true);
        world.observed.containers.insert(0, run);
    });
    let text = stage.want(|i| (i.services, i.no_deps) = (vec!["client".to_owned()], true)).plan();
    assert!(text.starts_with("shop: nothing to do"), "{text}");
}
