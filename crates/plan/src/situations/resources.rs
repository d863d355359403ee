//! Plans in which a network or a volume is made, changed, or missing.

use super::*;

#[test]
fn network_change_reconnects_the_same_containers() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 6 steps
      1. try out network shop_default: network shop_default changed (config-hash cf68f29b281a -> e53b802f1a7d)
      2. stop container shop-db-1: network shop_default is replaced
         after 1
      3. stop container shop-web-1: network shop_default is replaced
         after 1
      4. replace network shop_default and reconnect shop-db-1, shop-web-1: network shop_default changed (config-hash cf68f29b281a -> e53b802f1a7d)
         after 2, 3
      5. start container shop-db-1: stopped before
         after 4
      6. start container shop-web-1: stopped before
         after 5
    ");
}

#[test]
fn network_change_and_rebuild() {
    let text = Stage::of(web_and_db())
        .up()
        .build("web", "Dockerfile changed")
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 8 steps
      1. build shop-web for web: Dockerfile changed
      2. try out network shop_default: network shop_default changed (config-hash cf68f29b281a -> e53b802f1a7d)
         after 1
      3. stop container shop-db-1: network shop_default is replaced
         after 2
      4. stop container shop-web-1: network shop_default is replaced
         after 2
      5. replace network shop_default and reconnect shop-db-1, shop-web-1: network shop_default changed (config-hash cf68f29b281a -> e53b802f1a7d)
         after 3, 4
      6. replace container shop-web-1: image shop-web is built: Dockerfile changed
         only if image shop-web is no longer shop-web-1; after 5
      7. start container shop-db-1: stopped before
         after 6
      8. start container shop-web-1: replaced or stopped before
         after 7
    ");
}

#[test]
fn network_of_the_same_name_with_another_label() {
    let text = Stage::of(web())
        .up()
        .world(|w| {
            w.observed
                .networks
                .get_mut("default")
                .unwrap()
                .labels
                .insert(labels::NETWORK.to_owned(), "other".to_owned())
        })
        .plan();
    insta::assert_snapshot!(text, @r#"error: network shop_default was found but has incorrect label com.docker.compose.network set to "other" (expected: "default"); to use an existing network set `external: true`, else remove or rename it"#);
}

#[test]
fn network_of_a_stranger_is_used_as_it_is() {
    let text = Stage::of(web())
        .up()
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .world(|w| {
            w.observed
                .networks
                .get_mut("default")
                .unwrap()
                .labels
                .insert(labels::PROJECT.to_owned(), "other".to_owned())
        })
        .plan();
    insta::assert_snapshot!(text, @r#"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    warnings:
      network shop_default exists but was created for project "other"; it is used as it is (set `external: true` to say so)
    "#);
}

#[test]
fn network_was_removed_behind_our_back() {
    let text = Stage::of(web()).up().world(|w| w.observed.networks.clear()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. create network shop_default: network shop_default does not exist yet
      2. replace container shop-web-1: network default is created anew
         after 1
      3. start container shop-web-1: replaced
         after 2
    ");
}

#[test]
fn running_container_was_disconnected() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.networks.clear()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: not attached to network default
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn created_container_is_connected_at_its_start() {
    let text = Stage::of(web())
        .up()
        .container("shop-web-1", |c| {
            c.state = RunState::Created;
            c.networks.values_mut().for_each(String::clear);
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. start container shop-web-1: created, but never started
    ");
}

#[test]
fn changed_volume_is_kept() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| p.volumes.get_mut("data").unwrap().as_mut().unwrap().driver = "nfs".to_owned())
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
      web: running, nothing changed
    warnings:
      volume shop_data changed (config-hash 4e9994dd3f18 -> 1b5b11cf1716); it is kept with its data (to recreate it empty, agree with --yes)
    ");
}

#[test]
fn changed_volume_is_replaced_with_consent() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| p.volumes.get_mut("data").unwrap().as_mut().unwrap().driver = "nfs".to_owned())
        .want(|i| i.yes_recreate_volumes = true)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. remove container shop-db-1: volume shop_data is recreated
      2. replace volume shop_data: volume shop_data changed (config-hash 4e9994dd3f18 -> 1b5b11cf1716); its data is lost, as agreed
         after 1
      3. create container shop-db-1: volume shop_data is recreated
         after 2
      4. start container shop-db-1: replaced
         after 3
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn volume_is_no_longer_mounted() {
    let text = Stage::of(web_and_db()).up().container("shop-db-1", |c| c.mounts.clear()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-db-1: volume data is not mounted
      2. start container shop-db-1: replaced
         after 1
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn missing_externals_fail_before_anything() {
    let text = Stage::of(web_and_db())
        .edit(|p| {
            p.networks.get_mut("default").unwrap().as_mut().unwrap().external = true;
            p.volumes.get_mut("data").unwrap().as_mut().unwrap().external = true;
        })
        .plan();
    insta::assert_snapshot!(text, @r#"error: network shop_default declared as external, but could not be found, external volume "shop_data" not found (create with `docker network create` or `docker volume create`, or remove `external: true`)"#);
}

#[test]
fn of_many_missing_externals_some_are_named() {
    let networks: Vec<String> = (0..1_000).map(|n| format!("net{n:03}")).collect();
    let joined: serde_json::Map<_, _> = networks.iter().map(|name| (name.clone(), json!(null))).collect();
    let text = Stage::of(json!({"web": {"image": "shop", "networks": joined}}))
        .edit(|p| {
            for name in &networks {
                let network = serde_json::from_value(json!({"name": name, "external": true})).unwrap();
                p.networks.insert(name.clone(), Some(network));
            }
        })
        .plan();
    assert!(text.contains("net019 declared as external") && !text.contains("net020"), "{text}");
    assert!(text.contains("and 980 more (create with"), "{text}");
}

#[test]
fn stopped_container_whose_network_is_gone_is_replaced() {
    let text = Stage::of(json!({"web": {"image": "shop", "networks": {"back": null, "front": null}}}))
        .up()
        .container("shop-web-1", |c| {
            c.state = RunState::Exited(1);
            c.networks.insert("shop_back".to_owned(), String::new());
        })
        .world(|w| w.observed.networks.get_mut("front").unwrap().id = "another".to_owned())
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: not attached to network front
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn created_container_survives_the_replacement_of_its_network() {
    let text = Stage::of(web())
        .up()
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .container("shop-web-1", |c| {
            c.state = RunState::Created;
            c.networks.values_mut().for_each(String::clear);
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. try out network shop_default: network shop_default changed (config-hash cf68f29b281a -> e53b802f1a7d)
      2. replace network shop_default: network shop_default changed (config-hash cf68f29b281a -> e53b802f1a7d)
         after 1
      3. start container shop-web-1: created, but never started
         after 2
    ");
}

#[test]
fn a_network_that_is_there_twice_is_removed_once() {
    let text = Stage::of(web())
        .up()
        .world(|w| {
            let twin = ObservedNetwork { id: "f".repeat(64), ..w.observed.networks["default"].clone() };
            w.observed.network_twins.push(("default".to_owned(), twin));
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. remove network shop_default: two runs at once have made one of this name each; 00000000ab01 stays
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn a_network_that_is_there_twice_is_touched_after_all_images() {
    let text = Stage::of(web())
        .up()
        .service("web", |s| s.image = "shop:2".to_owned())
        .world(|w| {
            let twin = ObservedNetwork { id: "f".repeat(64), ..w.observed.networks["default"].clone() };
            w.observed.network_twins.push(("default".to_owned(), twin));
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. pull shop:2: image shop:2 is not there yet
      2. remove network shop_default: two runs at once have made one of this name each; 00000000ab01 stays
         after 1
      3. replace container shop-web-1: image changed; image shop:2 is pulled: image shop:2 is not there yet
         after 2
      4. start container shop-web-1: replaced
         after 3
    ");
}

#[test]
fn what_a_trial_left_is_removed_before_the_next() {
    let stage = Stage::of(web())
        .up()
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .world(|w| {
            let old = w.observed.networks["default"].clone();
            let (id, name) = ("f".repeat(64), format!("{}_shop_default", &old.id[..12]));
            w.observed.former_networks.push(("default".to_owned(), ObservedNetwork { id, name, ..old }));
        });
    // Not a second time as one that no file names.
    let idle_too = stage.clone().want(|i| i.remove_idle_networks = true).plan();
    let text = stage.plan();
    assert_eq!(idle_too, text);
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. remove network 00000000ab01_shop_default: left over from a trial that was interrupted
      2. try out network shop_default: network shop_default changed (config-hash cf68f29b281a -> e53b802f1a7d)
         after 1
      3. stop container shop-web-1: network shop_default is replaced
         after 2
      4. replace network shop_default and reconnect shop-web-1: network shop_default changed (config-hash cf68f29b281a -> e53b802f1a7d)
         after 3
      5. start container shop-web-1: stopped before
         after 4
    ");
}

#[test]
fn a_network_whose_option_only_one_can_have_is_not_tried() {
    let bridge = |network: &mut Network| {
        let name = "com.docker.network.bridge.name".to_owned();
        network.driver_opts.insert(name, "br-shop".to_owned());
    };
    let option = |world: &mut World| {
        let network = world.observed.networks.get_mut("default").unwrap();
        let name = "com.docker.network.bridge.name".to_owned();
        network.options.insert(name, "br-shop".to_owned());
    };
    let change = |p: &mut Project| bridge(p.networks.get_mut("default").unwrap().as_mut().unwrap());
    assert!(Stage::of(web()).up().edit(change).plan().contains("try out network shop_default"));
    assert!(!Stage::of(web()).up().edit(change).world(option).plan().contains("try out"));
}

#[test]
fn strangers_in_a_network_are_connected_again() {
    let stage = Stage::of(web())
        .up()
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .world(|w| {
            let id = "e".repeat(64);
            let stranger = Existing { service: String::new(), id, name: "other".to_owned() };
            w.observed.networks.get_mut("default").unwrap().strangers.push(stranger);
        });
    let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
    let acts: Vec<String> = plan.steps.iter().map(|step| words::action(&step.action)).collect();
    let place = |text: &str| acts.iter().position(|act| act == text).unwrap_or_else(|| panic!("{text}: {acts:#?}"));
    let order = [
        "disconnect container other from network shop_default",
        "remove network shop_default",
        "create network shop_default",
        "connect container other to network shop_default",
    ];
    assert!(order.map(place).is_sorted(), "{acts:#?}");
}

#[test]
fn a_paused_container_that_is_stopped_for_its_network_is_not_resumed() {
    let text = Stage::of(web())
        .up()
        .service("web", |s| s.pull_policy = "always".to_owned())
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .container("shop-web-1", |c| c.state = RunState::Paused)
        .plan_that_repeats();
    assert!(text.contains("stop container shop-web-1") && !text.contains("resume"), "{text}");
}

/// A network that is made anew takes along whom no plan knows any more; one-offs are none of the service's.
#[test]
fn who_is_left_alone_is_a_stranger_in_its_networks() {
    let stage = Stage::of(json!({
        "db": {"image": "db", "networks": {"back": null}},
        "web": {"image": "web"},
    }))
    .up()
    .world(|world| {
        let mut run = world.named("shop-web-1").unwrap().clone();
        (run.id, run.name, run.oneoff) = (world.fresh_id(), "shop-web-run-1".to_owned(), true);
        world.observed.containers.push(run);
    });
    let mut observed = stage.world.observed;
    observed.leave_alone("web");
    let seen: Vec<&str> = observed.containers.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(seen, ["shop-db-1", "shop-web-run-1"]);
    let strangers = |key: &str| -> Vec<&str> {
        observed.networks[key].strangers.iter().map(|stranger| stranger.name.as_str()).collect()
    };
    assert_eq!((strangers("default"), strangers("back")), (vec!["shop-web-1"], vec![]));
}

/// What does not run gets its attachments at its start, if it has them or further ones are promised to it.
#[test]
fn a_container_that_does_not_run_is_attached_at_its_start() {
    for (networks, missing, state, replaced) in [
        (&["front"][..], "front", RunState::Created, true),
        (&["front", "back"], "back", RunState::Created, false),
        (&["front", "back"], "back", RunState::Running, true),
        (&["front"], "", RunState::Created, false),
    ] {
        let value: serde_json::Map<String, Value> =
            networks.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
        let stage = Stage::of(json!({"web": {"image": "shop", "networks": value}})).up();
        let stage = stage.container("shop-web-1", |c| {
            c.state = state;
            c.networks.remove(&format!("shop_{missing}"));
        });
        let text = stage.plan();
        assert_eq!(text.contains("replace container"), replaced, "{networks:?} {missing} {state:?}: {text}");
    }
}

/// A file may name an external network by its ID; containers know it by its name.
#[test]
fn an_external_network_is_known_by_the_name_that_was_found() {
    let named = |name: &'static str| {
        move |p: &mut Project| {
            let network = p.networks.get_mut("default").unwrap().as_mut().unwrap();
            name.clone_into(&mut network.name);
        }
    };
    let created = |c: &mut ObservedContainer| {
        c.state = RunState::Created;
        c.networks.values_mut().for_each(String::clear);
    };
    let external = Stage::of(web()).up().edit(named("0a1b2c")).container("shop-web-1", created);
    let external = external.edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().external = true);
    let plan = converge(&external.project, &external.world.observed, &external.intent).unwrap();
    assert!(!render(&plan).contains("replace"), "{}", render(&plan));
    // One of the project's own that has another name now is another one.
    let text = Stage::of(web()).up().edit(named("fresh")).container("shop-web-1", created).plan();
    assert!(text.contains("replace container shop-web-1: network default is created anew"), "{text}");
}

/// Whoever takes no part stays connected as it was, and is not stopped.
#[test]
fn only_who_takes_part_is_stopped_for_a_network() {
    let text = |services: &[&str]| {
        let stage = Stage::of(json!({"db": {"image": "db"}, "web": {"image": "web"}}))
            .up()
            .world(|world| {
                let mut run = world.named("shop-web-1").unwrap().clone();
                (run.id, run.name, run.oneoff) = (world.fresh_id(), "shop-web-run-1".to_owned(), true);
                world.observed.containers.push(run);
            })
            .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
            .want(|i| i.services = services.iter().map(|name| (*name).to_owned()).collect());
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        check(&plan).unwrap();
        let told = plan.steps.iter().filter_map(|step| match &step.action {
            Action::StopContainer { name, .. } => Some(format!("stop {name}")),
            Action::ConnectContainer { container, as_it_was, .. } => {
                Some(format!("connect {}{}", container.name, if *as_it_was { " as it was" } else { "" }))
            }
            _ => None,
        });
        told.collect::<Vec<_>>().join(", ")
    };
    let run = "connect shop-web-run-1 as it was";
    assert_eq!(text(&[]), format!("stop shop-db-1, stop shop-web-1, connect shop-db-1, connect shop-web-1, {run}"));
    assert_eq!(text(&["web"]), format!("stop shop-web-1, connect shop-web-1, connect shop-db-1 as it was, {run}"));
}

/// A volume is known by its name, not by what else is mounted.
#[test]
fn only_who_has_a_volume_mounted_is_concerned_by_it() {
    let mount = |source: &str| json!([{"type": "volume", "source": source, "target": "/data"}]);
    let stage = || {
        Stage::of(json!({
            "db": {"image": "db", "volumes": mount("data")},
            "web": {"image": "web", "volumes": mount("files")},
        }))
        .up()
    };
    let text = stage()
        .edit(|p| p.volumes.get_mut("data").unwrap().as_mut().unwrap().driver = "nfs".to_owned())
        .want(|i| i.yes_recreate_volumes = true)
        .plan();
    assert!(text.contains("volume shop_data") && text.contains("web: running, nothing changed"), "{text}");
    for (kind, name) in [("volume", "shop_files"), ("bind", "shop_data")] {
        let stage = stage().container("shop-db-1", |c| {
            kind.clone_into(&mut c.mounts[0].kind);
            name.clone_into(&mut c.mounts[0].name);
        });
        let text = stage.plan();
        assert!(text.contains("replace container shop-db-1: volume data is not mounted"), "{kind} {name}: {text}");
    }
}

/// Addresses that the old network still has cannot be tried.
#[test]
fn a_network_is_tried_with_its_addresses_where_they_are_free() {
    for (subnet, tried) in [("10.1.0.0/24", false), ("10.2.0.0/24", true), ("", true)] {
        let stage = Stage::of(web())
            .up()
            .edit(|p| {
                let network = p.networks.get_mut("default").unwrap().as_mut().unwrap();
                network.internal = true;
                network.ipam = serde_json::from_value(json!({"config": [{"subnet": subnet}]})).unwrap();
            })
            .world(|w| w.observed.networks.get_mut("default").unwrap().subnets = vec!["10.1.0.0/16".to_owned()]);
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        let trial = plan.steps.iter().find_map(|step| match &step.action {
            Action::TryNetwork { subnets, .. } => Some(*subnets),
            _ => None,
        });
        assert_eq!(trial, Some(tried), "{subnet}");
    }
}
