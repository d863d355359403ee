//! Names, ports and addresses that one service hands on to another.

use super::*;

fn named(pairs: &[(&str, &str)]) -> Project {
    let all = pairs.iter().map(|(service, name)| {
        (
            (*service).to_owned(),
            if name.is_empty() { json!({"image": "i"}) } else { json!({"image": "i", "container_name": name}) },
        )
    });
    project(Value::Object(all.collect()))
}

/// The plan from one set of container names to another.
fn handed_on(before: &[(&str, &str)], after: &[(&str, &str)]) -> String {
    Stage { project: named(before), world: World::default(), intent: Intent::default() }
        .up()
        .edit(|project| *project = named(after))
        .want(|intent| intent.remove_orphans = true)
        .plan()
}

#[test]
fn a_name_is_handed_on_to_a_service_that_comes_later() {
    insta::assert_snapshot!(handed_on(&[("b", "x")], &[("b", "y"), ("c", "x")]), @r"
    shop: 4 steps
      1. replace container x by y: container_name changed
      2. create container x: no container yet
      3. start container y: replaced
         after 1, 2
      4. start container x: created
         after 1, 2
    ");
}

#[test]
fn a_name_is_handed_on_to_a_service_that_comes_before() {
    insta::assert_snapshot!(handed_on(&[("b", "x")], &[("a", "x"), ("b", "y")]), @r"
    shop: 4 steps
      1. create container x: no container yet
      2. replace container x by y: container_name changed
      3. start container x: created
         after 1, 2
      4. start container y: replaced
         after 1, 2
    ");
}

#[test]
fn two_services_swap_their_names() {
    insta::assert_snapshot!(handed_on(&[("b", "x"), ("c", "y")], &[("b", "y"), ("c", "x")]), @r"
    shop: 4 steps
      1. replace container x by y: container_name changed
      2. replace container y by x: container_name changed
      3. start container y: replaced
         after 1, 2
      4. start container x: replaced
         after 1, 2
    ");
}

#[test]
fn names_go_round_to_and_from_the_usual_ones_and_from_what_is_gone() {
    // Carried out on a pretended engine, which refuses a name that is taken, and checked for every edge.
    for (before, after) in [
        (vec![("a", "x"), ("b", "y"), ("c", "z")], vec![("a", "y"), ("b", "z"), ("c", "x")]),
        (vec![("a", "x"), ("b", "y"), ("c", "z")], vec![("a", "z"), ("b", "x"), ("c", "y")]),
        (vec![("a", "shop-b-1"), ("b", "x")], vec![("a", "x"), ("b", "")]),
        (vec![("a", ""), ("b", "x")], vec![("a", "x"), ("b", "shop-a-1")]),
        (vec![("a", "x"), ("b", "y")], vec![("b", "x"), ("c", "y")]),
    ] {
        handed_on(&before, &after);
    }
}

#[test]
fn the_name_of_a_container_that_is_scaled_away_is_handed_on() {
    let two = project(json!({"b": {"image": "i", "scale": 2}}));
    let text = Stage { project: two, world: World::default(), intent: Intent::default() }
        .up()
        .edit(|project| *project = named(&[("a", "shop-b-2"), ("b", "")]))
        .plan();
    assert!(text.contains("1. create container shop-b-2: no container yet\n  2. remove container shop-b-2"), "{text}");
}

#[test]
fn an_interrupted_hand_over_is_finished() {
    let stage = Stage { project: named(&[("b", "x"), ("c", "y")]), world: World::default(), intent: Intent::default() };
    let swapped = stage.up().edit(|project| *project = named(&[("b", "y"), ("c", "x")]));
    let plan = converge(&swapped.project, &swapped.world.observed, &swapped.intent).unwrap();
    for done in 1..plan.steps.len() {
        let mut part = swapped.clone();
        part.world.apply(&part.project, &Plan { steps: plan.steps[..done].to_vec(), ..plan.clone() });
        part.plan();
    }
}

/// Old containers go before the starts that bind what they had: every start comes after every replacement.
#[test]
fn ports_and_addresses_are_swapped() {
    let with = |a: (&str, &str), b: (&str, &str)| {
        let one = |(port, address): (&str, &str)| {
            json!({
                "image": "i",
                "ports": [{"target": 80, "published": port, "protocol": "tcp", "mode": "ingress"}],
                "networks": {"n": {"ipv4_address": address}},
            })
        };
        project(json!({"a": one(a), "b": one(b)}))
    };
    let (first, second) = (("8001", "10.9.0.5"), ("8002", "10.9.0.6"));
    let stage = Stage { project: with(first, second), world: World::default(), intent: Intent::default() };
    let text = stage.up().edit(|project| *project = with(second, first)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. replace container shop-a-1: networks changed, ports changed
      2. replace container shop-b-1: networks changed, ports changed
      3. start container shop-a-1: replaced
         after 1, 2
      4. start container shop-b-1: replaced
         after 1, 2
    ");
}
