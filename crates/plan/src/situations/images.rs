//! Builds, pulls, and containers whose image changes.

use super::*;

#[test]
fn rebuild_is_conditional_on_a_new_image() {
    let text = Stage::of(web_and_db())
        .up()
        .build("web", "src/app.py changed")
        .world(|w| w.yields.insert("shop-web".to_owned(), "sha256:shop-web-2".to_owned()))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. build shop-web for web: src/app.py changed
      2. replace container shop-web-1: image shop-web is built: src/app.py changed
         only if image shop-web is no longer shop-web-1; after 1
      3. start container shop-web-1: replaced
         only if step 2 was needed; after 2
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn identical_rebuild_looks_the_same_and_does_nothing() {
    let text = Stage::of(web_and_db()).up().build("web", "REBUILD_TRIGGER is there").plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. build shop-web for web: REBUILD_TRIGGER is there
      2. replace container shop-web-1: image shop-web is built: REBUILD_TRIGGER is there
         only if image shop-web is no longer shop-web-1; after 1
      3. start container shop-web-1: replaced
         only if step 2 was needed; after 2
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn rebuild_and_change_is_certain() {
    let text =
        Stage::of(web_and_db()).up().build("web", "Dockerfile changed").service("web", |s| set(s, "NEW", "1")).plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. build shop-web for web: Dockerfile changed
      2. replace container shop-web-1: environment NEW added; image shop-web is built: Dockerfile changed
         after 1
      3. start container shop-web-1: replaced
         after 2
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn retagged_image_replaces() {
    let text = Stage::of(web())
        .up()
        .world(|w| w.observed.images.get_mut("shop").unwrap().id = Some("sha256:feedbeef".to_owned()))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: image shop is another one now (shop-1 -> feedbeef)
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn missing_image_label_replaces() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.image_label.clear()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: label com.docker.compose.image is missing, its image is not known
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn two_services_share_a_built_image() {
    let text = Stage::of(json!({
        "web": {"image": "shop", "build": {"context": "/src"}},
        "worker": {"image": "shop"},
    }))
    .world(|w| w.unknown.insert("shop".to_owned()))
    .up()
    .build("web", "src/app.py changed")
    .world(|w| w.yields.insert("shop".to_owned(), "sha256:2".to_owned()))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. build shop for web: src/app.py changed
      2. replace container shop-web-1: image shop is built: src/app.py changed
         only if image shop is no longer shop-1; after 1
      3. replace container shop-worker-1: image shop is built: src/app.py changed
         only if image shop is no longer shop-1; after 1
      4. start container shop-web-1: replaced
         only if step 2 was needed; after 2, 3
      5. start container shop-worker-1: replaced
         only if step 3 was needed; after 2, 3
    ");
}

#[test]
fn image_and_build_tries_to_pull_first() {
    let text = Stage::of(json!({"web": {"image": "shop", "build": {"context": "/src"}}}))
        .world(|w| w.unknown.insert("shop".to_owned()))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. try to pull shop: image shop is not there yet
      2. build shop for web: image shop is not there yet
         only if step 1 did not succeed; after 1
      3. create network shop_default: network shop_default does not exist yet
      4. create container shop-web-1: no container yet
         after 2, 3
      5. start container shop-web-1: created
         after 4
    ");
}

#[test]
fn build_context_of_another_service_is_built_first() {
    let text = Stage::of(json!({
        "app": {"build": {"context": "/app", "additional_contexts": {"base": "service:zbase"}}},
        "zbase": {"build": {"context": "/base"}},
    }))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 7 steps
      1. build shop-zbase for zbase: image shop-zbase is not there yet
      2. build shop-app for app: image shop-app is not there yet
         after 1
      3. create network shop_default: network shop_default does not exist yet
      4. create container shop-app-1: no container yet
         after 2, 3
      5. create container shop-zbase-1: no container yet
         after 2, 3
      6. start container shop-app-1: created
         after 4, 5
      7. start container shop-zbase-1: created
         after 4, 5
    ");
}

#[test]
fn pull_policies() {
    let text = Stage::of(json!({
        "always": {"image": "a", "pull_policy": "always"},
        "daily": {"image": "d", "pull_policy": "daily"},
        "fresh": {"image": "f", "pull_policy": "every_12h"},
        "never": {"image": "n", "pull_policy": "never"},
        "plain": {"image": "p"},
    }))
    .world(|w| {
        for (name, time) in [("a", None), ("d", Some(0)), ("f", Some(99_000)), ("n", None), ("p", None)] {
            let state = ImageState { id: Some(format!("sha256:{name}")), last_tag_time: time, ..ImageState::default() };
            w.observed.images.insert(name.to_owned(), state);
        }
    })
    .want(|i| i.now = 100_000)
    .plan_that_repeats();
    insta::assert_snapshot!(text, @r"
    shop: 13 steps
       1. pull a: pull_policy is always
       2. pull d: pull_policy is daily, and the image is older
       3. create network shop_default: network shop_default does not exist yet
       4. create container shop-always-1: no container yet
          after 1, 2, 3
       5. create container shop-daily-1: no container yet
          after 1, 2, 3
       6. create container shop-fresh-1: no container yet
          after 1, 2, 3
       7. create container shop-never-1: no container yet
          after 1, 2, 3
       8. create container shop-plain-1: no container yet
          after 1, 2, 3
       9. start container shop-always-1: created
          after 4, 5, 6, 7, 8
      10. start container shop-daily-1: created
          after 4, 5, 6, 7, 8
      11. start container shop-fresh-1: created
          after 4, 5, 6, 7, 8
      12. start container shop-never-1: created
          after 4, 5, 6, 7, 8
      13. start container shop-plain-1: created
          after 4, 5, 6, 7, 8
    ");
}

#[test]
fn one_name_for_several_platforms() {
    let stage = Stage::of(json!({
        "here": {"image": "shop", "platform": "linux/amd64", "network_mode": "none"},
        "there": {"image": "shop", "platform": "linux/arm64", "network_mode": "none"},
    }));
    let both = stage.clone().plan();
    insta::assert_snapshot!(both, @r"
    shop: 6 steps
      1. pull shop: image shop is not there yet (linux/amd64)
      2. pull shop: image shop is not there yet (linux/arm64)
         after 1
      3. create container shop-here-1: no container yet
         after 2
      4. create container shop-there-1: no container yet
         after 2
      5. start container shop-here-1: created
         after 3, 4
      6. start container shop-there-1: created
         after 3, 4
    ");
    let one = stage
        .up()
        .world(|w| w.observed.images.get_mut("shop").unwrap().lacking = vec!["linux/arm64".to_owned()])
        .plan();
    let pulls: Vec<_> = one.lines().filter(|line| line.contains("pull shop")).collect();
    assert!(pulls.len() == 1 && pulls[0].ends_with("pull shop: image shop is not there yet"), "{one}");
}

#[test]
fn missing_image_that_may_not_be_pulled() {
    let text = Stage::of(json!({"web": {"image": "shop", "pull_policy": "never"}})).plan();
    insta::assert_snapshot!(text, @r"error: image shop of service web is not there, and pull_policy is never");
}

#[test]
fn missing_image_with_no_build() {
    let text = Stage::of(web_and_db()).want(|i| i.no_build = true).plan();
    insta::assert_snapshot!(text, @r"error: image shop-web of service web is not there, and building was refused (--no-build)");
}

#[test]
fn build_without_a_build_section() {
    let text = Stage::of(web()).build("web", "asked").plan();
    insta::assert_snapshot!(text, @r"error: service web has no `build` section, so it cannot be built");
}

#[test]
fn unknown_pull_policy() {
    let text = Stage::of(json!({"web": {"image": "shop", "pull_policy": "sometimes"}})).plan();
    insta::assert_snapshot!(text, @r#"error: services.web.pull_policy: "sometimes" is not a pull policy (use always, never, missing, build, daily, weekly or every_<duration>)"#);
}

#[test]
fn a_mounted_image_that_changed_is_mounted_anew() {
    let stack = || {
        Stage::of(json!({
            "source": {"build": {"context": "/src"}, "image": "files"},
            "web": {"image": "shop", "volumes": [{"type": "image", "source": "files", "target": "/data"}]},
        }))
        .up()
    };
    let rebuilt = stack()
        .build("source", "Dockerfile changed")
        .world(|w| w.yields.insert("files".to_owned(), "sha256:2".to_owned()))
        .plan();
    insta::assert_snapshot!(rebuilt, @r"
    shop: 5 steps
      1. build files for source: Dockerfile changed
      2. replace container shop-source-1: image files is built: Dockerfile changed
         only if image files is no longer files-1; after 1
      3. replace container shop-web-1: mounted at /data: image files is built: Dockerfile changed
         only if image files is no longer files-1; after 1
      4. start container shop-source-1: replaced
         only if step 2 was needed; after 2, 3
      5. start container shop-web-1: replaced
         only if step 3 was needed; after 2, 3
    ");
    let moved = stack().world(|w| w.observed.images.get_mut("files").unwrap().id = Some("sha256:other".to_owned()));
    insta::assert_snapshot!(moved.plan(), @r"
    shop: 4 steps
      1. replace container shop-source-1: image files is another one now (files-1 -> other)
      2. replace container shop-web-1: image files, mounted at /data, is another one now (files-1 -> other)
      3. start container shop-source-1: replaced
         after 1, 2
      4. start container shop-web-1: replaced
         after 1, 2
    ");
    // Of what Compose 2.40 made it is not known, and it is left alone.
    let unknown = stack().container("shop-web-1", |c| drop(c.labels.remove(labels::IMAGE_VOLUMES)));
    let unknown = unknown.world(|w| w.observed.images.get_mut("files").unwrap().id = Some("sha256:other".to_owned()));
    insta::assert_snapshot!(unknown.container("shop-source-1", |c| c.image_label = "sha256:other".to_owned()).plan(), @r"
    shop: nothing to do
    unchanged:
      source: running, nothing changed
      web: running, nothing changed
    ");
}

/// Images that only mounts or steps name are fetched like those that services run.
#[test]
fn images_that_are_only_mounted_or_only_run_before_are_pulled() {
    let text = Stage::of(json!({
        "web": {
            "image": "shop",
            "volumes": [
                {"type": "image", "source": "files", "target": "/data"},
                {"type": "tmpfs", "source": "files-too", "target": "/tmp"},
            ],
            "pre_start": [{"command": ["migrate"]}, {"image": "tool"}],
        },
    }))
    .plan();
    let pulls: Vec<&str> = text.lines().filter(|line| line.contains("pull ")).map(|line| &line[5..]).collect();
    assert_eq!(
        pulls,
        [
            "pull files: image files is not there yet",
            "pull shop: image shop is not there yet",
            "pull tool: image tool is not there yet"
        ]
    );
}

#[test]
fn an_image_is_as_old_as_its_policy_allows_to_the_second() {
    const DAY: i64 = 86_400;
    for (age, pulled) in [(DAY - 1, false), (DAY, false), (DAY + 1, true)] {
        let text = Stage::of(json!({"web": {"image": "shop", "pull_policy": "daily"}}))
            .world(|w| {
                let id = Some("sha256:1".to_owned());
                let state = ImageState { id, last_tag_time: Some(1_000_000 - age), ..ImageState::default() };
                w.observed.images.insert("shop".to_owned(), state);
            })
            .want(|i| i.now = 1_000_000)
            .plan_that_repeats();
        assert_eq!(text.contains("pull shop"), pulled, "{age}: {text}");
    }
}

/// `app` and `app:latest` are one image, by whatever name it is built.
#[test]
fn a_build_changes_its_image_under_each_of_its_names() {
    let stage = Stage::of(json!({
        "a": {"image": "app", "build": {"context": "/src"}},
        "b": {"image": "app:latest"},
        "c": {"image": "docker.io/library/app"},
        "d": {"image": "app:other"},
    }))
    .world(|w| {
        for name in ["app", "app:latest", "docker.io/library/app", "app:other"] {
            let state = ImageState { id: Some("sha256:1".to_owned()), ..ImageState::default() };
            w.observed.images.insert(name.to_owned(), state);
        }
    })
    .up()
    .build("a", "Dockerfile changed");
    let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
    let replaced = plan.steps.iter().filter_map(|step| match &step.action {
        Action::CreateContainer { service, .. } => Some(service.as_str()),
        _ => None,
    });
    assert_eq!(replaced.collect::<Vec<_>>(), ["a", "b", "c"]);
}

/// The image of one platform is missing: it is that one's service which fetches it.
#[test]
fn the_platform_that_is_lacking_is_pulled() {
    for (lacking, service) in [("linux/arm64", "there"), ("linux/amd64", "here")] {
        let stage = Stage::of(json!({
            "here": {"image": "shop", "platform": "linux/amd64", "network_mode": "none"},
            "there": {"image": "shop", "platform": "linux/arm64", "network_mode": "none"},
        }))
        .up()
        .world(|w| w.observed.images.get_mut("shop").unwrap().lacking = vec![lacking.to_owned()]);
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        let pulled = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Pull { service, .. } => Some(service.as_str()),
            _ => None,
        });
        assert_eq!(pulled.collect::<Vec<_>>(), [service], "{lacking}");
    }
}

#[test]
fn a_refusal_to_build_is_no_reason_where_nothing_is_built() {
    let stage = Stage::of(json!({"web": {"image": "shop", "pull_policy": "never"}})).want(|i| i.no_build = true);
    assert_eq!(stage.plan(), "error: image shop of service web is not there, and pull_policy is never");
}

/// A service that takes no part is built all the same where its image goes into another one.
#[test]
fn a_context_is_built_although_its_service_takes_no_part() {
    let contexts = |of: &str| json!({"context": "/src", "additional_contexts": {"base": format!("service:{of}")}});
    let stage = || {
        Stage::of(json!({
            "app": {"build": contexts("base")},
            "base": {"build": contexts("root")},
            "root": {"build": {"context": "/root"}},
            "other": {"build": {"context": "/other"}},
        }))
    };
    let builds = |stage: Stage| -> Vec<String> {
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        check(&plan).unwrap();
        let builds = plan.steps.iter().filter(|step| matches!(step.action, Action::Build { .. }));
        builds.map(|step| format!("{} {:?}: {}", action(&step.action), step.after, step.cause)).collect()
    };
    let expected = [
        "build shop-root for root []: its image is a context of the build of base",
        "build shop-base for base [0]: its image is a context of the build of app",
        "build shop-app for app [1]: image shop-app is not there yet",
    ];
    let only = |stage: Stage| stage.want(|i| i.services = vec!["app".to_owned()]);
    assert_eq!(builds(only(stage())), expected);
    // Of a profile that is not active.
    let idle = stage().edit(|project| {
        let base = project.services.remove("base").unwrap();
        project.disabled_services.insert("base".to_owned(), base);
    });
    assert_eq!(builds(only(idle)), expected);
    let round = stage().service("root", |s| s.build = serde_json::from_value(contexts("app")).unwrap());
    assert!(only(round).plan().contains("app -> base -> root -> app"));
}

/// One may be the base of the other without a word that could be seen.
#[test]
fn what_others_depend_on_is_built_before_them() {
    let on = |name: &str| json!({name: {}});
    let text = Stage::of(json!({
        "a": {"build": {"context": "/a"}, "depends_on": on("m")},
        "m": {"image": "between", "depends_on": on("z")},
        "z": {"build": {"context": "/z"}},
    }))
    .plan();
    let first: Vec<&str> = text.lines().skip(1).take(4).collect();
    insta::assert_snapshot!(first.join("\n"), @r"
    1. pull between: image between is not there yet
    2. build shop-z for z: image shop-z is not there yet
    3. build shop-a for a: image shop-a is not there yet
       after 2
    ");
}
