//! Steps before a service starts.

use super::*;

fn prepared() -> Value {
    json!({
        "web": {"image": "shop", "pre_start": [{"command": ["migrate"], "image": "shop"}, {"image": "tool"}]},
    })
}

#[test]
fn steps_run_one_after_another_before_the_start() {
    let text = Stage::of(prepared()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 7 steps
      1. pull shop: image shop is not there yet
      2. pull tool: image tool is not there yet
      3. create network shop_default: network shop_default does not exist yet
      4. create container shop-web-1: no container yet
         after 1, 2, 3
      5. run pre_start[0] of web: before web is started
         after 4
      6. run pre_start[1] of web: before web is started
         after 5
      7. start container shop-web-1: created
         after 6
    ");
}

#[test]
fn they_run_once_however_many_containers_there_are() {
    let text = Stage::of(prepared()).service("web", |s| s.scale = Some(2)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 9 steps
      1. pull shop: image shop is not there yet
      2. pull tool: image tool is not there yet
      3. create network shop_default: network shop_default does not exist yet
      4. create container shop-web-1: no container yet
         after 1, 2, 3
      5. create container shop-web-2: no container yet
         after 1, 2, 3
      6. run pre_start[0] of web: before web is started
         after 4, 5
      7. run pre_start[1] of web: before web is started
         after 6
      8. start container shop-web-1: created
         after 7
      9. start container shop-web-2: created
         after 8
    ");
}

#[test]
fn they_run_again_for_a_changed_service_and_not_for_what_is_added_to_a_running_one() {
    let changed = Stage::of(prepared()).up().service("web", |s| set(s, "A", "1")).plan();
    insta::assert_snapshot!(changed, @r"
    shop: 4 steps
      1. replace container shop-web-1: environment A added
      2. run pre_start[0] of web: before web is started
         after 1
      3. run pre_start[1] of web: before web is started
         after 2
      4. start container shop-web-1: replaced
         after 3
    ");
    let added = Stage::of(prepared()).up().service("web", |s| s.scale = Some(2)).plan();
    insta::assert_snapshot!(added, @r"
    shop: 2 steps
      1. create container shop-web-2: scaled up from 1 to 2
      2. start container shop-web-2: created
         after 1
    ");
    let left = Stage::of(prepared()).up().plan();
    insta::assert_snapshot!(left, @r"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn they_run_with_a_start_that_depends_on_a_build() {
    let text = Stage::of(json!({
        "web": {"build": {"context": "/src"}, "pre_start": [{"command": ["migrate"]}]},
    }))
    .up()
    .build("web", "Dockerfile changed")
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. build shop-web for web: Dockerfile changed
      2. replace container shop-web-1: image shop-web is built: Dockerfile changed
         only if image shop-web is no longer shop-web-1; after 1
      3. run pre_start[0] of web: before web is started
         only if step 2 was needed; after 2
      4. start container shop-web-1: replaced
         only if step 2 was needed; after 3
    ");
}

#[test]
fn they_run_for_what_was_stopped() {
    let text = Stage::of(prepared()).up().container("shop-web-1", |c| c.state = RunState::Exited(1)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. run pre_start[0] of web: before web is started
      2. run pre_start[1] of web: before web is started
         after 1
      3. start container shop-web-1: stopped with exit code 1
         after 2
    ");
}

/// A container of a step as the engine lists it.
fn left(world: &mut World, service: &str, state: RunState) {
    let like = world.observed.containers[0].clone();
    let id = world.fresh_id();
    let name = format!("shop-{service}-pre_start-0");
    let service = service.to_owned();
    let left = ObservedContainer { id, name, service, number: None, state, config_hash: String::new(), ..like };
    world.observed.step_containers.push(left);
}

#[test]
fn what_a_failed_step_left_goes_before_it_runs_again() {
    let failed = Stage::of(prepared())
        .up()
        .container("shop-web-1", |c| c.state = RunState::Created)
        .world(|w| left(w, "web", RunState::Exited(17)));
    let mut stage = failed.clone();
    let plan = lifecycle::start("shop", Some(&stage.project), &stage.world.observed, &[]);
    check(&plan).unwrap();
    insta::assert_snapshot!(render(&plan), @r"
    shop: 4 steps
      1. remove container shop-web-pre_start-0 and its anonymous volumes: left over from a pre_start step that failed
      2. run pre_start[0] of web: before web is started
         after 1
      3. run pre_start[1] of web: before web is started
         after 2
      4. start container shop-web-1: asked for
         after 3
    ");
    stage.world.apply(&stage.project, &plan);
    let options = DownOptions { project: "shop".to_owned(), ..DownOptions::default() };
    insta::assert_snapshot!(render(&down(Some(&failed.project), &failed.world.observed, &options)), @r"
    shop: 3 steps
      1. remove container shop-web-1: the project is taken down
      2. remove container shop-web-pre_start-0 and its anonymous volumes: left over from a pre_start step that failed
         after 1
      3. remove network shop_default: the project is taken down
         after 2
    ");
    insta::assert_snapshot!(failed.plan(), @r"
    shop: 4 steps
      1. remove container shop-web-pre_start-0 and its anonymous volumes: left over from a pre_start step that failed
      2. run pre_start[0] of web: before web is started
         after 1
      3. run pre_start[1] of web: before web is started
         after 2
      4. start container shop-web-1: created, but never started
         after 3
    ");
}

#[test]
fn what_is_left_of_a_service_that_is_gone_goes_with_the_orphans() {
    let stage = Stage::of(prepared()).up().world(|w| left(w, "gone", RunState::Running));
    let kept = stage.clone().plan();
    insta::assert_snapshot!(kept, @r"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    ");
    let removed = stage.want(|intent| intent.remove_orphans = true).plan();
    insta::assert_snapshot!(removed, @r"
    shop: 1 step
      1. remove container shop-gone-pre_start-0 and its anonymous volumes: left over from a pre_start step that was interrupted
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn a_start_runs_them_too_but_not_beside_one_that_runs() {
    let mut stage = Stage::of(prepared()).service("web", |s| s.scale = Some(2)).up();
    stage.world.named("shop-web-1").unwrap().state = RunState::Exited(0);
    let beside = lifecycle::start("shop", Some(&stage.project), &stage.world.observed, &[]);
    insta::assert_snapshot!(render(&beside), @r"
    shop: 1 step
      1. start container shop-web-1: asked for
    ");
    stage.world.named("shop-web-2").unwrap().state = RunState::Exited(0);
    let whole = lifecycle::start("shop", Some(&stage.project), &stage.world.observed, &[]);
    check(&whole).unwrap();
    insta::assert_snapshot!(render(&whole), @r"
    shop: 4 steps
      1. run pre_start[0] of web: before web is started
      2. run pre_start[1] of web: before web is started
         after 1
      3. start container shop-web-1: asked for
         after 2
      4. start container shop-web-2: asked for
         after 3
    ");
}

#[test]
fn what_is_left_of_a_service_of_an_inactive_profile_stays() {
    let stage = |gone: fn(&mut Project)| {
        let stage = Stage::of(json!({"db": {"image": "db"}, "web": {"image": "web"}})).up();
        stage.world(|w| left(w, "db", RunState::Exited(1))).edit(gone).want(|i| i.remove_orphans = true)
    };
    let removes = |stage: Stage| {
        let plan = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        plan.steps.iter().any(|step| matches!(&step.action, Action::RemoveContainer { reason: Removal::StepLeft, .. }))
    };
    assert!(removes(stage(|p| drop(p.services.remove("db")))));
    assert!(!removes(stage(|p| {
        let db = p.services.remove("db").unwrap();
        p.disabled_services.insert("db".to_owned(), db);
    })));
}
