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
