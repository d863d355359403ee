//! `turnout compose up` against the real engine: when containers are replaced, and when not.

use crate::{common, compose_cli_support};
use common::docker::block_on;
use compose_cli_support::Site;

#[test]
fn checklist_09_an_environment_change_recreates_exactly_that_service() {
    let yaml = |mode: &str| {
        format!(
            "services:\n  web: {{image: 'IMAGE', QUICK, environment: {{MODE: {mode}}}}}\n  db: {{image: 'IMAGE', QUICK}}\n"
        )
    };
    let site = Site::new(&yaml("a"));
    site.ours(&["up", "-d"]).ok();
    let before = site.ids();
    site.write("compose.yaml", &yaml("b"));
    let up = site.ours(&["up", "-d"]).ok();
    assert!(up.err.contains("environment MODE changed"), "the cause is told: {up:?}");
    let after = site.ids();
    assert_eq!(before["db-1"], after["db-1"]);
    assert_ne!(before["web-1"], after["web-1"]);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
}

#[test]
fn checklist_10_what_does_not_shape_a_container_recreates_nothing() {
    let site = Site::new("services:\n  a: {image: 'IMAGE', QUICK}\n  b: {image: 'IMAGE', QUICK}\n");
    site.ours(&["up", "-d"]).ok();
    let before = site.ids();
    site.write(
        "compose.yaml",
        "services:
  a: {image: 'IMAGE', QUICK, depends_on: [b], profiles: [p], pull_policy: never, build: {context: ., dockerfile_inline: FROM scratch}}
  b: {image: 'IMAGE', QUICK, scale: 2}
",
    );
    site.ours(&["--profile", "p", "up", "-d"]).ok();
    let mut after = site.ids();
    assert!(after.remove("b-2").is_some());
    assert_eq!(before, after);
}

#[test]
fn checklist_11_only_a_build_with_new_content_recreates() {
    let site = Site::new("services: {web: {build: {context: .}, QUICK}}\n");
    site.write("Dockerfile", "FROM IMAGE\nCOPY file /file\n");
    site.write("file", "one");
    site.ours(&["up", "-d", "--quiet-build"]).ok();
    let first = site.ids();
    site.ours(&["up", "-d", "--build"]).ok();
    assert_eq!(site.ids(), first, "an identical image changes nothing");
    site.write("file", "two");
    site.ours(&["up", "-d", "--build"]).ok();
    assert_ne!(site.ids(), first);
    assert_eq!(site.exec("web", "cat /file"), "two");
}

#[test]
fn checklist_12_a_retagged_image_recreates_its_containers() {
    let site = Site::new("services: {}\n");
    let tag = format!("{}-tag", site.project);
    site.write("compose.yaml", &format!("services: {{web: {{image: '{tag}:1', QUICK}}}}\n"));
    block_on(async {
        common::engine::import(&common::engine::connect().await, &format!("{tag}:1"), &["CMD [\"sleep\",\"1000\"]"])
            .await;
    });
    site.ours(&["up", "-d"]).ok();
    let before = site.ids();
    let first_image = site.inspect("web-1").image.unwrap();
    site.ours(&["up", "-d"]).ok();
    assert_eq!(site.ids(), before);
    block_on(async {
        common::engine::import(&common::engine::connect().await, &format!("{tag}:1"), &["CMD [\"sleep\",\"2000\"]"])
            .await;
    });
    site.ours(&["up", "-d"]).ok();
    assert_ne!(site.ids(), before);
    assert_eq!(site.inspect("web-1").config.unwrap().cmd.unwrap(), ["sleep", "2000"]);
    site.ours(&["down", "--rmi", "all"]).ok();
    // It lost its name to the second one.
    block_on(async { common::docker::remove_image(&first_image).await });
}

#[test]
fn checklist_14_anonymous_volumes_survive_recreation_unless_renewed() {
    // The test image declares /data as a volume.
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["up", "-d"]).ok();
    site.exec("web", "echo kept > /data/file");
    site.ours(&["up", "-d", "--force-recreate"]).ok();
    assert_eq!(site.exec("web", "cat /data/file"), "kept\n");
    site.ours(&["up", "-d", "-V"]).ok();
    assert_eq!(site.exec("web", "ls /data"), "");
}

#[test]
fn checklist_15_restarted_dependents_keep_their_container() {
    let yaml = |mode: &str| {
        format!(
            "services:
  web: {{image: 'IMAGE', QUICK, depends_on: {{db: {{condition: service_started, restart: true}}}}}}
  db: {{image: 'IMAGE', QUICK, environment: {{MODE: {mode}}}}}
"
        )
    };
    let site = Site::new(&yaml("a"));
    site.ours(&["up", "-d"]).ok();
    let started = |site: &Site| site.inspect("web-1").state.unwrap().started_at.unwrap();
    let (before, since) = (site.ids(), started(&site));
    site.write("compose.yaml", &yaml("b"));
    site.ours(&["up", "-d"]).ok();
    let after = site.ids();
    assert_ne!(before["db-1"], after["db-1"]);
    assert_eq!(before["web-1"], after["web-1"]);
    assert!(started(&site) > since);
}

#[test]
fn checklist_19_waiting_for_health_without_a_check_fails_clearly() {
    let site = Site::new(
        "services:
  web: {image: 'IMAGE', depends_on: {db: {condition: service_healthy}}}
  db: {image: 'IMAGE', QUICK}
",
    );
    site.ours(&["up", "-d"]).fails("db-1 has no healthcheck configured");
}

#[test]
fn checklist_22_scaling_up_and_down_keeps_the_first() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["up", "-d"]).ok();
    let first = site.ids();
    site.ours(&["up", "-d", "--scale", "web=3"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["web-1", "web-2", "web-3"]);
    site.ours(&["up", "-d", "--scale", "web=1"]).ok();
    assert_eq!(site.ids(), first);
}

#[test]
fn checklist_23_numbers_of_removed_replicas_are_not_given_again() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK, scale: 3}}\n");
    site.ours(&["up", "-d"]).ok();
    let second = site.ids()["web-2"].clone();
    block_on(async {
        let force = bollard::query_parameters::RemoveContainerOptions { force: true, v: true, link: false };
        common::docker::connect().await.remove_container(&second, Some(force)).await.unwrap();
    });
    site.ours(&["up", "-d"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["web-1", "web-3", "web-4"]);
}

#[test]
fn checklist_24_orphans_are_named_and_removed_on_request_but_not_running_one_offs() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}, old: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["up", "-d"]).ok();
    let oneoff = format!("{}-job", site.project);
    site.ours(&["run", "-d", "--name", &oneoff, "web"]).ok();
    site.write("compose.yaml", "services: {web: {image: 'IMAGE', QUICK}}\n");
    let warned = site.ours(&["up", "-d"]).ok();
    assert!(warned.err.contains("old-1") && warned.err.contains("--remove-orphans"), "{warned:?}");
    let quiet = site.ours_with(&["up", "-d"]).env("COMPOSE_IGNORE_ORPHANS", "1").output().unwrap();
    assert!(!String::from_utf8_lossy(&quiet.stderr).contains("old-1"), "{quiet:?}");
    site.ours(&["up", "-d", "--remove-orphans"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["job", "web-1"]);
}

#[test]
fn checklist_26_a_changed_volume_is_kept_without_consent() {
    let yaml = |label: &str| {
        format!(
            "services: {{web: {{image: 'IMAGE', QUICK, volumes: ['keep:/keep']}}}}\nvolumes: {{keep: {{labels: {{l: {label}}}}}}}\n"
        )
    };
    let site = Site::new(&yaml("a"));
    site.ours(&["up", "-d"]).ok();
    site.exec("web", "echo kept > /keep/file");
    site.write("compose.yaml", &yaml("b"));
    let up = site.ours(&["up", "-d"]).ok();
    assert!(up.err.contains("keep"), "the difference is told: {up:?}");
    assert_eq!(site.exec("web", "cat /keep/file"), "kept\n");
    site.ours(&["up", "-d", "-y"]).ok();
    assert_eq!(site.exec("web", "ls /keep"), "");
}

#[test]
fn checklist_27_a_missing_external_network_or_volume_fails_before_anything_is_made() {
    for (what, top) in [
        ("networks: [gone]", "networks: {gone: {external: true, name: turnout-test-gone}}"),
        ("volumes: ['gone:/x']", "volumes: {gone: {external: true, name: turnout-test-gone}}"),
    ] {
        let site =
            Site::new(&format!("services: {{web: {{image: 'IMAGE', {what}}}, other: {{image: 'IMAGE'}}}}\n{top}\n"));
        site.ours(&["up", "-d"]).fails("turnout-test-gone");
        assert!(site.ids().is_empty());
    }
}

#[test]
fn checklist_29_a_fixed_name_cannot_be_scaled() {
    let site = Site::new("services: {web: {image: 'IMAGE', container_name: fixed, scale: 2}}\n");
    site.ours(&["config", "-q"]).fails("container_name");
    site.write("compose.yaml", "services: {web: {image: 'IMAGE', container_name: fixed}}\n");
    site.ours(&["up", "-d", "--scale", "web=2"]).fails("container_name");
}

#[test]
fn checklist_30_a_single_letter_volume_is_read_as_the_real_one_reads_it() {
    let site = Site::new("services: {web: {image: 'IMAGE', volumes: ['v:/y']}}\n");
    let rendered: serde_json::Value =
        serde_json::from_str(&site.ours(&["config", "--format", "json"]).ok().out).unwrap();
    let mount = &rendered["services"]["web"]["volumes"][0];
    assert_eq!((&mount["type"], &mount["target"]), (&"volume".into(), &"v:/y".into()), "{mount}");
}

#[test]
fn checklist_32_and_33_doubled_dollars_and_lines_reach_the_container_unchanged() {
    let site = Site::new(
        "services: {web: {image: 'IMAGE', QUICK, environment: {PRICE: '5 $$x $${y}', TEXT: '${TEXT}'}, env_file: [more.env]}}\n",
    );
    site.write(".env", "TEXT=\"one\ntwo  $PWD\"\n".replace("$PWD", "end").as_str());
    site.write("more.env", "LINES=\"a\\nb\nc\"\n");
    site.ours(&["up", "-d"]).ok();
    assert_eq!(site.exec("web", "echo \"$PRICE\""), "5 $x ${y}\n");
    assert_eq!(site.exec("web", "echo \"$TEXT\""), "one\ntwo  end\n");
    assert_eq!(site.exec("web", "echo \"$LINES\""), "a\nb\nc\n");
}

#[test]
fn checklist_37_naming_a_service_activates_its_profile() {
    let site =
        Site::new("services: {web: {image: 'IMAGE', QUICK}, tool: {image: 'IMAGE', QUICK, profiles: [debug]}}\n");
    site.ours(&["up", "-d"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["web-1"]);
    site.ours(&["up", "-d", "tool"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["tool-1", "web-1"]);
}

#[test]
fn checklist_39_fractions_of_a_grace_period_are_cut_off() {
    let site = Site::new("services: {web: {image: 'IMAGE', stop_grace_period: 1500ms}}\n");
    site.ours(&["create"]).ok();
    assert_eq!(site.inspect("web-1").config.unwrap().stop_timeout, Some(1));
}

#[test]
fn checklist_45_down_removes_volumes_on_request_but_never_external_ones() {
    let site = Site::new("services: {}\n");
    let external = format!("{}-external", site.project);
    site.write(
        "compose.yaml",
        &format!(
            "services: {{web: {{image: 'IMAGE', QUICK, volumes: ['own:/own', 'ext:/ext']}}}}
volumes: {{own: , ext: {{external: true, name: {external}}}}}
"
        ),
    );
    let exists = |name: &str| block_on(async { common::docker::connect().await.inspect_volume(name).await.is_ok() });
    block_on(async {
        let body = bollard::models::VolumeCreateRequest { name: Some(external.clone()), ..Default::default() };
        common::docker::connect().await.create_volume(body).await.unwrap();
    });
    let own = format!("{}_own", site.project);
    site.ours(&["up", "-d"]).ok();
    site.ours(&["down"]).ok();
    assert!(exists(&own) && site.ids().is_empty());
    site.ours(&["up", "-d"]).ok();
    site.ours(&["down", "-v"]).ok();
    let (kept, gone) = (exists(&external), !exists(&own));
    block_on(async {
        let none = None::<bollard::query_parameters::RemoveVolumeOptions>;
        common::docker::connect().await.remove_volume(&external, none).await.unwrap();
    });
    assert!(kept && gone);
    let networks = block_on(async {
        let docker = common::docker::connect().await;
        docker.inspect_network(&format!("{}_default", site.project), None).await.is_err()
    });
    assert!(networks, "its network is gone");
}

#[test]
fn no_deps_leaves_others_alone_and_empties_the_label() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK, depends_on: [db]}, db: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["up", "-d", "--no-deps", "web"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["web-1"]);
    assert_eq!(site.label("web-1", "depends_on"), "");
}

#[test]
fn waiting_succeeds_when_healthy_and_fails_when_a_container_ends() {
    let site =
        Site::new("services: {web: {image: 'IMAGE', QUICK, healthcheck: {test: [CMD, 'true'], interval: 300ms}}}\n");
    let up = site.ours(&["up", "--wait", "--wait-timeout", "60"]).ok();
    assert!(up.err.contains("web-1  Healthy"), "{up:?}");
    site.write("compose.yaml", "services: {web: {image: 'IMAGE', command: 'true'}}\n");
    site.ours(&["up", "--wait"]).fails("exited (0)");
}

#[test]
fn providers_and_unknown_services_are_refused_by_name() {
    let site = Site::new("services: {web: {image: 'IMAGE'}, model: {provider: {type: no-such-provider}}}\n");
    site.ours(&["up", "-d"])
        .fails("services.model.provider.type: there is no Docker CLI plugin docker-no-such-provider");
    assert!(site.ids().is_empty(), "nothing is begun");
    site.ours(&["up", "-d", "nope"]).fails("no such service: nope");
    site.ours(&["up", "-d", "--scale", "web=x"]).fails("--scale");
    site.ours(&["up", "--no-such-flag"]).fails("--no-such-flag");
}

#[test]
fn a_dry_run_prints_the_plan_and_does_nothing() {
    let site = Site::new("services: {web: {image: 'IMAGE'}}\n");
    let plan = site.ours(&["up", "-d", "--dry-run"]).ok().out;
    assert!(plan.contains("create container") && plan.contains("web-1"), "{plan}");
    assert!(site.ids().is_empty());
}

#[test]
fn dependencies_are_waited_for_no_longer_than_asked() {
    let site = Site::new(
        "services:
  db: {image: 'IMAGE', QUICK, healthcheck: {test: [CMD, 'false'], interval: 1s, retries: 1000}}
  web: {image: 'IMAGE', QUICK, command: [echo, web-started], depends_on: {db: {condition: service_healthy}}}
",
    );
    for detached in [&["-d"][..], &[]] {
        let up = [&["up", "--wait-timeout", "1"], detached].concat();
        let ran = site.ours(&up);
        assert!(!ran.out.contains("web-started"), "{ran:?}");
        assert_eq!(ran.code, 1, "{ran:?}");
        ran.fails("timeout waiting for dependencies");
        assert_eq!(site.inspect("db-1").state.unwrap().running, Some(true));
        assert_eq!(site.inspect("web-1").state.unwrap().status.map(|s| s.to_string()), Some("created".to_owned()));
    }
}

#[test]
fn a_foreground_up_shows_what_runs_again_and_what_is_replaced() {
    let job = |value: &str| {
        format!(
            "services: {{app: {{image: 'IMAGE', command: [sh, -c, '[ -e /f ] && echo again; echo > /f; echo {value}']}}}}\n"
        )
    };
    let site = Site::new(&job("one"));
    let ended = || site.ours(&["wait", "app"]).code == 0 || site.inspect("app-1").state.unwrap().running == Some(false);
    site.ours(&["up", "-d"]).ok();
    assert!(ended());
    let before = site.ids();
    let ran = site.ours(&["up"]).ok();
    assert!(ran.out.contains("app-1  | again\n") && ran.out.contains("app-1 exited with code 0"), "{ran:?}");
    assert_eq!(site.ids(), before);
    site.write("compose.yaml", &job("two"));
    let ran = site.ours(&["up"]).ok();
    assert!(ran.out.contains("app-1  | two\n") && !ran.out.contains("again"), "{ran:?}");
    assert_ne!(site.ids(), before);

    site.write(
        "compose.yaml",
        "services: {quick: {image: 'IMAGE', command: [sh, -c, 'exit 0']}, long: {image: 'IMAGE', QUICK}}\n",
    );
    let ran = site.ours(&["up", "--remove-orphans", "--abort-on-container-exit"]).ok();
    assert!(ran.out.contains("quick-1 exited with code 0"), "{ran:?}");
    assert_eq!(site.inspect("long-1").state.unwrap().running, Some(false));
}
