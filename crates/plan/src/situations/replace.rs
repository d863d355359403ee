//! First deployments, changes of a service, scale, names, flags.

use super::*;

#[test]
fn first_deployment() {
    let text = Stage::of(web_and_db()).plan();
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
fn nothing_changed() {
    let text = Stage::of(web_and_db()).up().plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
      web: running, nothing changed
    ");
}

#[test]
fn environment_change_replaces_exactly_that_service() {
    let text = Stage::of(web_and_db()).up().service("web", |s| set(s, "APP_MODE", "b")).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: environment APP_MODE changed
      2. start container shop-web-1: replaced
         after 1
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn what_compose_5_made_is_compared_with_its_own_hash() {
    let bind = json!({"web": {"image": "shop", "volumes": [
        {"type": "bind", "source": "/a", "target": "/b", "bind": {"create_host_path": true}}
    ]}});
    let taken_over = |version: &'static str, stage: Stage| {
        let service = stage.project.services["web"].clone();
        stage.container("shop-web-1", move |c| {
            c.config_hash = turnout_compose::hash::service_hash_of_compose_5(&service);
            c.labels.remove(attributes::LABEL);
            c.labels.insert(labels::VERSION.to_owned(), version.to_owned())
        })
    };
    insta::assert_snapshot!(taken_over("5.6.1", Stage::of(bind.clone()).up()).plan(), @r"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    ");
    // Compose 2 hashes the mount, and a change is a change.
    let replaced = |stage: Stage| stage.plan().contains("replace container shop-web-1: configuration changed");
    assert!(replaced(taken_over("2.40.3", Stage::of(bind.clone()).up())));
    assert!(replaced(taken_over("5.6.1", Stage::of(bind).up()).service("web", |s| set(s, "APP_MODE", "b"))));
}

#[test]
fn environment_change_without_memory_names_the_hashes() {
    let text = Stage::of(web())
        .up()
        .service("web", |s| set(s, "APP_MODE", "b"))
        .container("shop-web-1", |c| c.labels.remove(attributes::LABEL))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: configuration changed (config-hash 4a3ee762577c -> 3ca032752439)
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn what_is_not_hashed_replaces_nothing() {
    let text = Stage::of(web_and_db())
        .up()
        .service("web", |s| {
            s.depends_on.clear();
            s.pull_policy = "missing".to_owned();
            s.profiles = vec!["x".to_owned()];
            s.build.as_mut().unwrap().context = "/elsewhere".to_owned();
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
      web: running, nothing changed
    ");
}

#[test]
fn unknown_service() {
    let text = Stage::of(web()).want(|i| i.services = vec!["wbe".to_owned()]).plan();
    insta::assert_snapshot!(text, @r"error: no such service: wbe (the project has: web)");
}

#[test]
fn no_service_at_all() {
    let text = Stage::of(json!({})).plan();
    insta::assert_snapshot!(text, @r"error: no service selected (every service is inactive: activate one of their profiles, or add a service)");
}

#[test]
fn replacement_keeps_number_and_name() {
    let text = Stage::of(json!({"web": {"image": "shop", "scale": 3}}))
        .up()
        .world(|w| w.observed.containers.retain(|c| c.number != Some(2)))
        .service("web", |s| {
            s.scale = Some(2);
            s.hostname = "h".to_owned();
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. replace container shop-web-1: hostname added
      2. replace container shop-web-3: hostname added
      3. start container shop-web-1: replaced
         after 1, 2
      4. start container shop-web-3: replaced
         after 3
    ");
}

#[test]
fn anonymous_volumes_are_inherited_unless_renewed() {
    for renew in [false, true] {
        let stage = Stage::of(web()).up().want(|i| (i.force_recreate, i.renew_anon_volumes) = (true, renew));
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        let inherits = plan.steps.iter().find_map(|step| match &step.action {
            Action::CreateContainer { replaces: Some(old), .. } => Some(old.inherit_volumes),
            _ => None,
        });
        assert_eq!(inherits, Some(!renew));
    }
    let text = Stage::of(web()).up().want(|i| i.renew_anon_volumes = true).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: fresh anonymous volumes were asked for
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn force_recreate_spares_dependencies() {
    let text = Stage::of(web_and_db())
        .up()
        .want(|i| {
            i.force_recreate = true;
            i.services = vec!["web".to_owned()];
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: replacement was asked for
      2. start container shop-web-1: replaced
         after 1
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn always_recreate_deps() {
    let text = Stage::of(web_and_db())
        .up()
        .want(|i| {
            i.always_recreate_deps = true;
            i.services = vec!["web".to_owned()];
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-db-1: replacement of dependencies was asked for
      2. start container shop-db-1: replaced
         after 1
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn no_recreate_keeps_what_changed() {
    let text =
        Stage::of(web_and_db()).up().service("web", |s| set(s, "APP_MODE", "b")).want(|i| i.no_recreate = true).plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
      web: running, nothing changed
    ");
}

#[test]
fn no_start_only_creates() {
    let text = Stage::of(web_and_db()).want(|i| i.no_start = true).plan();
    insta::assert_snapshot!(text, @r"
    shop: 6 steps
      1. pull postgres: image postgres is not there yet
      2. build shop-web for web: image shop-web is not there yet
      3. create network shop_default: network shop_default does not exist yet
      4. create volume shop_data: volume shop_data does not exist yet
      5. create container shop-db-1: no container yet
         after 1, 2, 3, 4
      6. create container shop-web-1: no container yet
         after 1, 2, 3, 4
    ");
}

#[test]
fn scale_up_from_one_to_three() {
    let text = Stage::of(web()).up().want(|i| i.scale.insert("web".to_owned(), 3)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. create container shop-web-2: scaled up from 1 to 3
      2. create container shop-web-3: scaled up from 1 to 3
      3. start container shop-web-2: created
         after 1, 2
      4. start container shop-web-3: created
         after 3
    ");
}

#[test]
fn scale_down_keeps_number_one() {
    let text =
        Stage::of(json!({"web": {"image": "shop", "scale": 3}})).up().service("web", |s| s.scale = Some(1)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. remove container shop-web-3: scaled down from 3 to 1
      2. remove container shop-web-2: scaled down from 3 to 1
    ");
}

#[test]
fn gaps_are_not_filled() {
    let text = Stage::of(json!({"web": {"image": "shop", "scale": 3}}))
        .up()
        .world(|w| w.observed.containers.retain(|c| c.number != Some(2)))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. create container shop-web-4: scaled up from 2 to 3
      2. start container shop-web-4: created
         after 1
    ");
}

#[test]
fn obsolete_ones_are_scaled_down_first() {
    let text = Stage::of(json!({"web": {"image": "shop", "scale": 3}}))
        .up()
        .container("shop-web-1", |c| c.image_label = "sha256:old".to_owned())
        .service("web", |s| s.scale = Some(2))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. remove container shop-web-1: scaled down from 3 to 2
    ");
}

#[test]
fn of_obsolete_ones_the_newest_stay() {
    let text = Stage::of(json!({"web": {"image": "shop", "scale": 3}}))
        .up()
        .service("web", |s| {
            s.scale = Some(1);
            set(s, "MODE", "b");
        })
        .plan();
    assert!(text.contains("2. remove container shop-web-1: scaled down from 3 to 1"), "{text}");
    assert!(text.contains("3. remove container shop-web-2: scaled down from 3 to 1"), "{text}");
    assert!(text.contains("replace container shop-web-3"), "{text}");
}

#[test]
fn scale_to_zero() {
    let text = Stage::of(web_and_db()).up().want(|i| i.scale.insert("db".to_owned(), 0)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. remove container shop-db-1: scaled down from 1 to 0
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn fixed_name_cannot_scale() {
    let text = Stage::of(json!({"web": {"image": "shop", "container_name": "the-web"}}))
        .want(|i| i.scale.insert("web".to_owned(), 2))
        .plan();
    insta::assert_snapshot!(text, @r"error: services.web.container_name: the-web is fixed, so the service cannot have 2 containers (remove container_name, or scale to 1)");
}

#[test]
fn fixed_name_changes() {
    let text = Stage::of(json!({"web": {"image": "shop", "container_name": "old-web"}}))
        .up()
        .service("web", |s| s.container_name = "new-web".to_owned())
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container old-web by new-web: container_name changed
      2. start container new-web: replaced
         after 1
    ");
}

#[test]
fn what_somebody_changed_on_a_container_replaces_it() {
    let altered = |stage: Stage| {
        let ids: Vec<String> = stage.world.observed.containers.iter().map(|c| c.id.clone()).collect();
        let words = vec!["memory limit 1 GB removed by hand".to_owned()];
        stage.want(|i| i.altered = ids.into_iter().map(|id| (id, words.clone())).collect())
    };
    let replaced = |why: &str| format!("replace container shop-web-1: {why}\n");
    let words = "memory limit 1 GB removed by hand";
    let running = altered(Stage::of(web()).up()).plan_that_repeats();
    assert!(running.contains(&replaced(words)), "{running}");
    let crashed = Stage::of(web()).up().container("shop-web-1", |c| c.state = RunState::Exited(1));
    let crashed = altered(crashed).plan_that_repeats();
    assert!(crashed.contains(&replaced(words)), "{crashed}");
    // Of another configuration, it tells nothing; nor on a job that has done its work.
    let changed = altered(Stage::of(web()).up().service("web", |s| set(s, "A", "1"))).plan_that_repeats();
    assert!(changed.contains(&replaced("environment A added")), "{changed}");
    let done = Stage::of(web()).service("web", |s| s.restart = "no".to_owned()).up();
    let done = done.container("shop-web-1", |c| c.state = RunState::Exited(0));
    assert!(altered(done).plan().starts_with("shop: nothing to do"));
}

#[test]
fn a_hash_that_differs_in_nothing_known_is_told_by_itself() {
    let stage = Stage::of(web()).up().container("shop-web-1", |c| c.config_hash = "0123456789abcdef".to_owned());
    let text = stage.plan();
    assert!(text.contains("shop-web-1: configuration changed (config-hash 0123456789ab -> "), "{text}");
}

#[test]
fn replacements_that_are_certain_are_told() {
    let stage = Stage::of(web_and_db()).up();
    let told = |stage: &Stage| replacements(&converge(&stage.project, &stage.world.observed, &stage.intent).unwrap());
    assert!(told(&stage).is_empty());
    // New, or only perhaps.
    let added = stage.clone().edit(|project| {
        let copy = project.services["db"].clone();
        project.services.insert("db2".to_owned(), copy)
    });
    assert!(told(&added).is_empty());
    assert!(told(&stage.clone().build("web", "src/app.py changed")).is_empty());
    let both = stage.service("web", |s| set(s, "A", "1")).service("db", |s| set(s, "B", "1"));
    assert_eq!(
        told(&both),
        ["shop-db-1 is replaced: environment B added", "shop-web-1 is replaced: environment A added"]
    );
}

#[test]
fn a_service_that_links_to_itself_is_no_circle() {
    let text = Stage::of(json!({"web": {"image": "shop", "links": ["web:self"]}})).plan();
    assert!(text.contains("create container shop-web-1"), "{text}");
}

#[test]
fn names_that_somebody_changed_are_given_back_on_request() {
    let renamed = |name: &str| {
        let name = name.to_owned();
        Stage::of(web()).up().container("shop-web-1", move |c| c.name = name)
    };
    let want = |stage: Stage| stage.want(|i| i.restore_names = true);
    let nothing = "shop: nothing to do\n";
    assert!(renamed("mine").plan().starts_with(nothing));
    // The form of Compose's former program.
    assert!(want(renamed("shop_web_1")).plan().starts_with(nothing));
    // Somebody else has it by now.
    let taken = renamed("mine").world(|w| {
        let mut run = w.named("mine").unwrap().clone();
        (run.id, run.name, run.oneoff) = (w.fresh_id(), "shop-web-1".to_owned(), true);
        w.observed.containers.push(run);
    });
    assert!(want(taken).plan().starts_with(nothing));
    insta::assert_snapshot!(want(renamed("mine")).plan_that_repeats(), @r"
    shop: 1 step
      1. rename container mine to shop-web-1: somebody renamed it
    ");
}

/// Replaced perhaps, it must have its name by then, and must not be paused; its own removal gives up no name that it waits
/// for.
#[test]
fn what_was_left_half_done_is_replaced_perhaps() {
    let stage = || {
        Stage::of(json!({"web": {"build": {"context": "/src"}}}))
            .up()
            .container("shop-web-1", |c| {
                (c.name, c.state) = ("0123456789ab_shop-web-1".to_owned(), RunState::Paused);
            })
            .world(|w| w.yields.insert("shop-web".to_owned(), "sha256:2".to_owned()))
    };
    insta::assert_snapshot!(stage().build("web", "Dockerfile changed").plan(), @r"
    shop: 5 steps
      1. build shop-web for web: Dockerfile changed
      2. rename container 0123456789ab_shop-web-1 to shop-web-1: its replacement was interrupted before it got its final name
         after 1
      3. resume container 0123456789ab_shop-web-1: the container is paused
         after 1
      4. replace container shop-web-1: image shop-web is built: Dockerfile changed
         only if image shop-web is no longer shop-web-1; after 1
      5. start container shop-web-1: replaced
         only if step 4 was needed; after 4
    ");
    let certain = stage().service("web", |s| set(s, "A", "1")).plan();
    assert!(!certain.contains("resume") && !certain.contains("rename"), "{certain}");
}
