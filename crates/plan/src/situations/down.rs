//! `down`, `stop`, `start`, `restart` and `rm`.

use super::*;

/// `down` and its kin: the plan as printed, after it proved checked and executable.
fn taken(mut stage: Stage, plan: Plan) -> String {
    let text = render(&plan);
    check(&plan).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
    stage.world.apply(&stage.project, &plan);
    text
}

fn down_of(stage: Stage, with_file: bool, options: &DownOptions) -> String {
    let plan = down(with_file.then_some(&stage.project), &stage.world.observed, options);
    taken(stage, plan)
}

fn chain() -> Stage {
    Stage::of(json!({
        "api": {"image": "api", "depends_on": {"db": {"condition": "service_healthy", "restart": true}}},
        "db": {
            "image": "postgres",
            "healthcheck": {"test": ["CMD", "true"]},
            "volumes": [{"type": "volume", "source": "data", "target": "/data"}],
        },
        "web": {"build": {"context": "/src"}, "depends_on": {"api": {}}},
    }))
    .up()
}

#[test]
fn down_removes_dependents_first_and_keeps_data() {
    let text = down_of(chain(), true, &DownOptions::default());
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. remove container shop-web-1: the project is taken down
      2. remove container shop-api-1: the project is taken down
         after 1
      3. remove container shop-db-1: the project is taken down
         after 2
      4. remove network shop_default: the project is taken down
         after 3
    unchanged:
      volume shop_data: kept with its data
    ");
}

#[test]
fn down_without_a_file_reads_the_labels() {
    let options = DownOptions { project: "shop".to_owned(), volumes: true, ..DownOptions::default() };
    let text = down_of(chain(), false, &options);
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. remove container shop-web-1 and its anonymous volumes: the project is taken down
      2. remove container shop-api-1 and its anonymous volumes: the project is taken down
         after 1
      3. remove container shop-db-1 and its anonymous volumes: the project is taken down
         after 2
      4. remove network shop_default: the project is taken down
         after 3
      5. remove volume shop_data: removal of volumes was asked for, its data is lost
         after 3
    ");
}

#[test]
fn down_with_volumes_spares_external_ones_and_strangers() {
    let stage = chain().edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().external = true).world(|w| {
        w.observed.volumes.get_mut("data").unwrap().labels.remove(labels::PROJECT);
        let own =
            |reference: &str, service: &str, by| OwnImage { reference: reference.into(), service: service.into(), by };
        w.observed.own_images = vec![
            own("shop-web:latest", "web", Belonging::Label),
            own("shop-web:latest", "web", Belonging::BuildName),
            own("shop-gone:latest", "gone", Belonging::Label),
            own("postgres:latest", "db", Belonging::Used),
        ];
    });
    let options = DownOptions { volumes: true, images: Some(RemoveImages::Local), ..DownOptions::default() };
    let text = down_of(stage, true, &options);
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. remove container shop-web-1 and its anonymous volumes: the project is taken down
      2. remove container shop-api-1 and its anonymous volumes: the project is taken down
         after 1
      3. remove container shop-db-1 and its anonymous volumes: the project is taken down
         after 2
      4. remove image shop-web:latest: removal of images was asked for
         after 3
    warnings:
      volume shop_data was not created for this project; it is kept
    ");
}

/// The file says which network or volume is meant, the label who made it.
#[test]
fn down_takes_networks_and_volumes_that_are_the_projects_own() {
    for (with_file, named, external, owner, goes) in [
        (true, true, false, Some("shop"), true),
        (true, true, true, Some("shop"), false),
        (true, false, false, Some("shop"), false),
        (true, true, false, Some("other"), false),
        (true, true, false, None, false),
        (false, true, true, Some("shop"), true),
        (false, false, false, Some("shop"), true),
        (false, false, false, Some("other"), false),
    ] {
        let stage = chain()
            .edit(|project| {
                let (network, volume) = (project.networks.get_mut("default"), project.volumes.get_mut("data"));
                network.unwrap().as_mut().unwrap().external = external;
                volume.unwrap().as_mut().unwrap().external = external;
                if !named {
                    project.networks.clear();
                    project.volumes.clear();
                }
            })
            .world(|world| {
                let Observed { networks, volumes, .. } = &mut world.observed;
                let labels =
                    [&mut networks.get_mut("default").unwrap().labels, &mut volumes.get_mut("data").unwrap().labels];
                for labels in labels {
                    labels.remove(labels::PROJECT);
                    labels.extend(owner.map(|owner| (labels::PROJECT.to_owned(), owner.to_owned())));
                }
            });
        let options = DownOptions { project: "shop".to_owned(), volumes: true, ..DownOptions::default() };
        let text = down_of(stage, with_file, &options);
        let case = format!("{with_file} {named} {external} {owner:?}:\n{text}");
        assert_eq!(text.contains("remove network shop_default"), goes, "{case}");
        assert_eq!(text.contains("remove volume shop_data"), goes, "{case}");
    }
}

/// Where services are named, their data is meant: not what others use, nor what nobody uses just now.
#[test]
fn down_with_volumes_of_named_services_takes_only_theirs() {
    let mount = |source: &str| json!({"type": "volume", "source": source, "target": "/data"});
    let stage = || {
        Stage::of(json!({
            "cache": {"image": "a", "volumes": [mount("cold")]},
            "db": {"image": "a", "volumes": [mount("data")]},
            "queue": {"image": "a", "volumes": [mount("both")]},
            "worker": {"image": "a", "volumes": [mount("both")]},
        }))
        .up()
        .world(|world| world.observed.containers.retain(|c| c.service != "cache"))
    };
    let (named, all): (&[&str], &[&str]) = (&["db", "queue"], &[]);
    for (services, volumes, gone) in [
        (named, true, &["shop_data"][..]),
        (named, false, &[]),
        (all, true, &["shop_both", "shop_cold", "shop_data"]),
        (all, false, &[]),
    ] {
        let services = services.iter().map(|name| (*name).to_owned()).collect();
        let text = down_of(stage(), true, &DownOptions { services, volumes, ..DownOptions::default() });
        for volume in ["shop_both", "shop_cold", "shop_data"] {
            let (goes, kept) = (format!("remove volume {volume}:"), format!("volume {volume}: kept with its data"));
            let is_gone = gone.contains(&volume);
            assert_eq!((text.contains(&goes), text.contains(&kept)), (is_gone, !is_gone), "{volume}:\n{text}");
        }
    }
}

#[test]
fn down_takes_images_by_how_they_belong_to_the_project() {
    use Belonging::{BuildName, Label, Used};
    use RemoveImages::{All, Local};
    for (by, service, images, remove_orphans, goes) in [
        (Label, "web", Some(Local), false, true),
        (Label, "gone", Some(Local), false, false),
        (Label, "gone", Some(Local), true, true),
        (BuildName, "web", Some(Local), false, true),
        (BuildName, "gone", Some(All), true, false),
        (Used, "db", Some(All), false, true),
        (Used, "db", Some(Local), true, false),
        (Used, "gone", Some(All), true, false),
        (Label, "web", None, true, false),
    ] {
        let stage = chain().world(|world| {
            world.observed.own_images = vec![OwnImage { reference: "it:latest".into(), service: service.into(), by }];
        });
        let text = down_of(stage, true, &DownOptions { images, remove_orphans, ..DownOptions::default() });
        assert_eq!(text.contains("remove image it:latest"), goes, "{by:?} {service} {images:?} {remove_orphans}");
    }
}

#[test]
fn down_of_one_service_leaves_what_depends_on_it() {
    let options = DownOptions { services: vec!["api".to_owned()], ..DownOptions::default() };
    let text = down_of(chain(), true, &options);
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. remove container shop-api-1: api is taken down
    unchanged:
      network shop_default: still in use
      volume shop_data: kept with its data
    ");
}

#[test]
fn down_of_two_services_takes_what_stands_between_them() {
    let options = DownOptions { services: vec!["db".to_owned(), "web".to_owned()], ..DownOptions::default() };
    let text = down_of(chain(), true, &options);
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. remove container shop-web-1: web is taken down
      2. remove container shop-api-1: api depends on what is taken down
         after 1
      3. remove container shop-db-1: db is taken down
         after 2
      4. remove network shop_default: the project is taken down
         after 3
    unchanged:
      volume shop_data: kept with its data
    ");
}

#[test]
fn down_of_one_service_without_a_file_takes_what_depends_on_it() {
    let services = vec!["api".to_owned()];
    let options = DownOptions { project: "shop".to_owned(), services, ..DownOptions::default() };
    let text = down_of(chain(), false, &options);
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. remove container shop-web-1: web depends on what is taken down
      2. remove container shop-api-1: api is taken down
         after 1
    unchanged:
      network shop_default: still in use
      volume shop_data: kept with its data
    ");
}

#[test]
fn down_mentions_what_it_leaves_alone() {
    let text = down_of(chain().edit(|p| p.services.remove("web")), true, &DownOptions::default());
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. remove container shop-api-1: the project is taken down
      2. remove container shop-db-1: the project is taken down
         after 1
      3. remove network shop_default: the project is taken down
         after 2
    unchanged:
      volume shop_data: kept with its data
    warnings:
      left alone, because no active service stands behind them: shop-web-1 (remove them with --remove-orphans)
    ");
}

#[test]
fn stop_goes_from_dependents_to_dependencies() {
    let stage = chain();
    let plan = stop("shop", None, &stage.world.observed, &[]);
    let text = taken(stage, plan);
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. stop container shop-web-1: asked for
      2. stop container shop-api-1: asked for
         after 1
      3. stop container shop-db-1: asked for
         after 2
    ");
}

#[test]
fn start_waits_for_conditions() {
    let mut stage = chain();
    let plan = stop("shop", None, &stage.world.observed, &[]);
    stage.world.apply(&stage.project, &plan);
    let plan = start("shop", Some(&stage.project), &stage.world.observed, &[]);
    let text = taken(stage, plan);
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. start container shop-db-1: asked for
      2. wait until db is healthy: api depends on it
         after 1
      3. start container shop-api-1: asked for
         after 2
      4. start container shop-web-1: asked for
         after 3
    ");
}

#[test]
fn restart_takes_along_those_that_ask_for_it() {
    let stage = chain();
    let plan = restart("shop", Some(&stage.project), &stage.world.observed, &["db".to_owned()]);
    let text = taken(stage, plan);
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. restart container shop-db-1: asked for
      2. wait until db is healthy: api depends on it
         after 1
      3. restart container shop-api-1: what it depends on is restarted
         after 2
    ");
}

/// Only edges that ask for it count, and only to what is restarted too.
#[test]
fn restart_waits_for_nothing_else() {
    for (services, steps) in [
        (vec!["api"], vec!["restart container shop-api-1"]),
        (vec!["web", "api"], vec!["restart container shop-api-1", "restart container shop-web-1"]),
    ] {
        let stage = chain();
        let services: Vec<String> = services.into_iter().map(str::to_owned).collect();
        let plan = restart("shop", Some(&stage.project), &stage.world.observed, &services);
        let told: Vec<String> = plan.steps.iter().map(|step| action(&step.action)).collect();
        assert_eq!(told, steps);
        assert!(plan.steps.iter().all(|step| step.after.is_empty()), "{}", taken(stage, plan));
    }
}

/// Labels may name anything; the order is that of what is there.
#[test]
fn labels_that_name_who_is_not_there_or_themselves_say_nothing() {
    let stage = chain().container("shop-web-1", |c| {
        let label = c.labels.get_mut(labels::DEPENDS_ON).unwrap();
        label.push_str(",web:service_started:false,gone:service_started:false");
    });
    let text = taken(stage.clone(), stop("shop", None, &stage.world.observed, &[]));
    assert_eq!(text, taken(chain(), stop("shop", None, &chain().world.observed, &[])));
}

#[test]
fn what_belongs_to_an_inactive_profile_is_no_orphan() {
    let stage = chain().edit(|p| {
        let web = p.services.remove("web").unwrap();
        p.disabled_services.insert("web".to_owned(), web);
    });
    let text = down_of(stage, true, &DownOptions { remove_orphans: true, ..DownOptions::default() });
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. remove container shop-api-1: the project is taken down
      2. remove container shop-db-1: the project is taken down
         after 1
      3. remove network shop_default: the project is taken down
         after 2
    unchanged:
      volume shop_data: kept with its data
    warnings:
      left alone, because their services are of profiles that are not active: shop-web-1 (remove them with --profile)
    ");
}

#[test]
fn the_command_line_waits_for_what_runs_already() {
    let text = chain().want(|i| i.wait_for_running = true).plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. wait until db is healthy: api depends on it
    unchanged:
      db: running, nothing changed
      api: running, nothing changed
      web: running, nothing changed
    ");
}

#[test]
fn remove_takes_stopped_containers_only() {
    let stage = chain().container("shop-web-1", |c| c.state = RunState::Exited(1));
    let plan = remove("shop", None, &stage.world.observed, &[], true);
    let text = taken(stage, plan);
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. remove container shop-web-1 and its anonymous volumes: asked for
    unchanged:
      shop-api-1: running, not removed
      shop-db-1: running, not removed
    ");
}
