//! Single acts of a plan: what waits for what within and between deeds, which a folded plan does not show; and plans that
//! follow a run which the engine's changes have ended.

use turnout_report::Outcome;

use super::*;

/// The plan, after it proved checked, executable and final.
fn planned(stage: &Stage) -> Plan {
    stage.clone().plan();
    converge(&stage.project, &stage.world.observed, &stage.intent).unwrap()
}

/// The place of an act, as it is printed.
fn place(plan: &Plan, act: &str) -> StepId {
    let acts: Vec<String> = plan.steps.iter().map(|step| words::action(&step.action)).collect();
    acts.iter().position(|other| other == act).unwrap_or_else(|| panic!("no {act:?} in {acts:#?}"))
}

/// Whether one act waits for another, directly or through others.
fn waits(plan: &Plan, act: &str, other: &str) -> bool {
    let (mut open, other) = (vec![place(plan, act)], place(plan, other));
    while let Some(step) = open.pop() {
        if step == other {
            return true;
        }
        open.extend(&plan.steps[step].after);
    }
    false
}

/// The place of the creation of a service's container.
fn creation(plan: &Plan, wanted: &str) -> String {
    let creates = |step: &&Step| matches!(&step.action, Action::CreateContainer { service, .. } if service == wanted);
    words::action(&plan.steps.iter().find(creates).unwrap().action)
}

/// The name that a container of a service gets in this plan.
fn renaming(plan: &Plan, wanted: &str) -> String {
    let renames = |step: &&Step| matches!(&step.action, Action::RenameContainer { service, .. } if service == wanted);
    words::action(&plan.steps.iter().find(renames).unwrap().action)
}

/// `web` refers to `db` in the way that its further attributes say.
fn referring(attributes: Value) -> Stage {
    let mut web = json!({"image": "shop", "depends_on": {"db": {"restart": true}}});
    web.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
    Stage::of(json!({"db": {"image": "postgres", "network_mode": "bridge"}, "web": web})).up()
}

#[test]
fn names_that_a_creation_binds_are_given_before() {
    for (bound, attributes) in [
        (true, json!({"network_mode": "bridge", "links": ["db:database"]})),
        (true, json!({"network_mode": "bridge", "external_links": ["shop-db-1:database"]})),
        (true, json!({"network_mode": "container:shop-db-1"})),
        (true, json!({"ipc": "container:shop-db-1"})),
        (true, json!({"volumes_from": ["container:shop-db-1:ro"]})),
        // Looked up when it is used, by a name or, of what services share, by an ID.
        (false, json!({"links": ["db:database"]})),
        (false, json!({"network_mode": "service:db", "links": ["db:database"]})),
    ] {
        let stage = referring(attributes.clone());
        let both = stage.clone().service("db", |s| set(s, "A", "1")).service("web", |s| set(s, "A", "1"));
        let plan = planned(&both);
        let (web, db) = (creation(&plan, "web"), renaming(&plan, "db"));
        assert_eq!(waits(&plan, &web, &db), bound, "{attributes}\n{}", render(&plan));
        if bound {
            // It comes after what is stopped for db, but before it is stopped for its own replacement's sake.
            assert!(waits(&plan, &web, "remove container shop-db-1"), "{attributes}");
            assert!(waits(&plan, "remove container shop-web-1", &web), "{attributes}");
        }
        let name = "0123456789ab_shop-db-1";
        let renamed = stage.container("shop-db-1", |c| c.name = name.to_owned());
        let plan = planned(&renamed.service("web", |s| set(s, "A", "1")));
        let (web, db) = (creation(&plan, "web"), renaming(&plan, "db"));
        assert_eq!(waits(&plan, &web, &db), bound, "{attributes}\n{}", render(&plan));
    }
}

#[test]
fn names_that_are_bound_in_a_circle_hold_nothing_up() {
    let link = |other: &str| json!({"image": "i", "network_mode": "bridge", "external_links": [other]});
    let stage = Stage::of(json!({"a": link("shop-b-1"), "b": link("shop-a-1")})).up();
    let plan = planned(&stage.service("a", |s| set(s, "A", "1")).service("b", |s| set(s, "A", "1")));
    assert_eq!(plan.steps.iter().filter(|step| matches!(step.action, Action::RemoveContainer { .. })).count(), 2);
}

#[test]
fn whoever_lives_in_namespaces_goes_after_the_stop_of_their_owner() {
    let services = json!({
        "a": {"image": "a", "ipc": "shareable"},
        "b": {"image": "b", "ipc": "service:a", "pid": "service:a"},
        "c": {"image": "c", "network_mode": "service:b"},
    });
    let plan = planned(&Stage::of(services).up().service("a", |s| set(s, "A", "1")));
    for (sharer, owner) in [("b", "a"), ("c", "b"), ("c", "a")] {
        let (act, other) = (format!("remove container shop-{sharer}-1"), format!("stop container shop-{owner}-1"));
        assert!(waits(&plan, &act, &other), "{sharer} may be removed before {owner} has stopped\n{}", render(&plan));
    }
}

#[test]
fn a_service_that_is_left_alone_moves_to_the_new_network() {
    let mut stage = Stage::of(web_and_db())
        .up()
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .want(|i| i.scale.insert("web".to_owned(), 0));
    stage.world.observed.leave_alone("web");
    let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
    check(&plan).unwrap();
    let order = [
        "disconnect container shop-web-1 from network shop_default",
        "remove network shop_default",
        "create network shop_default",
        "connect container shop-web-1 to network shop_default",
    ];
    assert!(order.windows(2).all(|pair| waits(&plan, pair[1], pair[0])), "{}", render(&plan));
    let others = plan.steps.iter().map(|step| words::action(&step.action));
    assert!(!others.into_iter().any(|act| act == "stop container shop-web-1"), "{}", render(&plan));
}

/// Carries out the steps of a plan up to one, that one included, and notes in the intent what came of them, as a run that
/// ended because the engine had changed does: what it created beside is taken away.
fn cut_after(mut stage: Stage, act: &str) -> Stage {
    stage.intent.earlier.look(&stage.world.observed);
    let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
    let did = stage.world.apply_first(&stage.project, &plan, place(&plan, act) + 1);
    let ended = did.into_iter().map(|did| if did { Outcome::Done } else { Outcome::Skipped });
    stage.intent.earlier.did(&plan, ended.chain(std::iter::repeat(Outcome::Abandoned)));
    stage.world.observed.containers.retain(|c| labels::final_name(&c.name) == c.name);
    stage
}

#[test]
fn what_a_run_has_made_it_does_not_make_again() {
    let services = json!({"api": {"image": "api"}, "web": {"image": "shop"}});
    for wish in [|i: &mut Intent| i.force_recreate = true, |i: &mut Intent| i.renew_anon_volumes = true] {
        let stage = Stage::of(services.clone()).up().want(wish);
        let first = planned(&stage);
        let stage = cut_after(stage, &renaming(&first, "api"));
        let (made, unmade) = (stage.world.clone().named("shop-api-1").cloned(), "replace container shop-web-1");
        let text = stage.clone().plan();
        assert!(text.contains(unmade) && !text.contains("replace container shop-api-1"), "{text}");
        // What has another configuration by now is replaced all the same.
        let text = stage.clone().service("api", |s| set(s, "A", "1")).plan();
        assert!(text.contains(unmade) && text.contains("replace container shop-api-1: environment A added"), "{text}");
        // Somebody else's of the same name is not what was made.
        let mut other = stage;
        other.intent.earlier = Earlier::default();
        other.intent.earlier.look(&other.world.observed);
        assert!(made.is_some() && other.plan().contains("replace container shop-api-1"));
    }
}

#[test]
fn what_a_run_has_built_and_pulled_it_does_not_build_and_pull_again() {
    let services = json!({"db": {"image": "postgres"}, "web": {"build": {"context": "/src"}}});
    let built = Stage::of(services.clone()).up().build("web", "asked for");
    assert!(built.clone().plan_that_repeats().contains("build shop-web for web"));
    let text = cut_after(built, "build shop-web for web").plan();
    assert!(!text.contains("build"), "{text}");

    let pulled = Stage::of(services).up().want(|i| i.pull = Some(Pull::Always));
    assert!(pulled.clone().plan_that_repeats().contains("pull postgres"));
    let text = cut_after(pulled, "pull postgres").plan();
    assert!(!text.contains("pull"), "{text}");
}
