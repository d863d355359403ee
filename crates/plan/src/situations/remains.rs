//! Plans where others, or interrupted runs, left something behind: orphans, one-offs, containers under temporary names.

use super::*;

#[test]
fn orphans_are_mentioned() {
    let text =
        Stage::of(web_and_db()).up().edit(|p| p.services.remove("db")).service("web", |s| s.depends_on.clear()).plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    warnings:
      orphans, containers that no service stands behind: shop-db-1 (remove them with --remove-orphans)
    ");
}

#[test]
fn orphans_are_removed_but_running_one_offs_stay() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| p.services.remove("db"))
        .service("web", |s| s.depends_on.clear())
        .world(|w| {
            for (name, state) in [("shop-web-run-1", RunState::Running), ("shop-web-run-2", RunState::Exited(0))] {
                let mut oneoff = w.named("shop-web-1").unwrap().clone();
                oneoff.id = w.fresh_id();
                oneoff.labels = labels_of(&[(labels::ONEOFF, "True")]);
                (oneoff.name, oneoff.oneoff, oneoff.number, oneoff.state) = (name.to_owned(), true, None, state);
                w.observed.containers.push(oneoff);
            }
        })
        .want(|i| i.remove_orphans = true)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. remove container shop-db-1: service db is no longer in the project
      2. remove container shop-web-run-2: one-off that has ended
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn services_of_inactive_profiles_are_no_orphans() {
    let text = Stage::of(web_and_db())
        .up()
        .service("web", |s| s.depends_on.clear())
        .edit(|p| {
            let db = p.services.remove("db").unwrap();
            p.disabled_services.insert("db".to_owned(), db);
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn changed_volume_that_an_orphan_uses_is_kept() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| {
            p.volumes.get_mut("data").unwrap().as_mut().unwrap().driver = "nfs".to_owned();
        })
        .container("shop-db-1", |c| c.service = "olddb".to_owned())
        .container("shop-db-1", |c| c.name = "shop-olddb-1".to_owned())
        .want(|i| i.yes_recreate_volumes = true)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. create container shop-db-1: no container yet
      2. start container shop-db-1: created
         after 1
    unchanged:
      web: running, nothing changed
    warnings:
      volume shop_data changed (config-hash 4e9994dd3f18 -> 1b5b11cf1716); it is kept, because container shop-olddb-1 uses it and has no part in this plan
      orphans, containers that no service stands behind: shop-olddb-1 (remove them with --remove-orphans)
    ");
}

#[test]
fn leftover_beside_the_original_is_removed() {
    let text = Stage::of(web())
        .up()
        .service("web", |s| set(s, "A", "1"))
        .world(|w| {
            let mut copy = w.named("shop-web-1").unwrap().clone();
            copy.name = format!("{}_shop-web-1", &copy.id[..12]);
            (copy.id, copy.state) = (w.fresh_id(), RunState::Created);
            w.observed.containers.push(copy);
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. remove container 00000000ab02_shop-web-1: left over from a replacement that was interrupted
      2. replace container shop-web-1: environment A added
         after 1
      3. start container shop-web-1: replaced
         after 2
    ");
}

/// A temporary container that runs, its predecessor gone, and another that never ran; `runs_first`: the order in which the
/// engine lists them.
fn two_temporary(runs_first: bool) -> Stage {
    Stage::of(web()).up().world(|w| {
        let name = |prefix: &str| format!("{prefix}_shop-web-1");
        let mut idle = w.named("shop-web-1").unwrap().clone();
        (idle.id, idle.name, idle.state) = (w.fresh_id(), name("bbbbbbbbbbbb"), RunState::Created);
        w.named("shop-web-1").unwrap().name = name("aaaaaaaaaaaa");
        let place = if runs_first { 1 } else { 0 };
        w.observed.containers.insert(place, idle);
    })
}

#[test]
fn of_two_temporary_containers_the_one_that_runs_stays() {
    let texts = [true, false].map(|runs_first| two_temporary(runs_first).plan());
    assert_eq!(texts[0], texts[1], "the order of the list decides");
    insta::assert_snapshot!(texts[0], @r"
    shop: 2 steps
      1. remove container bbbbbbbbbbbb_shop-web-1: left over from a replacement that was interrupted
      2. rename container aaaaaaaaaaaa_shop-web-1 to shop-web-1: its replacement was interrupted before it got its final name
    ");
}

#[test]
fn leftover_that_runs_stops_after_all_that_can_be_created() {
    let services = json!({"api": {"image": "api"}, "web": {"image": "shop"}});
    let text = Stage::of(services)
        .up()
        .service("api", |s| set(s, "A", "1"))
        .world(|w| {
            let mut copy = w.named("shop-web-1").unwrap().clone();
            copy.name = format!("{}_shop-web-1", &copy.id[..12]);
            copy.id = w.fresh_id();
            w.observed.containers.push(copy);
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. replace container shop-api-1: environment A added
      2. remove container 00000000ab03_shop-web-1: left over from a replacement that was interrupted
         after 1
      3. start container shop-api-1: replaced
         after 1, 2
    ");
}

#[test]
fn leftover_that_took_over_is_renamed() {
    let text = Stage::of(web())
        .up()
        .container("shop-web-1", |c| {
            c.name = "0123456789ab_shop-web-1".to_owned();
            c.state = RunState::Created;
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. rename container 0123456789ab_shop-web-1 to shop-web-1: its replacement was interrupted before it got its final name
      2. start container shop-web-1: created, but never started
         after 1
    ");
}

#[test]
fn leftover_that_took_over_and_changed_is_replaced() {
    let text = Stage::of(web())
        .up()
        .container("shop-web-1", |c| c.name = "0123456789ab_shop-web-1".to_owned())
        .service("web", |s| set(s, "A", "1"))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container 0123456789ab_shop-web-1 by shop-web-1: environment A added
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn paused_container_is_resumed() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.state = RunState::Paused).plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. resume container shop-web-1: the container is paused
    ");
}

#[test]
fn dead_container_is_replaced() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.state = RunState::Dead).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: the engine marks the container dead
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn missing_number_names_the_container() {
    let text =
        Stage::of(web()).up().container("shop-web-1", |c| c.number = None).service("web", |s| set(s, "A", "1")).plan();
    insta::assert_snapshot!(text, @r"error: container shop-web-1 of service web must be replaced (environment A added), but its label com.docker.compose.container-number is missing or unreadable; remove the container (`docker rm -f shop-web-1`) and try again");
}

#[test]
fn missing_number_is_tolerated_while_nothing_changes() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.number = None).plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn missing_oneoff_label_is_mended() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.labels.remove(labels::ONEOFF)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: label com.docker.compose.oneoff is missing, other tools would not start it
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn crashed_container_is_started() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.state = RunState::Exited(137)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. start container shop-web-1: stopped with exit code 137
    ");
}

#[test]
fn restarting_container_is_left_to_the_gate() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.state = RunState::Restarting).plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      web: nothing changed, but it keeps restarting
    ");
}

/// Two services on a network of their own each, one of which goes.
fn two_networks() -> Value {
    json!({
        "web": {"image": "web", "networks": {"front": null}},
        "db": {"image": "db", "networks": {"front": null, "back": null}},
    })
}

#[test]
fn networks_that_the_files_no_longer_name_go_after_what_used_them() {
    let gone = |project: &mut Project| {
        project.services.remove("db");
        project.networks.remove("back");
    };
    let stage = || Stage::of(two_networks()).up().edit(gone).want(|i| i.remove_orphans = true);
    assert!(!stage().plan().contains("remove network"), "as the Compose CLI, which leaves them");
    let text = stage().want(|i| i.remove_idle_networks = true).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. remove container shop-db-1: service db is no longer in the project
      2. remove network shop_back: network back is no longer in the project
         after 1
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn networks_of_others_of_idle_services_and_of_what_stays_are_kept() {
    let want = |i: &mut Intent| (i.remove_orphans, i.remove_idle_networks) = (true, true);
    // The service is one of a profile that is off.
    let idle = Stage::of(two_networks()).up().edit(|project| {
        let db = project.services.remove("db").unwrap();
        project.disabled_services.insert("db".to_owned(), db);
        project.networks.remove("back");
    });
    assert!(!idle.want(want).plan().contains("remove network"));
    // Somebody else's by its label.
    let strange = Stage::of(two_networks()).up().edit(|project| project.networks.remove("back")).service("db", |db| {
        db.networks.remove("back");
    });
    let strange = strange.world(|world| {
        let network = world.observed.networks.get_mut("back").unwrap();
        network.labels.insert(labels::PROJECT.to_owned(), "other".to_owned());
    });
    assert!(!strange.want(want).plan().contains("remove network"));
    // A container of the project that stays uses it.
    let stays = Stage::of(two_networks()).up().edit(|project| {
        project.services.remove("db");
        project.networks.remove("back");
    });
    let id = stays.world.observed.containers.iter().find(|c| c.name == "shop-db-1").unwrap().id.clone();
    let text = stays.want(want).want(|i| i.spared_orphans.insert(id, "it stays".to_owned())).plan();
    assert!(
        text.contains("network shop_back: still in use by shop-db-1") && !text.contains("remove network"),
        "{text}"
    );
}

#[test]
fn orphans_are_ignored_or_spared_as_asked() {
    let stage = |wish: fn(&mut Intent, String)| {
        let stage = Stage::of(web_and_db()).up().edit(|p| p.services.remove("db"));
        let id = stage.world.observed.containers.iter().find(|c| c.service == "db").unwrap().id.clone();
        stage.service("web", |s| s.depends_on.clear()).want(|i| wish(i, id))
    };
    for (wish, removed, warning) in [
        ((|_, _| ()) as fn(&mut Intent, String), false, Some("orphans, containers that no service stands behind")),
        (|i, _| i.ignore_orphans = true, false, None),
        (|i, _| i.remove_orphans = true, true, None),
        (|i, _| (i.ignore_orphans, i.remove_orphans) = (true, true), true, None),
        (
            |i, id| {
                i.remove_orphans = true;
                i.spared_orphans.insert(id, "it is mounted elsewhere".to_owned());
            },
            false,
            Some("shop-db-1, which no service stands behind, is left: it is mounted elsewhere"),
        ),
        (
            |i, id| {
                i.remove_orphans = true;
                i.spared_orphans.insert(id, String::new());
            },
            false,
            None,
        ),
    ] {
        let Stage { project, world, intent } = stage(wish);
        let plan = converge(&project, &world.observed, &intent).unwrap();
        let text = render(&plan);
        assert_eq!(text.contains("remove container shop-db-1"), removed, "{text}");
        assert_eq!(plan.warnings.len(), usize::from(warning.is_some()), "{text}");
        assert!(warning.is_none_or(|warning| text.contains(warning)), "{text}");
    }
}

/// Where none runs, the one that was started once stays: it may hold what the other never wrote.
#[test]
fn of_two_temporary_containers_that_do_not_run_the_one_that_did_stays() {
    for runs_first in [true, false] {
        let stage = two_temporary(runs_first).world(|w| {
            w.named("aaaaaaaaaaaa_shop-web-1").unwrap().state = RunState::Exited(1);
        });
        let text = stage.plan();
        assert!(text.contains("remove container bbbbbbbbbbbb_shop-web-1: left over"), "{text}");
        assert!(text.contains("rename container aaaaaaaaaaaa_shop-web-1 to shop-web-1"), "{text}");
    }
}

/// A temporary container beside another one is left over where both have one number or one name, and the service's where
/// they have neither.
#[test]
fn a_temporary_container_is_known_by_number_and_name() {
    let beside = |name: &str, number: Option<u32>, first: &str| {
        let (name, first) = (name.to_owned(), first.to_owned());
        Stage::of(web()).service("web", |s| s.scale = Some(2)).up().world(move |w| {
            w.observed.containers.retain(|c| c.number == Some(1));
            let mut copy = w.named("shop-web-1").unwrap().clone();
            (copy.id, copy.name, copy.number) = (w.fresh_id(), name, number);
            w.observed.containers.push(copy);
            w.named("shop-web-1").unwrap().name = first;
        })
    };
    for (name, number, first, left_over) in [
        ("0123456789ab_shop-web-1", Some(1), "shop-web-1", true),
        ("0123456789ab_shop-web-1", Some(1), "mine", true),
        ("0123456789ab_shop-web-1", None, "shop-web-1", true),
        ("0123456789ab_shop-web-2", Some(2), "shop-web-1", false),
        ("0123456789ab_theirs", None, "shop-web-1", false),
    ] {
        let stage = beside(name, number, first);
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        let text = render(&plan);
        let case = format!("{name} {number:?} beside {first}:\n{text}");
        assert_eq!(text.contains(&format!("remove container {name}: left over")), left_over, "{case}");
        assert_eq!(text.contains(&format!("rename container {name}")), !left_over, "{case}");
    }
}

/// Whoever goes only perhaps still uses its networks.
#[test]
fn a_network_of_who_goes_perhaps_is_kept() {
    let stage = Stage::of(json!({
        "db": {"image": "db", "networks": {"back": null}},
        "web": {"build": {"context": "/src"}},
    }))
    .up()
    .edit(|project| {
        project.services.remove("db");
        project.networks.remove("back");
    })
    .world(|world| {
        world.observed.containers.retain(|c| c.service != "db");
        // Connected by hand.
        let id = world.observed.networks["back"].id.clone();
        world.named("shop-web-1").unwrap().networks.insert("shop_back".to_owned(), id);
    })
    .build("web", "Dockerfile changed")
    .want(|i| i.remove_idle_networks = true);
    let text = render(&converge(&stage.project, &stage.world.observed, &stage.intent).unwrap());
    assert!(text.contains("network shop_back: still in use by shop-web-1"), "{text}");
    assert!(!text.contains("remove network"), "{text}");
}

/// Of networks that nobody uses any more, those go that are the project's and that no file names.
#[test]
fn idle_networks_are_the_projects_own() {
    for (disabled, owner, removed) in [(false, "shop", true), (true, "shop", false), (false, "other", false)] {
        let text = Stage::of(two_networks())
            .up()
            .edit(|project| {
                let db = project.services.remove("db").unwrap();
                project.networks.remove("back");
                if disabled {
                    project.disabled_services.insert("db".to_owned(), db);
                }
            })
            .world(|world| {
                world.observed.containers.retain(|c| c.service != "db");
                let network = world.observed.networks.get_mut("back").unwrap();
                network.labels.insert(labels::PROJECT.to_owned(), owner.to_owned());
            })
            .want(|i| i.remove_idle_networks = true)
            .plan();
        assert_eq!(text.contains("remove network shop_back"), removed, "{disabled} {owner}: {text}");
    }
}
